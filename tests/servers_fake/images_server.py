"""A paid images server for tests, as a process of its own; nothing leaves the machine.

It checks each request by the rules of the kind of server that it plays (`images_rules`), draws
real PNGs, and keeps its own ledger of calls and charges, in memory and as JSON lines on disk.
A script makes the next paid calls go wrong; `images_client` starts and drives it from a test.

    python -m tests.servers_fake.images_server --kind openai --port 8001 --ledger ledger.jsonl

prints its base address. Beside the protocol it answers:

    GET  /_fake/ledger    every paid call: key, count, charge, what became of the answer
    GET  /_fake/requests  every request: path, headers, fields, files' sizes
    POST /_fake/script    a JSON list of steps for the next paid calls, one each
    POST /_fake/script_for  {"a prompt": [steps]} for the calls of that prompt
    POST /_fake/always    one step (or {}) for every call that no script is left for
    POST /_fake/batches   how the next batches go, see `images_batches`
    POST /_fake/reset     forget scripts, requests and the ledger

A step is {"do": NAME, …}: see STEPS. {"do": "chance", "seed": 1, "steps": [[0.1, {…}], …]}
draws lots for each call.
"""

from __future__ import annotations

import argparse
import base64
import email.parser
import email.policy
import hashlib
import io
import itertools
import json
import math
import random
import socket
import struct
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from openai.pagination import SyncPage
from openai.types import ImagesResponse, Model
from PIL import Image

from tests.servers_fake.images_batches import Batches, route_of
from tests.servers_fake.images_rules import (
    DRAW,
    RULES,
    Ask,
    Body,
    Files,
    RefusalError,
)

# Millionths of a dollar per token: what OpenAI's image models cost in November 2026.
RATES = {"text": 5, "image": 8, "output": 30}
PRICES = {"text_input": 5, "image_input": 8, "output": 30, "most_output_tokens": 1000,
          "most_input_tokens": 500}  # fmt: skip
OUTPUT_TOKENS, INPUT_TOKENS = 1000, 500  # per image, whatever its size
PAID_KINDS = {"openai", "litellm"}

STEPS = {
    "answer": "answer well",
    "hang": "say nothing for `seconds`, then close; nothing is charged",
    "late": "charge, then answer well after `seconds`",
    "cut": "charge, then break off in the middle of the answer",
    "drop": "charge, then close without a word",
    "reset": "close without a word; nothing is charged",
    "rate_limit": "429, with Retry-After where `retry_after` is given",
    "no_credit": "402, or with `status` 429 insufficient_quota",
    "fail": "HTTP `status` (500)",
    "refuse": "refuse by policy",
    "junk": "200 with a page of HTML; charged",
    "broken_json": "200 with half a JSON; charged",
    "no_data": "200 without a list of pictures; charged",
    "corrupt": "200 with bytes that are no picture; charged",
    "truncated": "200 with half a PNG; charged",
    "no_base64": "200 with text that is no base64; charged",
    "wrong_count": "200 with `by` (-1) more pictures than asked; charged",
    "wrong_size": "200 with pictures of `size` (64) px; charged",
    "no_usage": "a good answer that does not tell what it used",
    "url": "a good answer by addresses; `to` names another than the server's own",
    "trickle": "charge, then answer a byte at a time, `seconds` (0.2) apart",
    "revise": "a good answer that tells a revised prompt",
}


@dataclass
class Entry:
    """One paid call in the ledger. `outcome` is the step that was taken."""

    number: int
    key: str
    route: str
    count: int
    charged_micro_usd: int
    outcome: str
    sha256s: list[str] = field(default_factory=list)
    replays: int = 0


class State:
    """All that the server knows; one lock, for requests come in threads."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.kind: str = options.kind
        self.rules = RULES[options.kind]
        self.models: dict[str, str | None] = {}
        for name in options.model:
            model, _, ends = name.partition("=")
            self.models[model] = ends or None
        self.price_micro_usd = round(options.price_usd * 1_000_000)
        self.idempotency_header: str = options.idempotency_header
        self.needs_key: str = options.needs_key
        self.ledger_path = Path(options.ledger) if options.ledger else None
        self.base = ""
        self.lock = threading.Lock()
        self.requests: list[Body] = []
        self.ledger: list[Entry] = []
        self.script: deque[Body] = deque()
        self.script_for: dict[str, deque[Body]] = {}
        self.always: Body = {}
        self.lots = random.Random(0)
        self.files: dict[str, bytes] = {}
        self.by_key: dict[str, tuple[Entry, bytes, dict[str, str]]] = {}
        self.key_locks: dict[str, threading.Lock] = {}
        self.serial = itertools.count(1)
        self.batches = Batches(self.perform_line)

    def perform_line(self, url: str, fields: Body, key: str) -> tuple[int, Body]:
        """Do one line of a batch, at half the price; the script says how it goes."""
        try:
            ask = self.rules(route_of(url), fields, {})
        except RefusalError as refusal:
            return refusal.status, {"error": {"message": str(refusal), "code": refusal.code}}
        step = self.next_step(ask.prompt)
        if step["do"] == "refuse":
            said = "Your request was rejected by the safety system."
            return 400, {"error": {"message": said, "code": "moderation_blocked"}}
        if step["do"] == "fail":
            return step.get("status", 500), {"error": {"message": "The server had an error"}}
        entry = self.charge(ask, key, step["do"], share=0.5)
        images = drawn(ask, step)
        entry.sha256s = [hashlib.sha256(data).hexdigest() for data in images]
        self.write_ledger(entry)
        return 200, content_of(self, ask, images, step)

    def next_step(self, prompt: str) -> Body:
        with self.lock:
            if self.script_for.get(prompt):
                return self.script_for[prompt].popleft()
            step = self.script.popleft() if self.script else self.always or {"do": "answer"}
            if step["do"] == "chance":
                lot = self.lots.random()
                for share, each in step["steps"]:
                    if lot < share:
                        return dict(each)
                    lot -= share
                return {"do": "answer"}
            return step

    def charge(self, ask: Ask, key: str, outcome: str, *, share: float = 1) -> Entry:
        """Write a paid call into the ledger."""
        cost = math.ceil(self.cost(ask) * share)
        with self.lock:
            entry = Entry(next(self.serial), key, ask.route, ask.count, cost, outcome)
            self.ledger.append(entry)
        return entry

    def cost(self, ask: Ask) -> int:
        if self.kind in PAID_KINDS:
            usage = self.usage(ask)
            details = usage["input_tokens_details"]
            return (
                details["text_tokens"] * RATES["text"]
                + details["image_tokens"] * RATES["image"]
                + usage["output_tokens"] * RATES["output"]
            )
        return self.price_micro_usd * ask.count

    def usage(self, ask: Ask) -> Body:
        text, image = len(ask.prompt.split()) + 3, INPUT_TOKENS * len(ask.images)
        output = OUTPUT_TOKENS * ask.count
        return {
            "input_tokens": text + image,
            "input_tokens_details": {"text_tokens": text, "image_tokens": image},
            "output_tokens": output,
            "total_tokens": text + image + output,
        }

    def write_ledger(self, entry: Entry) -> None:
        """Put the entry on disk, before anything of the answer leaves."""
        if self.ledger_path:
            with self.lock, self.ledger_path.open("a") as file:
                file.write(json.dumps(entry.__dict__) + "\n")
                file.flush()


# --- Pictures -------------------------------------------------------------------------


def draw(ask: Ask, number: int, chance: random.Random) -> Image.Image:
    """Return picture `number` of a request: of its seed if it has one, else of chance.

    An edit keeps half of what came; under a mask it keeps all that is not to be repainted.
    """
    if ask.seed is not None:
        chance = random.Random(f"{ask.prompt}/{ask.seed + number}")
    cells = Image.frombytes("RGB", (8, 8), chance.randbytes(192))
    drawn = cells.resize(ask.size, Image.Resampling.BICUBIC)
    if not ask.images:
        return drawn
    source = ask.images[0].convert("RGB").resize(ask.size)
    if ask.mask is not None:
        return Image.composite(drawn, source, ask.mask.resize(ask.size))
    for other in ask.images[1:]:
        source = Image.blend(source, other.convert("RGB").resize(ask.size), 0.5)
    return Image.blend(source, drawn, 0.5)


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


# --- Answers --------------------------------------------------------------------------


def drawn(ask: Ask, step: Body) -> list[bytes]:
    count = ask.count + (step.get("by", -1) if step["do"] == "wrong_count" else 0)
    chance = random.SystemRandom()
    images = [draw(ask, number, chance) for number in range(count)]
    if step["do"] == "wrong_size":
        images = [image.resize((step.get("size", 64),) * 2) for image in images]
    encoded = [png(image) for image in images]
    if step["do"] == "corrupt":
        return [b"no picture at all" for _ in encoded]
    if step["do"] == "truncated":
        return [data[: len(data) // 2] for data in encoded]
    return encoded


def content_of(state: State, ask: Ask, images: list[bytes], step: Body) -> Body:
    name = step["do"]
    if ask.route == DRAW:
        return _own_content(state, ask, images, step)
    rows: list[Body] = []
    for data in images:
        if ask.by_url or name == "url":
            rows.append({"url": _address(state, data, step)})
        else:
            text = base64.b64encode(data).decode()
            rows.append({"b64_json": "%%%" if name == "no_base64" else text})
        if name == "revise":
            rows[-1]["revised_prompt"] = f"{ask.prompt}, in soft light"
    content: Body = {"created": 1_790_000_000, "data": rows}
    if state.kind in PAID_KINDS and name != "no_usage":
        content["usage"] = state.usage(ask)
        content["size"] = f"{ask.size[0]}x{ask.size[1]}"
    if name == "no_data":
        del content["data"]
    return content


def _own_content(state: State, ask: Ask, images: list[bytes], step: Body) -> Body:
    """Return an answer of the project's own contract, docs/generators-http.md."""
    rows = [
        {
            "data": "%%%" if step["do"] == "no_base64" else base64.b64encode(data).decode(),
            "seed": None if ask.seed is None else ask.seed + number,
            "revised_prompt": "in soft light" if step["do"] == "revise" else None,
            "facts": {},
        }
        for number, data in enumerate(images)
    ]
    content: Body = {"images": rows, "model": "fake", "model_version": "1"}
    if step["do"] != "no_usage":
        content["cost_usd"] = str(state.cost(ask) / 1_000_000)
    if step["do"] == "no_data":
        del content["images"]
    return content


def _address(state: State, data: bytes, step: Body) -> str:
    name = f"{hashlib.sha256(data).hexdigest()}.png"
    state.files[name] = data
    if "to" in step:
        return str(step["to"])
    if step.get("relative"):
        return f"/files/{name}"
    return f"{state.base}/files/{name}"


# --- HTTP -----------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    state: State
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        state, path = self.state, self.path.partition("?")[0]
        if path == "/_fake/ledger":
            with state.lock:
                self._json(200, [entry.__dict__ for entry in state.ledger])
        elif path == "/_fake/requests":
            with state.lock:
                self._json(200, state.requests)
        elif path.startswith("/files/"):
            self._file(path.rpartition("/")[2])
        elif path in ("/v1/models", "/models"):
            self._models()
        elif path.startswith(("/v1/batches", "/v1/files/")):
            self._batch_answer(path.removeprefix("/v1/"))
        elif path == "/draw":
            self._json(200, {"contract": 1, "title": "Fake", "able": ["text"]})
        else:
            self._json(404, {"error": {"message": "Unknown route"}})

    def do_POST(self) -> None:
        state = self.state
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/_fake/script":
            with state.lock:
                state.script.extend(json.loads(data))
            self._json(200, {})
        elif self.path == "/_fake/script_for":
            with state.lock:
                for prompt, steps in json.loads(data).items():
                    state.script_for[prompt] = deque(steps)
            self._json(200, {})
        elif self.path == "/_fake/always":
            with state.lock:
                state.always = json.loads(data)
                state.lots = random.Random(state.always.get("seed", 0))
            self._json(200, {})
        elif self.path == "/_fake/reset":
            with state.lock:
                for kept in (state.requests, state.ledger, state.script, state.by_key):
                    kept.clear()
                state.script_for.clear()
                state.batches.clear()
                state.always = {}
            self._json(200, {})
        elif self.path == "/_fake/batches":
            with state.lock:
                state.batches.plans.extend(json.loads(data))
            self._json(200, {})
        elif self.path.startswith(("/v1/batches", "/v1/files")):
            self._batch_change(self.path.removeprefix("/v1/"), data)
        else:
            self._paid(data)

    # --- Batches --------------------------------------------------------------------------

    def _batch_answer(self, path: str) -> None:
        batches = self.state.batches
        if not self._knows_key():
            return
        name = path.split("/")[1] if "/" in path else ""
        try:
            if path.startswith("files/"):
                self._send(200, batches.content(name), {"content-type": "application/octet-stream"})
            else:
                self._json(200, batches.look(name) if name else batches.listing())
        except RefusalError as refusal:
            self._error(refusal)

    def _batch_change(self, path: str, data: bytes) -> None:
        batches = self.state.batches
        fields, files = self._read(data) if data else ({}, {})
        self._remember(fields, files)
        if not self._knows_key():
            return
        try:
            if path == "files":
                self._json(200, batches.upload(fields, files["file"][0][1]))
            elif path.endswith("/cancel"):
                self._json(200, batches.cancel(path.split("/")[1]))
            else:
                self._batch_made(*batches.create(fields, ""))
        except RefusalError as refusal:
            self._error(refusal)

    def _batch_made(self, body: Body, how: str) -> None:
        if how == "drop":
            self._close()
        elif how == "no_credit":
            self._error(RefusalError(429, "You exceeded your quota", "billing_hard_limit_reached"))
        elif how == "rate_limit":
            self._error(
                RefusalError(429, "Rate limit", "rate_limit_exceeded"), {"retry-after": "7"}
            )
        elif how == "fail":
            self._error(RefusalError(503, "The server had an error"))
        elif how == "refuse":
            self._error(RefusalError(400, "This model takes no batches", "invalid_model"))
        else:
            self._json(200, body)

    def _models(self) -> None:
        if not self._knows_key():
            return
        rows = [
            {"id": name, "created": 1, "object": "model", "owned_by": "test", "shutdown_date": ends}
            for name, ends in self.state.models.items()
        ]
        page = {"object": "list", "data": rows}
        SyncPage[Model].model_validate(page)
        self._json(200, page)

    def _file(self, name: str) -> None:
        if name == "elsewhere":  # an address that leads on to another
            self.send_response(302)
            self.send_header("location", f"{self.state.base}/_fake/ledger")
            self.send_header("content-length", "0")
            self.end_headers()
        elif name in self.state.files:
            self._send(200, self.state.files[name], {"content-type": "image/png"})
        else:
            self._json(404, {"error": {"message": "No such file"}})

    # --- A paid call --------------------------------------------------------------------

    def _paid(self, data: bytes) -> None:
        state = self.state
        route = self.path.removeprefix("/v1").removeprefix("/images").strip("/")
        try:
            fields, files = self._read(data)
        except ValueError:
            self._error(RefusalError(400, "unreadable request"))
            return
        self._remember(fields, files)
        if not self._knows_key():
            return
        try:
            ask = state.rules(route, fields, files)
            self._check_model(fields.get("model"))
        except RefusalError as refusal:
            self._error(refusal)
            return
        key = self.headers.get(state.idempotency_header or "-", "")
        if not key:
            # It charges each time, and only notes what it was called.
            named = self.headers.get("idempotency-key", "")
            self._perform(ask, named or self.headers.get("x-client-request-id", ""))
            return
        with state.lock:
            lock = state.key_locks.setdefault(key, threading.Lock())
        with lock:
            if key in state.by_key:
                entry, body, headers = state.by_key[key]
                entry.replays += 1
                self._send(200, body, headers)
            else:
                self._perform(ask, key)

    def _check_model(self, name: object) -> None:
        known = self.state.models
        if known and name not in known and self.state.kind not in ("sd-server", "http"):
            raise RefusalError(404, f"The model `{name}` does not exist", "model_not_found")

    def _perform(self, ask: Ask, key: str) -> None:
        step = self.state.next_step(ask.prompt)
        name = step["do"]
        if name not in STEPS:
            raise KeyError(name)
        if name == "hang":
            time.sleep(step.get("seconds", 60))
            self._close()
        elif name == "reset":
            self._close()
        elif name == "rate_limit":
            wait = step.get("retry_after")
            headers = {"retry-after": str(wait)} if wait is not None else {}
            self._error(RefusalError(429, "Rate limit reached", "rate_limit_exceeded"), headers)
        elif name == "no_credit":
            status = step.get("status", 402)
            code = "insufficient_quota" if status == 429 else None
            self._error(RefusalError(status, "You exceeded your current quota", code))
        elif name == "fail":
            self._error(RefusalError(step.get("status", 500), "The server had an error"))
        elif name == "refuse":
            self._refuse()
        else:
            self._answer(ask, key, step)

    def _refuse(self) -> None:
        said = "Your request was rejected by the safety system."
        code = "refused" if self.state.kind == "http" else "moderation_blocked"
        self._error(RefusalError(400, said, code))

    def _answer(self, ask: Ask, key: str, step: Body) -> None:
        state, name = self.state, step["do"]
        entry = state.charge(ask, key, name)
        images = drawn(ask, step)
        entry.sha256s = [hashlib.sha256(data).hexdigest() for data in images]
        content = content_of(state, ask, images, step)
        body, headers = json.dumps(content).encode(), {"content-type": "application/json"}
        if state.kind == "litellm":
            headers["x-litellm-response-cost"] = str(entry.charged_micro_usd / 1_000_000)
        if name == "junk":
            body, headers = b"<html>Welcome</html>", {"content-type": "text/html"}
        elif name == "broken_json":
            body = body[: len(body) // 2]
        elif name in ("answer", "late", "revise", "no_usage", "url") and state.kind in PAID_KINDS:
            ImagesResponse.model_validate(content)
        if state.idempotency_header and key:
            state.by_key[key] = (entry, body, headers)
        state.write_ledger(entry)
        if name == "late":
            time.sleep(step.get("seconds", 2))
        if name == "drop":
            self._close()
        elif name == "cut":
            self._send(200, body, headers, upto=len(body) // 2)
        elif name == "trickle":
            self._send(200, body, headers, pause_s=step.get("seconds", 0.2))
        else:
            self._send(200, body, headers)

    # --- Reading and writing ------------------------------------------------------------

    def _read(self, data: bytes) -> tuple[Body, Files]:
        content_type = self.headers.get("content-type", "")
        if content_type.startswith("application/json"):
            fields = json.loads(data)
            if not isinstance(fields, dict):
                raise ValueError("no object")
            return fields, {}
        head = f"Content-Type: {content_type}\r\n\r\n".encode()
        message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + data)
        form: Body = {}
        files: Files = {}
        for part in message.iter_parts():
            name = str(part.get_param("name", header="content-disposition"))
            content = part.get_payload(decode=True) or b""
            assert isinstance(content, bytes)
            if part.get_filename() is None:
                form[name] = content.decode()
            else:
                given = (str(part.get_filename()), content, part.get_content_type())
                files.setdefault(name, []).append(given)
        return form, files

    def _remember(self, fields: Body, files: Files) -> None:
        sizes = {name: [len(data) for _, data, _ in given] for name, given in files.items()}
        shown = {
            name: f"({len(value)} characters)" if len(str(value)) > 4000 else value
            for name, value in fields.items()
        }
        headers = {name.lower(): value for name, value in self.headers.items()}
        with self.state.lock:
            self.state.requests.append(
                {"path": self.path, "headers": headers, "fields": shown, "files": sizes}
            )

    def _knows_key(self) -> bool:
        key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if self.state.needs_key and key != self.state.needs_key:
            # The whole key, where OpenAI shows its ends: whoever logs this leaks it.
            self._error(RefusalError(401, f"Incorrect API key: {key}.", "invalid_api_key"))
            return False
        return True

    def _error(self, refusal: RefusalError, headers: dict[str, str] | None = None) -> None:
        said, code, kind = str(refusal), refusal.code, self.state.kind
        body: Body = {"error": {"message": said, "type": "error", "param": None, "code": code}}
        if kind == "http":
            body = {"error": {"kind": code or "wrong", "message": said}}
        elif code == "moderation_blocked":
            pass
        elif kind in ("vllm-omni", "sglang"):
            body = {"detail": said}
        elif kind == "sd-server":
            body = {"error": said}
        self._json(refusal.status, body, headers)

    def _json(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self._send(
            status,
            json.dumps(body).encode(),
            {"content-type": "application/json", **(headers or {})},
        )

    def _send(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        *,
        upto: int | None = None,
        pause_s: float = 0,
    ) -> None:
        try:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            if pause_s:
                for at in range(len(body)):
                    self.wfile.write(body[at : at + 1])
                    self.wfile.flush()
                    time.sleep(pause_s)
            else:
                self.wfile.write(body[:upto])
                self.wfile.flush()
        except OSError:  # the client has gone, as it should after its time-out
            self.close_connection = True
            return
        if upto is not None:
            self._close()

    def _close(self) -> None:
        """Break the connection off hard, so that the other side sees a reset."""
        self.close_connection = True
        try:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def log_message(self, *_: Any) -> None:
        """Keep the output clean."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0],
        epilog="steps: " + "; ".join(f"{name}: {help}" for name, help in STEPS.items()),
    )
    parser.add_argument("--kind", choices=sorted(RULES), default="openai")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--ledger", default="", help="a file that gets one JSON line per call")
    parser.add_argument(
        "--model", action="append", default=[], help="NAME or NAME=SHUTDOWN-DATE; none: any"
    )
    parser.add_argument("--price-usd", type=float, default=0.04, help="per image, where not tokens")
    parser.add_argument("--needs-key", default="", help="the bearer key that it asks for")
    parser.add_argument(
        "--idempotency-header", default="", help="charge a key in this header once only"
    )
    return parser


def main() -> None:
    options = parser().parse_args()
    state = State(options)

    class Bound(Handler):
        pass

    Bound.state = state
    server = Server(("127.0.0.1", options.port), Bound)
    state.base = f"http://127.0.0.1:{server.server_port}"
    suffix = "/draw" if options.kind == "http" else "/v1"
    print(f"{state.base}{suffix}", flush=True)
    server.serve_forever(0.05)


if __name__ == "__main__":
    main()
