"""Storage that speaks the S3 protocol: AWS, MinIO, Ceph, Garage, R2 and others. No Django here.

Keys come from where boto3 looks for them (environment, profile, role of the machine). Bytes that
were paid for are held on this host's disk until the storage has them.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
import io
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from synthreview.lib.blobs import (
    ORIGINAL,
    FileBlobs,
    Place,
    Variant,
    check_name,
    write_atomically,
)

SHARE_S = 60  # how long an address given to a browser works
MISSING = {"404", "NoSuchKey", "NotFound"}
RETRIES = 3  # of a request that failed
READS = 2  # of an object that came garbled
UPLOADS = 4  # at once
EXAMPLE = "s3://my-bucket/synthreview"


class StorageError(OSError):
    """The storage does not answer, refuses, or gave other bytes than it was given."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """Where in which storage."""

    name: str
    prefix: str = ""
    endpoint_url: str = ""
    region: str = ""

    @classmethod
    def parse(cls, address: str, *, endpoint_url: str = "", region: str = "") -> Bucket:
        """Read `s3://bucket/prefix`. Raises ValueError, which says what is wrong with it."""
        parts = urlsplit(address)
        if parts.scheme != "s3":
            raise ValueError("it does not begin with s3://")
        if not parts.netloc or parts.netloc != parts.hostname:
            raise ValueError("the name of the bucket is missing, or no plain lower-case name")
        if parts.query or parts.fragment:
            raise ValueError("it holds more than a bucket and a prefix")
        return cls(parts.netloc, parts.path.strip("/"), endpoint_url, region)

    def key(self, name: str) -> str:
        return f"{self.prefix}/{name}" if self.prefix else name

    @property
    def origins(self) -> list[str]:
        """Return where addresses lead that the storage's owner gives to browsers."""
        if self.endpoint_url:
            parts = urlsplit(self.endpoint_url)
            return [f"{parts.scheme}://{parts.netloc}"]
        hosts = ["s3.amazonaws.com", *([f"s3.{self.region}.amazonaws.com"] if self.region else ())]
        return [f"https://{self.name}.{host}" for host in hosts]


def make_client(endpoint_url: str = "", region: str = "", *, is_quick: bool = False) -> Any:
    """Return boto3's client, as storages of every maker understand it. Raises ImportError."""
    import boto3
    from botocore.config import Config

    return boto3.session.Session().client(
        "s3",
        endpoint_url=endpoint_url or None,
        region_name=region or None,
        config=Config(
            connect_timeout=3 if is_quick else 10,
            read_timeout=5 if is_quick else 60,
            retries={"total_max_attempts": 1 if is_quick else RETRIES + 1, "mode": "standard"},
            signature_version="s3v4",
            # Of a storage of one's own, few give each bucket a name in the DNS.
            s3={"addressing_style": "path" if endpoint_url else "auto"},
            # Storages of other makers do not know AWS's newer checksums.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@cache
def _client_of(endpoint_url: str, region: str, pid: int) -> Any:
    return make_client(endpoint_url, region)


@contextlib.contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Turn what boto3 raises into FileNotFoundError or StorageError, without a key in it."""
    import boto3.exceptions
    import botocore.exceptions as errors

    try:
        yield
    except (errors.ClientError, errors.BotoCoreError, boto3.exceptions.Boto3Error) as error:
        code = _code_of(error)
        if code in MISSING:
            raise FileNotFoundError(f"{name} is not in the storage") from error
        raise StorageError(f"the storage failed: {code or type(error).__name__}") from error


def _code_of(error: Exception) -> str:
    for cause in (error, error.__cause__, error.__context__):
        if code := getattr(cause, "response", {}).get("Error", {}).get("Code"):
            return str(code)
    return ""


class Shelf:
    """Files of a folder that all hosts share: `name` is a path below it, on disk and in the bucket.

    What is there is written to the disk of the host that asks, once; nothing is changed under a
    name that it had before.
    """

    def __init__(self, bucket: Bucket, folder: Path, top: str) -> None:
        self.bucket = bucket
        self.folder = folder
        self.top = top

    @property
    def client(self) -> Any:
        return _client_of(self.bucket.endpoint_url, self.bucket.region, os.getpid())

    def _key(self, name: str) -> str:
        return self.bucket.key(f"{self.top}/{name}")

    def share(self, name: str, last: str = "") -> None:
        """Upload a file, or a folder whole; the file called `last` goes last. Raises OSError."""
        path = self.folder / name
        if path.is_file():
            self._upload(path, name)
            return
        files = sorted(each for each in path.rglob("*") if each.is_file())
        for each in sorted(files, key=lambda each: each.relative_to(path).as_posix() == last):
            self._upload(each, each.relative_to(self.folder).as_posix())

    def _upload(self, path: Path, name: str) -> None:
        with _in_words(name):
            self.client.upload_file(str(path), self.bucket.name, self._key(name))

    def fetch(self, name: str, last: str = "") -> None:
        """Have the file, or the folder that holds `last`, on this host's disk.

        Raises FileNotFoundError, StorageError, OSError.
        """
        if (self.folder / name).exists():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        draft = self.folder / f".{Path(name).name}.{os.getpid()}.{time.monotonic_ns()}.fetched"
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            if not last:
                self._download(name, draft)
            else:
                self._download(f"{name}/{last}", draft / last)  # it is whole, or not there
                for inside in self.names(f"{name}/"):
                    self._download(inside, draft / inside.removeprefix(f"{name}/"))
            with contextlib.suppress(OSError):  # somebody else's is as good
                draft.replace(target)
            if not target.exists():
                raise StorageError(f"{name} could not be put into place")
        finally:
            shutil.rmtree(draft, ignore_errors=True)
            draft.unlink(missing_ok=True) if draft.is_file() else None

    def _download(self, name: str, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _in_words(name):
            self.client.download_file(self.bucket.name, self._key(name), str(path))

    def names(self, beginning: str = "", *, older_than_s: float = 0) -> Iterator[str]:
        """Yield the names in the bucket that begin so, in order."""
        limit = dt.datetime.now(dt.UTC) - dt.timedelta(seconds=older_than_s)
        with _in_words(beginning):
            pages = self.client.get_paginator("list_objects_v2").paginate(
                Bucket=self.bucket.name, Prefix=self._key(beginning)
            )
            for page in pages:
                for entry in page.get("Contents", ()):
                    if not older_than_s or entry["LastModified"] < limit:
                        yield entry["Key"].removeprefix(self._key(""))

    def drop(self, name: str) -> None:
        """Forget a file, here and there."""
        (self.folder / name).unlink(missing_ok=True)
        with _in_words(name):
            self.client.delete_object(Bucket=self.bucket.name, Key=self._key(name))


class S3Blobs:
    """Blobs in a bucket, under the names that they have in a folder.

    `held` keeps on this host what the bucket does not have yet, `cache` what is needed as a file.
    """

    def __init__(self, bucket: Bucket, folder: Path) -> None:
        self.bucket = bucket
        self.held = FileBlobs(folder / "held")
        self.cache = FileBlobs(folder / "cache")

    @property
    def client(self) -> Any:
        return _client_of(self.bucket.endpoint_url, self.bucket.region, os.getpid())

    def key(self, sha256: str, variant: str = ORIGINAL) -> str:
        """Return the key of a blob. Raises ValueError for anything but a checksum."""
        check_name(sha256, variant)
        return self.bucket.key(f"blobs/{variant}/{sha256[:2]}/{sha256[2:4]}/{sha256}")

    def hold(self, originals: Sequence[bytes]) -> list[str]:
        """Keep bytes on this host, for which the bucket need not answer; `give` sends them."""
        return self.held.hold(originals)

    def put(self, data: bytes) -> str:
        """Store bytes; return their sha256 (hex). An object appears whole or not at all."""
        sha256 = hashlib.sha256(data).hexdigest()
        self.give({sha256: data})
        return sha256

    def give(self, originals: Mapping[str, bytes]) -> None:
        """Send what was held here, and hold it no longer."""
        self._upload_all(
            (self.key(sha256), data, "application/octet-stream")
            for sha256, data in originals.items()
        )
        for sha256 in originals:
            self.held.path(sha256).unlink(missing_ok=True)

    def put_variants(self, variants: Iterable[Variant]) -> None:
        self._upload_all(
            (self.key(sha256, variant), data, "image/jpeg") for sha256, variant, data in variants
        )

    def _upload_all(self, objects: Iterable[tuple[str, bytes, str]]) -> None:
        """Send several at once; the first error is raised when all have ended."""
        # Threads of its own, ended before this returns: a worker forks.
        with ThreadPoolExecutor(UPLOADS) as pool:
            for _ in pool.map(lambda each: self._upload(*each), objects):
                pass

    def _upload(self, key: str, data: bytes, content_type: str) -> None:
        md5 = hashlib.md5(data, usedforsecurity=False).digest()
        with _in_words(key):
            self.client.put_object(
                Bucket=self.bucket.name,
                Key=key,
                Body=data,
                Metadata={"sha256": hashlib.sha256(data).hexdigest()},
                ContentType=content_type,
                ContentMD5=base64.b64encode(
                    md5
                ).decode(),  # the storage refuses what was garbled on the way
            )

    def read(self, sha256: str, variant: str = ORIGINAL) -> bytes:
        """Return the bytes, checked. Raises FileNotFoundError, StorageError."""
        key = self.key(sha256, variant)
        if variant == ORIGINAL:
            with contextlib.suppress(FileNotFoundError):
                return self.held.read(sha256)
        for _ in range(READS):
            data, wanted = self._download(key)
            if variant == ORIGINAL:
                wanted = sha256
            if not wanted or hashlib.sha256(data).hexdigest() == wanted:
                return data
        raise StorageError(f"{sha256} came with another checksum")

    def _download(self, key: str) -> tuple[bytes, str]:
        with _in_words(key):
            got = self.client.get_object(Bucket=self.bucket.name, Key=key)
            return got["Body"].read(), got["Metadata"].get("sha256", "")

    def open(self, sha256: str, variant: str = ORIGINAL) -> BinaryIO:
        return io.BytesIO(self.read(sha256, variant))

    def exists(self, sha256: str, variant: str = ORIGINAL) -> bool:
        return self.size(sha256, variant) is not None

    def size(self, sha256: str, variant: str = ORIGINAL) -> int | None:
        """Return how many bytes lie there; None where nothing does."""
        try:
            with _in_words(sha256):
                head = self.client.head_object(
                    Bucket=self.bucket.name, Key=self.key(sha256, variant)
                )
        except FileNotFoundError:
            return None
        return int(head["ContentLength"])

    def file(self, sha256: str, variant: str = ORIGINAL) -> Path:
        """Return a file with the bytes, on this host's disk for a while.

        Raises FileNotFoundError, StorageError.
        """
        path = self.cache.path(sha256, variant)
        if not path.exists():
            write_atomically(path, self.read(sha256, variant))
        return path

    def place(self, sha256: str, variant: str = ORIGINAL) -> Place:
        """Return an address of the storage's own, good for a minute, for one browser."""
        address = self.client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self.bucket.name, "Key": self.key(sha256, variant)},
            ExpiresIn=SHARE_S,
        )
        return Place(address=str(address))

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield (variant, sha256) of everything there."""
        shelf = Shelf(self.bucket, self.cache.root, "blobs")
        for name in shelf.names():
            variant, _, _, sha256 = name.split("/")
            yield variant, sha256

    def forget_files(self, *, older_than_s: float) -> int:
        """Remove from this host's disk what was needed as a file so long ago; returns how many."""
        limit, count = time.time() - older_than_s, 0
        for path in self.cache.root.glob("*/*/*/*"):
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mtime < limit:
                    path.unlink()
                    count += 1
        return count

    def make_bucket(self) -> bool:
        """Make the bucket unless it is there; say whether it is new. Raises StorageError."""
        with contextlib.suppress(FileNotFoundError), _in_words(self.bucket.name):
            self.client.head_bucket(Bucket=self.bucket.name)
            return False
        with _in_words(self.bucket.name):
            self.client.create_bucket(Bucket=self.bucket.name)
        return True

    def probe(self) -> None:
        """Write, read and remove a small object. Raises StorageError, which says what failed."""
        key, data = self.bucket.key(f"probe/{os.getpid()}"), b"synthreview"
        client = make_client(self.bucket.endpoint_url, self.bucket.region, is_quick=True)
        with _in_words("the probe"):
            client.put_object(Bucket=self.bucket.name, Key=key, Body=data)
            same = client.get_object(Bucket=self.bucket.name, Key=key)["Body"].read() == data
            client.delete_object(Bucket=self.bucket.name, Key=key)
        if not same:
            raise StorageError("the storage gave other bytes than it was given")
