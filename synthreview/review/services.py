"""Verbs of review: admit images, hand out cards, record decisions, undo."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.generation.models import GeneratedImage
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
    """One image before a reviewer, and the images that will most likely come next."""

    slot: ReviewSlot
    token: uuid.UUID
    upcoming: list[GeneratedImage]


def next_card(*, dataset: Dataset, reviewer: User, include_skipped: bool = False) -> Card | None:
    """Return the reviewer's open card, or hand out the next image; None where none is left.

    Two reviewers never get the same look: the row is taken by one conditional UPDATE.
    """
    policy = dataset.policy
    own = _open_card(dataset, reviewer)
    token = own.lease_token if own else None
    slot = own
    while slot is None:
        candidate = _candidate(dataset, reviewer, policy, include_skipped)
        if candidate is None:
            return None
        token = uuid.uuid4()
        if _lease(candidate, reviewer, token, policy):
            slot = candidate
    assert token is not None
    return Card(slot, token, _upcoming(dataset, reviewer))


def _open_card(dataset: Dataset, reviewer: User) -> ReviewSlot | None:
    held = ReviewSlot.objects.filter(
        state=SlotState.LEASED, reviewer=reviewer, dataset=dataset, lease_expires_at__gt=Now()
    )
    return _with_image(held).first()


def _with_image(slots: QuerySet[ReviewSlot]) -> QuerySet[ReviewSlot]:
    return slots.select_related("image__label_class", "image__prompt", "image__review__score")


def _candidate(
    dataset: Dataset, reviewer: User, policy: QualityPolicy, include_skipped: bool
) -> ReviewSlot | None:
    """Return the lowest look that this person may take: waiting ones, then skipped ones."""
    waiting = ReviewSlot.objects.filter(dataset=dataset, state=SlotState.WAITING)
    skipped = ReviewSlot.objects.filter(dataset=dataset, state=SlotState.SKIPPED)
    if not include_skipped:
        skipped = skipped.exclude(reviewer=reviewer)
    for slots in (waiting, skipped):
        if policy.reviews_per_image > 1:
            mine = ReviewSlot.objects.filter(
                image=OuterRef("image"),
                reviewer=reviewer,
                state__in=[SlotState.LEASED, SlotState.DECIDED],
            )
            slots = slots.filter(~Exists(mine))
        found = _with_image(slots.order_by("priority", "pk")).first()
        if found:
            return found
    return None


def _lease(slot: ReviewSlot, reviewer: User, token: uuid.UUID, policy: QualityPolicy) -> bool:
    expires = Now() + dt.timedelta(minutes=policy.lease_minutes)
    try:
        with transaction.atomic():
            return bool(
                ReviewSlot.objects.filter(
                    pk=slot.pk, state__in=[SlotState.WAITING, SlotState.SKIPPED]
                ).update(
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
    """Return what would come next, for the browser to load ahead; nothing is reserved."""
    slots = ReviewSlot.objects.filter(dataset=dataset, state=SlotState.WAITING)
    ahead = slots.order_by("priority", "pk").select_related("image")[:NEXT_SHOWN]
    return [slot.image for slot in ahead]


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


@transaction.atomic
def record_decision(
    *,
    dataset: Dataset,
    reviewer: User,
    token: uuid.UUID,
    verdict: str,
    reasons: Iterable[str] = (),
    note: str = "",
    seconds: float = 0.0,
) -> Decision:
    """Record what the reviewer says of the card that carries `token`.

    The same token gives the same decision again: a double click or a replay changes nothing.
    Raises LeaseLostError where the card is no longer theirs, ReviewError for a wrong verdict.
    """
    reasons = list(reasons)
    if verdict not in {Verdict.APPROVE, Verdict.REJECT, Verdict.SKIP}:
        raise ReviewError(f"{verdict!r} is no verdict; choose approve, reject or skip.")
    if unknown := [reason for reason in reasons if reason not in REASONS]:
        raise ReviewError(f"{unknown[0]!r} is no reason; known: {', '.join(REASONS)}.")
    held = ReviewSlot.objects.select_for_update().filter(
        dataset=dataset, lease_token=token, reviewer=reviewer, state=SlotState.LEASED
    )
    slot = held.select_related("image__label_class").first()
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
    return decision


def _said_before(dataset: Dataset, reviewer: User, token: uuid.UUID) -> Decision:
    said = Decision.objects.filter(dataset=dataset, reviewer=reviewer, client_token=token).first()
    if said is None:
        raise LeaseLostError(
            "This image went back to the queue because it lay open too long. Here is the next one."
        )
    return said


def _settle_image(image_id: int) -> None:
    """Derive the image's state from its looks: all must be in, and agree."""
    verdicts = list(
        ReviewSlot.objects.filter(image=image_id).values_list("state", "decision__verdict")
    )
    said = {verdict for _, verdict in verdicts}
    if any(state != SlotState.DECIDED for state, _ in verdicts):
        state = ImageState.PENDING
    elif said == {Verdict.APPROVE}:
        state = ImageState.APPROVED
    elif said == {Verdict.REJECT}:
        state = ImageState.REJECTED
    else:
        state = ImageState.DISPUTED
    ImageReview.objects.filter(image=image_id).update(state=state)


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
    return Card(slot, token, _upcoming(dataset, reviewer))


# --- What is left ---------------------------------------------------------------


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
