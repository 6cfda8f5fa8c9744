"""The populations of the certificate: frozen with their lots, extended, and left by images.

An image is in one cohort at most. What leaves a cohort before the certificate ends has a
Departure, so that the bound can be computed again from the rows. docs/certificate.md tells why.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from secrets import SystemRandom

from django.db import transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.review.certificate import Stream
from synthreview.review.models import (
    Certification,
    Cohort,
    Decision,
    Departure,
    ImageReview,
    ImageState,
    Purpose,
    ReviewSlot,
    SlotState,
)
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record

BATCH = 200
CHANCE = SystemRandom()
BAD = {ImageState.APPROVED: False, ImageState.REJECTED: True}


class CertificationError(ValueError):
    """The certificate cannot be started or extended; the message says why, in plain words."""


# --- Start and end --------------------------------------------------------------


@transaction.atomic
def start_certification(*, dataset: Dataset, user: User | None = None) -> Certification:
    """Freeze what nobody has been handed yet as a population, and draw its lots.

    Raises CertificationError where one runs already, or nothing waits.
    """
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    if open_certification(dataset):
        raise CertificationError("A certificate runs already: end it first.")
    last = Certification.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"]
    certification = Certification.objects.create(
        dataset=dataset,
        number=(last or 0) + 1,
        target_error=dataset.policy.target_error,
        confidence=dataset.policy.confidence,
        started_by=user,
    )
    cohort = _freeze(certification, reason="at the start")
    certification.refresh_from_db()
    promised = facts(certification, "target_error", "confidence")
    after = promised | {"population": cohort.population}
    record(Act.CERTIFICATE_STARTED, certification, after=after, by=user)
    return certification


@transaction.atomic
def extend_certification(certification: Certification, *, reason: str = "") -> Cohort:
    """Freeze what came since and nobody has been handed as one more population.

    Raises CertificationError where the certificate has ended, or nothing waits.
    """
    Dataset.objects.select_for_update().get(pk=certification.dataset_id)
    certification.refresh_from_db()
    if certification.ended_at:
        raise CertificationError("This certificate has ended: start another one.")
    cohort = _freeze(certification, reason=reason or "came later")
    after = {"population": cohort.population, "reason": cohort.reason}
    record(Act.CERTIFICATE_EXTENDED, certification, after=after)
    return cohort


def _freeze(certification: Certification, *, reason: str) -> Cohort:
    """Make the cohort and give each of its images its places in the draws."""
    last = certification.cohorts.aggregate(last=Max("number"))["last"]
    cohort = Cohort.objects.create(
        certification=certification, number=(last or 0) + 1, population=0, reason=reason
    )
    # Asked again with each write: on PostgreSQL an image may be handed out in between.
    untouched = ReviewSlot.objects.filter(state=SlotState.WAITING, handed_at__isnull=True)
    strata: Counter[tuple[str, str]] = Counter()
    last_pk = 0
    waiting = _untouched(certification.dataset).select_related("label_class")
    while batch := list(waiting.filter(pk__gt=last_pk).order_by("pk")[:BATCH]):
        for slot in batch:
            slot.lottery, slot.class_lottery = CHANCE.random(), CHANCE.random()
        untouched.bulk_update(batch, ["lottery", "class_lottery"])
        drawn = untouched.filter(pk__in=[slot.pk for slot in batch], lottery__isnull=False)
        images = set(drawn.values_list("image", flat=True))
        ImageReview.objects.filter(image__in=images).update(cohort=cohort)
        strata.update(
            (slot.label_class.name, slot.technique) for slot in batch if slot.image_id in images
        )
        last_pk = batch[-1].pk
    cohort.population = strata.total()
    if not cohort.population:
        raise CertificationError(
            "No image waits that nobody has been handed yet: there is nothing to certify."
        )
    cohort.strata = [
        [name, technique, count] for (name, technique), count in sorted(strata.items())
    ]
    cohort.save(update_fields=["population", "strata"])
    cohort.refresh_from_db()
    return cohort


def _untouched(dataset: Dataset) -> QuerySet[ReviewSlot]:
    """Return the first look of each image that nobody was handed in its present round."""
    handed = ReviewSlot.objects.filter(image=OuterRef("image"), round=OuterRef("round")).exclude(
        state=SlotState.WAITING, handed_at__isnull=True
    )
    said = Decision.objects.filter(image=OuterRef("image"), round=OuterRef("round"))
    return ReviewSlot.objects.filter(
        ~Exists(handed),
        ~Exists(said),
        Q(image__review__cohort__isnull=True)
        | Q(image__review__cohort__certification__ended_at__isnull=False),
        dataset=dataset,
        number=1,
        purpose=Purpose.LOOK,
        round=F("image__review__round"),
        image__review__state=ImageState.PENDING,
    )


def waiting_outside(dataset: Dataset) -> int:
    """Return how many images wait that nobody was handed and no running certificate counts."""
    return _untouched(dataset).count()


@transaction.atomic
def end_certification(certification: Certification) -> None:
    """End it; what nobody was handed yet leaves the draw. Ending it twice changes nothing."""
    ended = Certification.objects.filter(pk=certification.pk, ended_at__isnull=True)
    if ended.update(ended_at=Now()):
        ReviewSlot.objects.filter(
            dataset=certification.dataset,
            lottery__isnull=False,
            handed_at__isnull=True,
            stream=Stream.TARGETED.value,
        ).update(lottery=None, class_lottery=None)
        QualityPolicy.objects.filter(dataset=certification.dataset).update(steered_audit_share=None)
    certification.refresh_from_db()


def open_certification(dataset: Dataset) -> Certification | None:
    """Return the certificate that runs, if one does."""
    return Certification.objects.filter(dataset=dataset, ended_at__isnull=True).first()


# --- Leaving --------------------------------------------------------------------------


@transaction.atomic
def depart(images: Iterable[int], *, reason: str) -> int:
    """Let images leave the running certificate's population; returns how many were in it.

    What had come of those that were handed out stays counted; of the others nobody knows.
    """
    inside = ImageReview.objects.filter(
        image__in=list(images), cohort__certification__ended_at__isnull=True
    ).exclude(cohort__isnull=True)
    states = {review.image_id: review for review in inside.select_related("cohort")}
    firsts = ReviewSlot.objects.filter(
        image__in=states, number=1, purpose=Purpose.LOOK, round=F("image__review__round")
    )
    departures = []
    for slot in firsts:
        review = states[slot.image_id]
        assert review.cohort
        departures.append(
            Departure(
                cohort=review.cohort,
                image_id=slot.image_id,
                handed_at=slot.handed_at,
                lottery=slot.lottery,
                stream=slot.stream,
                is_bad=BAD.get(ImageState(review.state)) if slot.handed_at else None,
                reason=reason[:120],
            )
        )
    Departure.objects.bulk_create(departures)
    ImageReview.objects.filter(image__in=states).update(cohort=None)
    firsts.filter(handed_at__isnull=True).update(lottery=None, class_lottery=None)
    return len(departures)
