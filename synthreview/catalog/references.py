"""The user's own real images: brought in for one use each, and kept apart for ever."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from itertools import islice

from django.db import transaction
from django.db.models import ProtectedError

from synthreview.catalog.image_folders import Candidate, RefusedFileError, Report
from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage, ReferenceUse
from synthreview.catalog.storage import FAMILIES, store_image
from synthreview.lib.images import BadImageError
from synthreview.trail.acts import Act
from synthreview.trail.services import many, record

BATCH = 100


def add_reference(
    *, dataset: Dataset, label_class: LabelClass, use: str, data: bytes, name: str
) -> ReferenceImage | None:
    """Store one real image; None where it is there already, for the same use and class.

    Raises BadImageError, RefusedFileError (there with another use or class), OSError.
    """
    sha256, decoded = store_image(data)
    with transaction.atomic():
        # The lock keeps one picture from coming in twice at once, with two uses.
        Dataset.objects.select_for_update().get(pk=dataset.pk)
        there = ReferenceImage.objects.filter(dataset=dataset, sha256=sha256).first()
        if there is None:
            return ReferenceImage.objects.create(
                dataset=dataset,
                label_class=label_class,
                use=use,
                source_name=name[-400:],
                sha256=sha256,
                media_type=decoded.media_type,
                byte_count=len(data),
                width=decoded.width,
                height=decoded.height,
                family=uuid.uuid5(FAMILIES, sha256),
            )
    if there.use != use:
        known = ReferenceUse(there.use).label
        raise RefusedFileError(f"the same picture is there already, as {known}: one use only")
    if there.label_class_id != label_class.pk:
        raise RefusedFileError(f"the same picture is there already, as {there.label_class.name!r}")
    return None


def import_references(
    *,
    dataset: Dataset,
    candidates: Iterator[Candidate],
    classes: Mapping[str, LabelClass],
    use: str,
    report: Report,
) -> Iterator[Report]:
    """Bring in the candidates one by one, and yield the report now and then.

    `classes` maps a class's name, case folded, to its row. Raises OSError where the store
    cannot be written: what is in by then is whole, and running again goes on.
    """
    while batch := list(islice(candidates, BATCH)):
        before = report.imported
        for candidate in batch:
            try:
                data = candidate.path.read_bytes()
            except OSError as error:
                report.refuse(candidate.where, f"it cannot be read: {error.strerror}")
                continue
            try:
                added = add_reference(
                    dataset=dataset,
                    label_class=classes[candidate.class_name.casefold()],
                    use=use,
                    data=data,
                    name=candidate.name,
                )
            except (BadImageError, RefusedFileError) as error:
                report.refuse(candidate.where, error)
            else:
                report.imported += added is not None
                report.already_there += added is None
        if count := report.imported - before:
            facts = {"count": count, "use": str(use)}
            record(Act.REFERENCES_ADDED, dataset, dataset=dataset.pk, after=facts)
        yield report


@transaction.atomic
def remove_references(rows: list[ReferenceImage]) -> int:
    """Take real images out, those apart that something was made of; returns how many went."""
    gone = []
    for row in rows:
        key = row.pk
        try:
            row.delete()
        except ProtectedError:
            continue
        gone.append(key)
    if gone:
        dataset = rows[0].dataset
        record(Act.REFERENCES_REMOVED, dataset, dataset=dataset.pk, before=many(gone))
    return len(gone)
