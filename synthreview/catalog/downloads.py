"""Sending stored pictures: renditions to be shown, by views that know who asks.

Sent from here, or by the proxy in front (X-Accel-Redirect), or by the storage itself (an address
that works for a minute).
"""

from __future__ import annotations

from typing import BinaryIO
from urllib.parse import urlsplit

from django.conf import settings
from django.http import FileResponse, Http404, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase

from synthreview.catalog.storage import blobs
from synthreview.lib.blobs import Place
from synthreview.lib.images import RENDITIONS_PX
from synthreview.lib.s3 import SHARE_S

# The proxy's locations, which only we can name: a folder of its own, and the storage.
FOLDER, BUCKET = "/_blobs/", "/_bucket"
FOR_EVER = "private, max-age=31536000, immutable"


def send_rendition(sha256: str | None, name: str) -> HttpResponseBase:
    """Send the re-encoded picture that pages show; its address never changes its bytes.

    Raises Http404 for an unknown name, no checksum, or a file that is missing.
    """
    if name not in RENDITIONS_PX or sha256 is None:
        raise Http404
    place = blobs().place(sha256, name) if settings.SERVE_MEDIA != "stream" else None
    response: HttpResponseBase
    if place and place.address and settings.SERVE_MEDIA == "presigned":
        response = HttpResponseRedirect(place.address)
        response["Cache-Control"] = f"private, max-age={SHARE_S // 2}"
        return response
    if place and settings.SERVE_MEDIA == "x-accel":
        response = HttpResponse(content_type="image/jpeg")
        response["X-Accel-Redirect"] = _internal(place)
    else:
        response = FileResponse(open_blob(sha256, name), content_type="image/jpeg")
    response["Cache-Control"] = FOR_EVER
    return response


def _internal(place: Place) -> str:
    if place.name:
        return FOLDER + place.name
    address = urlsplit(place.address)
    return f"{BUCKET}{address.path}?{address.query}"


def open_blob(sha256: str | None, variant: str) -> BinaryIO:
    """Open a stored file. Raises Http404 where there is none."""
    if sha256 is None:
        raise Http404
    try:
        return blobs().open(sha256, variant)
    except FileNotFoundError:
        raise Http404("The file is missing from the store.") from None
