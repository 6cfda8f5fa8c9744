"""What lies beside the images in every format: manifest, card, datasheet, Croissant, checksums."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout
from synthreview.export.writers.card import DATASHEET, PLOT, PROVENANCE, card_text
from synthreview.export.writers.croissant import CROISSANT, MANIFEST, croissant_text
from synthreview.export.writers.datasheet import datasheet_text
from synthreview.export.writers.plots import plot_text

CARD = "README.md"
CHECKSUMS = "SHA256SUMS"


class Bundle:
    """The files that describe an export, written while its images are.

    Images are named by `add`, with the checksum that the database knows; the few other files
    are hashed by `finish`, which must come last.
    """

    def __init__(self, folder: Path, facts: ExportFacts) -> None:
        self.folder = folder
        self.facts = facts
        self._labels = facts.labels()
        self._checksums: list[str] = []
        self._manifest = (folder / MANIFEST).open("wb", buffering=1 << 20)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._manifest.close()

    def label(self, entry: ExportEntry) -> int:
        """Return the number of the entry's class."""
        return self._labels[entry.class_name]

    def add(self, entry: ExportEntry, name: str, **where: Any) -> bytes:
        """Put an image on record under `name`, where it lies or is unpacked to.

        `where` tells more of its place. Returns the line of the manifest, without its end.
        """
        row = {
            "file_name": name,
            **where,
            "split": entry.split,
            "class": entry.class_name,
            "label": self._labels[entry.class_name],
            "sha256": entry.sha256,
            "bytes": entry.byte_count,
            "media_type": entry.media_type,
            "width": entry.width,
            "height": entry.height,
            **entry.record,
        }
        line = json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode()
        self._manifest.write(line + b"\n")
        self._checksums.append(f"{name}\0{entry.sha256}")
        return line

    def add_file(self, name: str) -> str:
        """Put a finished file that is no image on record; return its sha256.

        It is hashed, so let it be small.
        """
        with (self.folder / name).open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        self._checksums.append(f"{name}\0{sha256}")
        return sha256

    def finish(self, layout: Layout) -> None:
        """Write what describes the whole, and the checksums of everything in order of name."""
        self._manifest.close()
        manifest = self.add_file(MANIFEST)
        for name, text in {
            CARD: card_text(self.facts, layout),
            DATASHEET: datasheet_text(self.facts),
            CROISSANT: croissant_text(self.facts, layout, manifest),
            PLOT: plot_text(self.facts),
            PROVENANCE: provenance_text(self.facts),
        }.items():
            (self.folder / name).write_text(text, encoding="utf-8", newline="\n")
            self.add_file(name)
        self._checksums.sort()
        with (self.folder / CHECKSUMS).open("w", encoding="utf-8", newline="\n") as file:
            for name, sha256 in (line.split("\0") for line in self._checksums):
                file.write(f"{sha256}  {name}\n")


def provenance_text(facts: ExportFacts) -> str:
    """Return the facts of the card for machines: numbers unrounded, nothing left out."""
    return json.dumps(asdict(facts), ensure_ascii=False, indent=1) + "\n"


def place(entry: ExportEntry, target: Path) -> None:
    """Put the image at `target`: a hard link to the original on the same disk, else a copy."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if entry.data is not None:
        target.write_bytes(entry.read())
        return
    try:
        os.link(entry.source, target)
    except OSError:
        shutil.copyfile(entry.source, target)
    entry.check(target.stat().st_size)
