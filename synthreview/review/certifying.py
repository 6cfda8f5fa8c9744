"""Verbs of the certificate: freeze a population, and say what is certain of it now.

The statistics are certificate.py's; here rows become looks. Nothing is stored: the certificate is
a function of the rows, so that an undone decision changes it. docs/certificate.md tells it all.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, Exists, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.review.certificate import Bound, Look, Stream, audits_until, running_bound
from synthreview.review.intake import BATCH
from synthreview.review.models import (
    Certification,
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
)
from synthreview.review.queue import CHANCE

FINAL = {ImageState.APPROVED, ImageState.REJECTED}
HISTORY_POINTS = 24


class CertificationError(ValueError):
    """The certificate cannot be started; the message says why, in plain words."""


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
        population=0,
        started_by=user,
    )
    certification.population = _draw_lots(certification)
    if not certification.population:
        raise CertificationError(
            "No image waits that nobody has been handed yet: there is nothing to certify."
        )
    certification.save(update_fields=["population"])
    certification.refresh_from_db()
    return certification


def _draw_lots(certification: Certification) -> int:
    """Give every image that nobody was handed its place in the draw; returns how many."""
    handed = ReviewSlot.objects.filter(image=OuterRef("image")).exclude(
        state=SlotState.WAITING, handed_at__isnull=True
    )
    untouched = ReviewSlot.objects.filter(
        ~Exists(handed),
        ~Exists(Decision.objects.filter(image=OuterRef("image"))),
        dataset=certification.dataset,
        number=1,
        image__review__state=ImageState.PENDING,
    ).order_by("pk")
    # Asked again with each write: on PostgreSQL an image may be handed out in between.
    still_untouched = ReviewSlot.objects.filter(state=SlotState.WAITING, handed_at__isnull=True)
    count = last_pk = 0
    while batch := list(untouched.filter(pk__gt=last_pk)[:BATCH]):
        for slot in batch:
            slot.lottery = CHANCE.random()
        still_untouched.bulk_update(batch, ["lottery"])
        drawn = still_untouched.filter(pk__in=[slot.pk for slot in batch], lottery__isnull=False)
        images = list(drawn.values_list("image", flat=True))
        count += ImageReview.objects.filter(image__in=images).update(certification=certification)
        last_pk = batch[-1].pk
    return count


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
        ).update(lottery=None)
    certification.refresh_from_db()


def open_certification(dataset: Dataset) -> Certification | None:
    """Return the certificate that runs, if one does."""
    return Certification.objects.filter(dataset=dataset, ended_at__isnull=True).first()


# --- What is certain --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certification says at this moment.

    `looks` are counted: in the order in which the images were first handed out, up to the first
    one without a final state. `handed` and `rejected` count all, `unsettled` those that wait.
    """

    certification: Certification
    bound: Bound
    looks: list[Look]
    handed: int
    rejected: int
    unsettled: int
    audits_by_class: Mapping[str, int]

    @property
    def target(self) -> float:
        return self.certification.target_error

    @property
    def is_met(self) -> bool:
        return self.bound.error <= self.target

    @property
    def bad_audits(self) -> int:
        return sum(look.is_bad is True for look in self.looks if look.stream is Stream.AUDIT)

    @property
    def audit_rate(self) -> float:
        """Return the share of the audits that was bad; 0..1."""
        return self.bad_audits / self.bound.audits if self.bound.audits else 0.0

    @property
    def uncounted(self) -> int:
        """Return how many were handed out and do not count yet."""
        return self.handed - len(self.looks)


def certificate_of(certification: Certification) -> Certificate:
    """Return what is certain now; one query."""
    slots = ReviewSlot.objects.filter(
        image__review__certification=certification, number=1, handed_at__isnull=False
    )
    if certification.ended_at:
        slots = slots.filter(handed_at__lte=certification.ended_at)
    # Of two in one millisecond, the draw took the lower lot first.
    rows = list(
        slots.order_by("handed_at", "lottery").values_list(
            "stream", "image__review__state", "image__label_class__name"
        )
    )
    looks = looks_of([(stream, state) for stream, state, _ in rows])
    bound = running_bound(
        looks,
        population=certification.population,
        target=certification.target_error,
        alpha=1 - certification.confidence,
    )
    states = Counter(state for _, state, _ in rows)
    return Certificate(
        certification=certification,
        bound=bound,
        looks=looks,
        handed=len(rows),
        rejected=states[ImageState.REJECTED],
        unsettled=sum(count for state, count in states.items() if state not in FINAL),
        audits_by_class=dict(
            sorted(
                Counter(
                    name for stream, _, name in rows[: len(looks)] if stream == Stream.AUDIT
                ).items()
            )
        ),
    )


def looks_of(rows: list[tuple[str, str]]) -> list[Look]:
    """Return (stream, state) of images in their order as looks, up to the first open one.

    What was handed out after an open one waits for it: leaving it out would leave out the hard
    images, and those are bad more often.
    """
    looks = []
    for stream, state in rows:
        if state not in FINAL:
            break
        looks.append(Look(Stream(stream), state == ImageState.REJECTED))
    return looks


def audits_needed(certificate: Certificate) -> int | None:
    """Return how many more audits reach the target at the present rate; None: it cannot be."""
    return audits_until(
        certificate.bound,
        certificate.looks,
        target=certificate.target,
        rate=certificate.audit_rate,
    )


def history_of(certificate: Certificate) -> list[Bound]:
    """Return the bound at even steps over the reviews, its first and last moment included."""
    count = len(certificate.looks)
    steps = sorted({round(count * step / HISTORY_POINTS) for step in range(HISTORY_POINTS + 1)})
    return [
        running_bound(
            certificate.looks[:step],
            population=certificate.bound.population,
            target=certificate.target,
            alpha=certificate.bound.alpha,
        )
        for step in steps
    ]


# --- What may be exported ---------------------------------------------------------


def unseen(certification: Certification) -> QuerySet[ImageReview]:
    """Return the population's images that wait and of which nobody ever said a word."""
    return ImageReview.objects.filter(
        ~Exists(Decision.objects.filter(image=OuterRef("image"))),
        certification=certification,
        state=ImageState.PENDING,
    )


@dataclass(frozen=True, slots=True)
class Promise:
    """What a certificate says of one export.

    `approved` and `unseen` are of the population; `outside` were approved one by one apart from
    it. At most `error` of approved + unseen is bad, by the reviewers' own standard.
    """

    certificate: Certificate
    approved: int
    unseen: int
    outside: int
    reviews_per_image: int

    @property
    def error(self) -> float:
        # Rejected ones that do not count yet are among the bad that may be left, and stay here.
        later = self.certificate.rejected - self.certificate.bound.found_bad
        left = max(0, self.certificate.bound.remaining_bad - later)
        covered = self.approved + self.unseen
        return min(left, self.unseen) / covered if covered else 0.0

    @property
    def is_kept(self) -> bool:
        """Return whether both the population and this very export meet the target."""
        return self.certificate.is_met and self.error <= self.certificate.target

    @property
    def sentence(self) -> str:
        """Return what the card of the dataset says."""
        bound = self.certificate.bound
        judge = "one reviewer" if self.reviews_per_image == 1 else "its reviewers"
        these = (
            f"the {self.approved + self.unseen:,} labels it covers"
            if self.outside
            else (f"these {self.approved + self.unseen:,} labels")
        )
        said = (
            f"With confidence {percent(1 - bound.alpha, up=False)}, at most "
            f"{percent(self.error)} of {these} are wrong as judged by {judge} (running "
            f"certificate over {bound.population:,} images: {bound.audits:,} audits, "
            f"{bound.found_bad:,} found bad)."
        )
        if self.outside:
            said += f" {self.outside:,} more were approved one by one outside of it."
        return f"{said} Mistakes of the reviewers themselves are not included."


def promise(certificate: Certificate, *, reviews_per_image: int) -> Promise:
    """Return what an export of this moment would say if it took the unseen along; two queries."""
    certification = certificate.certification
    approved = ImageReview.objects.approved().filter(dataset=certification.dataset)
    counts = approved.aggregate(
        inside=Count("pk", filter=Q(certification=certification)),
        outside=Count("pk", filter=~Q(certification=certification) | Q(certification=None)),
    )
    return Promise(
        certificate=certificate,
        approved=counts["inside"],
        unseen=unseen(certification).count(),
        outside=counts["outside"],
        reviews_per_image=reviews_per_image,
    )


def percent(share: float, *, up: bool = True) -> str:
    """Return a share as "1.8 %": of an error, never less than it is."""
    digits = 1 if share >= 0.01 else 2
    scaled = round(share * 100 * 10**digits, 6)
    rounded = (math.ceil if up else math.floor)(scaled) / 10**digits
    return f"{rounded:.{digits}f}".rstrip("0").rstrip(".") + " %"
