"""`manage.py import_references DATASET FOLDER --use test`: bring in one's own real images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from synthreview.catalog.image_folders import (
    CannotImportError,
    Report,
    folder_classes,
    match_classes,
    scan_folder,
)
from synthreview.catalog.management.base import DatasetCommand, find_dataset
from synthreview.catalog.models import ReferenceUse
from synthreview.catalog.references import import_references

REFUSALS_SHOWN = 20


class Command(DatasetCommand):
    help = "Bring in real images, a subfolder per class: sources, a training or a test set."
    expected = (CannotImportError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path)
        parser.add_argument("--use", required=True, choices=ReferenceUse.values)

    def answer_to(self, *, dataset: str, folder: str | Path, use: str, **options: Any) -> None:
        found = find_dataset(dataset)
        folder = Path(folder)
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder.")
        report = Report()
        with transaction.atomic():
            classes = match_classes(found, folder_classes(folder), create=False, report=report)
        try:
            with self.bar(total=None, unit="files") as bar:
                for _ in import_references(
                    dataset=found,
                    candidates=scan_folder(folder, report),
                    classes=classes,
                    use=use,
                    report=report,
                ):
                    bar.update(report.seen - bar.n)
        except OSError as error:
            raise CommandError(
                f"The import broke off after {report.imported} images: {error.strerror}. What is "
                "in is whole; run the same command again to go on."
            ) from error
        if not options["as_json"]:
            for where, why in report.refusals[:REFUSALS_SHOWN]:
                self.stderr.write(f"{where}: {why}")
        self.answer(
            {
                "dataset": found.slug,
                "use": use,
                "imported": report.imported,
                "already_there": report.already_there,
                "ignored": report.ignored,
                "refused": report.refused,
                "refusals": [list(pair) for pair in report.refusals],
            },
            f"{report.imported} real images imported as {ReferenceUse(use).label}, "
            f"{report.already_there} already there, {report.ignored} other files ignored, "
            f"{report.refused} refused.",
            options,
        )

    def interrupted(self) -> str:
        return "Stopped. What is in is whole; run the same command again to go on."
