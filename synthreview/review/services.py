"""Verbs of review: record decisions, undo them, and say how far the work is."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import Avg, Case, Count, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import Call, GeneratedImage
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.queue import Card, release, upcoming_images, with_image
from synthreview.review.reasons import REASONS

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
            stream=slot.stream,
            reasons=reasons if verdict == Verdict.REJECT else [],
            note=note.strip()[:500],
            seconds=min(max(seconds, 0.0), MAX_SECONDS),
            guideline_version=slot.image.label_class.guideline_version,
            client_token=token,
        )
        state = SlotState.SKIPPED if verdict == Verdict.SKIP else SlotState.DECIDED
        changes: dict[str, Any] = {"lottery": F("lottery") - 1} if verdict == Verdict.SKIP else {}
        ReviewSlot.objects.filter(pk=slot.pk).update(
            state=state, lease_token=None, lease_expires_at=None, decision=decision, **changes
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
        stream=last.stream,
        guideline_version=last.guideline_version,
        supersedes=last,
    )
    _settle_image(last.image_id)
    slot = with_image(ReviewSlot.objects.filter(pk=last.slot_of.pk)).get()
    return Card(slot, token, upcoming_images(dataset, reviewer), undone=last)


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
