"""Where image bytes lie: originals, renditions, and the spool of paid answers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings

from synthreview.lib.blobs import FileBlobs, write_atomically
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


def spool_path(key: str) -> Path:
    return Path(settings.SPOOL_DIR) / f"{key}.json"


def write_spool(key: str, answer: dict[str, Any]) -> None:
    """Put a generator's answer on disk before it becomes rows: it may have been paid for."""
    write_atomically(spool_path(key), json.dumps(answer).encode())


def read_spool(key: str) -> dict[str, Any] | None:
    """Return a spooled answer, or None where there is none."""
    try:
        answer: dict[str, Any] = json.loads(spool_path(key).read_bytes())
    except FileNotFoundError:
        return None
    return answer


def clear_spool(key: str) -> None:
    spool_path(key).unlink(missing_ok=True)
