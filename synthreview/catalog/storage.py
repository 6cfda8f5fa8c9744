"""Where image bytes lie: originals under their checksum, and their renditions."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from django.conf import settings

from synthreview.lib.blobs import FileBlobs
from synthreview.lib.images import RENDITIONS_PX, DecodedImage, decode, rendition


@cache
def _blobs_at(root: Path) -> FileBlobs:
    return FileBlobs(root)


def blobs() -> FileBlobs:
    """Return the installation's blob store."""
    return _blobs_at(settings.BLOBS_DIR)


def store_image(data: bytes) -> tuple[str, DecodedImage]:
    """Check and store an original and its renditions; return its sha256 and pixels.

    The original is kept byte for byte (re-saving would strip a provider's marks); the
    browser only ever gets the re-encoded renditions. Raises BadImageError, OSError.
    """
    decoded = decode(data)
    sha256 = blobs().put(data)
    for name, long_side_px in RENDITIONS_PX.items():
        if not blobs().exists(sha256, name):
            blobs().put_variant(sha256, name, rendition(decoded.pixels, long_side_px))
    return sha256, decoded
