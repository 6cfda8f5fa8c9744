"""What may leave at one moment: the approved, and what a met certificate vouches for."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from uuid import UUID

from django.db.models import F

from synthreview.catalog.models import Dataset
from synthreview.review.certifying import certificate_of, open_certification
from synthreview.review.models import Decision, ImageReview, ImageState, Purpose, Verdict
from synthreview.review.promises import Promise, promise, unseen


@dataclass(frozen=True, slots=True)
class Look:
    """One person's word that counts."""

    decision: int
    is_approval: bool


@dataclass(frozen=True, slots=True)
class Exportable:
    """An image that may leave; nobody looked at it where it has no looks."""

    image: int
    sha256: str
    family: UUID
    class_name: str
    class_folder: str
    certification: int | None
    looks: tuple[Look, ...]

    @property
    def decision(self) -> int | None:
        """Return the first approval; None where nobody looked."""
        return next((look.decision for look in self.looks if look.is_approval), None)


def collect(dataset: Dataset) -> tuple[list[Exportable], Promise | None]:
    """Return what may leave at this moment, and what vouches for the unreviewed among it.

    A few queries, each one statement: no transaction stays open while people review.
    """
    promised = promise_of(dataset)
    rows = _exportable(dataset, promised)
    if promised:
        promised = promise_of_rows(promised, rows)
        if not promised.is_kept:  # people went on in this very moment
            promised, rows = None, [row for row in rows if row.looks]
    return rows, promised


def _exportable(dataset: Dataset, promised: Promise | None) -> list[Exportable]:
    """Return what is approved and, where they are `promised`, the unseen; two queries."""
    chosen = ImageReview.objects.approved().filter(dataset=dataset)
    if promised:
        chosen |= unseen(promised.certificate.certification)
    found = chosen.order_by("image").values_list(
        "image",
        "image__sha256",
        "image__family",
        "image__label_class__name",
        "image__label_class__slug",
        "cohort__certification",
        "state",
    )
    rows = list(found)
    looks: dict[int, list[Look]] = defaultdict(list)
    counting = Decision.objects.filter(
        dataset=dataset,
        verdict__in=[Verdict.APPROVE, Verdict.REJECT],
        slot_of__isnull=False,
        round=F("image__review__round"),
    ).exclude(purpose=Purpose.GOLD)
    for pk, image, verdict in counting.order_by("pk").values_list("pk", "image", "verdict"):
        looks[image].append(Look(pk, verdict == Verdict.APPROVE))
    return [
        Exportable(image, sha256, family, name, folder, certification, tuple(looks[image]))
        for image, sha256, family, name, folder, certification, state in rows
        # Else it was undone, or rejected, in this moment.
        if any(look.is_approval for look in looks[image])
        or (state == ImageState.PENDING and not looks[image])
    ]


def promise_of(dataset: Dataset) -> Promise | None:
    """Return what lets unreviewed images into an export of this moment; None: none may be in it."""
    policy = dataset.policy
    certification = open_certification(dataset)
    if certification is None or not policy.accepts_unseen or policy.is_high_risk:
        return None
    found = promise(certificate_of(certification), reviews_per_image=policy.reviews_per_image)
    return found if found.unseen and found.is_kept else None


def promise_of_rows(promised: Promise, rows: list[Exportable]) -> Promise:
    """Return what the certificate says of exactly these images."""
    certification = promised.certificate.certification.pk
    inside = [row for row in rows if row.certification == certification]
    return replace(
        promised,
        approved=sum(bool(row.looks) for row in inside),
        unseen=sum(not row.looks for row in inside),
        outside=len(rows) - len(inside),
    )
