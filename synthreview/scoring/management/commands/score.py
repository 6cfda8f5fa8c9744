"""`manage.py score DATASET`: load the model, and have every image scored that has no score."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset, one_line
from synthreview.catalog.models import Dataset
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.scoring.jobs import score
from synthreview.scoring.models import ScorerVersion, ScoringPass, unscored
from synthreview.scoring.scorers.base import ScorerError
from synthreview.scoring.services import plan_scoring, register
from synthreview.work.models import WorkState
from synthreview.work.services import take_back_overdue

IDLE_S = 0.2


class Command(DatasetCommand):
    help = "Score the images that the current model has not scored; then `admit` queues them."
    expected = (ScorerError, UnknownAdapterError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--wait", action="store_true", help="score along, with or without workers, to the end"
        )

    def answer_to(self, *, dataset: str, wait: bool, **options: Any) -> None:
        found = find_dataset(dataset)
        version = register()
        before = unscored(version).filter(dataset=found).count()
        plan_scoring(dataset=found)
        if wait:
            self.wait_for(found, version, before)
        left = unscored(version).filter(dataset=found).count()
        self.answer(
            {
                "dataset": found.slug,
                "scorer": str(version),
                "weights_sha256": version.weights_sha256,
                "applies_to": version.applies_to,
                "scored": before - left,
                "waiting": left,
            },
            f"{version.name}: {before - left} images scored, {left} wait for a scoring worker."
            if left
            else f"{version.name}: {before - left} images scored, none is left.",
            options,
        )

    def wait_for(self, dataset: Dataset, version: ScorerVersion, count: int) -> None:
        """Do passes beside any workers until none is open. Raises CommandError where one failed."""
        passes = ScoringPass.objects.filter(dataset=dataset, version=version)
        last = passes.order_by("-pk").first()
        with self.bar(total=count, unit="images") as bar:
            while passes.open().exists():
                if (due := passes.due().first()) is None:
                    time.sleep(IDLE_S)  # a worker is at it
                    take_back_overdue()
                else:
                    score(due.pk, bar.update)
        if last is not None:
            last.refresh_from_db()
            if last.state == WorkState.FAILED:
                raise CommandError(f"Scoring failed: {one_line(last.error)}.")

    def interrupted(self) -> str:
        return "Stopped. What is scored stays; workers or the same command go on."
