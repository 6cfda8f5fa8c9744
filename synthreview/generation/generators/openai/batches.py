"""OpenAI's batch API: a file of requests goes up, a day later at most a file of answers comes down.

Pictures from captions only: what an edit looks like inside a batch, with its pictures and mask,
the SDK does not say (read in openai 3.54). The upload costs nothing, so that only the one call
that makes the batch can leave an unknown outcome; it carries our key as metadata, by which the
batch is found again.
"""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from synthreview.generation.generators.batching import BatchLook
from synthreview.generation.generators.openai.requests import Wire
from synthreview.lib.openai_api import ApiConnection, ApiError
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    PermanentError,
    RefusedError,
    ServiceError,
    TransientError,
)

ROUTE = "/v1/images/generations"
WINDOW = "24h"
# A file of answers holds every picture in base64: so many requests keep it below a gigabyte.
MOST_REQUESTS = 50
MOST_LISTED = 500  # batches looked through for one that was lost
KEY = "synthreview"  # the name of our key in the metadata
ENDED = {"completed", "failed", "expired", "cancelled"}
FILE_TIMEOUT_S = 600
MAX_FILE_BYTES = 2_000_000_000
MAX_LINE_BYTES = 200_000_000

T = TypeVar("T")


class BatchApi:
    """The calls of the batch API; raises the errors of lib/outcomes.py by way of `raise_ours`."""

    def __init__(
        self, connection: ApiConnection, raise_ours: Callable[[ApiError], ServiceError]
    ) -> None:
        self._connection = connection
        self._files = connection.with_limits(
            timeout_s=FILE_TIMEOUT_S, max_answer_bytes=MAX_FILE_BYTES
        )
        self._ours = raise_ours

    def send(self, wires: Mapping[str, Wire], *, key: str) -> str:
        """Upload the requests and make the batch; return its id."""
        lines = [
            {"custom_id": custom_id, "method": "POST", "url": ROUTE,
             "body": {**wire.fields, **wire.extra}}
            for custom_id, wire in wires.items()
        ]  # fmt: skip
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        file = ("batch.jsonl", content, "application/jsonl")
        try:
            uploaded = self._files.ask(
                lambda client: client.files.create(file=file, purpose="batch")
            )
        except ApiError as error:
            ours = self._ours(error)
            if isinstance(ours, OutcomeUnknownError):  # a file too many does no harm
                raise TransientError(str(ours)) from None
            raise ours from None
        made = self._ask(
            lambda client: client.batches.create(
                completion_window=WINDOW,
                endpoint=ROUTE,
                input_file_id=uploaded.id,
                metadata={KEY: key},
            )
        )
        if not getattr(made, "id", None):
            raise OutcomeUnknownError("The batch was made, and the answer does not name it.")
        return str(made.id)

    def find(self, key: str) -> str | None:
        """Return the id of the batch with our key among the newest; None: there is none."""
        rows = self._free(
            lambda client: [
                row for row, _ in zip(client.batches.list(limit=100), range(MOST_LISTED),
                                      strict=False)
            ]
        )  # fmt: skip
        return next((row.id for row in rows if (row.metadata or {}).get(KEY) == key), None)

    def look(self, name: str) -> BatchLook:
        """Return how far the batch is."""
        batch = self._free(lambda client: client.batches.retrieve(name))
        counts, errors = batch.request_counts, batch.errors
        faults = [row.message for row in (errors.data if errors else None) or [] if row.message]
        return BatchLook(
            state=str(batch.status)[:40],
            is_ended=batch.status in ENDED,
            is_whole=batch.status == "completed",
            done=counts.completed if counts else 0,
            failed=counts.failed if counts else 0,
            said=self._connection.hide_key("; ".join(faults))[:400],
            ends_at=_time(batch.expires_at),
        )

    def stop(self, name: str) -> None:
        """Ask for an end; one that has ended meanwhile is none to stop."""
        try:
            self._connection.ask(lambda client: client.batches.cancel(name))
        except ApiError as error:
            if error.status != 409:
                raise _free_of_charge(self._ours(error)) from None

    def answers(self, name: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Yield (custom id, HTTP status, body) of each line of both files; 0 is "not done"."""
        batch = self._free(lambda client: client.batches.retrieve(name))
        for file_id in (batch.output_file_id, batch.error_file_id):
            if file_id:
                yield from self._lines(file_id)

    def _lines(self, file_id: str) -> Iterator[tuple[str, int, dict[str, Any]]]:
        with tempfile.TemporaryFile() as spool:

            def fetch(client: Any) -> None:
                with client.files.with_streaming_response.content(file_id) as answer:
                    for part in answer.iter_bytes():
                        spool.write(part)

            self._free(fetch, by=self._files)
            spool.seek(0)
            while line := spool.readline(MAX_LINE_BYTES):
                if read := _read_line(line):
                    yield read

    def _ask(self, action: Callable[[Any], T]) -> T:
        try:
            return self._connection.ask(action)
        except ApiError as error:
            raise self._ours(error) from None

    def _free(self, action: Callable[[Any], T], *, by: ApiConnection | None = None) -> T:
        """Ask what costs nothing and changes nothing: silence is no riddle then."""
        try:
            return (by or self._connection).ask(action)
        except ApiError as error:
            raise _free_of_charge(self._ours(error)) from None


def _free_of_charge(error: ServiceError) -> ServiceError:
    return TransientError(str(error)) if isinstance(error, OutcomeUnknownError) else error


def _read_line(line: bytes) -> tuple[str, int, dict[str, Any]] | None:
    """Return a line's custom id, status and body; None where it is not one."""
    try:
        row = json.loads(line)
        key = str(row["custom_id"])
    except (ValueError, KeyError, TypeError):
        return None
    response, error = row.get("response"), row.get("error")
    if isinstance(response, dict):
        body, status = response.get("body"), response.get("status_code")
        return key, int(status or 0), body if isinstance(body, dict) else {}
    return key, 0, error if isinstance(error, dict) else {}


def fault_of(status: int, body: Mapping[str, Any], said: str, is_refusal: bool) -> ServiceError:
    """Return the error of a line that has no pictures: nothing of it was charged."""
    if body.get("code") == "batch_expired":
        return TransientError("The batch expired before this was drawn.")
    if is_refusal:
        return RefusedError(f"The provider will not draw this. {said}".strip())
    return PermanentError(f"It was not drawn (HTTP {status}). {said}".strip())


def _time(stamp: object) -> dt.datetime | None:
    return dt.datetime.fromtimestamp(stamp, dt.UTC) if isinstance(stamp, int) else None
