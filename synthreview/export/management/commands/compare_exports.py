"""`manage.py compare_exports DATASET BEFORE AFTER`: what changed from one export to another."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset, listed
from synthreview.catalog.models import Dataset
from synthreview.export.comparing import compare
from synthreview.export.models import Export
from synthreview.work.models import WorkState


class Command(DatasetCommand):
    help = "Say which images two exports do not share, and which changed label or split."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("before", type=int, help="number of the earlier export")
        parser.add_argument("after", type=int, help="number of the later export")

    def answer_to(self, *, dataset: str, before: int, after: int, **options: Any) -> None:
        found = find_dataset(dataset)
        comparison = compare(find_export(found, before), find_export(found, after))
        self.answer(
            {"dataset": found.slug} | comparison.as_json(),
            f"From export {before} to {after}: {comparison.added_count} added, "
            f"{comparison.removed_count} removed, {comparison.relabelled_count} with another "
            f"label, {comparison.moved_count} in another split.",
            options,
        )


def find_export(dataset: Dataset, number: int) -> Export:
    """Return the frozen export of that number. Raises CommandError, which lists those there are."""
    exports = Export.objects.filter(dataset=dataset, state=WorkState.DONE)
    found: Export | None = exports.filter(number=number).first()
    if found is None:
        known = listed(exports.order_by("number").values_list("number", flat=True))
        raise CommandError(
            f"{dataset.name} has no frozen export {number}; it has: {known or 'none yet'}."
        )
    return found
