"""Two exports of one dataset beside each other: what came, what went, what changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import F, OuterRef, QuerySet, Subquery

from synthreview.export.models import Export, ExportItem

LISTED = 200


@dataclass(frozen=True, slots=True)
class Change:
    """One image that is in both with another label or split."""

    image: int
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a later export has that an earlier one had not; lists hold the first two hundred.

    `relabelled` and `moved` are images of both, whose class or split is another one.
    """

    before: Export
    after: Export
    added_count: int
    removed_count: int
    relabelled_count: int
    moved_count: int
    added: list[int]
    removed: list[int]
    relabelled: list[Change]
    moved: list[Change]

    @property
    def is_same(self) -> bool:
        return not (
            self.added_count or self.removed_count or self.relabelled_count or self.moved_count
        )

    def as_json(self) -> dict[str, Any]:
        """Return the comparison for scripts."""
        return {
            "before": self.before.number,
            "after": self.after.number,
            "added": {"count": self.added_count, "images": self.added},
            "removed": {"count": self.removed_count, "images": self.removed},
            "relabelled": {"count": self.relabelled_count, "images": _as_json(self.relabelled)},
            "moved": {"count": self.moved_count, "images": _as_json(self.moved)},
            "listed_at_most": LISTED,
        }


def compare(before: Export, after: Export) -> Comparison:
    """Return what changed from one export to another of the same dataset; eight queries.

    Classes are told by their folders' names, so that one that only got another name stays.
    """
    added = _not_in(after, before)
    removed = _not_in(before, after)
    relabelled = _changed(before, after, "class_folder")
    moved = _changed(before, after, "split")
    return Comparison(
        before=before,
        after=after,
        added_count=added.count(),
        removed_count=removed.count(),
        relabelled_count=relabelled.count(),
        moved_count=moved.count(),
        added=list(added.values_list("image", flat=True)[:LISTED]),
        removed=list(removed.values_list("image", flat=True)[:LISTED]),
        relabelled=_listed(relabelled, "class_name"),
        moved=_listed(moved, "split"),
    )


def _not_in(export: Export, other: Export) -> QuerySet[ExportItem]:
    there = ExportItem.objects.filter(export=other).values("image")
    return ExportItem.objects.filter(export=export).exclude(image__in=there).order_by("image_id")


def _changed(before: Export, after: Export, field: str) -> QuerySet[ExportItem, Any]:
    there = ExportItem.objects.filter(export=before, image=OuterRef("image"))
    names = {"class_folder": "class_name"}
    return (
        ExportItem.objects.filter(export=after)
        .annotate(
            was=Subquery(there.values(field)[:1]),
            was_called=Subquery(there.values(names.get(field, field))[:1]),
        )
        .filter(was__isnull=False)
        .exclude(was=F(field))
        .order_by("image_id")
    )


def _listed(changed: QuerySet[ExportItem, Any], field: str) -> list[Change]:
    rows = changed.values_list("image", "was_called", field)[:LISTED]
    return [Change(*row) for row in rows]


def _as_json(changes: list[Change]) -> list[dict[str, Any]]:
    return [{"id": one.image, "before": one.before, "after": one.after} for one in changes]
