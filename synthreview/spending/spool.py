"""The spool: paid answers on disk before they become rows. No Django model here."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from pathlib import Path
from typing import Any

from django.conf import settings

from synthreview.lib.blobs import write_atomically

DRAFT_S = 24 * 3600
ROOM_BYTES = 50_000_000  # a few answers with their pictures


def path(key: str) -> Path:
    return Path(settings.SPOOL_DIR) / f"{key}.json"


def write(key: str, answer: dict[str, Any]) -> None:
    """Put an answer on disk: it may have been paid for. Raises OSError."""
    write_atomically(path(key), json.dumps(answer).encode())


def has_room() -> bool:
    """Say whether this host's disk can take what a call brings: else it is paid for and lost."""
    folder = Path(settings.SPOOL_DIR)
    folder.mkdir(parents=True, exist_ok=True)
    return shutil.disk_usage(folder).free >= ROOM_BYTES


def read(key: str) -> dict[str, Any] | None:
    """Return a spooled answer, or None where there is none."""
    try:
        answer: dict[str, Any] = json.loads(path(key).read_bytes())
    except FileNotFoundError:
        return None
    return answer


def cost_micro_usd(key: str) -> int:
    """Return what the answer in the spool cost; 0 where there is none."""
    return int((read(key) or {}).get("cost_micro_usd", 0))


def all_keys() -> list[str]:
    """Return the keys of all answers in the spool, drafts left out."""
    return [path.stem for path in Path(settings.SPOOL_DIR).glob("[!.]*.json")]


def drop_old_drafts() -> int:
    """Remove what killed workers left half-written a day ago or longer; returns how many."""
    dropped = 0
    for draft in Path(settings.SPOOL_DIR).glob(".*.part"):
        with contextlib.suppress(FileNotFoundError):  # its writer has just renamed it
            if time.time() - draft.stat().st_mtime > DRAFT_S:
                draft.unlink()
                dropped += 1
    return dropped


def exists(key: str) -> bool:
    return path(key).exists()


def clear(key: str) -> None:
    path(key).unlink(missing_ok=True)
