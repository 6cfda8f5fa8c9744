"""Fine-tuning on a server, by the OpenAI protocol: upload, create, poll, cancel, events.

OpenAI itself takes no new jobs after 6 January 2027: this is the second way, not the first.
Creating a job is paid and has no idempotency key: whoever calls writes down first that it was
sent, and looks through `recent` before sending again. Knows nothing of Django.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from synthreview.lib.outcomes import UnusableAnswerError
from synthreview.prompting.authors.openai_connection import Connection


class JobState(StrEnum):
    """WAITING and RUNNING go on; the others are ends."""

    WAITING = "waiting"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


STATES = {
    "validating_files": JobState.WAITING,
    "queued": JobState.WAITING,
    "paused": JobState.WAITING,
    "running": JobState.RUNNING,
    "succeeded": JobState.SUCCEEDED,
    "failed": JobState.FAILED,
    "cancelled": JobState.CANCELLED,
}


@dataclass(frozen=True, slots=True)
class RemoteJob:
    """A job as the server tells of it. `tuned_model` is empty until it succeeded.

    By `file_id`, the file that was sent for it, a job is known again whose answer was lost.
    """

    id: str
    state: JobState
    base_model: str
    tuned_model: str = ""
    trained_tokens: int | None = None
    error: str = ""
    file_id: str = ""

    @property
    def is_open(self) -> bool:
        return self.state in (JobState.WAITING, JobState.RUNNING)


@dataclass(frozen=True, slots=True)
class RemoteEvent:
    """One line of a job's story; `at_s` is Unix time."""

    id: str
    at_s: int
    level: str
    message: str


class RemoteTuning:
    """Fine-tuning jobs on one server. Every method raises ServiceError and its children."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upload(self, path: Path) -> str:
        """Send the training file; returns the server's name for it."""
        with path.open("rb") as file:
            sent = self._connection.call(
                lambda client: client.files.create(
                    file=(path.name, file, "application/jsonl"), purpose="fine-tune"
                )
            )
        name = getattr(sent, "id", None)
        if not isinstance(name, str) or not name:
            raise UnusableAnswerError("The server took the file and gave no name for it.")
        return name

    def create(
        self,
        *,
        file_id: str,
        model: str,
        is_preference: bool = False,
        epochs: int | None = None,
        seed: int | None = None,
        suffix: str = "",
    ) -> RemoteJob:
        """Start a job; this is what costs."""
        settings: Any = {"hyperparameters": {"n_epochs": epochs or "auto"}}
        method: Any = (
            {"type": "dpo", "dpo": settings}
            if is_preference
            else {"type": "supervised", "supervised": settings}
        )
        fields: dict[str, Any] = {"model": model, "training_file": file_id, "method": method}
        if seed is not None:
            fields["seed"] = seed
        if suffix:
            fields["suffix"] = suffix[:18]
        return self._job(
            self._connection.call(lambda client: client.fine_tuning.jobs.create(**fields))
        )

    def poll(self, job_id: str) -> RemoteJob:
        """Return how the job stands."""
        return self._job(
            self._connection.call(lambda client: client.fine_tuning.jobs.retrieve(job_id))
        )

    def cancel(self, job_id: str) -> RemoteJob:
        """Stop the job; what it trained so far is paid."""
        return self._job(
            self._connection.call(lambda client: client.fine_tuning.jobs.cancel(job_id))
        )

    def events(self, job_id: str, *, limit: int = 100) -> list[RemoteEvent]:
        """Return the newest `limit` events, oldest first."""
        page = self._connection.call(
            lambda client: client.fine_tuning.jobs.list_events(job_id, limit=limit)
        )
        rows = getattr(page, "data", None)
        if not isinstance(rows, list):
            raise UnusableAnswerError("The server lists no events.")
        return [
            RemoteEvent(
                str(row.id),
                int(getattr(row, "created_at", 0) or 0),
                str(getattr(row, "level", None) or "info"),
                self._connection.hide_key(str(getattr(row, "message", "")))[:500],
            )
            for row in reversed(rows)
            if getattr(row, "id", None)
        ]

    def recent(self, *, limit: int = 20) -> list[RemoteJob]:
        """Return the newest jobs of the account: what to look through before sending again."""
        page = self._connection.call(lambda client: client.fine_tuning.jobs.list(limit=limit))
        rows = getattr(page, "data", None)
        if not isinstance(rows, list):
            raise UnusableAnswerError("The server lists no jobs.")
        return [self._job(row) for row in rows]

    def _job(self, job: Any) -> RemoteJob:
        name, status = getattr(job, "id", None), getattr(job, "status", None)
        if not isinstance(name, str) or status not in STATES:
            raise UnusableAnswerError(f"The server told of a job in an unknown state: {status!r}.")
        error = getattr(job.error, "message", "") if getattr(job, "error", None) else ""
        tokens = getattr(job, "trained_tokens", None)
        return RemoteJob(
            name,
            STATES[status],
            str(getattr(job, "model", "")),
            str(getattr(job, "fine_tuned_model", None) or ""),
            tokens if isinstance(tokens, int) else None,
            self._connection.hide_key(str(error or ""))[:500],
            str(getattr(job, "training_file", None) or ""),
        )
