"""The frozen list as a file: one line of JSON for each image, named by its own checksum.

Whoever writes a package reads this file and not the database, so that the same export gives the
same bytes for ever and disturbs nobody who reviews. Knows nothing of Django.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import secrets
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

ENDING = ".jsonl.gz"
LEVEL = 1  # a seventh of the size already, at the price of reading


class DamagedListError(OSError):
    """The list is not there, or no longer what was frozen."""


def list_path(folder: Path, sha256: str) -> Path:
    """Return where the list of that checksum lies."""
    return folder / f"{sha256}{ENDING}"


def write_list(folder: Path, rows: Iterable[Mapping[str, Any]], *, work: str) -> str:
    """Write the rows, whole or not at all; return the file's sha256, which names it.

    `work` tells whose draft it is: what an earlier try of the same work left is removed.
    Raises OSError, and whatever `rows` raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in folder.glob(f".{work}.*.part"):
        leftover.unlink(missing_ok=True)
    draft = folder / f".{work}.{secrets.token_hex(6)}.part"
    try:
        with draft.open("x+b") as file:
            with gzip.GzipFile("", "wb", LEVEL, file, mtime=0) as packed:
                for row in rows:
                    line = json.dumps(row, ensure_ascii=False, separators=(",", ":"))
                    packed.write(line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        draft.replace(list_path(folder, sha256))
    finally:
        draft.unlink(missing_ok=True)
    return sha256


def read_list(folder: Path, sha256: str) -> Iterator[dict[str, Any]]:
    """Yield the rows; memory holds one. Raises DamagedListError before the first."""
    path = list_path(folder, sha256)
    try:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise DamagedListError(f"the frozen list {path.name} was changed")
    except FileNotFoundError:
        raise DamagedListError(f"the frozen list {path.name} is gone") from None
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)
