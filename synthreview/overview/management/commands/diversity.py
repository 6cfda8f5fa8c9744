"""`manage.py diversity DATASET`: how varied each class is, beside the user's real images."""

from __future__ import annotations

import time
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset, one_line
from synthreview.evaluation.diversity_jobs import measure
from synthreview.evaluation.diversity_services import report_of, start_diversity
from synthreview.evaluation.models import Diversity
from synthreview.evaluation.services import CannotStartError
from synthreview.work.models import WorkState

IDLE_S = 0.5


class Command(DatasetCommand):
    help = "Measure how varied the images of each class are, and which repeat one composition."
    expected = (CannotStartError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--threshold",
            type=float,
            help="images whose vectors have this cosine or more count as one composition; "
            f"{settings.SAME_COMPOSITION:g} where not given",
        )

    def answer_to(self, *, dataset: str, threshold: float | None, **options: Any) -> None:
        work = start_diversity(dataset=find_dataset(dataset), threshold=threshold)
        while Diversity.objects.open().filter(pk=work.pk).exists():
            measure(work.pk)
            if Diversity.objects.open().filter(pk=work.pk).exists():
                time.sleep(IDLE_S)  # a worker was faster
        work = Diversity.objects.select_related("dataset", "version").get(pk=work.pk)
        if work.state != WorkState.DONE:
            raise CommandError(f"It gave no result: {one_line(work.error) or 'it was stopped'}.")
        facts = report_of(work)
        self.answer(facts, in_words(facts), options)

    def interrupted(self) -> str:
        return "Stopped. A worker goes on with it later."


def in_words(facts: dict[str, Any]) -> str:
    """Return a look as a table for a terminal."""
    lines = [
        f"{one['class']:<24}{one['images']:>7} images {one['compositions']:>7} compositions  "
        f"effective number {one['vendi']:.1f}"
        + (
            f"  coverage {one['real']['coverage']:.0%}"
            if one["real"] and one["real"]["coverage"] is not None
            else ""
        )
        for one in facts["classes"]
    ]
    return "\n".join([*lines, *facts["proposals"]])
