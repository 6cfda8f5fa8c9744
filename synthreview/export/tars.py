"""A folder as a tar that is written while it is sent, and can be taken up anywhere in it.

Every file's place is known beforehand, so that a download which broke off goes on at its byte
without anything being read twice. The same folder gives the same bytes. No Django here.
"""

from __future__ import annotations

import bisect
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from synthreview.export.writers.tar import END, member_size, padding

CHUNK = 256 * 1024


@dataclass(frozen=True, slots=True)
class Member:
    """One file: its name in the archive, its size, and where its header begins."""

    name: str
    path: Path
    size: int
    begin: int

    def header(self) -> bytes:
        info = tarfile.TarInfo(self.name)
        info.size, info.mode = self.size, 0o644
        return info.tobuf(tarfile.USTAR_FORMAT, "utf-8")


class StillTar:
    """A tar whose entries have one date and one set of rights; len() is its size in bytes."""

    def __init__(self, folder: Path, top: str) -> None:
        self._members: list[Member] = []
        position = 0
        for root, folders, files in os.walk(folder):
            folders.sort()
            for name in sorted(files):
                path = Path(root) / name
                size = path.stat().st_size
                inside = f"{top}/{path.relative_to(folder).as_posix()}"
                self._members.append(Member(inside, path, size, position))
                position += member_size(size)
        self._end = position

    def __len__(self) -> int:
        return self._end + len(END)

    def __iter__(self) -> Iterator[bytes]:
        return self.part(0, len(self))

    def part(self, start: int, stop: int) -> Iterator[bytes]:
        """Yield the bytes from `start` up to `stop`. Raises OSError: a file changed meanwhile."""
        first = max(0, bisect.bisect_right(self._members, start, key=lambda one: one.begin) - 1)
        for member in self._members[first:]:
            if member.begin >= stop:
                return
            yield from _member_part(member, start - member.begin, stop - member.begin)
        yield from _slice(END, start - self._end, stop - self._end)


def _member_part(member: Member, start: int, stop: int) -> Iterator[bytes]:
    """Yield a member's bytes from `start` to `stop`, counted from its header."""
    header = member.header()
    yield from _slice(header, start, stop)
    begin, end = max(0, start - len(header)), min(member.size, stop - len(header))
    if begin < end:
        with member.path.open("rb") as file:
            if os.fstat(file.fileno()).st_size != member.size:
                raise OSError(f"{member.name} changed while it was sent")
            file.seek(begin)
            left = end - begin
            while left:
                data = file.read(min(CHUNK, left))
                if not data:
                    raise OSError(f"{member.name} changed while it was sent")
                left -= len(data)
                yield data
    after = len(header) + member.size
    yield from _slice(padding(member.size), start - after, stop - after)


def _slice(data: bytes, start: int, stop: int) -> Iterator[bytes]:
    if part := data[max(0, start) : max(0, stop)]:
        yield part
