"""The formats by name: a new one is a file beside this one and a line here.

A writer is imported when it is needed: Arrow is large, and the web process writes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from synthreview.export.writers.base import Writer
from synthreview.lib.adapters import UnknownAdapterError, load_adapter

DEFAULT = "imagefolder"


@dataclass(frozen=True, slots=True)
class Format:
    """One format as people choose it; `backend` is the writer's place in this package."""

    title: str
    help: str
    backend: str


FORMATS = {
    "imagefolder": Format(
        "Image folder",
        "split/class/file, as torchvision's ImageFolder and most tools read it.",
        "imagefolder.ImageFolderWriter",
    ),
    "huggingface": Format(
        "Hugging Face image folder",
        "Images with metadata.jsonl, as load_dataset('imagefolder') reads them.",
        "huggingface.HuggingFaceWriter",
    ),
    "parquet": Format(
        "Parquet",
        "Tables with the images inside, as load_dataset and the Hub read them.",
        "parquet.ParquetWriter",
    ),
    "webdataset": Format(
        "WebDataset",
        "Tar shards that training streams from a disk, a bucket or the Hub.",
        "webdataset.WebDatasetWriter",
    ),
    "coco": Format(
        "COCO",
        "Images and COCO's JSON; each label is a box around the whole image.",
        "coco.CocoWriter",
    ),
    "csv": Format(
        "CSV",
        "Images and one table, for spreadsheets and pandas.",
        "csv_table.CsvWriter",
    ),
    "jsonl": Format(
        "JSON lines",
        "Images and one line of JSON for each, for your own scripts.",
        "jsonl.JsonlWriter",
    ),
}
_BACKENDS = {
    name: {"BACKEND": f"{__package__}.{one.backend}", "OPTIONS": {}}
    for name, one in FORMATS.items()
}


def known_format(name: str) -> Format:
    """Return the format of that name. Raises UnknownAdapterError, which lists those there are."""
    try:
        return FORMATS[name]
    except KeyError:
        raise UnknownAdapterError(
            f"No format is called {name!r}; known: {', '.join(sorted(FORMATS))}."
        ) from None


def writer(name: str) -> Writer:
    """Return the writer of that format. Raises UnknownAdapterError."""
    loaded: Writer = load_adapter(_BACKENDS, name, "format")
    return loaded
