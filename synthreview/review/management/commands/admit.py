"""`manage.py admit`: put what is scored into the review queue, as the sweeper does each second."""

from __future__ import annotations

from typing import Any

from synthreview.catalog.management.base import ScriptCommand
from synthreview.review.intake import admit


class Command(ScriptCommand):
    help = "Put every scored image into the review queue; `sweep` does it by itself."

    def answer_to(self, **options: Any) -> None:
        admitted = admit()
        self.answer({"admitted": admitted}, f"{admitted} images came into the queue.", options)
