"""`python -m tests.export.golden`: write tests/export/golden/ anew, one small export per format.

To be run, and its difference looked at, where a change of a format is meant. The originals lie
there too, because another version of Pillow would encode them otherwise.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

from synthreview.export.writers.base import ExportEntry
from synthreview.export.writers.formats import FORMATS, writer
from tests.export.entries import facts, some_entries

GOLDEN = Path(__file__).parent / "golden"
ORIGINALS = GOLDEN / "originals"


def golden_entries() -> list[ExportEntry]:
    """Return four images of two classes in two splits, as they lie there."""
    stored = sorted(ORIGINALS.iterdir())
    entries = []
    for path, entry in zip(stored, _made(), strict=True):
        data = path.read_bytes()
        entries.append(
            replace(
                entry,
                source=path,
                sha256=hashlib.sha256(data).hexdigest(),
                byte_count=len(data),
            )
        )
    return entries


def _made() -> list[ExportEntry]:
    scratch = GOLDEN / ".scratch"
    try:
        return some_entries(scratch)
    finally:
        shutil.rmtree(scratch)


def write_golden(name: str, folder: Path) -> None:
    """Write the golden export of a format into a new folder."""
    folder.mkdir(parents=True)
    writer(name).write(folder, golden_entries(), facts())


def main() -> None:
    if not ORIGINALS.exists():
        ORIGINALS.mkdir(parents=True)
        scratch = GOLDEN / ".scratch"
        for entry in some_entries(scratch):
            shutil.copyfile(entry.source, ORIGINALS / entry.file_name)
        shutil.rmtree(scratch)
    for name in FORMATS:
        shutil.rmtree(GOLDEN / name, ignore_errors=True)
        write_golden(name, GOLDEN / name)


if __name__ == "__main__":
    main()
