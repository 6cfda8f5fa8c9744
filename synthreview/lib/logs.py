"""Log lines: for people, or as JSON with the request's and the job's id; never with a secret."""

from __future__ import annotations

import datetime as dt
import json
import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from urllib.parse import unquote, urlsplit

# What is being done here and now: "request", "job", "queue".
_doing: ContextVar[dict[str, str]] = ContextVar("doing", default={})  # noqa: B039 - never changed
HIDDEN = "[secret]"
SHORTEST_SECRET = 6


@contextmanager
def doing(**ids: str) -> Iterator[None]:
    """Put these ids beside every line that is logged inside."""
    token = _doing.set(_doing.get() | ids)
    try:
        yield
    finally:
        _doing.reset(token)


def secrets_in(values: Iterable[str]) -> frozenset[str]:
    """Return what must not be shown of these values: of an address its password alone."""
    found = set()
    for value in values:
        address = urlsplit(value) if "://" in value else None
        secret = address.password if address else value
        found |= {secret, unquote(secret)} if secret else set()
    return frozenset(secret for secret in found if len(secret) >= SHORTEST_SECRET)


class _Hiding(logging.Formatter):
    """Replaces secrets in whatever is logged, tracebacks included."""

    def __init__(self, *args: Any, secrets: Iterable[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.secrets = sorted(secrets, key=len, reverse=True)

    def hide(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, HIDDEN)
        return text


class LineFormatter(_Hiding):
    """One readable line, and the traceback below it."""

    def format(self, record: logging.LogRecord) -> str:
        return self.hide(super().format(record))


def _moment(at_s: float) -> str:
    return dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat("T", "milliseconds")


class JsonFormatter(_Hiding):
    """One JSON object a line; what is passed as `extra={"fields": {...}}` stands in it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _moment(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            "process": record.process,
            **_doing.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return self.hide(json.dumps(line, ensure_ascii=False, default=str))
