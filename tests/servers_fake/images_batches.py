"""The files and batches of the fake images server, as OpenAI's own: what is asked is checked by
the SDK's types, every line by the rules of the route that it names, and half the price is
charged for each line that is done.

`POST /_fake/batches` says how the next batches go, one JSON object each:

    {"looks": 2,            so often they are looked at before they end
     "ends": "completed",   or "expired", "cancelled", "failed"
     "done": 3,             so many lines are done before it ends; the others are not charged
     "missing": 1,          so many of the done lines are in no file, though they are charged
     "create": "drop"}      charge nothing yet, make the batch, and close without a word;
                            "refuse", "no_credit", "fail", "rate_limit" make none

What becomes of a single line the script of the server says, as for any other call.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pydantic
from openai.types import Batch as SdkBatch
from openai.types import FileObject, batch_create_params

from tests.servers_fake.images_rules import Body, RefusalError

NOW = 1_790_000_000
CREATE = pydantic.TypeAdapter(batch_create_params.BatchCreateParams)
Answer = tuple[int, Body]
# Performs one line: (address, fields, custom id) -> (HTTP status, body).
Line = Callable[[str, Body, str], Answer]


@dataclass
class Batch:
    """One batch as the server keeps it."""

    id: str
    key: str
    endpoint: str
    input_file_id: str
    lines: list[Body]
    plan: Body
    metadata: Body
    looks: int = 0
    status: str = "validating"
    output_file_id: str | None = None
    error_file_id: str | None = None
    done: int = 0
    failed: int = 0

    def body(self) -> Body:
        content: Body = {
            "id": self.id,
            "object": "batch",
            "completion_window": "24h",
            "created_at": NOW,
            "expires_at": NOW + 24 * 3600,
            "endpoint": self.endpoint,
            "input_file_id": self.input_file_id,
            "status": self.status,
            "output_file_id": self.output_file_id,
            "error_file_id": self.error_file_id,
            "metadata": self.metadata,
            "request_counts": {
                "total": len(self.lines), "completed": self.done, "failed": self.failed,
            },
        }  # fmt: skip
        if self.status == "failed":
            content["errors"] = {
                "object": "list",
                "data": [{"code": "invalid_model", "message": "The model cannot do batches."}],
            }
        SdkBatch.model_validate(content)
        return content


@dataclass
class Batches:
    """All files and batches of one server."""

    perform: Line
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, Batch] = field(default_factory=dict)
    plans: deque[Body] = field(default_factory=deque)

    def clear(self) -> None:
        self.files.clear()
        self.batches.clear()
        self.plans.clear()

    def upload(self, fields: Body, content: bytes) -> Body:
        if fields.get("purpose") != "batch":
            raise RefusalError(400, "Invalid value: 'purpose'", "invalid_value")
        name = self._keep(content)
        body = {
            "id": name, "object": "file", "bytes": len(content), "created_at": NOW,
            "filename": "batch.jsonl", "purpose": "batch", "status": "processed",
        }  # fmt: skip
        FileObject.model_validate(body)
        return body

    def create(self, fields: Body, key: str) -> tuple[Body, str]:
        """Make a batch; returns it and what becomes of the answer ("" is a good one)."""
        plan = self.plans.popleft() if self.plans else {}
        how = plan.get("create", "")
        if how not in ("", "drop"):
            return {}, how
        try:
            CREATE.validate_python(fields)
        except pydantic.ValidationError as error:
            raise RefusalError(400, str(error.errors()[0]["msg"]), "invalid_value") from None
        if fields["input_file_id"] not in self.files:
            raise RefusalError(404, "No such File object", None)
        lines = [json.loads(line) for line in self.files[fields["input_file_id"]].splitlines()]
        ids = [line["custom_id"] for line in lines]
        if not lines or len(set(ids)) != len(ids):
            raise RefusalError(400, "custom_id must be unique", "invalid_value")
        name = f"batch_{len(self.batches) + 1}"
        made = Batch(
            name, key, fields["endpoint"], fields["input_file_id"], lines, plan,
            dict(fields.get("metadata") or {}),
        )  # fmt: skip
        self.batches[name] = made
        return made.body(), how

    def listing(self) -> Body:
        rows = [batch.body() for batch in reversed(self.batches.values())]
        return {"object": "list", "data": rows, "has_more": False}

    def look(self, name: str) -> Body:
        batch = self._batch(name)
        batch.looks += 1
        if batch.status in ("validating", "in_progress", "cancelling"):
            wanted = batch.plan.get("looks", 1)
            if batch.status == "cancelling" or batch.looks > wanted:
                stopped = batch.status == "cancelling"
                self._end(batch, "cancelled" if stopped else batch.plan.get("ends", "completed"))
            else:
                batch.status = "in_progress"
        return batch.body()

    def cancel(self, name: str) -> Body:
        batch = self._batch(name)
        if batch.status not in ("validating", "in_progress"):
            raise RefusalError(409, f"Cannot cancel a batch with status '{batch.status}'.", None)
        batch.status = "cancelling"
        return batch.body()

    def content(self, name: str) -> bytes:
        if name not in self.files:
            raise RefusalError(404, "No such File object", None)
        return self.files[name]

    def _batch(self, name: str) -> Batch:
        if name not in self.batches:
            raise RefusalError(404, f"No batch found with id '{name}'.", None)
        return self.batches[name]

    def _keep(self, content: bytes) -> str:
        name = f"file-{len(self.files) + 1}"
        self.files[name] = content
        return name

    def _end(self, batch: Batch, status: str) -> None:
        batch.status = status
        if status == "failed":
            return
        some = {"completed": len(batch.lines), "cancelled": 0}.get(status, 0)
        count = batch.plan.get("done", some)
        outputs, errors = [], []
        for line in batch.lines[:count]:
            code, body = self.perform(line["url"], line["body"], line["custom_id"])
            row = {
                "id": f"batch_req_{line['custom_id'][:8]}",
                "custom_id": line["custom_id"],
                "response": {"status_code": code, "request_id": "req", "body": body},
                "error": None,
            }
            (outputs if code == 200 else errors).append(row)
        batch.done, batch.failed = len(outputs), len(errors)
        if status == "expired":
            errors += [
                {
                    "id": "x", "custom_id": line["custom_id"], "response": None,
                    "error": {"code": "batch_expired", "message": "It expired."},
                }
                for line in batch.lines[count:]
            ]  # fmt: skip
        outputs = outputs[batch.plan.get("missing", 0) :][::-1]  # in no certain order
        batch.output_file_id = self._keep(_lines(outputs)) if outputs else None
        batch.error_file_id = self._keep(_lines(errors)) if errors else None


def _lines(rows: list[Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def route_of(url: str) -> str:
    """Return the route of a line's address. Raises RefusalError for others than images'."""
    if url != "/v1/images/generations":
        raise RefusalError(400, f"Invalid url {url}", "invalid_value")
    return "generations"
