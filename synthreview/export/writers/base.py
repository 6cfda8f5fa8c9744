"""What every writer of datasets is: one small contract.

Writers live beside this file, one file each. They know nothing of Django. The same items
in the same order give the same bytes; nothing half-written ever looks complete, because
whoever calls a writer hands it a draft folder and renames that when it is done.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class UnsafeNameError(ValueError):
    """A name that is no plain name of a folder: nothing may be written under it."""


@dataclass(frozen=True, slots=True)
class ExportEntry:
    """One image of an export: its bytes' place, its label, and its history.

    `source` is where the original lies; `sha256` its checksum, known since it arrived and
    never computed again. `history` goes into the metadata as it is.
    """

    source: Path
    sha256: str
    byte_count: int
    media_type: str
    split: str
    class_name: str
    class_folder: str
    stem: str
    history: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ExportFacts:
    """What the card says of the whole; `notices` stand at its top.

    `unreviewed` counts the images that nobody looked at.
    """

    title: str
    number: int
    description: str
    created: str
    classes: Mapping[str, str]
    counts: Mapping[str, Mapping[str, int]]
    notices: tuple[str, ...]
    review: Mapping[str, Any]
    unreviewed: int = 0


class Writer(Protocol):
    """One format."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        """Fill the empty `folder`.

        Raises OSError, UnsafeNameError; the caller then throws the folder away.
        """
        ...
