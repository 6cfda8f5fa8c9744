"""Where image bytes lie: originals under their checksum, and their renditions."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path

from django.conf import settings

from synthreview.lib.blobs import FileBlobs
from synthreview.lib.decoding import Prepared, prepare
from synthreview.lib.images import RENDITIONS_PX, DecodedImage, rendition

# Images of the same bytes are one family, in whichever dataset they lie.
FAMILIES = uuid.UUID("0f1de5a5-5a0f-4c43-9d0a-6d1d8e6a2b77")


@cache
def _blobs_at(root: Path) -> FileBlobs:
    return FileBlobs(root)


def blobs() -> FileBlobs:
    """Return the installation's blob store."""
    return _blobs_at(settings.BLOBS_DIR)


def store_image(data: bytes) -> tuple[str, Prepared]:
    """Check and store what somebody brings, and its renditions; return its sha256 and its size.

    The original is kept byte for byte (re-saving would strip a provider's marks); the
    browser only ever gets the re-encoded renditions. It is decoded in a child with little memory
    and time. Raises BadImageError, OSError.
    """
    prepared = prepare(data)
    sha256 = blobs().put(data)
    for name, small in prepared.renditions.items():
        if not blobs().exists(sha256, name):
            blobs().put_variant(sha256, name, small)
    return sha256, prepared


def store_renditions(sha256: str, decoded: DecodedImage) -> None:
    """Store what browsers get of an original that is in the store. Raises OSError."""
    for name, long_side_px in RENDITIONS_PX.items():
        if not blobs().exists(sha256, name):
            blobs().put_variant(sha256, name, rendition(decoded.pixels, long_side_px))
