"""`manage.py coverage DATASET`: what is covered, and which cells are empty or thin."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset
from synthreview.overview.coverage import FLOOR, atlas_of, report


class Command(DatasetCommand):
    help = "Count what was asked, generated, approved and rejected, by class and axis value."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--axis", default="", help="this axis alone")
        parser.add_argument("--technique", default="", help="this technique alone")
        parser.add_argument(
            "--floor",
            type=int,
            default=FLOOR,
            help=f"so many approved images are enough for a cell; {FLOOR} where not given",
        )

    def answer_to(
        self, *, dataset: str, axis: str, technique: str, floor: int, **options: Any
    ) -> None:
        if floor < 1:
            raise CommandError("A cell needs 1 image at least: --floor 1 or more.")
        found = find_dataset(dataset)
        try:
            facts = report(atlas_of(found), found, axis=axis, technique=technique, floor=floor)
        except KeyError as error:
            raise CommandError(error.args[0]) from None
        self.answer(
            facts,
            f"{facts['empty']} cells are empty, {facts['thin']} thin, of {facts['cells']}.",
            options,
        )
