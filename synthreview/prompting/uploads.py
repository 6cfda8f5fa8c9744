"""Uploaded files between two pages: kept under names of our own for a day, for one person.

A name holds the dataset and the person, so a stranger's link leads nowhere; what the file was
called at home is never used.
"""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.storage import shelf

MAX_BYTES = 50_000_000
KEPT_S = 24 * 3600
KEPT_EACH = 3  # so many of one person's uploads to one dataset
SHELF = "uploads"
TOKEN = re.compile(r"[0-9a-f]{32}")


def _folder() -> Path:
    folder: Path = settings.DATA_DIR / "uploads"
    return folder


def keep_upload(upload: UploadedFile[Any], *, dataset: Dataset, user: User) -> str:
    """Write the upload to the data folder; return the token that finds it again."""
    drop_expired()
    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    token = secrets.token_hex(16)
    path = _path(token, dataset, user)
    draft = path.with_suffix(".part")
    try:
        with draft.open("xb") as file:
            for chunk in upload.chunks():
                file.write(chunk)
        draft.rename(path)
    finally:
        draft.unlink(missing_ok=True)
    if shared := shelf(folder, SHELF):
        shared.share(path.name)
    mine = sorted(folder.glob(f"{dataset.pk}-{user.pk}-*.upload"), key=_age_s)
    for path in mine[KEPT_EACH:]:
        path.unlink(missing_ok=True)
    return token


def find_upload(token: str, *, dataset: Dataset, user: User) -> Path | None:
    """Return where the upload lies; None where it is not this person's, or too old."""
    if not TOKEN.fullmatch(token):
        return None
    path = _path(token, dataset, user)
    if shared := shelf(_folder(), SHELF):  # the page before may have been another host's
        with contextlib.suppress(FileNotFoundError):
            shared.fetch(path.name)
    return path if path.is_file() and _age_s(path) < KEPT_S else None


def drop_upload(token: str, *, dataset: Dataset, user: User) -> None:
    """Forget an upload; one that is not there is no fault."""
    if TOKEN.fullmatch(token):
        path = _path(token, dataset, user)
        path.unlink(missing_ok=True)
        if shared := shelf(_folder(), SHELF):
            shared.drop(path.name)


def drop_expired() -> int:
    """Delete this host's uploads older than a day; return how many."""
    if not (folder := _folder()).is_dir():
        return 0
    old = [path for path in folder.iterdir() if _age_s(path) >= KEPT_S]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def drop_expired_shared() -> int:
    """Delete the bucket's uploads older than a day; return how many."""
    if not (shared := shelf(_folder(), SHELF)):
        return 0
    old = list(shared.names(older_than_s=KEPT_S))
    for name in old:
        shared.drop(name)
    return len(old)


def _path(token: str, dataset: Dataset, user: User) -> Path:
    return _folder() / f"{dataset.pk}-{user.pk}-{token}.upload"


def _age_s(path: Path) -> float:
    with contextlib.suppress(OSError):
        return time.time() - path.stat().st_mtime
    return float("inf")
