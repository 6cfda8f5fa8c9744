"""WebDataset shards: tar archives that training reads from front to back, anywhere.

A sample is three members with one stem: the image, `.cls` (the class's number) and `.json` (its
line of the manifest). The list's order is already mixed, so that a shard holds every class.
`index.json` is the index of `webdataset`'s own random access (wids).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout, plain
from synthreview.export.writers.bundle import Bundle
from synthreview.export.writers.tar import END, header, member_size, padding

INDEX = "index.json"
SHARD_BYTES = 500_000_000
SHARD_COUNT = 10_000
LAYOUT = Layout(
    contents=(
        ("SPLIT-NNNNNN.tar", "shards of image, `.cls` (the class's number) and `.json`"),
        (INDEX, "every shard with its number of samples (wids)"),
        ("SHA256SUMS", "its lines for images are those of the members: unpack, then check"),
    ),
    loading="""\
import webdataset
train = webdataset.WebDataset("train-000000.tar").decode("pil").to_tuple("png;jpg;webp", "cls")""",
    pattern="{split}-*.tar",
    encodings=("application/x-tar",),
)


class WebDatasetWriter:
    """A shard ends at so many bytes or samples, whichever comes first, and with its split."""

    def __init__(self, shard_bytes: int = SHARD_BYTES, shard_count: int = SHARD_COUNT) -> None:
        self.shard_bytes = shard_bytes
        self.shard_count = shard_count

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        shards: list[dict[str, Any]] = []
        with Bundle(folder, facts) as bundle:
            for split, of_split in groupby(entries, key=lambda entry: plain(entry.split)):
                shards += self._write_split(folder, split, of_split, bundle)
            index = {
                "__kind__": "wids-shard-index-v1",
                "wids_version": 1,
                "name": f"{facts.title}, export {facts.number}",
                "shardlist": shards,
            }
            (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
            bundle.add_file(INDEX)
            bundle.finish(LAYOUT)

    def _write_split(
        self, folder: Path, split: str, entries: Iterator[ExportEntry], bundle: Bundle
    ) -> Iterator[dict[str, Any]]:
        shard: Shard | None = None
        number = 0
        try:
            for entry in entries:
                if shard is not None and self._is_full(shard, entry):
                    yield shard.end()
                    number += 1
                    shard = None
                shard = shard or Shard(folder / f"{split}-{number:06d}.tar")
                shard.append(entry, bundle)
            if shard is not None:
                yield shard.end()
        finally:
            if shard is not None:
                shard.close()

    def _is_full(self, shard: Shard, entry: ExportEntry) -> bool:
        return shard.samples >= self.shard_count or shard.size + entry.byte_count > self.shard_bytes


class Shard:
    """One archive as it grows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.samples = 0
        self.size = 0
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)

    def append(self, entry: ExportEntry, bundle: Bundle) -> None:
        """Write one sample's three members in one call."""
        line = bundle.add(entry, entry.file_name, shard=self.path.name)
        parts: list[bytes] = []
        for extension, data in (
            (entry.extension, entry.read()),
            (".cls", b"%d" % bundle.label(entry)),
            (".json", line),
        ):
            parts += (header(entry.stem + extension, len(data)), data, padding(len(data)))
            self.size += member_size(len(data))
        self._write(parts)
        self.samples += 1

    def end(self) -> dict[str, Any]:
        """Close the archive; return its line of the index."""
        self._write([END])
        self.close()
        return {"url": self.path.name, "nsamples": self.samples, "filesize": self.size + len(END)}

    def close(self) -> None:
        """Let go of the file; safe to repeat."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def _write(self, parts: list[bytes]) -> None:
        """Write the parts, however many calls the system makes of it. Raises OSError."""
        written = os.writev(self._handle, parts)
        if written < sum(map(len, parts)):
            rest = memoryview(b"".join(parts))[written:]
            while rest:
                rest = rest[os.write(self._handle, rest) :]
