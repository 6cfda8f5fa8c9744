"""`manage.py make_bucket`: make the bucket that SYNTHREVIEW_STORAGE names, unless it is there."""

from __future__ import annotations

from typing import Any

from synthreview.catalog.management.base import ScriptCommand
from synthreview.catalog.storage import blobs
from synthreview.lib.s3 import S3Blobs


class Command(ScriptCommand):
    help = "Make the bucket that SYNTHREVIEW_STORAGE names, unless it is there."
    expected = (OSError,)

    def answer_to(self, **options: Any) -> None:
        store = blobs()
        if not isinstance(store, S3Blobs):
            self.answer({"bucket": None}, "Images lie in a folder: no bucket is needed.", options)
            return
        is_new = store.make_bucket()
        said = "is made" if is_new else "is there already"
        self.answer(
            {"bucket": store.bucket.name, "new": is_new}, f"{store.bucket.name} {said}.", options
        )
