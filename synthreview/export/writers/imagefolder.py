"""An image folder: split/class/file, with metadata.jsonl, SHA256SUMS and a README card.

Opens in torchvision's ImageFolder and as a Hugging Face imagefolder; the label stands in the
metadata as well, because the latter infers none from folders once a metadata file is there.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from synthreview.export.writers.base import ExportEntry, ExportFacts, UnsafeNameError
from synthreview.export.writers.card import card_text
from synthreview.lib.images import EXTENSIONS

CHECKSUMS = "SHA256SUMS"
METADATA = "metadata.jsonl"
PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class ImageFolderWriter:
    """Writes original bytes, byte for byte."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        checksums: list[tuple[str, str]] = []
        with contextlib.ExitStack() as files:
            metadata = files.enter_context((folder / METADATA).open("w", encoding="utf-8"))
            for entry in entries:
                name = _name(entry)
                _place(entry, folder / name)
                checksums.append((entry.sha256, name))
                metadata.write(_metadata_line(name, entry))
        (folder / "README.md").write_text(card_text(facts), encoding="utf-8")
        checksums += [(_sha256(folder / name), name) for name in (METADATA, "README.md")]
        lines = "".join(f"{sha256}  {name}\n" for sha256, name in sorted(checksums, key=_by_name))
        (folder / CHECKSUMS).write_text(lines, encoding="utf-8")


def _by_name(pair: tuple[str, str]) -> str:
    return pair[1]


def _name(entry: ExportEntry) -> str:
    """Return the file's place in the folder. Raises UnsafeNameError for one outside of it."""
    parts = (entry.split, entry.class_folder, entry.stem)
    for part in parts:
        if not PLAIN_NAME.fullmatch(part):
            raise UnsafeNameError(f"{part!r} is no plain name: letters, digits, - and _ only")
    return "/".join(parts) + EXTENSIONS[entry.media_type]


def _place(entry: ExportEntry, target: Path) -> None:
    """Put the original there: a hard link on the same disk, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(entry.source, target)
    except OSError:
        shutil.copyfile(entry.source, target)
    if target.stat().st_size != entry.byte_count:
        raise OSError(errno.EIO, f"{entry.source.name} is damaged in the store")


def _metadata_line(name: str, entry: ExportEntry) -> str:
    row = {
        "file_name": name,
        "label": entry.class_name,
        "split": entry.split,
        "sha256": entry.sha256,
        **entry.history,
    }
    return json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
