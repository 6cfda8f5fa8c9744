"""A folder as a zip that is written while it is sent: the same folder gives the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zipstream import ZIP_STORED, ZipStream, ZipStreamInfo

# A zip cannot hold a date before this; the files' own dates would differ with each writing.
ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
READABLE_FILE = 0o100644 << 16
CHUNK = 256 * 1024


class StillZip(ZipStream):  # type: ignore[misc]
    """A stored zip whose entries all have one date and one set of rights.

    zipstream-ng takes both from the file and offers no other way; the pinned version's entry
    point is replaced here, and tests/export/test_zips.py fails where an upgrade moves it.
    """

    def __init__(self) -> None:
        super().__init__(compress_type=ZIP_STORED, sized=True)

    def _gen_file_entry(self, *, path: str, arcname: str, size: int, **_: Any) -> Iterator[bytes]:
        entry = ZipStreamInfo(arcname, ZIP_EPOCH)
        entry.external_attr = READABLE_FILE
        entry.compress_type = ZIP_STORED
        entry.file_size = size
        entry.header_offset = self._pos
        for data in entry._file_data(_chunks(Path(path))):
            yield self._track(data)
        if entry.file_size != size:  # the announced length would be wrong: break off
            raise OSError(f"{arcname} changed while it was sent")
        self._filelist.append(entry)


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


def zip_folder(folder: Path, top: str) -> StillZip:
    """Return the files of `folder` below the folder `top`, in order of name; its len() is exact.

    Stored, not deflated: images do not shrink, and so the size is known beforehand.
    """
    stream = StillZip()
    for root, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted(files):
            path = Path(root) / name
            stream.add_path(path, f"{top}/{path.relative_to(folder).as_posix()}")
    return stream
