"""Files are complete or absent, whatever happens to the disk."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import pytest

from synthreview.lib.blobs import FileBlobs, write_atomically, write_together

DATA = b"pixels" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_storing_twice_stores_once(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    assert blobs.put(DATA) == blobs.put(DATA) == SHA256
    assert blobs.read(SHA256) == DATA
    with blobs.open(SHA256) as file:
        assert file.read() == DATA
    assert len(files_in(tmp_path)) == 1


def test_variants_lie_beside_their_original(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    blobs.put_variants([(SHA256, "thumb", b"small")])
    assert blobs.exists(SHA256, "thumb")
    assert not blobs.exists(SHA256)
    blobs.put_variants([(SHA256, "thumb", b"other")])
    assert blobs.read(SHA256, "thumb") == b"small"


@pytest.mark.parametrize(
    ("sha256", "variant"),
    [
        ("../../etc/passwd", "original"), ("a" * 63, "original"), ("A" * 64, "original"),
        ("a" * 64 + "\n", "original"), ("a" * 64, "../x"), ("a" * 64, "a/b"), ("a" * 64, ""),
        ("/" + "a" * 63, "original"),
    ],
)  # fmt: skip
def test_what_is_no_checksum_never_becomes_a_path(
    tmp_path: Path, sha256: str, variant: str
) -> None:
    with pytest.raises(ValueError, match="not a blob"):
        FileBlobs(tmp_path).path(sha256, variant)


@pytest.mark.parametrize("variant", [".", ".."])
def test_a_variant_never_climbs(tmp_path: Path, variant: str) -> None:
    with pytest.raises(ValueError, match="not a blob"):
        FileBlobs(tmp_path / "blobs").path(SHA256, variant)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match="No space"):
        FileBlobs(tmp_path).put(DATA)
    assert files_in(tmp_path) == []


def test_a_full_disk_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    write_atomically(path, b"old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == [path]


# --- Several at once --------------------------------------------------------------------


def test_files_held_together_come_back_in_order(tmp_path: Path) -> None:
    blobs = FileBlobs(tmp_path)
    several = [bytes([number]) * 1000 for number in range(9)] + [DATA, DATA]
    names = blobs.hold(several)
    assert [blobs.read(name) for name in names] == several
    assert len(files_in(tmp_path)) == 10


def test_where_one_of_several_finds_no_room_none_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flushed: list[int] = []

    def fsync(handle: int) -> None:
        if len(flushed) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        flushed.append(handle)

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OSError, match="No space"):
        write_together((tmp_path / str(number), DATA) for number in range(4))
    assert files_in(tmp_path) == []
