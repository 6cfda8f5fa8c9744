"""Blobs in a bucket: as in a folder, and what a storage does wrong costs no byte."""

from __future__ import annotations

import hashlib
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthreview.lib.s3 import Bucket, S3Blobs, Shelf, StorageError, _client_of
from tests.servers_fake.s3_server import S3Server

DATA = b"pixels" * 1000
SHA256 = hashlib.sha256(DATA).hexdigest()
KEY = f"ours/blobs/original/{SHA256[:2]}/{SHA256[2:4]}/{SHA256}"


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch, S3Server("images") as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setattr("synthreview.lib.s3.RETRIES", 0)  # boto3's own would sleep
        _client_of(server.url, "eu-central-1", os.getpid())
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    monkeypatch.setattr("synthreview.lib.s3.READS", 1)
    running.reset()
    return running


@pytest.fixture
def bucket(server: S3Server) -> Bucket:
    return Bucket.parse("s3://images/ours", endpoint_url=server.url, region="eu-central-1")


@pytest.fixture
def blobs(bucket: Bucket, tmp_path: Path) -> S3Blobs:
    return S3Blobs(bucket, tmp_path)


def test_a_blob_lies_under_its_checksum_and_is_read_again(blobs: S3Blobs, server: S3Server) -> None:
    assert not blobs.exists(SHA256)
    assert blobs.put(DATA) == blobs.put(DATA) == SHA256
    assert set(server.objects) == {KEY}
    assert blobs.size(SHA256) == len(DATA)
    with blobs.open(SHA256) as file:
        assert file.read() == DATA
    blobs.put_variants([(SHA256, "thumb", b"small")])
    assert blobs.read(SHA256, "thumb") == b"small"
    assert list(blobs.names()) == [("original", SHA256), ("thumb", SHA256)]


def test_what_is_missing_is_missing_and_what_is_no_checksum_no_key(blobs: S3Blobs) -> None:
    with pytest.raises(FileNotFoundError):
        blobs.read(SHA256)
    with pytest.raises(ValueError, match="not a blob"):
        blobs.read("../../etc/passwd")


def test_paid_bytes_are_kept_here_while_the_storage_is_away(
    blobs: S3Blobs, server: S3Server
) -> None:
    server.is_down = True
    assert blobs.hold([DATA]) == [SHA256]
    with pytest.raises(StorageError, match="SlowDown"):
        blobs.put(DATA)
    assert blobs.read(SHA256) == DATA, "from this host's disk"
    server.is_down = False
    blobs.put(DATA)
    assert not blobs.held.exists(SHA256)
    assert blobs.read(SHA256) == DATA


def test_garbled_bytes_are_read_again_and_never_given_out(
    blobs: S3Blobs, server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs.put(DATA)
    server.garble = 1
    with pytest.raises(StorageError, match="another checksum"):
        blobs.read(SHA256)
    monkeypatch.setattr("synthreview.lib.s3.READS", 2)
    server.garble = 1
    assert blobs.read(SHA256) == DATA


def test_a_file_is_fetched_once_and_forgotten_later(blobs: S3Blobs, server: S3Server) -> None:
    blobs.put(DATA)
    assert blobs.file(SHA256).read_bytes() == blobs.file(SHA256).read_bytes() == DATA
    assert server.gets == [KEY]
    assert blobs.forget_files(older_than_s=60) == 0
    assert blobs.forget_files(older_than_s=-1) == 1
    assert blobs.read(SHA256) == DATA


def test_an_address_for_a_browser_works_without_our_keys(blobs: S3Blobs) -> None:
    blobs.put_variants([(SHA256, "thumb", b"small")])
    place = blobs.place(SHA256, "thumb")
    assert "X-Amz-Expires=60" in place.address
    with urllib.request.urlopen(place.address) as answer:
        assert (answer.read(), answer.headers["Content-Type"]) == (b"small", "image/jpeg")


def test_a_bucket_is_made_where_there_is_none(blobs: S3Blobs, server: S3Server) -> None:
    server.has_bucket = False
    assert blobs.make_bucket()
    assert not blobs.make_bucket()


def test_a_probe_says_what_is_wrong_and_leaves_nothing(blobs: S3Blobs, server: S3Server) -> None:
    blobs.probe()
    assert server.objects == {}
    server.deny = True
    with pytest.raises(StorageError, match="AccessDenied"):
        blobs.probe()


@pytest.mark.parametrize(
    ("address", "fault"),
    [
        ("https://bucket/prefix", "does not begin with s3"), ("s3:///prefix", "is missing"),
        ("s3://key:secret@bucket", "no plain"), ("s3://bucket/a?region=x", "more than"),
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_bucket_is_named(address: str, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        Bucket.parse(address)


def test_browsers_are_sent_where_the_bucket_is(bucket: Bucket, server: S3Server) -> None:
    assert bucket.origins == [server.url]
    plain = Bucket.parse("s3://images", region="eu-west-1")
    assert "https://images.s3.eu-west-1.amazonaws.com" in plain.origins


def test_hosts_share_folders_that_are_whole(
    bucket: Bucket, server: S3Server, tmp_path: Path
) -> None:
    here, there = (Shelf(bucket, tmp_path / name, "exports") for name in ("here", "there"))
    folder = here.folder / "cars-1"
    (folder / "train").mkdir(parents=True)
    (folder / "train" / "1.png").write_bytes(DATA)
    (folder / "SUMS").write_text("sums")
    with pytest.raises(FileNotFoundError):
        there.fetch("cars-1", last="SUMS")
    here.share("cars-1", last="SUMS")
    assert server.puts[-1] == "ours/exports/cars-1/SUMS", "the sign of a whole goes last"
    there.fetch("cars-1", last="SUMS")
    assert (there.folder / "cars-1" / "train" / "1.png").read_bytes() == DATA
    assert [path.name for path in there.folder.iterdir()] == ["cars-1"]
    reads = len(server.gets)
    there.fetch("cars-1", last="SUMS")
    assert len(server.gets) == reads


def test_hosts_share_files_and_forget_them(
    bucket: Bucket, server: S3Server, tmp_path: Path
) -> None:
    here, there = (Shelf(bucket, tmp_path / name, "uploads") for name in ("here", "there"))
    here.folder.mkdir()
    (here.folder / "one.upload").write_bytes(DATA)
    here.share("one.upload")
    there.fetch("one.upload")
    assert (there.folder / "one.upload").read_bytes() == DATA
    assert list(there.names(older_than_s=60)) == ["one.upload"]
    there.drop("one.upload")
    assert server.objects == {}
    assert list(there.folder.iterdir()) == []
