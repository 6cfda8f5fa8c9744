"""Storage that speaks the S3 protocol: AWS, MinIO, Ceph, R2 and others.

Keys come from where boto3 looks for them (environment, profile, role of the machine); no key
is a setting of ours. Each object carries its sha256, so that a second try sends only what is
missing. SHA256SUMS is sent last: a place that has it is whole.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthreview.export.destinations.base import DestinationError, Parcel
from synthreview.lib.s3 import make_client

TYPES = {
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
    ".md": "text/markdown; charset=utf-8",
    ".svg": "image/svg+xml",
    ".tar": "application/x-tar",
    ".parquet": "application/vnd.apache.parquet",
}
PERMANENT = {"AccessDenied", "NoSuchBucket", "InvalidAccessKeyId", "SignatureDoesNotMatch", "403"}


class S3Destination:
    """A bucket, below a prefix."""

    def __init__(
        self,
        bucket: str,
        prefix: str = "",
        endpoint_url: str = "",
        region: str = "",
        title: str = "S3",
    ) -> None:
        self.bucket = bucket
        self.prefix = prefix.strip("/")
        self.endpoint_url = endpoint_url
        self.region = region
        self.title = title

    def send(self, parcel: Parcel, tell: Callable[[int], None]) -> str:
        """Upload what is not there yet. Raises DestinationError, OSError."""
        try:
            import boto3.exceptions
            import botocore.exceptions
        except ImportError:
            raise DestinationError(
                "S3 needs a library: pip install synthreview[s3].", permanent=True
            ) from None
        top = "/".join(filter(None, (self.prefix, parcel.name)))
        checksums = parcel.checksums()
        try:
            client = make_client(self.endpoint_url, self.region)
            sent = 0
            for name, path in parcel.files():
                sha256 = checksums.get(name) or _sha256(path)
                self._put(client, f"{top}/{name}", path, sha256)
                sent += path.stat().st_size
                tell(sent)
        except (
            botocore.exceptions.ClientError,
            botocore.exceptions.BotoCoreError,
            boto3.exceptions.Boto3Error,
        ) as error:
            raise _in_words(error) from error
        return f"s3://{self.bucket}/{top}/"

    def _put(self, client: Any, key: str, path: Path, sha256: str) -> None:
        if _is_there(client, self.bucket, key, path.stat().st_size, sha256):
            return
        client.upload_file(
            str(path),
            self.bucket,
            key,
            ExtraArgs={
                "Metadata": {"sha256": sha256},
                "ContentType": TYPES.get(path.suffix, "application/octet-stream"),
            },
        )


def _in_words(error: Exception) -> DestinationError:
    """Return what went wrong; boto3 wraps the storage's refusal of an upload in its own error."""
    for cause in (error, error.__cause__, error.__context__):
        code = getattr(cause, "response", {}).get("Error", {}).get("Code")
        if code:
            return DestinationError(
                f"The storage refused: {code}.", permanent=str(code) in PERMANENT
            )
    return DestinationError(f"The storage failed: {type(error).__name__}.")


def _is_there(client: Any, bucket: str, key: str, size: int, sha256: str) -> bool:
    from botocore.exceptions import ClientError

    try:
        head = client.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == 404:
            return False
        raise
    is_same: bool = (
        head["ContentLength"] == size and head.get("Metadata", {}).get("sha256") == sha256
    )
    return is_same


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
