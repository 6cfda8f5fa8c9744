"""Verbs of export: freeze what may leave, and hand the written folder out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Max, Min
from django.utils.crypto import salted_hmac

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.storage import blobs
from synthreview.export.models import Export, ExportItem
from synthreview.export.splits import SPLITS, ratio_text, split_of
from synthreview.export.writers.base import ExportEntry, ExportFacts
from synthreview.export.zips import StillZip, zip_folder
from synthreview.generation.services import generator
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.review.certifying import (
    Certificate,
    Promise,
    certificate_of,
    open_certification,
    promise,
    unseen,
)
from synthreview.review.models import Decision, ImageReview, ImageState, Verdict
from synthreview.scoring.models import Score
from synthreview.work.services import enqueue_on_commit

PAGE = 1_000


class NothingApprovedError(ValueError):
    """There is nothing to export yet."""


@transaction.atomic
def freeze_export(
    *, dataset: Dataset, shares: Mapping[str, float], created_by: User | None = None
) -> Export:
    """Freeze what may leave at this moment and order its writing.

    That is what is approved; and, where the policy accepts it and the running certificate meets
    its target, what of the certificate's population nobody has decided on.
    Raises NothingApprovedError.
    """
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    promised = promise_of(dataset)
    rows = _exportable(dataset, promised)
    if promised:
        promised = promise_of_rows(promised.certificate, dataset, rows)
        if not promised.is_kept:  # people went on in this very moment
            promised, rows = None, [row for row in rows if row.decision]
    if not rows:
        raise NothingApprovedError("No image is approved yet: review some first.")
    last = Export.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
    export = Export.objects.create(
        dataset=dataset,
        number=last + 1,
        shares=dict(shares),
        item_count=len(rows),
        certificate=promised.sentence if promised else "",
        created_by=created_by,
    )
    ExportItem.objects.bulk_create(
        (
            ExportItem(
                export=export,
                image_id=row.image,
                decision_id=row.decision,
                position=position,
                split=split_of(row.family, shares),
                class_name=row.class_name,
                class_folder=row.class_folder,
            )
            for position, row in enumerate(rows)
        ),
        batch_size=500,
    )
    enqueue_on_commit([export])
    return export


@dataclass(frozen=True, slots=True)
class Exportable:
    """An image that may leave; `decision` approved it, None where nobody looked at it."""

    image: int
    family: UUID
    class_name: str
    class_folder: str
    certification: int | None
    decision: int | None


def _exportable(dataset: Dataset, promised: Promise | None) -> list[Exportable]:
    """Return what is approved and, where they are `promised`, the unseen; two queries."""
    chosen = ImageReview.objects.approved().filter(dataset=dataset)
    if promised:
        chosen |= unseen(promised.certificate.certification)
    found = chosen.order_by("image").values_list(
        "image",
        "image__family",
        "image__label_class__name",
        "image__label_class__slug",
        "certification",
        "state",
    )
    rows = list(found)
    decisions = dict(
        Decision.objects.filter(dataset=dataset, verdict=Verdict.APPROVE, slot_of__isnull=False)
        .values_list("image")
        .annotate(Min("pk"))
    )
    return [
        Exportable(image, family, name, folder, certification, decisions.get(image))
        for image, family, name, folder, certification, state in rows
        if state == ImageState.PENDING or image in decisions  # else undone in this moment
    ]


def promise_of(dataset: Dataset) -> Promise | None:
    """Return what lets unreviewed images into an export of this moment; None: none may be in it."""
    policy = dataset.policy
    certification = open_certification(dataset)
    if certification is None or not policy.accepts_unseen or policy.is_high_risk:
        return None
    found = promise(certificate_of(certification), reviews_per_image=policy.reviews_per_image)
    return found if found.unseen and found.is_kept else None


def promise_of_rows(certificate: Certificate, dataset: Dataset, rows: list[Exportable]) -> Promise:
    """Return what the certificate says of exactly these images."""
    inside = [row for row in rows if row.certification == certificate.certification.pk]
    return Promise(
        certificate=certificate,
        approved=sum(row.decision is not None for row in inside),
        unseen=sum(row.decision is None for row in inside),
        outside=len(rows) - len(inside),
        reviews_per_image=dataset.policy.reviews_per_image,
    )


def folder_of(export: Export) -> Path:
    """Return where the finished folder lies."""
    return Path(settings.EXPORTS_DIR) / export.folder_name


def entries_of(export: Export) -> Iterator[ExportEntry]:
    """Yield the export's images in their frozen order, a page of rows at a time."""
    last = -1
    while True:
        page = list(
            export.items.filter(position__gt=last)
            .select_related("export", "image__prompt", "decision")
            .order_by("position")[:PAGE]
        )
        if not page:
            return
        scores = _scores_of(page)
        for item in page:
            yield _entry(item, scores.get(item.image_id))
        last = page[-1].position


def _scores_of(items: list[ExportItem]) -> dict[int, Score]:
    """Return each image's latest score that applies."""
    scores = Score.objects.filter(image__in=[item.image_id for item in items], applies=True)
    return {score.image_id: score for score in scores.select_related("version").order_by("pk")}


def pseudonym(dataset_id: int, reviewer_id: int) -> str:
    """Return one name per person and dataset, from which nobody outside can tell the person."""
    digest = salted_hmac("export-reviewer", f"{dataset_id}:{reviewer_id}", algorithm="sha256")
    return f"reviewer-{digest.hexdigest()[:8]}"


def _entry(item: ExportItem, score: Score | None) -> ExportEntry:
    image = item.image
    history = {
        "caption": image.caption,
        "technique": image.technique,
        "slots": image.prompt.slots if image.prompt else {},
        "prompt_author": image.prompt.author if image.prompt else "",
        "generator": image.generator,
        "model": image.model,
        "model_version": image.model_version,
        "seed": image.seed,
        "family": str(image.family),
        "width": image.width,
        "height": image.height,
        "source_name": image.source_name,
        "score": None if score is None or score.value is None else round(score.value, 5),
        "scorer": "" if score is None else str(score.version),
        "scorer_weights_sha256": "" if score is None else score.version.weights_sha256,
        **_judgement(item),
    }
    return ExportEntry(
        source=blobs().path(image.sha256),
        sha256=image.sha256,
        byte_count=image.byte_count,
        media_type=image.media_type,
        split=item.split,
        class_name=item.class_name,
        class_folder=item.class_folder,
        stem=f"{image.pk:08d}",
        history=history,
    )


def _judgement(item: ExportItem) -> dict[str, Any]:
    decision = item.decision
    if decision is None:
        return {"reviewed": False, "guideline_version": None, "decided_at": None, "reviewer": ""}
    return {
        "reviewed": True,
        "guideline_version": decision.guideline_version,
        "decided_at": decision.created_at.isoformat(timespec="seconds"),
        "reviewer": pseudonym(item.export.dataset_id, decision.reviewer_id),
    }


def facts_of(export: Export) -> ExportFacts:
    """Return what the card of the export says."""
    splits, rows = counts_of(export)
    counts = {row.name: dict(zip(splits, row.by_split, strict=True)) for row in rows}
    dataset = export.dataset
    definitions = dict(dataset.classes.values_list("name", "definition"))
    generators = sorted(
        set(export.items.order_by().values_list("image__generator", flat=True).distinct())
    )
    reviewed = export.items.order_by().filter(decision__isnull=False)
    reviewers = reviewed.values("decision__reviewer").distinct().count()
    return ExportFacts(
        title=dataset.name,
        number=export.number,
        description=dataset.description,
        created=export.created_at.date().isoformat(),
        classes={name: definitions.get(name, "") for name in counts},
        counts=counts,
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


def _notice(alias: str) -> str:
    try:
        return generator(alias).notice
    except UnknownAdapterError:  # imported images, or a generator since removed
        return ""


def zip_of(export: Export) -> StillZip:
    """Return the finished folder as a zip that is written while it is sent."""
    return zip_folder(folder_of(export), export.folder_name)


@dataclass(frozen=True, slots=True)
class ClassCounts:
    """How many images of a class an export holds, by split."""

    name: str
    by_split: list[int]
    total: int


def approved_by_class(dataset: Dataset) -> list[tuple[str, int]]:
    """Return (class, approved images) for every class, in the dataset's order."""
    counts = dict(
        ImageReview.objects.approved()
        .filter(dataset=dataset)
        .values_list("image__label_class")
        .annotate(Count("pk"))
    )
    classes = dataset.classes.order_by("position", "pk").values_list("pk", "name")
    return [(name, counts.get(pk, 0)) for pk, name in classes]


def counts_of(export: Export) -> tuple[list[str], list[ClassCounts]]:
    """Return the splits in use, and the counts of each class; one query."""
    rows = export.items.order_by().values_list("class_name", "split").annotate(Count("pk"))
    counts: dict[str, dict[str, int]] = defaultdict(dict)
    for class_name, split, count in rows:
        counts[class_name][split] = count
    splits = [split for split in SPLITS if any(split in of for of in counts.values())]
    return splits, [
        ClassCounts(name, [of.get(split, 0) for split in splits], sum(of.values()))
        for name, of in sorted(counts.items())
    ]


def notices_of(export: Export) -> list[str]:
    """Return what a person must know of the generators of these images; one query."""
    aliases = export.items.order_by().values_list("image__generator", flat=True).distinct()
    return [notice for alias in sorted(aliases) if (notice := _notice(alias))]
