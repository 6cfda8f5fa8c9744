"""The queue: images come in, cards go out, leases end.

The claim is one conditional UPDATE, so that two people never get one look. While a certificate
runs, some cards are drawn by lot (docs/certificate.md); nothing on a card tells which.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from secrets import SystemRandom

from django.db import IntegrityError, connection, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, QuerySet
from django.db.models.functions import Coalesce, Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.generation.models import GeneratedImage
from synthreview.review.certificate import Stream
from synthreview.review.models import Decision, ImageReview, ImageState, ReviewSlot, SlotState
from synthreview.scoring.models import Score, ScorerVersion

RECENT = 5_000
BATCH = 500
NEXT_SHOWN = 4
CHANCE = SystemRandom()


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
    is_by_lot = CHANCE.random() < dataset.policy.audit_share
    refused: set[int] = set()
    while ahead := _ahead(dataset, reviewer, skipped_until, refused):
        for slot in ahead.in_turn(is_by_lot=is_by_lot):
            token = uuid.uuid4()
            is_draw = is_by_lot and slot in ahead.drawn
            if _lease(slot, reviewer, token, dataset.policy, is_draw=is_draw):
                return Card(slot, token, ahead.images_beside(slot))
            refused.add(slot.pk)
    return None


def _reopen(dataset: Dataset, reviewer: User) -> Card | None:
    """Return the card that lies open before the reviewer, its lease renewed."""
    held = ReviewSlot.objects.filter(
        state=SlotState.LEASED, reviewer=reviewer, dataset=dataset, lease_expires_at__gt=Now()
    )
    slot = with_image(held).order_by("-lease_expires_at").first()
    if slot is None or slot.lease_token is None:
        return None
    if not renew_lease(reviewer=reviewer, token=slot.lease_token):
        return None
    return Card(slot, slot.lease_token, upcoming_images(dataset, reviewer))


def with_image(slots: QuerySet[ReviewSlot]) -> QuerySet[ReviewSlot]:
    return slots.select_related("image__label_class", "image__prompt", "image__review__score")


@dataclass(frozen=True, slots=True)
class Ahead:
    """The next looks that one person may take; nothing is reserved.

    `owed`: drawn by lot or skipped while a certificate waits for them, so they come first;
    `drawn`: the next by lot; `queued`: the next in the queue's order.
    """

    owed: list[ReviewSlot]
    drawn: list[ReviewSlot]
    queued: list[ReviewSlot]

    def __bool__(self) -> bool:
        return bool(self.owed or self.drawn or self.queued)

    def in_turn(self, *, is_by_lot: bool) -> list[ReviewSlot]:
        return list(dict.fromkeys([*self.owed, *(self.drawn if is_by_lot else ()), *self.queued]))

    def images_beside(self, slot: ReviewSlot | None = None) -> list[GeneratedImage]:
        """Return what will most likely come after `slot`.

        Cards by lot are among them as well, in an order that does not tell them apart.
        """
        rest = [other for other in self.in_turn(is_by_lot=False) if other != slot]
        if not self.drawn:
            return [other.image for other in rest[:NEXT_SHOWN]]
        by_lot = [other for other in self.drawn if other != slot]
        images = {other.image for other in [*rest[: NEXT_SHOWN - 1], *by_lot[:2]]}
        return sorted(images, key=lambda image: image.sha256)


def _ahead(dataset: Dataset, reviewer: User, skipped_until: int | None, refused: set[int]) -> Ahead:
    """Return the next looks that this person may take.

    In the queue's order: first what waits, lowest first; then what others skipped; then, in a
    round of second looks, what the reviewer skipped before it began, in the order of skipping.
    """
    slots = ReviewSlot.objects.filter(dataset=dataset).exclude(pk__in=refused)
    if dataset.policy.reviews_per_image > 1:
        seen = ReviewSlot.objects.filter(image=OuterRef("image"), reviewer=reviewer)
        unseen = slots.filter(~Exists(seen))
    else:
        unseen = slots
    own = slots.filter(state=SlotState.SKIPPED, reviewer=reviewer)
    waiting = unseen.filter(state=SlotState.WAITING)
    skipped = unseen.filter(state=SlotState.SKIPPED).exclude(reviewer=reviewer)
    sources = [waiting.order_by("priority", "pk"), skipped.order_by("priority", "pk")]
    if skipped_until is not None:
        sources.append(own.filter(decision__lte=skipped_until).order_by("decision_id"))
    by_lot = _by_lot(unseen, reviewer)
    return Ahead(
        owed=[slot for slot in by_lot if not _is_fresh(slot)],
        drawn=[slot for slot in by_lot if _is_fresh(slot)],
        queued=next(filter(None, map(_first_of, sources)), []),
    )


def _first_of(slots: QuerySet[ReviewSlot]) -> list[ReviewSlot]:
    return list(with_image(slots)[: NEXT_SHOWN + 1])


def _is_fresh(slot: ReviewSlot) -> bool:
    return slot.handed_at is None and slot.stream == Stream.TARGETED


def _by_lot(slots: QuerySet[ReviewSlot], reviewer: User) -> list[ReviewSlot]:
    """Return what a running certificate is owed, then what nobody was handed, by lot.

    An audit that went back unanswered has a lower number than all that were not drawn yet, and a
    skip takes one off it: so one order by number has all that is owed at its beginning.
    """
    lots = slots.filter(lottery__isnull=False).exclude(state=SlotState.DECIDED)  # as the index
    lots = lots.exclude(state=SlotState.LEASED).exclude(state=SlotState.SKIPPED, reviewer=reviewer)
    lots = lots.filter(
        Q(handed_at__isnull=True) | Q(stream=Stream.AUDIT) | Q(state=SlotState.SKIPPED)
    )
    return _first_of(lots.order_by("lottery", "pk"))


def _lease(
    slot: ReviewSlot, reviewer: User, token: uuid.UUID, policy: QualityPolicy, *, is_draw: bool
) -> bool:
    expires = Now() + dt.timedelta(minutes=policy.lease_minutes)
    free = ReviewSlot.objects.filter(pk=slot.pk, state__in=[SlotState.WAITING, SlotState.SKIPPED])
    if is_draw:  # an image that somebody was handed in this moment is out of the draw
        free = free.filter(handed_at__isnull=True)
    # One statement needs no transaction of its own; inside another one it needs a savepoint.
    safely = transaction.atomic if connection.in_atomic_block else contextlib.nullcontext
    try:
        with safely():
            won = free.update(
                state=SlotState.LEASED,
                reviewer=reviewer,
                lease_token=token,
                lease_expires_at=expires,
                decision=None,
                handed_at=Coalesce("handed_at", Now()),
                **({"stream": Stream.AUDIT.value} if is_draw else {}),
            )
    except IntegrityError:  # this person took another look at the same image just now
        return False
    if won and is_draw and policy.reviews_per_image > 1:
        others = ReviewSlot.objects.filter(image=slot.image, handed_at__isnull=True)
        others.update(stream=Stream.AUDIT.value, lottery=slot.lottery)
    return bool(won)


def upcoming_images(dataset: Dataset, reviewer: User) -> list[GeneratedImage]:
    """Return what would come next, for the browser to load ahead."""
    return _ahead(dataset, reviewer, None, set()).images_beside()


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
