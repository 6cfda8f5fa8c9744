"""Images and manifest.jsonl alone: the plainest form, for one's own scripts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout
from synthreview.export.writers.bundle import Bundle, place

LAYOUT = Layout(
    contents=(("images/SPLIT/CLASS/FILE", "the images"),),
    loading="""\
import json
rows = [json.loads(line) for line in open("manifest.jsonl", encoding="utf-8")]""",
    pattern="images/{split}/**",
)


class JsonlWriter:
    """Every format has the manifest; this one has nothing else."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        with Bundle(folder, facts) as bundle:
            for entry in entries:
                name = f"images/{entry.place}"
                place(entry, folder / name)
                bundle.add(entry, name)
            bundle.finish(LAYOUT)
