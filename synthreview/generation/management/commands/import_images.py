"""`manage.py import_images DATASET FOLDER`: bring in images that somebody already has."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from synthreview.catalog.image_folders import (
    CannotImportError,
    Report,
    csv_classes,
    folder_classes,
    match_classes,
    read_csv,
    scan_folder,
)
from synthreview.catalog.management.base import DatasetCommand, find_dataset
from synthreview.generation.importing import import_images
from synthreview.prompting.techniques import TECHNIQUES

REFUSALS_SHOWN = 20


class Command(DatasetCommand):
    help = "Bring in PNG, JPEG and WebP images: a subfolder per class, or a CSV that says which."
    expected = (CannotImportError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("folder", type=Path)
        parser.add_argument(
            "--captions",
            type=Path,
            metavar="FILE.csv",
            help="columns file, class and, if wished, caption, technique, generator",
        )
        parser.add_argument(
            "--create-classes", action="store_true", help="make the classes that are not there"
        )

    def answer_to(
        self,
        *,
        dataset: str,
        folder: str | Path,
        captions: str | Path | None,
        create_classes: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        folder = Path(folder)
        if not folder.is_dir():
            raise CommandError(f"{folder} is no folder.")
        report = Report()
        table = Path(captions) if captions else None
        names = list(csv_classes(table)) if table else folder_classes(folder)
        with transaction.atomic():
            classes = match_classes(
                found,
                names,
                create=create_classes,
                report=report,
                hint="Rename it, or let --create-classes make it.",
            )
        steps = import_images(
            dataset=found,
            candidates=(
                read_csv(table, folder, report, techniques=TECHNIQUES)
                if table
                else scan_folder(folder, report)
            ),
            classes=classes,
            report=report,
        )
        try:
            with self.bar(total=self.count(folder, table), unit="files") as bar:
                for _ in steps:
                    bar.update(report.seen - bar.n)
        except OSError as error:
            raise CommandError(
                f"The import broke off after {report.imported} images: {error.strerror}. What is "
                "in is whole; run the same command again to go on."
            ) from error
        self.tell(found.slug, report, options)

    def count(self, folder: Path, table: Path | None) -> int | None:
        """Return how many files or lines there are, for the bar; None where nobody looks."""
        if not sys.stderr.isatty():
            return None
        if table:
            with table.open("rb") as file:
                return max(sum(1 for _ in file) - 1, 0)
        spare = Report()
        return sum(1 for _ in scan_folder(folder, spare)) + spare.seen

    def tell(self, slug: str, report: Report, options: dict[str, Any]) -> None:
        if not options["as_json"]:
            for where, why in report.refusals[:REFUSALS_SHOWN]:
                self.stderr.write(f"{where}: {why}")
            if report.refused > REFUSALS_SHOWN:
                self.stderr.write(f"… and {report.refused - REFUSALS_SHOWN} more")
        made = f"; made the classes {', '.join(report.new_classes)}" if report.new_classes else ""
        self.answer(
            {
                "dataset": slug,
                "run": report.run_number,
                "imported": report.imported,
                "already_there": report.already_there,
                "ignored": report.ignored,
                "refused": report.refused,
                "refusals": [{"where": where, "why": why} for where, why in report.refusals],
                "new_classes": report.new_classes,
            },
            f"{report.imported} images imported, {report.already_there} already there, "
            f"{report.ignored} other files ignored, {report.refused} refused{made}.",
            options,
        )

    def interrupted(self) -> str:
        return "Stopped. What is in is whole; run the same command again to go on."
