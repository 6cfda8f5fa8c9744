"""What the certificate says: rows become looks, and looks become bounds.

The statistics are certificate.py's, the populations cohorts.py's. While it runs nothing is stored:
the certificate is a function of the rows, so that an undone decision changes it, and anyone can
compute it again from its log. docs/certificate.md tells it all.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db import transaction
from django.db.models import F

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.review import cohorts, steering
from synthreview.review.certificate import (
    Bound,
    Look,
    Part,
    Stream,
    audits_until,
    error_after,
    joint_bound,
)
from synthreview.review.cohorts import (
    CertificationError,
    depart,
    extend_certification,
    open_certification,
    start_certification,
    waiting_outside,
)
from synthreview.review.intake import ask_again
from synthreview.review.models import (
    DECIDED_STATES,
    Certification,
    Cohort,
    Decision,
    Departure,
    ImageReview,
    ImageState,
    Purpose,
    ReviewSlot,
)
from synthreview.trail.acts import Act
from synthreview.trail.services import many, record

__all__ = [
    "CertificationError",
    "extend_certification",
    "open_certification",
    "start_certification",
    "waiting_outside",
]

HISTORY_POINTS = 24
ENOUGH_AUDITS = 20  # before a class or technique gets a bound of its own
MORE_AUDITS = 50


# --- Events -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """An image that left the unreviewed of its cohort; `look` is None while it is still open."""

    at: dt.datetime
    tie: float
    cohort: int
    image: int
    class_name: str
    technique: str
    stream: Stream
    look: Look | None
    reason: str = ""


def events_of(certification: Certification) -> list[Event]:
    """Return everything that happened to the populations, in the order in which it counts."""
    slots = ReviewSlot.objects.filter(
        image__review__cohort__certification=certification,
        number=1,
        purpose=Purpose.LOOK,
        round=F("image__review__round"),
        handed_at__isnull=False,
    )
    left = Departure.objects.filter(cohort__certification=certification)
    if certification.ended_at:
        slots = slots.filter(handed_at__lte=certification.ended_at)
    events = [
        Event(
            at, lottery or 0.0, cohort, image, name, technique, Stream(stream), _look(stream, state)
        )
        for at, lottery, cohort, image, name, technique, stream, state in slots.values_list(
            "handed_at",
            "lottery",
            "image__review__cohort",
            "image",
            "label_class__name",
            "technique",
            "stream",
            "image__review__state",
        ).iterator(2_000)
        if at is not None
    ]
    events += [
        Event(
            row["handed_at"] or row["left_at"],
            row["lottery"] or 0.0,
            row["cohort"],
            row["image"],
            row["image__label_class__name"],
            row["image__technique"],
            Stream(row["stream"]),
            Look(Stream(row["stream"]), row["is_bad"]),
            row["reason"],
        )
        for row in left.values(
            "handed_at",
            "left_at",
            "lottery",
            "cohort",
            "image",
            "image__label_class__name",
            "image__technique",
            "stream",
            "is_bad",
            "reason",
        )
    ]
    # Of two in one moment, the draw took the lower lot first.
    return sorted(events, key=lambda event: (event.at, event.tie, event.image))


def _look(stream: str, state: str) -> Look | None:
    return Look(Stream(stream), state == ImageState.REJECTED) if state in DECIDED_STATES else None


def counted(events: Sequence[Event]) -> list[Event]:
    """Return the events up to the first open one.

    What was handed out after an open one waits for it: leaving it out would leave out the hard
    images, and those are bad more often.
    """
    for place, event in enumerate(events):
        if event.look is None:
            return list(events[:place])
    return list(events)


def parts_of(
    events: Iterable[Event],
    populations: Mapping[int, int],
    *,
    class_draws_count: frozenset[int] = frozenset(),
) -> list[Part]:
    """Return one part per cohort. A draw within a class is an audit only where that is asked."""
    looks: dict[int, list[Look]] = {cohort: [] for cohort in populations}
    for event in events:
        assert event.look
        look = event.look
        if look.stream is Stream.CLASS_AUDIT:
            is_audit = event.cohort in class_draws_count
            look = replace(look, stream=Stream.AUDIT if is_audit else Stream.TARGETED)
        looks[event.cohort].append(look)
    return [Part(looks[cohort], size) for cohort, size in populations.items() if size]


# --- What is certain ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a certification says at this moment.

    `events` are counted: in the order in which the images were first handed out, up to the first
    one without a final state. `handed` and `rejected` count all, `unsettled` those that wait.
    """

    certification: Certification
    cohorts: list[Cohort]
    bound: Bound
    events: list[Event]
    handed: int
    rejected: int
    unsettled: int

    @property
    def populations(self) -> dict[int, int]:
        return {cohort.pk: cohort.population for cohort in self.cohorts}

    @property
    def looks(self) -> list[Look]:
        """Return the counted looks of all cohorts in one order, as if they were one."""
        whole = {0: self.bound.population}
        together = (replace(event, cohort=0) for event in self.events)
        return list(parts_of(together, whole)[0].looks)

    @property
    def target(self) -> float:
        return self.certification.target_error

    @property
    def alpha(self) -> float:
        return 1 - self.certification.confidence

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
        return self.handed - len(self.events)

    def bound_at(self, alpha: float, events: Sequence[Event] | None = None) -> Bound:
        """Return the bound at another alpha, or as it was after some of the events."""
        parts = parts_of(self.events if events is None else events, self.populations)
        return joint_bound(parts, target=self.target, alpha=alpha)


def certificate_of(certification: Certification) -> Certificate:
    """Return what is certain now; three queries."""
    cohorts = list(certification.cohorts.order_by("number"))
    events = events_of(certification)
    counting = counted(events)
    parts = parts_of(counting, {cohort.pk: cohort.population for cohort in cohorts})
    return Certificate(
        certification=certification,
        cohorts=cohorts,
        bound=joint_bound(
            parts, target=certification.target_error, alpha=1 - certification.confidence
        ),
        events=counting,
        handed=len(events),
        rejected=sum(event.look is not None and event.look.is_bad is True for event in events),
        unsettled=sum(event.look is None for event in events),
    )


def audits_needed(certificate: Certificate) -> int | None:
    """Return how many more audits reach the target at the present rate; None: it cannot be."""
    return audits_until(
        certificate.bound,
        certificate.looks,
        target=certificate.target,
        rate=certificate.audit_rate,
    )


def error_with_more(certificate: Certificate, *, audits: int, rate: float) -> float:
    """Return the error that so many more audits would certify if `rate` of them are bad; 0..1."""
    return error_after(
        certificate.bound,
        certificate.looks,
        audits=audits,
        target=certificate.target,
        rate=rate,
    )


def history_of(certificate: Certificate) -> list[Bound]:
    """Return the bound at even steps over the reviews, its first and last moment included.

    A cohort that came later counts from its own freezing on.
    """
    count = len(certificate.events)
    steps = sorted({round(count * step / HISTORY_POINTS) for step in range(HISTORY_POINTS + 1)})
    history = []
    for step in steps:
        events = certificate.events[:step]
        now = events[-1].at if events else certificate.cohorts[0].frozen_at
        sizes = {
            cohort.pk: cohort.population
            for cohort in certificate.cohorts
            if cohort.frozen_at <= now or cohort.number == 1 or step == count
        }
        parts = parts_of(events, sizes)
        history.append(joint_bound(parts, target=certificate.target, alpha=certificate.bound.alpha))
    return history


# --- Class by class ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Stratum:
    """One class or technique: what was looked at, and its own bound once it has enough audits.

    `alone` holds with the certificate's confidence by itself; `together` is for saying all of
    them at once, with that confidence for the whole list.
    """

    kind: str
    name: str
    population: int
    reviewed: int
    audits: int
    found_bad: int
    alone: Bound | None
    together: Bound | None

    @property
    def coverage(self) -> float:
        return self.reviewed / self.population if self.population else 0.0


def strata_of(certificate: Certificate) -> list[Stratum]:
    """Return every class, then every technique if there are several; no query."""
    cells = [
        (cohort.pk, class_name, technique, size)
        for cohort in certificate.cohorts
        for class_name, technique, size in cohort.strata
    ]
    classes = sorted({cell[1] for cell in cells})
    techniques = sorted({cell[2] for cell in cells})
    names = [("class", name) for name in classes]
    if len(techniques) > 1:
        names += [("technique", name) for name in techniques]
    alpha = certificate.bound.alpha
    return [_stratum(certificate, cells, kind, name, alpha / len(names)) for kind, name in names]


def _stratum(
    certificate: Certificate,
    cells: Sequence[tuple[int, str, str, int]],
    kind: str,
    name: str,
    shared_alpha: float,
) -> Stratum:
    own = [cell for cell in cells if cell[1 if kind == "class" else 2] == name]
    sizes: Counter[int] = Counter()
    for cohort, _, _, size in own:
        sizes[cohort] += size
    # A draw within one class and technique is uniform in the stratum only if it is all there is.
    single = frozenset(
        cohort for cohort, count in Counter(cell[0] for cell in own).items() if count == 1
    )
    events = [
        event
        for event in certificate.events
        if (event.class_name if kind == "class" else event.technique) == name
        and event.cohort in sizes
    ]
    parts = parts_of(events, sizes, class_draws_count=single)
    whole = joint_bound(parts, target=certificate.target, alpha=certificate.bound.alpha)
    has_enough = whole.audits >= ENOUGH_AUDITS or whole.unreviewed == 0
    together = (
        joint_bound(parts, target=certificate.target, alpha=shared_alpha) if has_enough else None
    )
    return Stratum(
        kind=kind,
        name=name,
        population=whole.population,
        reviewed=whole.reviewed,
        audits=whole.audits,
        found_bad=whole.found_bad,
        alone=whole if has_enough else None,
        together=together,
    )


# --- Steering ---------------------------------------------------------------------------


def steer() -> int:
    """Set the share of audits of every certificate that adapts it; the sweeper calls this.

    It follows what is counted, which is all in the past. Returns how many changed.
    """
    changed = 0
    running = Certification.objects.filter(
        ended_at__isnull=True, dataset__policy__adapts_audit_share=True
    ).select_related("dataset__policy")
    for certification in running:
        policy = certification.dataset.policy
        last = Decision.objects.filter(dataset=certification.dataset).order_by("-pk").first()
        if last is None or _seen.get(certification.pk) == last.pk:
            continue
        certificate = certificate_of(certification)
        share = steering.audit_share(
            certificate.looks,
            population=certificate.bound.population,
            target=certificate.target,
            alpha=certificate.bound.alpha,
            start=policy.audit_share,
        )
        _seen[certification.pk] = last.pk
        changed += (
            QualityPolicy.objects.filter(pk=policy.pk)
            .exclude(steered_audit_share=share)
            .update(steered_audit_share=share)
        )
    return changed


_seen: dict[int, int] = {}  # of this process: the last decision that was steered by


# --- The end ------------------------------------------------------------------------------


@transaction.atomic
def end_certification(certification: Certification) -> None:
    """End it, and keep what it says in this moment. Ending it twice changes nothing."""
    if certification.ended_at is None:
        certification.closed_with = closing_figures(certificate_of(certification))
        certification.save(update_fields=["closed_with"])
        record(Act.CERTIFICATE_ENDED, certification, after=certification.closed_with)
    cohorts.end_certification(certification)


def closing_figures(certificate: Certificate) -> dict[str, Any]:
    """Return what stays on record of a certificate: counts, and shares as 0..1."""
    bound = certificate.bound
    return {
        "population": bound.population,
        "reviewed": bound.reviewed,
        "audits": bound.audits,
        "found_bad": bound.found_bad,
        "remaining_bad_at_most": bound.remaining_bad,
        "error_at_most": bound.error,
        "is_met": certificate.is_met,
    }


def ended_certifications(dataset: Dataset) -> list[Certification]:
    """Return the earlier certificates, latest first."""
    ended = Certification.objects.filter(dataset=dataset, ended_at__isnull=False)
    return list(ended.select_related("started_by"))


# --- Another round ------------------------------------------------------------------------


@transaction.atomic
def begin_round(*, dataset: Dataset, user: User | None = None) -> int:
    """Ask again for what was judged by a guideline that has changed since; returns how many.

    Where a certificate runs, all images of those classes leave their cohorts, and what nobody
    was handed in the new round forms a cohort of its own: its draw asks about the new guideline.
    """
    older = ImageReview.objects.filter(dataset=dataset).judged_by_older_guideline()
    images = list(older.values_list("image", flat=True))
    classes = set(older.values_list("image__label_class", flat=True))
    certification = open_certification(dataset)
    if certification and images:
        touched = ImageReview.objects.filter(
            cohort__certification=certification, image__label_class__in=classes
        )
        depart(list(touched.values_list("image", flat=True)), reason="the guideline changed")
    asked = ask_again(dataset=dataset, images=images)
    if asked:
        record(Act.ROUND_BEGUN, dataset, dataset=dataset.pk, after=many(images), by=user)
    if certification and asked:
        extend_certification(certification, reason="the guideline changed")
    return asked


# --- For others to check --------------------------------------------------------------------


def log_of(certification: Certification) -> Iterator[dict[str, Any]]:
    """Yield all that the bound is computed from, in order: first the terms, then each event.

    `outcome` is "good", "bad", "left" (without a verdict) or "open"; what follows an open one
    does not count yet.
    """
    yield {
        "certificate": certification.number,
        "target_error": certification.target_error,
        "confidence": certification.confidence,
        "populations": {
            str(cohort.number): cohort.population for cohort in certification.cohorts.all()
        },
    }
    numbers = dict(certification.cohorts.values_list("pk", "number"))
    for position, event in enumerate(events_of(certification), start=1):
        yield {
            "position": position,
            "at": event.at.isoformat(),
            "image": event.image,
            "cohort": numbers[event.cohort],
            "class": event.class_name,
            "technique": event.technique,
            "stream": event.stream.value,
            "outcome": _outcome(event),
        }


def _outcome(event: Event) -> str:
    if event.look is None:
        return "open"
    if event.look.is_bad is None:
        return "left"
    return "bad" if event.look.is_bad else "good"


def percent(share: float, *, up: bool = True) -> str:
    """Return a share as "1.8 %": of an error, never less than it is."""
    digits = 1 if share >= 0.01 else 2
    scaled = round(share * 100 * 10**digits, 6)
    rounded = (math.ceil if up else math.floor)(scaled) / 10**digits
    return f"{rounded:.{digits}f}".rstrip("0").rstrip(".") + " %"
