"""A server that speaks the text side of the OpenAI API, for tests; nothing leaves the machine.

Each request (chat, files, fine-tuning jobs and their lists) is checked against the SDK's own
request types by `contract`, unknown fields forbidden at every depth, and each answer against its
response types: where OpenAI's contract moves, so does this. `script` makes the next chat requests
go wrong.

`python -m tests.servers_fake.openai_server --port 8001` runs it as a process of its own.
"""

from __future__ import annotations

import argparse
import email.parser
import email.policy
import itertools
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl

from openai.pagination import SyncCursorPage, SyncPage
from openai.types import FileObject, Model, file_create_params
from openai.types.chat import ChatCompletion
from openai.types.chat import completion_create_params as chat_params
from openai.types.fine_tuning import (
    FineTuningJob,
    FineTuningJobEvent,
    job_create_params,
    job_list_events_params,
    job_list_params,
)

from tests.servers_fake.contract import Contract
from tests.servers_fake.vision import look

Body = dict[str, Any]
# Beyond OpenAI's own, as Ollama, vLLM and llama.cpp take them.
EXTRA_FIELDS = {"top_k", "repeat_penalty"}
# What OpenAI's strict mode asks of a schema.
STRICT_KEYS = {"type", "properties", "required", "additionalProperties", "items", "enum"}


# Bounds of the published schema (openai/openai-openapi), which the SDK's types leave out.
CHAT_REQUEST = Contract(
    chat_params.CompletionCreateParamsNonStreaming,
    {"messages": (1, 10_000), "n": (1, 128), "top_logprobs": (0, 20), "temperature": (0, 2)},
)
JOB_REQUEST = Contract(
    job_create_params.JobCreateParams,
    {"seed": (0, 2**31 - 1), "suffix": (1, 64), "n_epochs": (1, 50)},
)
FILE_REQUEST = Contract(file_create_params.FileCreateParams)
JOBS_QUERY = Contract(job_list_params.JobListParams)
EVENTS_QUERY = Contract(job_list_events_params.JobListEventsParams)
SCHEMA_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


@dataclass(frozen=True)
class Reply:
    """One prepared answer. `raw` goes out as it is; `delay_s` before it; `cut` breaks it off."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay_s: float = 0
    cut: bool = False
    ignores_format: bool = False
    text: str | None = None
    refusal: str | None = None
    finish: str = "stop"
    without_usage: bool = False


def error(status: int, message: str, code: str | None, **headers: str) -> Reply:
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return Reply(status, body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def refuses() -> Reply:
    return Reply(refusal="I cannot help with that.")


def refuses_by_policy() -> Reply:
    return error(400, "Your request was rejected by the safety system.", "content_filter")


def hangs(seconds: float = 2) -> Reply:
    return Reply(delay_s=seconds)


def truncates(text: str) -> Reply:
    return Reply(text=text, finish="length")


def limits_rate(**headers: str) -> Reply:
    return error(429, "Rate limit reached for requests", "rate_limit_exceeded", **headers)


def is_out_of_quota() -> Reply:
    return error(429, "You exceeded your current quota", "insufficient_quota")


def fails(status: int = 500) -> Reply:
    return error(status, "The server had an error", None)


def answers_junk() -> Reply:
    return Reply(raw=b"<html>Welcome to nginx</html>", headers={"content-type": "text/html"})


def answers_broken_json() -> Reply:
    return Reply(raw=b'{"id": "x", "choices": [{"mess')


def breaks_off() -> Reply:
    return Reply(cut=True)


def ignores_format() -> Reply:
    return Reply(ignores_format=True)


def rejects_format() -> Reply:
    return error(400, "response_format is not supported by this server", None)


def says(text: str, **fields: Any) -> Reply:
    return Reply(text=text, **fields)


class FakeOpenAI:
    """The server, in a thread; `with FakeOpenAI() as server: … server.base_url`."""

    def __init__(self, models: tuple[str, ...] = ("test-model",), port: int = 0) -> None:
        self.models: dict[str, str | None] = dict.fromkeys(models)  # name: shutdown date
        self.chats: list[Body] = []  # each chat request, as it came
        self.requests: list[str] = []  # "POST /v1/files"
        self.headers: list[dict[str, str]] = []
        self.files: dict[str, bytes] = {}
        self.jobs: dict[str, Body] = {}
        self.job_steps = ["validating_files", "queued", "running", "succeeded"]
        self.job_error: Body | None = None
        self.needs_key = ""
        self.is_always: Reply | None = None  # every chat answer is this one
        self._script: deque[Reply] = deque()
        self._ids = itertools.count(1)
        self._polls: dict[str, int] = {}
        fake = self

        class Handler(_Handler):
            server_state = fake

        self._server = _Server(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def script(self, *replies: Reply) -> None:
        """Let the next chat requests be answered so; after them it answers well again."""
        self._script.extend(replies)

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    # --- Answers ------------------------------------------------------------------

    def chat(self, body: Body) -> Reply:
        self.chats.append(body)
        try:
            CHAT_REQUEST.check({k: v for k, v in body.items() if k not in EXTRA_FIELDS})
            check_strict(body.get("response_format"))
        except ValueError as wrong:
            return error(400, f"Invalid request: {wrong}", "invalid_request_error")
        if body["model"] not in self.models:
            return error(404, f"The model `{body['model']}` does not exist", "model_not_found")
        reply = self._script.popleft() if self._script else self.is_always or Reply()
        if reply.body is not None or reply.raw is not None:
            return reply
        by_schema = "response_format" in body and not reply.ignores_format
        logprobs = None
        if reply.text is not None:
            text = reply.text
        elif isinstance(body["messages"][-1]["content"], list):  # with a picture
            text, seen = look(body)
            logprobs = seen if body.get("logprobs") else None
        else:
            text = write(body, by_schema=by_schema)
        answer: Body = {
            "id": f"chatcmpl-{next(self._ids)}",
            "object": "chat.completion",
            "created": 1_790_000_000,
            "model": body["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": reply.finish,
                    "logprobs": logprobs,
                    "message": {
                        "role": "assistant",
                        "content": None if reply.refusal else text,
                        "refusal": reply.refusal,
                    },
                }
            ],
            "usage": {
                "prompt_tokens": len(json.dumps(body["messages"])) // 4,
                "completion_tokens": len(text) // 4,
                "total_tokens": (len(json.dumps(body["messages"])) + len(text)) // 4,
            },
        }
        ChatCompletion.model_validate(answer)
        if reply.without_usage:
            del answer["usage"]
        return Reply(reply.status, answer, reply.headers, delay_s=reply.delay_s, cut=reply.cut)

    def list_models(self) -> Reply:
        models = [
            {
                "id": name,
                "created": 1_780_000_000,
                "object": "model",
                "owned_by": "test",
                "shutdown_date": date,
            }
            for name, date in self.models.items()
        ]
        page = {"object": "list", "data": models}
        SyncPage[Model].model_validate(page)
        return Reply(body=page)

    def upload(self, data: bytes, content_type: str) -> Reply:
        parts = multipart(data, content_type)
        try:
            FILE_REQUEST.check(
                {name: part if name == "file" else part.decode() for name, part in parts.items()}
            )
        except ValueError as wrong:
            return error(400, f"Invalid request: {wrong}", "invalid_request_error")
        if parts["purpose"] != b"fine-tune":
            return error(400, "This server takes files for fine-tuning alone", None)
        name = f"file-{next(self._ids)}"
        self.files[name] = parts["file"]
        body = {
            "id": name,
            "object": "file",
            "bytes": len(parts["file"]),
            "created_at": 1_790_000_000,
            "filename": "captions.jsonl",
            "purpose": "fine-tune",
            "status": "processed",
        }
        FileObject.model_validate(body)
        return Reply(body=body)

    def create_job(self, body: Body) -> Reply:
        try:
            JOB_REQUEST.check(body)
        except ValueError as wrong:
            return error(400, f"Invalid request: {wrong}", "invalid_request_error")
        if body["training_file"] not in self.files:
            return error(404, "No such File object", "not_found")
        if wrong := file_fault(self.files[body["training_file"]], body.get("method")):
            return error(400, wrong, "invalid_training_file")
        name = f"ftjob-{next(self._ids)}"
        self.jobs[name] = {
            "id": name,
            "object": "fine_tuning.job",
            "created_at": 1_790_000_000,
            "model": body["model"],
            "fine_tuned_model": None,
            "finished_at": None,
            "error": None,
            "hyperparameters": {"n_epochs": 3},
            "organization_id": "org-test",
            "result_files": [],
            "seed": body.get("seed", 0),
            "status": "validating_files",
            "trained_tokens": None,
            "training_file": body["training_file"],
            "method": body.get("method"),
            "suffix": body.get("suffix"),
        }
        self._polls[name] = 0
        return self._job(name)

    def poll(self, name: str) -> Reply:
        """Each look at a job brings it one step on."""
        job = self.jobs.get(name)
        if job is None:
            return error(404, "No such fine-tuning job", "not_found")
        if job["status"] not in {"succeeded", "failed", "cancelled"}:
            self._polls[name] = min(self._polls[name] + 1, len(self.job_steps) - 1)
            job["status"] = self.job_steps[self._polls[name]]
            if job["status"] == "succeeded":
                tuned = f"ft:{job['model']}:org:{job['suffix'] or ''}:{name}"
                job |= {"fine_tuned_model": tuned, "trained_tokens": 1234, "finished_at": 1}
                self.models[tuned] = None
            elif job["status"] == "failed":
                job["error"] = self.job_error or {
                    "code": "invalid_training_file",
                    "message": "The file is no good.",
                    "param": "training_file",
                }
        return self._job(name)

    def cancel(self, name: str) -> Reply:
        if name not in self.jobs:
            return error(404, "No such fine-tuning job", "not_found")
        if self.jobs[name]["status"] == "succeeded":
            return error(400, "The job has already completed", "job_completed")
        self.jobs[name]["status"] = "cancelled"
        return self._job(name)

    def list_jobs(self, query: Body) -> Reply:
        try:
            JOBS_QUERY.check(query)
        except ValueError as wrong:
            return error(400, f"Invalid request: {wrong}", "invalid_request_error")
        rows, limit = list(self.jobs.values())[::-1], query.get("limit", 20)
        page = {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit}
        SyncCursorPage[FineTuningJob].model_validate(page)
        return Reply(body=page)

    def events(self, name: str, query: Body) -> Reply:
        try:
            EVENTS_QUERY.check(query)
        except ValueError as wrong:
            return error(400, f"Invalid request: {wrong}", "invalid_request_error")
        after, limit = query.get("after", ""), query.get("limit", 20)
        steps = ["Created", *(f"Step {n}/3: training loss={3 - n}.0" for n in range(1, 4))]
        rows = [
            {
                "id": f"ftevent-{number}",
                "object": "fine_tuning.job.event",
                "created_at": 1_790_000_000 + number,
                "level": "info",
                "message": message,
                "type": "message",
            }
            for number, message in enumerate(steps)
        ][::-1]  # newest first, as OpenAI's
        ids = [row["id"] for row in rows]
        rows = rows[ids.index(after) + 1 :] if after in ids else rows
        for row in rows:
            FineTuningJobEvent.model_validate(row)
        page = {"object": "list", "data": rows[:limit], "has_more": len(rows) > limit}
        SyncCursorPage[FineTuningJobEvent].model_validate(page)
        return Reply(body=page)

    def _job(self, name: str) -> Reply:
        FineTuningJob.model_validate(self.jobs[name])
        return Reply(body=dict(self.jobs[name]))


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that went away."""


class _Handler(BaseHTTPRequestHandler):
    server_state: FakeOpenAI
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        fake, (path, _, text) = self.server_state, self.path.partition("?")
        query = {k: int(v) if v.isdecimal() else v for k, v in parse_qsl(text)}
        if found := re.fullmatch(r"/v1/fine_tuning/jobs/([\w-]+)/events", path):
            name = found[1]
            self._answer(lambda: fake.events(name, query))
        elif found := re.fullmatch(r"/v1/fine_tuning/jobs/([\w-]+)", path):
            name = found[1]
            self._answer(lambda: fake.poll(name))
        elif path == "/v1/fine_tuning/jobs":
            self._answer(lambda: fake.list_jobs(query))
        elif path == "/v1/models":
            self._answer(fake.list_models)
        else:
            self._answer(lambda: error(404, "Unknown route", None))

    def do_POST(self) -> None:
        fake = self.server_state
        data = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.path == "/v1/files":
            self._answer(lambda: fake.upload(data, self.headers["content-type"]))
        elif self.path == "/v1/chat/completions":
            self._answer(lambda: fake.chat(json.loads(data)))
        elif self.path == "/v1/fine_tuning/jobs":
            self._answer(lambda: fake.create_job(json.loads(data)))
        elif found := re.fullmatch(r"/v1/fine_tuning/jobs/([\w-]+)/cancel", self.path):
            name = found[1]
            self._answer(lambda: fake.cancel(name))
        else:
            self._answer(lambda: error(404, "Unknown route", None))

    def _answer(self, make: Callable[[], Reply]) -> None:
        fake = self.server_state
        fake.requests.append(f"{self.command} {self.path}")
        fake.headers.append({k.lower(): v for k, v in self.headers.items()})
        key = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if fake.needs_key and key != fake.needs_key:
            # The whole key, where OpenAI shows its ends: whoever logs this leaks it.
            reply = error(401, f"Incorrect API key provided: {key}.", "invalid_api_key")
        else:
            reply = make()
        time.sleep(reply.delay_s)
        data = json.dumps(reply.body).encode() if reply.raw is None else reply.raw
        try:
            self.send_response(reply.status)
            for name, value in ({"content-type": "application/json"} | reply.headers).items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if reply.cut else data)
        except OSError:  # the client has gone, as it should after its time-out
            self.close_connection = True
        self.close_connection = self.close_connection or reply.cut

    def log_message(self, *_: Any) -> None:
        """Keep the tests' output clean."""


# --- What is checked ----------------------------------------------------------------


def check_strict(form: Body | None) -> None:
    """Raise ValueError where OpenAI's strict mode would refuse the schema."""

    def check(schema: Body, where: str) -> None:
        if unknown := set(schema) - STRICT_KEYS:
            raise ValueError(f"In {where}: {sorted(unknown)} is not permitted")
        if schema["type"] == "object":
            names = set(schema["properties"])
            if schema.get("additionalProperties") is not False or set(schema["required"]) != names:
                raise ValueError(f"In {where}: every property is required and no other one taken")
            for name, part in schema["properties"].items():
                check(part, f"{where}.{name}")
        elif schema["type"] == "array":
            check(schema["items"], f"{where}[]")

    if form and form["type"] == "json_schema":
        if not SCHEMA_NAME.fullmatch(form["json_schema"]["name"]):
            raise ValueError("The schema's name holds more than letters, digits, _ and -")
        if form["json_schema"].get("strict"):
            check(form["json_schema"]["schema"], "schema")


def file_fault(data: bytes, method: Body | None) -> str:
    """Return what OpenAI would have against a training file; empty where it is good."""
    lines = data.decode().splitlines()
    if len(lines) < 10:
        return f"Training file has {len(lines)} example(s), but must have at least 10 examples"
    is_dpo = bool(method and method["type"] == "dpo")
    for number, line in enumerate(lines, 1):
        row = json.loads(line)
        keys = {"input", "preferred_output", "non_preferred_output"} if is_dpo else {"messages"}
        if set(row) != keys:
            return f"Line {number}: expected {sorted(keys)}, found {sorted(row)}"
        messages = row["input"]["messages"] + row["preferred_output"] if is_dpo else row["messages"]
        if messages[-1]["role"] != "assistant" or not all(m["content"] for m in messages):
            return f"Line {number}: the last message must be the assistant's"
    return ""


def multipart(data: bytes, content_type: str) -> dict[str, bytes]:
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + data)
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload(decode=True)
        for part in message.iter_parts()
    }


# --- A model of some wit --------------------------------------------------------------

ACTIONS = (
    "sleeping", "running fast", "eating from a bowl", "looking up", "jumping over a fence",
    "lying on its back", "waiting by a door", "carrying a stick", "playing with a ball",
    "drinking water", "shaking itself dry", "digging a hole", "standing still", "yawning",
    "swimming", "climbing a step", "hiding behind a tree", "chasing its tail",
)  # fmt: skip


def write(body: Body, *, by_schema: bool) -> str:
    """Answer a question of `asking` as a good model would."""
    question = body["messages"][-1]["content"]
    already = question.count("\n- ")
    if "____" in question:
        count = len(re.findall(r"^\d+\. ", question, re.MULTILINE))
        rows = [
            {"number": n, "words": ACTIONS[(n + already) % len(ACTIONS)]}
            for n in range(1, count + 1)
        ]
        lines = [f"{row['number']}. {row['words']}" for row in rows]
    else:
        count = int(re.search(r"Write (\d+) ", question)[1])  # type: ignore[index]
        name = re.search(r"names: ([^(\n]+)", question)[1].strip()  # type: ignore[index]
        slots = {} if not by_schema else dict.fromkeys(_axes(body), "")
        rows = [
            {
                "caption": f"A {name} {ACTIONS[(n + already) % len(ACTIONS)]}, no {n + already}",
                "slots": slots,
            }
            for n in range(count)
        ]
        lines = [f"- {row['caption']}" for row in rows]
    if by_schema:
        return json.dumps({"captions": rows})
    return "\n".join(["Here are the captions:", *lines])


def _axes(body: Body) -> list[str]:
    schema = body["response_format"]["json_schema"]["schema"]
    return list(schema["properties"]["captions"]["items"]["properties"]["slots"]["properties"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8001)
    with FakeOpenAI(port=parser.parse_args().port) as server:
        print(server.base_url, flush=True)
        threading.Event().wait()
