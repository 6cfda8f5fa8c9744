"""`manage.py evaluate DATASET --test FOLDER`: do the synthetic images help on real ones?"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from synthreview.catalog.image_folders import (
    CannotImportError,
    Report,
    folder_classes,
    match_classes,
    scan_folder,
)
from synthreview.catalog.management.base import DatasetCommand, find_dataset, one_line
from synthreview.catalog.models import Dataset, ReferenceUse
from synthreview.catalog.references import import_references
from synthreview.evaluation.jobs import evaluate
from synthreview.evaluation.models import Evaluation
from synthreview.evaluation.services import (
    DEFAULT_SEEDS,
    CannotStartError,
    report_of,
    start_evaluation,
)
from synthreview.work.models import WorkState

IDLE_S = 0.5
REFUSALS_SHOWN = 20


class Command(DatasetCommand):
    help = "Train classifiers with and without the synthetic images, and judge real test images."
    expected = (CannotImportError, CannotStartError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--test", type=Path, help="real test images, a subfolder per class; kept apart for ever"
        )
        parser.add_argument("--train", type=Path, help="real training images, the same way")
        parser.add_argument(
            "--learner",
            action="append",
            choices=list(settings.LEARNERS),
            help="what to train; repeatable, probe where none is named",
        )
        parser.add_argument(
            "--seeds", type=int, default=DEFAULT_SEEDS, help="trainings of each arm"
        )
        parser.add_argument(
            "--no-unreviewed",
            action="store_true",
            help="leave out the comparison with everything drawn, unreviewed",
        )

    def answer_to(
        self,
        *,
        dataset: str,
        test: Path | None,
        train: Path | None,
        learner: list[str] | None,
        seeds: int,
        no_unreviewed: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        refused = 0
        for folder, use in ((test, ReferenceUse.TEST), (train, ReferenceUse.TRAIN)):
            if folder is not None:
                refused += self.bring_in(found, Path(folder), use)
        work = start_evaluation(
            dataset=found,
            learners=learner or ("probe",),
            seeds=seeds,
            with_unreviewed=not no_unreviewed,
        )
        self.finish(work)
        facts = report_of(work) | {"refused": refused}
        self.answer(facts, in_words(facts), options)

    def bring_in(self, dataset: Dataset, folder: Path, use: str) -> int:
        """Import real images; returns how many were refused. Raises CommandError."""
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder.")
        report = Report()
        with transaction.atomic():
            classes = match_classes(dataset, folder_classes(folder), create=False, report=report)
        try:
            for _ in import_references(
                dataset=dataset,
                candidates=scan_folder(folder, report),
                classes=classes,
                use=use,
                report=report,
            ):
                pass
        except OSError as error:
            raise CommandError(
                f"The import broke off after {report.imported} images: {error.strerror}. Run the "
                "same command again to go on."
            ) from error
        for where, why in report.refusals[:REFUSALS_SHOWN]:
            self.stderr.write(f"{where}: {why}")
        return report.refused

    def finish(self, work: Evaluation) -> None:
        """Do the work here, or wait for the worker that was faster. Raises CommandError."""
        while Evaluation.objects.open().filter(pk=work.pk).exists():
            evaluate(work.pk)
            if Evaluation.objects.open().filter(pk=work.pk).exists():
                time.sleep(IDLE_S)
        work.refresh_from_db()
        if work.state != WorkState.DONE:
            why = one_line(work.error) or "it was stopped"
            raise CommandError(f"Evaluation {work.number} gave no result: {why}.")

    def interrupted(self) -> str:
        return "Stopped. What is trained stays; a worker goes on with the evaluation later."


def in_words(facts: dict[str, Any]) -> str:
    """Return the report as a table for a terminal."""
    counts = facts["counts"]
    head = (
        f"Evaluation {facts['evaluation']}: {counts['test']} real test images, {counts['real']} "
        f"real training images, {counts['approved']} approved, {counts['drawn']} drawn."
    )
    lines = [head]
    for one in facts["result"]["learners"].values():
        lines += ["", f"{one['title']}: {one['sentence']}"]
        for arm in one["arms"]:
            value, low, high = arm["accuracy"]
            lines.append(
                f"  {arm['title']:<34}{arm['train']:>7} images {value:>7.1%} "
                f"({low:.1%} to {high:.1%})"
            )
    return "\n".join(lines)
