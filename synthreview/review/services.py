"""Verbs of review: admit images, hand out cards, record decisions, undo."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, connection, transaction
from django.db.models import Avg, Case, Count, Exists, F, Max, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.generation.models import Call, GeneratedImage
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.reasons import REASONS
from synthreview.scoring.models import Score, ScorerVersion

RECENT = 5_000
BATCH = 500
NEXT_SHOWN = 4
COUNT_LIMIT = 1_000
MAX_SECONDS = 3_600.0
DAY_LIMIT = 10_000
PACE_WINDOW = 30
PACE_MINIMUM = 5
LEASE_LOST = "Your last image went back to the queue because it lay open too long."


class ReviewError(Exception):
    """The decision cannot be taken; the message says why, in plain words."""


class LeaseLostError(ReviewError):
    """The image went back to the queue, or to somebody else, before the decision came."""


# --- Into the queue -----------------------------------------------------------


def admit(*, recent_only: bool = False) -> int:
    """Put every image with a current score, and no place in the queue yet, into the queue.

    Safe to repeat and to run twice at once. Returns how many came in.
    """
    version = ScorerVersion.objects.current()
    if version is None:
        return 0
    scores = Score.objects.filter(version=version).filter(
        ~Exists(ImageReview.objects.filter(image=OuterRef("image")))
    )
    if recent_only:
        newest = Score.objects.aggregate(newest=Max("pk"))["newest"] or 0
        scores = scores.filter(pk__gt=newest - RECENT)
    admitted = 0
    while batch := list(scores.select_related("image").order_by("pk")[:BATCH]):
        admitted += _admit_batch(batch)
    return admitted


def _admit_batch(scores: Sequence[Score]) -> int:
    looks = dict(
        QualityPolicy.objects.filter(
            dataset__in={score.image.dataset_id for score in scores}
        ).values_list("dataset", "reviews_per_image")
    )
    reviews, slots = [], []
    for score in scores:
        image = score.image
        ordering = score if score.applies else None
        reviews.append(ImageReview(image=image, dataset_id=image.dataset_id, score=ordering))
        slots += [
            ReviewSlot(
                image=image,
                dataset_id=image.dataset_id,
                number=number,
                priority=priority(image, score),
            )
            for number in range(1, looks.get(image.dataset_id, 1) + 1)
        ]
    with transaction.atomic():
        ImageReview.objects.bulk_create(reviews, ignore_conflicts=True)
        ReviewSlot.objects.bulk_create(slots, ignore_conflicts=True)
    return len(reviews)


def priority(image: GeneratedImage, score: Score) -> float:
    """Return the place in the queue, lowest first: the score, or a fixed random number.

    Nothing is ordered by a score that does not apply.
    """
    if score.applies and score.value is not None:
        return score.value
    digest = hashlib.sha256(f"{image.pk}:{image.sha256}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48


def reorder() -> int:
    """Give undecided images the place that the current model's score says; returns how many."""
    version = ScorerVersion.objects.current()
    stale = (
        Score.objects.filter(version=version, applies=True, image__review__state=ImageState.PENDING)
        .filter(~Q(image__review__score=F("pk")) | Q(image__review__score__isnull=True))
        .select_related("image")
        .order_by("pk")
    )
    moved = 0
    last_pk = 0
    while batch := list(stale.filter(pk__gt=last_pk)[:BATCH]):
        with transaction.atomic():
            for score in batch:
                ReviewSlot.objects.filter(image=score.image).update(priority=score.value)
                ImageReview.objects.filter(image=score.image).update(score=score)
        moved += len(batch)
        last_pk = batch[-1].pk
    return moved


# --- Cards --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Card:
    """One image before a reviewer, and the images that will most likely come next.

    `undone` is the decision that was taken back to show this image again.
    """

    slot: ReviewSlot
    token: uuid.UUID
    upcoming: list[GeneratedImage]
    undone: Decision | None = None


def next_card(
    *,
    dataset: Dataset,
    reviewer: User,
    skipped_until: int | None = None,
    may_hold_one: bool = True,
) -> Card | None:
    """Return the reviewer's open card, or hand out the next image; None where none is left.

    Two reviewers never get the same look: the row is taken by one conditional UPDATE.

    Args:
        skipped_until: offer again, too, what the reviewer skipped up to this decision.
        may_hold_one: False where the caller knows that no card is open; saves a query.
    """
    if may_hold_one and (own := _reopen(dataset, reviewer)):
        return own
    refused: set[int] = set()
    while ahead := _ahead(dataset, reviewer, skipped_until, refused):
        for place, slot in enumerate(ahead):
            token = uuid.uuid4()
            if _lease(slot, reviewer, token, dataset.policy):
                upcoming = [other.image for other in ahead[place + 1 : place + 1 + NEXT_SHOWN]]
                return Card(slot, token, upcoming)
            refused.add(slot.pk)
    return None


def _reopen(dataset: Dataset, reviewer: User) -> Card | None:
    """Return the card that lies open before the reviewer, its lease renewed."""
    held = ReviewSlot.objects.filter(
        state=SlotState.LEASED, reviewer=reviewer, dataset=dataset, lease_expires_at__gt=Now()
    )
    slot = _with_image(held).order_by("-lease_expires_at").first()
    if slot is None or slot.lease_token is None:
        return None
    if not renew_lease(reviewer=reviewer, token=slot.lease_token):
        return None
    return Card(slot, slot.lease_token, _upcoming(dataset, reviewer))


def _with_image(slots: QuerySet[ReviewSlot]) -> QuerySet[ReviewSlot]:
    return slots.select_related("image__label_class", "image__prompt", "image__review__score")


def _ahead(
    dataset: Dataset, reviewer: User, skipped_until: int | None, refused: set[int]
) -> list[ReviewSlot]:
    """Return the next looks that this person may take, in order; nothing is reserved.

    First what waits, lowest first; then what others skipped; then, in a round of second
    looks, what the reviewer skipped before it began, in the order of skipping.
    """
    slots = ReviewSlot.objects.filter(dataset=dataset).exclude(pk__in=refused)
    waiting = slots.filter(state=SlotState.WAITING)
    skipped = slots.filter(state=SlotState.SKIPPED)
    sources = [
        waiting.order_by("priority", "pk"),
        skipped.exclude(reviewer=reviewer).order_by("priority", "pk"),
    ]
    if dataset.policy.reviews_per_image > 1:
        seen = ReviewSlot.objects.filter(image=OuterRef("image"), reviewer=reviewer)
        sources = [source.filter(~Exists(seen)) for source in sources]
    if skipped_until is not None:
        own = skipped.filter(reviewer=reviewer, decision__lte=skipped_until)
        sources.append(own.order_by("decision_id"))
    for source in sources:
        if found := list(_with_image(source)[: NEXT_SHOWN + 1]):
            return found
    return []


def _lease(slot: ReviewSlot, reviewer: User, token: uuid.UUID, policy: QualityPolicy) -> bool:
    expires = Now() + dt.timedelta(minutes=policy.lease_minutes)
    free = ReviewSlot.objects.filter(pk=slot.pk, state__in=[SlotState.WAITING, SlotState.SKIPPED])
    # One statement needs no transaction of its own; inside another one it needs a savepoint.
    safely = transaction.atomic if connection.in_atomic_block else contextlib.nullcontext
    try:
        with safely():
            return bool(
                free.update(
                    state=SlotState.LEASED,
                    reviewer=reviewer,
                    lease_token=token,
                    lease_expires_at=expires,
                    decision=None,
                )
            )
    except IntegrityError:  # this person took another look at the same image just now
        return False


def _upcoming(dataset: Dataset, reviewer: User) -> list[GeneratedImage]:
    """Return what would come next, for the browser to load ahead."""
    return [slot.image for slot in _ahead(dataset, reviewer, None, set())[:NEXT_SHOWN]]


def renew_lease(*, reviewer: User, token: uuid.UUID) -> bool:
    """Keep the card while its page is open; False where it went back to the queue."""
    slot = (
        ReviewSlot.objects.filter(state=SlotState.LEASED, reviewer=reviewer, lease_token=token)
        .select_related("dataset__policy")
        .first()
    )
    if slot is None:
        return False
    expires = Now() + dt.timedelta(minutes=slot.dataset.policy.lease_minutes)
    return bool(
        ReviewSlot.objects.filter(pk=slot.pk, lease_token=token).update(lease_expires_at=expires)
    )


def release(*, reviewer: User, dataset: Dataset) -> int:
    """Give the reviewer's open cards back to the queue."""
    return _free(
        ReviewSlot.objects.filter(state=SlotState.LEASED, reviewer=reviewer, dataset=dataset)
    )


def free_expired() -> int:
    """Give back every card whose lease ran out; the sweeper calls this."""
    return _free(ReviewSlot.objects.filter(state=SlotState.LEASED, lease_expires_at__lt=Now()))


def _free(slots: QuerySet[ReviewSlot]) -> int:
    return slots.update(
        state=SlotState.WAITING, reviewer=None, lease_token=None, lease_expires_at=None
    )


# --- Decisions ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Said:
    """A decision on record; `is_replay` where this token had said it before."""

    decision: Decision
    is_replay: bool


def record_decision(
    *,
    dataset: Dataset,
    reviewer: User,
    token: uuid.UUID,
    verdict: str,
    reasons: Iterable[str] = (),
    note: str = "",
    seconds: float = 0.0,
) -> Said:
    """Record what the reviewer says of the card that carries `token`.

    The same token gives the same decision again: a double click or a replay changes nothing.
    Raises LeaseLostError where the card is no longer theirs, ReviewError for a wrong verdict.
    """
    reasons = list(reasons)
    if verdict not in {Verdict.APPROVE, Verdict.REJECT, Verdict.SKIP}:
        raise ReviewError(f"{verdict!r} is no verdict; choose approve, reject or skip.")
    if unknown := [reason for reason in reasons if reason not in REASONS]:
        raise ReviewError(f"{unknown[0]!r} is no reason; known: {', '.join(REASONS)}.")
    held = ReviewSlot.objects.filter(
        dataset=dataset, lease_token=token, reviewer=reviewer, state=SlotState.LEASED
    )
    # The image's row is locked too: of two people who answer at once, the second must see what
    # the first said, or the image would stay pending for ever.
    locked = held.filter(image__review__isnull=False).select_for_update(
        of=("self", "image__review")
    )
    with transaction.atomic():
        slot = locked.select_related("image__label_class", "image__review").first()
        if slot is None:
            return _said_before(dataset, reviewer, token)
        decision = Decision.objects.create(
            image=slot.image,
            dataset=dataset,
            reviewer=reviewer,
            verdict=verdict,
            reasons=reasons if verdict == Verdict.REJECT else [],
            note=note.strip()[:500],
            seconds=min(max(seconds, 0.0), MAX_SECONDS),
            guideline_version=slot.image.label_class.guideline_version,
            client_token=token,
        )
        state = SlotState.SKIPPED if verdict == Verdict.SKIP else SlotState.DECIDED
        ReviewSlot.objects.filter(pk=slot.pk).update(
            state=state, lease_token=None, lease_expires_at=None, decision=decision
        )
        if verdict != Verdict.SKIP:
            _settle_image(slot.image_id)
    return Said(decision, is_replay=False)


def _said_before(dataset: Dataset, reviewer: User, token: uuid.UUID) -> Said:
    said = Decision.objects.filter(dataset=dataset, reviewer=reviewer, client_token=token).first()
    if said is None:
        raise LeaseLostError(LEASE_LOST)
    return Said(said, is_replay=True)


def _settle_image(image_id: int) -> None:
    """Derive the image's state from its looks: all must be in, and agree.

    One statement; its caller has locked the image's row with an earlier one.
    """
    looks = ReviewSlot.objects.filter(image=OuterRef("image"))
    ImageReview.objects.filter(image=image_id).update(
        state=Case(
            When(Exists(looks.exclude(state=SlotState.DECIDED)), then=Value(ImageState.PENDING)),
            When(
                ~Exists(looks.exclude(decision__verdict=Verdict.APPROVE)),
                then=Value(ImageState.APPROVED),
            ),
            When(
                ~Exists(looks.exclude(decision__verdict=Verdict.REJECT)),
                then=Value(ImageState.REJECTED),
            ),
            default=Value(ImageState.DISPUTED),
        )
    )


@transaction.atomic
def undo(*, dataset: Dataset, reviewer: User) -> Card | None:
    """Take back the reviewer's last standing decision and put its image before them again.

    Each further call goes one further back. The card that was open goes back to the queue.
    None where nothing is left to undo.
    """
    last = (
        Decision.objects.filter(reviewer=reviewer, dataset=dataset, slot_of__reviewer=reviewer)
        .select_related("slot_of", "image")
        .order_by("-pk")
        .first()
    )
    if last is None:
        return None
    ImageReview.objects.select_for_update().filter(image=last.image_id).first()
    release(reviewer=reviewer, dataset=dataset)
    token = uuid.uuid4()
    expires = Now() + dt.timedelta(minutes=dataset.policy.lease_minutes)
    won = ReviewSlot.objects.filter(pk=last.slot_of.pk, decision=last).update(
        state=SlotState.LEASED,
        lease_token=token,
        lease_expires_at=expires,
        decision=None,
    )
    if not won:  # somebody took up the skipped image in this very moment
        return None
    Decision.objects.create(
        image=last.image,
        dataset=dataset,
        reviewer=reviewer,
        verdict=Verdict.WITHDRAW,
        guideline_version=last.guideline_version,
        supersedes=last,
    )
    _settle_image(last.image_id)
    slot = _with_image(ReviewSlot.objects.filter(pk=last.slot_of.pk)).get()
    return Card(slot, token, _upcoming(dataset, reviewer), undone=last)


# --- What was said, and what is left ----------------------------------------------


def last_decisions(*, dataset: Dataset, reviewer: User, limit: int = 8) -> QuerySet[Decision]:
    """Return the reviewer's latest standing decisions, newest first."""
    own = Decision.objects.filter(dataset=dataset, reviewer=reviewer, superseded_by__isnull=True)
    own = own.exclude(verdict=Verdict.WITHDRAW).order_by("-pk")
    return own.select_related("image__label_class", "image__review__score")[:limit]


@dataclass(frozen=True, slots=True)
class Progress:
    """How a reviewer's day goes; `per_hour` is None before there is a pace to speak of."""

    done_today: int
    per_hour: int | None


def progress(*, dataset: Dataset, reviewer: User) -> Progress:
    """Count today's standing verdicts and take the pace of the last ones."""
    judged = Decision.objects.filter(
        dataset=dataset,
        reviewer=reviewer,
        verdict__in=[Verdict.APPROVE, Verdict.REJECT],
        superseded_by__isnull=True,
    ).order_by("-pk")
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    done = judged[:DAY_LIMIT].aggregate(
        today=Count("pk", filter=Q(created_at__gte=midnight)),
    )["today"]
    pace = judged.filter(seconds__gt=0)[:PACE_WINDOW].aggregate(n=Count("pk"), mean=Avg("seconds"))
    per_hour = round(3600 / pace["mean"]) if pace["n"] >= PACE_MINIMUM else None
    return Progress(done_today=done, per_hour=per_hour)


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """How much is left; counted up to COUNT_LIMIT, so that a page costs the same at any size."""

    waiting: int
    skipped_by_me: int
    is_more: bool


def queue_counts(*, dataset: Dataset, reviewer: User) -> QueueCounts:
    """Count what waits in the queue and what this reviewer skipped."""
    slots = ReviewSlot.objects.filter(dataset=dataset)
    waiting = slots.filter(state=SlotState.WAITING).order_by()[: COUNT_LIMIT + 1].count()
    skipped = slots.filter(state=SlotState.SKIPPED, reviewer=reviewer).order_by()
    return QueueCounts(
        waiting=min(waiting, COUNT_LIMIT),
        skipped_by_me=skipped[: COUNT_LIMIT + 1].count(),
        is_more=waiting > COUNT_LIMIT,
    )


def on_the_way(dataset: Dataset) -> str:
    """Say what keeps images from the queue at this moment: "drawn", "scored", or nothing."""
    if Call.objects.open().filter(run__dataset=dataset).exists():
        return "drawn"
    if GeneratedImage.objects.filter(dataset=dataset, review__isnull=True).exists():
        return "scored"
    return ""


def round_of_skipped(*, dataset: Dataset, reviewer: User) -> int:
    """Begin a round of second looks; return the last decision whose skip belongs to it."""
    own = Decision.objects.filter(dataset=dataset, reviewer=reviewer)
    return own.order_by("-pk").values_list("pk", flat=True).first() or 0
