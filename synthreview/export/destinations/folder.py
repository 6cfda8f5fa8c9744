"""A folder on this machine or on a share that is mounted here."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from synthreview.export.destinations.base import CHECKSUMS, DestinationError, Parcel


class FolderDestination:
    """Copies under a hidden name, then renames: what has its name is whole."""

    def __init__(self, root: str, title: str = "Folder") -> None:
        self.root = Path(root)
        self.title = title

    def send(self, parcel: Parcel, tell: Callable[[int], None]) -> str:
        """Copy the files that are not there yet. Raises DestinationError, OSError."""
        if not self.root.is_dir():
            raise DestinationError("The folder for exports is not there: is it mounted?")
        target = self.root / parcel.name
        if target.exists():
            if _same(target / CHECKSUMS, parcel.folder / CHECKSUMS):
                return parcel.name
            raise DestinationError(
                f"{parcel.name} is there already and is something else.", permanent=True
            )
        draft = self.root / f".{parcel.name}.part"
        sent = 0
        for name, path in parcel.files():
            size = path.stat().st_size
            place = draft / name
            if not (place.exists() and place.stat().st_size == size):
                place.parent.mkdir(parents=True, exist_ok=True)
                half = place.with_name(f".{place.name}.half")
                shutil.copyfile(path, half)
                half.replace(place)
            sent += size
            tell(sent)
        draft.replace(target)
        return parcel.name


def _same(first: Path, second: Path) -> bool:
    try:
        return first.read_bytes() == second.read_bytes()
    except FileNotFoundError:
        return False
