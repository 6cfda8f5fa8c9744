"""Where image bytes lie: originals under their checksum, and their renditions."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path

from django.conf import settings

from synthreview.lib.blobs import Blobs, FileBlobs, Variant
from synthreview.lib.decoding import Prepared, prepare
from synthreview.lib.images import RENDITIONS_PX, DecodedImage, rendition
from synthreview.lib.s3 import Bucket, S3Blobs, Shelf

# Images of the same bytes are one family, in whichever dataset they lie.
FAMILIES = uuid.UUID("0f1de5a5-5a0f-4c43-9d0a-6d1d8e6a2b77")


# A file that was fetched from the bucket, to be read as one, is kept for so long.
FETCHED_S = 24 * 3600


@cache
def _blobs_at(root: Path, bucket: Bucket | None) -> Blobs:
    return S3Blobs(bucket, root.parent / "s3") if bucket else FileBlobs(root)


def blobs() -> Blobs:
    """Return the installation's blob store."""
    return _blobs_at(settings.BLOBS_DIR, settings.STORAGE)


def shelf(folder: Path, top: str) -> Shelf | None:
    """Return what shares a folder among hosts; None where the one host has it."""
    return Shelf(settings.STORAGE, folder, top) if settings.STORAGE else None


def forget_fetched() -> int:
    """Remove files from this host's disk that lie in the bucket as well; returns how many."""
    return blobs().forget_files(older_than_s=FETCHED_S)


def store_image(data: bytes) -> tuple[str, Prepared]:
    """Check and store what somebody brings, and its renditions; return its sha256 and its size.

    The original is kept byte for byte (re-saving would strip a provider's marks); the
    browser only ever gets the re-encoded renditions. It is decoded in a child with little memory
    and time. Raises BadImageError, OSError.
    """
    prepared = prepare(data)
    sha256 = blobs().put(data)
    blobs().put_variants((sha256, name, small) for name, small in prepared.renditions.items())
    return sha256, prepared


def renditions_of(sha256: str, decoded: DecodedImage) -> list[Variant]:
    """Return what browsers get of an original, to be stored."""
    return [
        (sha256, name, rendition(decoded.pixels, long_side_px))
        for name, long_side_px in RENDITIONS_PX.items()
    ]
