"""What every writer of datasets is: one small contract.

Writers live beside this file, one file each. They know nothing of Django. The same entries
in the same order give the same bytes; nothing half-written ever looks complete, because
whoever calls a writer hands it a draft folder and renames that when it is done.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from synthreview.lib.images import EXTENSIONS

PLAIN_NAME = re.compile(r"[A-Za-z0-9_-]{1,80}")


class UnsafeNameError(ValueError):
    """A name that is no plain name of a folder: nothing may be written under it."""


@dataclass(frozen=True, slots=True)
class ExportEntry:
    """One image of an export: its bytes, its label, and its history.

    The bytes are `data` where the image was encoded anew, else those at `source`; `sha256` and
    `byte_count` are theirs, known since the original arrived and never computed again. `record`
    is the image's line in the manifest, apart from what the writer adds. `source_type` is the
    IPTC term for how the image came about, empty where that is not known.
    """

    source: Path
    sha256: str
    byte_count: int
    media_type: str
    width: int
    height: int
    split: str
    class_name: str
    class_folder: str
    stem: str
    record: Mapping[str, Any]
    source_type: str = ""
    data: bytes | None = None

    @property
    def file_name(self) -> str:
        return plain(self.stem) + self.extension

    @property
    def extension(self) -> str:
        return EXTENSIONS[self.media_type]

    @property
    def place(self) -> str:
        """Return `split/class/file`. Raises UnsafeNameError for a place outside of the folder."""
        return f"{plain(self.split)}/{plain(self.class_folder)}/{self.file_name}"

    def read(self) -> bytes:
        """Return the bytes. Raises OSError; also where their number is not the known one."""
        data = self.source.read_bytes() if self.data is None else self.data
        self.check(len(data))
        return data

    def check(self, byte_count: int) -> None:
        """Raise OSError where so many bytes are not the image that was stored."""
        if byte_count != self.byte_count:
            raise OSError(errno.EIO, f"{self.source.name} is damaged in the store")


def plain(name: str) -> str:
    """Return `name`. Raises UnsafeNameError unless it can be one part of a path anywhere."""
    if not PLAIN_NAME.fullmatch(name):
        raise UnsafeNameError(f"{name!r} is no plain name: letters, digits, - and _ only")
    return name


@dataclass(frozen=True, slots=True)
class ClassFacts:
    """A class as the export knows it; its place among the classes is its number in every format."""

    name: str
    folder: str
    definition: str = ""


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What the card says of the whole; `notices` stand at its top.

    `classes` come in the order of their folders' names, as torchvision numbers them, and
    `splits` in theirs. `counts` is images by class and split. `unreviewed` counts the images
    that nobody looked at. `splitting` tells how the splits came about (sharing.py). `tables`
    counts images by technique, generator, model and each axis, most first. `cost` is in dollars.
    `certificate` and `signature` are empty where there is none; a signature is the one place
    where a person's name leaves. `licence` is as the curator wrote it (lib.licences reads it).
    `findings` is heading → sentence: what was found out about the dataset, such as an evaluation.
    """

    title: str
    number: int
    description: str
    created: str
    classes: tuple[ClassFacts, ...]
    splits: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    notices: tuple[str, ...] = ()
    review: Mapping[str, Any] = field(default_factory=dict)
    unreviewed: int = 0
    splitting: Mapping[str, Any] = field(default_factory=dict)
    tables: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    certificate: Mapping[str, Any] = field(default_factory=dict)
    signature: Mapping[str, Any] = field(default_factory=dict)
    licence: str = ""
    findings: Mapping[str, str] = field(default_factory=dict)

    @property
    def item_count(self) -> int:
        return sum(sum(by_split.values()) for by_split in self.counts.values())

    def labels(self) -> dict[str, int]:
        """Return each class's number by its name."""
        return {row.name: number for number, row in enumerate(self.classes)}


@dataclass(frozen=True, slots=True)
class Layout:
    """What a format's card says of its files.

    `contents` is (name, what it is); `loading` is Python that opens it; `pattern` is the
    files of a split as the Hub's viewer is told, "{split}" in the place of its name, and
    `encodings` the media types of these files.
    """

    contents: tuple[tuple[str, str], ...]
    loading: str
    pattern: str = ""
    encodings: tuple[str, ...] = tuple(sorted(EXTENSIONS))


class Writer(Protocol):
    """One format; formats.py names it."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        """Fill the empty `folder`; entries come split by split, in the order of the list.

        Raises OSError, UnsafeNameError; the caller then throws the folder away.
        """
        ...
