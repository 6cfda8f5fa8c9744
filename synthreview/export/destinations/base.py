"""Where finished exports can be sent: one small contract, one file each beside this one.

Destinations know nothing of Django. `EXPORT_DESTINATIONS` in the settings names them: who runs
the installation decides where images may go, and a curator only which of these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

CHECKSUMS = "SHA256SUMS"


class DestinationError(Exception):
    """It could not be sent there. The message is for people, without a key or a local path.

    `permanent`: trying again later cannot help.
    """

    def __init__(self, message: str, *, permanent: bool = False) -> None:
        super().__init__(message)
        self.permanent = permanent


@dataclass(frozen=True, slots=True)
class Parcel:
    """A finished folder on its way. `name` is the package's own, `dataset` its dataset's slug."""

    folder: Path
    name: str
    dataset: str
    number: int

    def files(self) -> Iterator[tuple[str, Path]]:
        """Yield (name inside, path) in order; the checksums last, as the sign of a whole."""
        found = sorted(
            (path.relative_to(self.folder).as_posix(), path)
            for path in self.folder.rglob("*")
            if path.is_file()
        )
        yield from (pair for pair in found if pair[0] != CHECKSUMS)
        yield from (pair for pair in found if pair[0] == CHECKSUMS)

    def checksums(self) -> Mapping[str, str]:
        """Return sha256 by name inside, as the export tells them; shards are not among them."""
        lines = (self.folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        return {name: sha256 for sha256, name in (line.split("  ", 1) for line in lines)}


class Destination(Protocol):
    """One place; `title` is what people read."""

    title: str

    def send(self, parcel: Parcel, tell: Callable[[int], None]) -> str:
        """Put the parcel there; return where it lies, in words.

        Sent again after it broke off, it goes on; sent again when it is there, it changes
        nothing. `tell` is called with the bytes that are there so far, and raises where the work
        went to another worker. Raises DestinationError, OSError.
        """
        ...
