"""Making the frozen list: what may leave becomes items, their histories a file, the whole facts.

Called by the job. Written in small batches, because on SQLite a long one stops every reviewer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.db.models import Min

from synthreview.export.collecting import Exportable, collect
from synthreview.export.frozen_list import write_list
from synthreview.export.models import Export, ExportItem
from synthreview.export.records import list_rows
from synthreview.export.services import (
    NothingApprovedError,
    counts_of,
    lists_folder,
    notices_of,
)
from synthreview.export.splits import SPLITS, ratio_text, split_of
from synthreview.export.writers.base import ClassFacts, ExportFacts

BATCH = 500


def make_items(export: Export, beat: Callable[[], None]) -> str:
    """Write the items of what may leave now; return what vouches for the unreviewed among them.

    What a try that was cut off left is removed first. `beat` is called after each batch, and
    raises where the work went to another worker. Raises NothingApprovedError.
    """
    while leftover := list(export.items.values_list("pk", flat=True)[:BATCH]):
        ExportItem.objects.filter(pk__in=leftover).delete()
        beat()
    rows, promised = collect(export.dataset)
    if not rows:
        raise NothingApprovedError("No image is approved any more: review some first.")
    splits = {row.image: split_of(row.family, export.shares) for row in rows}
    # Mixed within a split: shards are read from front to back.
    rows.sort(key=lambda row: (SPLITS.index(splits[row.image]), row.sha256, row.image))
    for start in range(0, len(rows), BATCH):
        ExportItem.objects.bulk_create(
            _item(export, position, row, splits[row.image])
            for position, row in enumerate(rows[start : start + BATCH], start)
        )
        beat()
    return promised.sentence if promised else ""


def _item(export: Export, position: int, row: Exportable, split: str) -> ExportItem:
    return ExportItem(
        export=export,
        image_id=row.image,
        decision_id=row.decision,
        looks=[look.decision for look in row.looks],
        position=position,
        split=split,
        class_name=row.class_name,
        class_folder=row.class_folder,
    )


def make_list(export: Export, beat: Callable[[], None]) -> str:
    """Write the frozen list's file; return its checksum. Raises OSError."""

    def rows() -> Any:
        for number, row in enumerate(list_rows(export), start=1):
            yield row
            if number % BATCH == 0:
                beat()

    return write_list(lists_folder(), rows(), work=f"export-{export.pk}")


def facts_of(export: Export) -> ExportFacts:
    """Return what the card of the export says, looked up as it is now."""
    splits, rows = counts_of(export)
    dataset = export.dataset
    folders = dict(
        export.items.order_by().values_list("class_name").annotate(folder=Min("class_folder"))
    )
    definitions = dict(dataset.classes.values_list("name", "definition"))
    generators = sorted(
        set(export.items.order_by().values_list("image__generator", flat=True).distinct())
    )
    reviewed = export.items.order_by().filter(decision__isnull=False)
    reviewers = reviewed.values("decision__reviewer").distinct().count()
    frozen_at = export.frozen_at or export.created_at
    return ExportFacts(
        title=dataset.name,
        number=export.number,
        description=dataset.description,
        created=frozen_at.date().isoformat(),
        classes=tuple(
            ClassFacts(name, folder, definitions.get(name, ""))
            for name, folder in sorted(folders.items(), key=lambda pair: pair[1])
        ),
        splits=tuple(splits),
        counts={row.name: dict(zip(splits, row.by_split, strict=True)) for row in rows},
        notices=tuple(notices_of(export)),
        unreviewed=export.item_count - reviewed.count(),
        review={
            "reviews per image": dataset.policy.reviews_per_image,
            "reviewers": reviewers,
            "label error": export.certificate
            or "not certified: each label is as judged by "
            + ("one reviewer" if dataset.policy.reviews_per_image == 1 else "its reviewers"),
            "generators": ", ".join(generators),
            "splits": ratio_text(export.shares),
        },
    )


def frozen_facts(export: Export) -> ExportFacts:
    """Return what was frozen with the list."""
    known = dict(export.facts)
    known["classes"] = tuple(ClassFacts(**row) for row in known["classes"])
    return ExportFacts(**known | {name: tuple(known[name]) for name in ("splits", "notices")})


def facts_as_json(export: Export) -> dict[str, Any]:
    """Return the facts as they are kept in the row."""
    return asdict(facts_of(export))
