"""The spool: paid answers on disk before they become rows. No Django model here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.conf import settings

from synthreview.lib.blobs import write_atomically


def path(key: str) -> Path:
    return Path(settings.SPOOL_DIR) / f"{key}.json"


def write(key: str, answer: dict[str, Any]) -> None:
    """Put an answer on disk: it may have been paid for. Raises OSError."""
    write_atomically(path(key), json.dumps(answer).encode())


def read(key: str) -> dict[str, Any] | None:
    """Return a spooled answer, or None where there is none."""
    try:
        answer: dict[str, Any] = json.loads(path(key).read_bytes())
    except FileNotFoundError:
        return None
    return answer


def exists(key: str) -> bool:
    return path(key).exists()


def clear(key: str) -> None:
    path(key).unlink(missing_ok=True)
