"""Sending stored pictures: renditions to be shown, by views that know who asks."""

from __future__ import annotations

from typing import BinaryIO

from django.http import FileResponse, Http404

from synthreview.catalog.storage import blobs
from synthreview.lib.images import RENDITIONS_PX


def send_rendition(sha256: str | None, name: str) -> FileResponse:
    """Send the re-encoded picture that pages show; its address never changes its bytes.

    Raises Http404 for an unknown name, no checksum, or a file that is missing.
    """
    if name not in RENDITIONS_PX:
        raise Http404
    response = FileResponse(open_blob(sha256, name), content_type="image/jpeg")
    response["Cache-Control"] = "private, max-age=31536000, immutable"
    return response


def open_blob(sha256: str | None, variant: str) -> BinaryIO:
    """Open a stored file. Raises Http404 where there is none."""
    if sha256 is None:
        raise Http404
    try:
        return blobs().open(sha256, variant)
    except FileNotFoundError:
        raise Http404("The file is missing from the store.") from None
