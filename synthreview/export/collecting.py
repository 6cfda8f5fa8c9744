"""What may leave at one moment: the approved, and what a met certificate vouches for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from django.db.models import F, Q

from synthreview.catalog.models import Dataset
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.certifying import certificate_of, open_certification
from synthreview.review.models import (
    Certification,
    Decision,
    ImageReview,
    ImageState,
    Purpose,
    Verdict,
)
from synthreview.review.promises import Promise, promise
from synthreview.review.threshold_rules import rule_promise


class SelectionError(ValueError):
    """A filter that cannot be; the message names what is known."""


# How an image came to be let out, and so what one may ask of it.
ONE, AGREED, SETTLED, UNREVIEWED = "one", "agreed", "settled", "unreviewed"
DECISIONS = {
    ONE: "approved by one person",
    AGREED: "approved by several, all of one mind",
    SETTLED: "approved in the end, though somebody rejected it",
    UNREVIEWED: "not looked at, under a certificate",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """Which of what may leave is wanted; an empty filter wants all.

    `classes` are slugs. `max_error` (0..1) wants only images that a certificate covers which
    says, with at least `min_confidence`, that no larger share of its labels is wrong.
    Raises SelectionError for an unknown technique or decision, or a number out of its range.
    """

    classes: tuple[str, ...] = ()
    techniques: tuple[str, ...] = ()
    generators: tuple[str, ...] = ()
    decisions: tuple[str, ...] = ()
    max_error: float | None = None
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        for wanted, known in ((self.techniques, TECHNIQUES), (self.decisions, DECISIONS)):
            if unknown := [name for name in wanted if name not in known]:
                raise SelectionError(f"{unknown[0]!r} is not one of {', '.join(known)}.")
        if self.max_error is not None and not 0 < self.max_error < 1:
            raise SelectionError(f"{self.max_error}: an error lies between 0 and 1.")
        if not 0 <= self.min_confidence < 1:
            raise SelectionError(f"{self.min_confidence}: a confidence lies from 0 to below 1.")

    def as_json(self) -> dict[str, Any]:
        return {name: value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Selection:
        lists = ("classes", "techniques", "generators", "decisions")
        return cls(**dict(known) | {name: tuple(known[name]) for name in lists if name in known})

    def in_words(self) -> list[str]:
        """Return one line for each filter that is set."""
        words = [
            f"{name}: {', '.join(wanted)}"
            for name, wanted in (
                ("classes", self.classes),
                ("techniques", self.techniques),
                ("generators", self.generators),
                ("decisions", tuple(DECISIONS[name] for name in self.decisions)),
            )
            if wanted
        ]
        if self.max_error is not None:
            confidence = f" with confidence {self.min_confidence:g}" if self.min_confidence else ""
            words.append(f"certified to at most {self.max_error:g} wrong labels{confidence}")
        return words


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
    class_name: str
    class_folder: str
    certification: int | None
    looks: tuple[Look, ...]

    @property
    def decision(self) -> int | None:
        """Return the first approval; None where nobody looked."""
        return next((look.decision for look in self.looks if look.is_approval), None)

    @property
    def kind(self) -> str:
        """Return which of DECISIONS let it out."""
        if not self.looks:
            return UNREVIEWED
        if not all(look.is_approval for look in self.looks):
            return SETTLED
        return ONE if len(self.looks) == 1 else AGREED


EVERYTHING = Selection()


def collect(
    dataset: Dataset, selection: Selection = EVERYTHING
) -> tuple[list[Exportable], Promise | None]:
    """Return what of the selection may leave at this moment, and what vouches for the unreviewed.

    A few queries, each one statement: no transaction stays open while people review.
    """
    promised = promise_of(dataset)
    rows = _exportable(dataset, promised, selection)
    if promised:
        promised = promise_of_rows(promised, rows)
        if not promised.is_kept:  # people went on in this very moment
            promised, rows = None, [row for row in rows if row.looks]
    return rows, promised


def _exportable(
    dataset: Dataset, promised: Promise | None, selection: Selection
) -> list[Exportable]:
    """Return what is approved and, where they are `promised`, the unseen; two queries or more."""
    chosen = ImageReview.objects.approved().filter(dataset=dataset)
    if promised:
        chosen |= promised.unseen_reviews
    found = (
        chosen.filter(_wanted(dataset, selection))
        .order_by("image")
        .values_list(
            "image",
            "image__sha256",
            "image__label_class__name",
            "image__label_class__slug",
            "cohort__certification",
            "state",
        )
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
    exportable = [
        Exportable(image, sha256, name, folder, certification, tuple(looks[image]))
        for image, sha256, name, folder, certification, state in rows
        # Else it was undone, or rejected, in this moment.
        if any(look.is_approval for look in looks[image])
        or (state == ImageState.PENDING and not looks[image])
    ]
    if not selection.decisions:
        return exportable
    return [row for row in exportable if row.kind in selection.decisions]


def _wanted(dataset: Dataset, selection: Selection) -> Q:
    """Return the filters on ImageReview; those on decisions come later."""
    wanted = Q()
    if selection.classes:
        wanted &= Q(image__label_class__slug__in=selection.classes)
    if selection.techniques:
        wanted &= Q(image__technique__in=selection.techniques)
    if selection.generators:
        wanted &= Q(image__generator__in=selection.generators)
    if selection.max_error is not None:
        certified = [
            one.pk
            for one in Certification.objects.filter(dataset=dataset)
            if one.confidence >= selection.min_confidence
            and certificate_of(one).bound.error <= selection.max_error
        ]
        wanted &= Q(cohort__certification__in=certified)
    return wanted


def promise_of(dataset: Dataset) -> Promise | None:
    """Return what lets unreviewed images into an export of this moment; None: none may be in it."""
    policy = dataset.policy
    certification = open_certification(dataset)
    if certification is None or not policy.accepts_unseen or policy.is_high_risk:
        return None
    certificate = certificate_of(certification)
    found = promise(certificate, reviews_per_image=policy.reviews_per_image)
    if found.unseen and found.is_kept:
        return found
    ruled = rule_promise(certificate, reviews_per_image=policy.reviews_per_image)
    return ruled if ruled and ruled.unseen and ruled.is_kept else None


def running_promise(dataset: Dataset) -> Promise | None:
    """Return what the running certificate says, whether or not anything rests on it."""
    certification = open_certification(dataset)
    if certification is None:
        return None
    return promise(
        certificate_of(certification), reviews_per_image=dataset.policy.reviews_per_image
    )


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
