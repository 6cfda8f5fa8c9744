"""An image folder, split/class/file: opens in torchvision's ImageFolder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout
from synthreview.export.writers.bundle import Bundle, place

LAYOUT = Layout(
    contents=(("SPLIT/CLASS/FILE", "the images"),),
    loading="""\
from torchvision.datasets import ImageFolder
train = ImageFolder("train")""",
    pattern="{split}/**",
)


class ImageFolderWriter:
    """The folders name split and class; no other file lies among the images."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        with Bundle(folder, facts) as bundle:
            for entry in entries:
                place(entry, folder / entry.place)
                bundle.add(entry, entry.place)
            bundle.finish(LAYOUT)
