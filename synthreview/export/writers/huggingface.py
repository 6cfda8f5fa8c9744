"""A Hugging Face imagefolder: the images of a split beside a metadata.jsonl.

Where a metadata file is present `datasets` infers no label from the folders, so that the label
stands in it, by its name: `class_encode_column("label")` makes numbers of it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout
from synthreview.export.writers.bundle import Bundle, place
from synthreview.export.writers.columns import flat_row

METADATA = "metadata.jsonl"
LAYOUT = Layout(
    contents=(
        ("data/SPLIT/CLASS/FILE", "the images"),
        (f"data/SPLIT/{METADATA}", "label, prompt and history of each, as columns"),
    ),
    loading="""\
from datasets import load_dataset
dataset = load_dataset("imagefolder", data_dir="data").class_encode_column("label")""",
    pattern="data/{split}/**",
)


class HuggingFaceWriter:
    """`load_dataset("imagefolder", data_dir=...)` gives images, labels and the history."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        with Bundle(folder, facts) as bundle, ExitStack() as files:
            metadata: dict[str, IO[str]] = {}
            for entry in entries:
                name = f"data/{entry.place}"
                place(entry, folder / name)
                bundle.add(entry, name)
                if entry.split not in metadata:
                    path = folder / "data" / entry.split / METADATA
                    metadata[entry.split] = files.enter_context(
                        path.open("w", encoding="utf-8", newline="\n")
                    )
                row = {"file_name": entry.place.partition("/")[2], "label": entry.class_name}
                line = json.dumps(row | flat_row(entry), ensure_ascii=False)
                metadata[entry.split].write(line + "\n")
            files.close()
            for split in metadata:
                bundle.add_file(f"data/{split}/{METADATA}")
            bundle.finish(LAYOUT)
