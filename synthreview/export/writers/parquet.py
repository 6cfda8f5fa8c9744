"""Parquet as the Hugging Face Hub keeps images: their bytes inside, the label typed.

The schema's metadata says that `image` is an image and which names the labels have; without it
a reader would see a struct and a number. Written a group of rows at a time, so that memory holds
one group whatever the size of the export.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout, plain
from synthreview.export.writers.bundle import Bundle
from synthreview.export.writers.columns import COLUMNS, flat_row

SHARD_BYTES = 500_000_000
# The Hub's viewer reads a group at a time and asks for 100 to 300 MB at most.
GROUP_ROWS = 100
GROUP_BYTES = 32_000_000
TYPES = {"text": pa.string(), "json": pa.string(), "int": pa.int64(), "float": pa.float64()}
HUB_TYPES = {"text": "string", "json": "string", "int": "int64", "float": "float64"}
LAYOUT = Layout(
    contents=(
        ("data/SPLIT-*.parquet", "images and their history; `label` is the class's number"),
        ("SHA256SUMS", "its lines `images/…` are those of the bytes inside the tables"),
    ),
    loading="""\
from datasets import load_dataset
dataset = load_dataset("parquet", data_files={"train": "data/train-*.parquet"})""",
    pattern="data/{split}-*",
    encodings=("application/vnd.apache.parquet",),
)


class ParquetWriter:
    """`load_dataset` gives decoded images and ClassLabels without any further word."""

    def __init__(self, shard_bytes: int = SHARD_BYTES) -> None:
        self.shard_bytes = shard_bytes

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        schema = _schema(facts)
        (folder / "data").mkdir()
        with Bundle(folder, facts) as bundle:
            for split, of_split in groupby(entries, key=lambda entry: plain(entry.split)):
                self._write_split(folder / "data", split, of_split, schema, bundle)
            bundle.finish(LAYOUT)

    def _write_split(
        self,
        folder: Path,
        split: str,
        entries: Iterator[ExportEntry],
        schema: pa.Schema,
        bundle: Bundle,
    ) -> None:
        """Write the shards of a split; their number is in their names and known at the end."""
        drafts: list[Path] = []
        file: pq.ParquetWriter | None = None
        written = 0
        try:
            for rows in _groups(entries, bundle):
                if file is None or written >= self.shard_bytes:
                    if file is not None:
                        file.close()
                    drafts.append(folder / f"{split}-{len(drafts):05d}")
                    file, written = _open(drafts[-1], schema), 0
                file.write_batch(_batch(rows, schema), row_group_size=len(rows))
                written += sum(len(row["image"]["bytes"]) for row in rows)
        finally:
            if file is not None:
                file.close()
        for draft in drafts:
            draft.rename(folder / f"{draft.name}-of-{len(drafts):05d}.parquet")


def _groups(entries: Iterator[ExportEntry], bundle: Bundle) -> Iterator[list[dict[str, Any]]]:
    """Yield rows in groups of at most so many and, but for one larger image, so many bytes."""
    rows: list[dict[str, Any]] = []
    byte_count = 0
    for entry in entries:
        if rows and (len(rows) == GROUP_ROWS or byte_count + entry.byte_count > GROUP_BYTES):
            yield rows
            rows, byte_count = [], 0
        bundle.add(entry, f"images/{entry.place}")
        image = {"bytes": entry.read(), "path": entry.file_name}
        rows.append({"image": image, "label": bundle.label(entry), **flat_row(entry)})
        byte_count += entry.byte_count
    if rows:
        yield rows


def _batch(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.RecordBatch:
    columns = [[row[name] for row in rows] for name in schema.names]
    arrays = [
        pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _open(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    texts = [name for name in schema.names if name not in ("image", "label")]
    return pq.ParquetWriter(
        path,
        schema,
        # Images do not shrink; a dictionary or statistics of them would only cost.
        compression={"image.bytes": "none", "image.path": "zstd", "label": "zstd"}
        | dict.fromkeys(texts, "zstd"),
        use_dictionary=texts,
        write_statistics=["label", *texts],
        write_page_index=True,
    )


def _schema(facts: ExportFacts) -> pa.Schema:
    """Return the columns, with the features that `datasets` looks for in their metadata."""
    features: dict[str, Any] = {
        "image": {"_type": "Image"},
        "label": {"names": [row.name for row in facts.classes], "_type": "ClassLabel"},
    } | {name: {"dtype": HUB_TYPES[kind], "_type": "Value"} for name, kind in COLUMNS}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    fields = [("image", image), ("label", pa.int64())]
    fields += [(name, TYPES[kind]) for name, kind in COLUMNS]
    hub = json.dumps({"info": {"features": features}}, ensure_ascii=False)
    return pa.schema(fields, metadata={"huggingface": hub})
