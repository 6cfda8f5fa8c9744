"""A finished package as one file for a browser, which may take it up where it broke off.

Source: RFC 9110, sections 13.1.5 (If-Range) and 14 (Range): one range of bytes; several, or ones
that make no sense, are answered with the whole.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

from synthreview.export.tars import StillTar
from synthreview.export.writers.bundle import CHECKSUMS
from synthreview.export.zips import zip_folder

KINDS = {"zip": "application/zip", "tar": "application/x-tar"}
RANGE = re.compile(r"bytes=(?P<first>\d{0,18})-(?P<last>\d{0,18})", re.ASCII)


def download(request: HttpRequest, folder: Path, name: str, kind: str) -> HttpResponseBase:
    """Return the folder as an archive named `name`, or the part of it that is asked for.

    A tar is taken up at once; a zip is read again up to there, because its end holds a sum over
    all of it. Raises OSError.
    """
    archive = StillTar(folder, name) if kind == "tar" else zip_folder(folder, name)
    size = len(archive)
    tag = entity_tag(folder, kind)
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.{kind}"',
        "Cache-Control": "private, no-store",
        "Accept-Ranges": "bytes",
        "ETag": tag,
    }
    asked = request.headers.get("If-Range", tag) == tag and request.headers.get("Range", "")
    wanted = wanted_range(asked or "", size)
    if wanted is None:
        headers["Content-Length"] = str(size)
        return StreamingHttpResponse(archive, content_type=KINDS[kind], headers=headers)
    start, stop = wanted
    if start >= stop:
        headers["Content-Range"] = f"bytes */{size}"
        return HttpResponse(status=416, headers=headers)
    headers |= {
        "Content-Length": str(stop - start),
        "Content-Range": f"bytes {start}-{stop - 1}/{size}",
    }
    part = archive.part(start, stop) if isinstance(archive, StillTar) else cut(archive, start, stop)
    return StreamingHttpResponse(part, status=206, content_type=KINDS[kind], headers=headers)


def entity_tag(folder: Path, kind: str) -> str:
    """Return what is the same as long as the archive's bytes are. Raises OSError."""
    with (folder / CHECKSUMS).open("rb") as file:
        return f'"{kind}-{hashlib.file_digest(file, "sha256").hexdigest()}"'


def wanted_range(header: str, size: int) -> tuple[int, int] | None:
    """Return the bytes asked for as (start, stop), empty beyond the end; None for all."""
    found = RANGE.fullmatch(header.strip())
    if found is None or not (found["first"] or found["last"]):
        return None
    if not found["first"]:
        return max(0, size - int(found["last"])), size
    start = int(found["first"])
    if found["last"] and int(found["last"]) < start:
        return None
    return start, min(size, int(found["last"]) + 1) if found["last"] else size


def cut(chunks: Iterator[bytes], start: int, stop: int) -> Iterator[bytes]:
    """Yield the bytes from `start` to `stop` of what the chunks are together."""
    position = 0
    for chunk in chunks:
        if position >= stop:
            return
        if part := chunk[max(0, start - position) : stop - position]:
            yield part
        position += len(chunk)
