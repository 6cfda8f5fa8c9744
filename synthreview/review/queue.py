"""The queue: cards go out, leases end.

A claim is one UPDATE that finds its row by one index, so that two people never get one look and
the size of the queue does not matter (docs/reviewing.md, "The claim"). While a certificate runs,
some cards are drawn by lot (docs/certificate.md); nothing on a card tells which.
What comes into the queue is intake.py's.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from secrets import SystemRandom

from django.db import IntegrityError, transaction
from django.db.models import Case, QuerySet, Value, When
from django.db.models.fields import PositiveSmallIntegerField
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.prepared import Prepared
from synthreview.generation.models import GeneratedImage
from synthreview.review import adjudication, claims, gold
from synthreview.review.assignment import assignment_of
from synthreview.review.claims import Claim, Pool
from synthreview.review.models import (
    AT_THE_QUEUE,
    Decision,
    Lane,
    Purpose,
    ReviewSlot,
    SlotState,
)

NEXT_SHOWN = 4
TRIES = 5
GRID_SIZES = range(1, 49)
SIBLINGS = range(2, 7)
PROMPTS_AT_ONCE = 16
WINDOW = 3  # candidates looked at for each card of a page, so that they can be spread
CHANCE = SystemRandom()


@dataclass(frozen=True, slots=True)
class Card:
    """One image before a reviewer.

    `undone` is the decision that was taken back to show this image again.
    """

    slot: ReviewSlot
    token: uuid.UUID
    undone: Decision | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Several cards that lie before a reviewer together; each has its own token and decision."""

    batch: uuid.UUID
    cards: list[Card]


# --- One card -----------------------------------------------------------------


def next_card(
    *,
    dataset: Dataset,
    reviewer: User,
    skipped_until: int | None = None,
    may_hold_one: bool = True,
    adjudicates: bool = False,
) -> Card | None:
    """Return the reviewer's open card, or hand out the next image; None where none is left.

    Args:
        skipped_until: offer again, too, what the reviewer skipped up to this decision.
        may_hold_one: False where the caller knows that no card is open; saves a query.
        adjudicates: of the images that wait for an adjudicator, in place of the queue.
    """
    if may_hold_one and (own := _reopen(dataset, reviewer, adjudicates=adjudicates)):
        return own
    claim = claim_next(
        dataset=dataset, reviewer=reviewer, skipped_until=skipped_until, adjudicates=adjudicates
    )
    return card_of(claim) if claim else None


def claim_next(
    *,
    dataset: Dataset,
    reviewer: User,
    skipped_until: int | None = None,
    adjudicates: bool = False,
) -> Claim | None:
    """Lease the next look to the reviewer; None where none is left.

    First what is owed to a certificate, then by lot or what waits, lowest first; then what
    others skipped; then, in a round of second looks, what the reviewer skipped before it began.
    At the policy's share an image with a known answer comes in its stead.
    """
    assigned = assignment_of(dataset=dataset, reviewer=reviewer)
    if adjudicates:
        return adjudication.claim(dataset=dataset, adjudicator=reviewer, classes=assigned.classes)
    if assigned.is_done_today:
        return None
    pool = Pool(dataset, reviewer, classes=assigned.classes)
    if CHANCE.random() < dataset.policy.gold_share and (known := gold.claim(pool)):
        return known
    is_by_lot = CHANCE.random() < dataset.policy.current_audit_share
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                claim = claims.claim(pool, is_by_lot=is_by_lot)
                if claim is None and skipped_until is not None:
                    claim = claims.claim_own_skipped(pool, skipped_until)
                if claim and claim.is_audit and dataset.policy.reviews_per_image > 1:
                    _owe_other_looks(claim)
                return claim
        except IntegrityError:  # this person took another look at the same image just now
            continue
    return None


def _owe_other_looks(claim: Claim) -> None:
    """Put the other looks of an audited image first: it counts when it has all of them."""
    audited = ReviewSlot.objects.get(pk=claim.slot)
    ReviewSlot.objects.filter(
        image=audited.image_id, round=audited.round, handed_at__isnull=True
    ).update(stream=audited.stream, lottery=audited.lottery, lane=Lane.OWED)


def _reopen(dataset: Dataset, reviewer: User, *, adjudicates: bool) -> Card | None:
    """Return the card that lies open before the reviewer alone, its lease renewed."""
    held = held_by(dataset, reviewer, adjudicates=adjudicates)
    held = held.filter(batch__isnull=True, lease_expires_at__gt=Now())
    # The one in front: what its page holds ahead was handed out later.
    slot = held.order_by("handed_at", "pk").only("image", "lease_token").first()
    if slot is None or slot.lease_token is None:
        return None
    if not renew_lease(reviewer=reviewer, token=slot.lease_token):
        return None
    claim = Claim(slot.pk, slot.image_id, slot.lease_token)
    return card_of(claim)


def card_of(claim: Claim, *, undone: Decision | None = None) -> Card:
    """Return the claimed look with all that its card shows; one query."""
    slot = _shown.first(slot=claim.slot)
    if slot is None:
        raise ReviewSlot.DoesNotExist(f"The look {claim.slot} is gone.")
    return Card(slot, claim.token, undone)


def upcoming(*, dataset: Dataset, reviewer: User) -> list[GeneratedImage]:
    """Return images that are likely to come, in an order that tells nothing of the draw.

    For programs that hold no cards ahead and load pictures before they are needed.
    """
    assigned = assignment_of(dataset=dataset, reviewer=reviewer)
    pool = Pool(dataset, reviewer, classes=assigned.classes)
    images = claims.peek(pool, shown=NEXT_SHOWN)
    if dataset.policy.gold_share:  # a known answer must load no more slowly than others
        images |= set(gold.unseen(pool).values_list("pk", flat=True)[:1])
    return [GeneratedImage(pk=image) for image in sorted(images, key=_scattered)]


def _scattered(number: int) -> int:
    return number * 2_654_435_761 % 2**32


def with_image(slots: QuerySet[ReviewSlot]) -> QuerySet[ReviewSlot]:
    return slots.select_related("image__label_class", "image__prompt", "image__review__score")


_shown = Prepared(lambda slot: with_image(ReviewSlot.objects.filter(pk=slot)), "slot")

# --- Several cards --------------------------------------------------------------


def claim_many(
    *,
    dataset: Dataset,
    reviewer: User,
    count: int,
    label_class: LabelClass | None = None,
    technique: str | None = None,
) -> Page | None:
    """Hand out a page of one class and one question, spread over prompts and families.

    Without a class and technique, those of the next card in the queue are taken: the queue says
    what is most urgent, and a draw over all images stays one. With them, the policy's share of
    the page is drawn by lot within them. None where nothing waits.

    Raises ValueError: a page of that size is not offered, or a class without a technique.
    """
    if count not in GRID_SIZES:
        raise ValueError(f"a page holds {GRID_SIZES[0]} to {GRID_SIZES[-1]} images, not {count}")
    if (label_class is None) != (technique is None):
        raise ValueError("a page is of one class and one technique: name both or none")
    batch = uuid.uuid4()
    lead = None
    assigned = assignment_of(dataset=dataset, reviewer=reviewer)
    if assigned.is_done_today or (label_class and not assigned.includes(label_class.pk)):
        return None
    if label_class is None or technique is None:
        lead = claim_next(dataset=dataset, reviewer=reviewer)
        if lead is None:
            return None
        ReviewSlot.objects.filter(pk=lead.slot, lease_token=lead.token).update(batch=batch)
        first = ReviewSlot.objects.only("label_class", "technique").get(pk=lead.slot)
        pool = Pool(dataset, reviewer, first.label_class_id, first.technique)
    else:
        pool = Pool(dataset, reviewer, label_class.pk, technique)
    share = dataset.policy.current_audit_share if lead is None else 0.0
    _fill(pool, batch, count - (lead is not None), audit_share=share)
    return open_page(dataset=dataset, reviewer=reviewer, batch=batch)


def _fill(pool: Pool, batch: uuid.UUID, count: int, *, audit_share: float) -> None:
    """Lease up to `count` looks of the pool for the page, some of them by lot.

    What others are being handed at this moment is stepped over: where that leaves too few, the
    rest is looked for once more.
    """
    known = sum(CHANCE.random() < pool.dataset.policy.gold_share for _ in range(count))
    count -= gold.claim_into(pool, batch, known) if known else 0
    by_lot = sum(CHANCE.random() < audit_share for _ in range(count))
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                taken = claims.claim_draws(pool, by_lot, batch) if by_lot else 0
                found = claims.candidates(pool, limit=WINDOW * (count - taken) + 8)
                chosen = spread(found, count - taken)
                taken += claims.claim_these(pool, [one.slot for one in chosen], batch)
        except IntegrityError:  # this person took another look at one of the images just now
            continue
        count, by_lot = count - taken, 0
        if not count or not taken:
            return


def spread(found: Sequence[claims.Candidate], wanted: int) -> list[claims.Candidate]:
    """Return `wanted` of the candidates, in their order, with as few of one kin as possible.

    Each image once; of each prompt and each family one, then two, and so on.
    """
    chosen: list[claims.Candidate] = []
    left = list({one.image: one for one in reversed(found)}.values())[::-1]
    most = 1
    while left and len(chosen) < wanted:
        used: dict[object, int] = {}
        for one in chosen:
            for kin in one.kin:
                used[kin] = used.get(kin, 0) + 1
        rest = []
        for one in left:
            if len(chosen) < wanted and all(used.get(kin, 0) < most for kin in one.kin):
                chosen.append(one)
                for kin in one.kin:
                    used[kin] = used.get(kin, 0) + 1
            else:
                rest.append(one)
        left, most = rest, most + 1
    return chosen


def claim_siblings(
    *, dataset: Dataset, reviewer: User, count: int = SIBLINGS[-1], prompt: int | None = None
) -> Page | None:
    """Hand out 2 to `count` images of one prompt side by side; None where no two wait.

    Without a prompt, the first in the queue's order of which two or more wait.
    Raises ValueError: so many are not offered.
    """
    if count not in SIBLINGS:
        raise ValueError(f"side by side lie {SIBLINGS[0]} to {SIBLINGS[-1]} images, not {count}")
    assigned = assignment_of(dataset=dataset, reviewer=reviewer)
    if assigned.is_done_today:
        return None
    pool = Pool(dataset, reviewer, classes=assigned.classes)
    batch = uuid.uuid4()
    for _ in range(TRIES):
        try:
            with transaction.atomic():
                chosen = _siblings(pool, count, prompt)
                if not chosen:
                    return None
                if claims.claim_these(pool, chosen, batch) >= SIBLINGS[0]:
                    break
        except IntegrityError:  # this person took another look at one of the images just now
            pass
        give_back(held_by(dataset, reviewer).filter(batch=batch))
    return open_page(dataset=dataset, reviewer=reviewer, batch=batch)


def _siblings(pool: Pool, count: int, prompt: int | None) -> list[int]:
    """Return the looks at the first prompt's images that two or more of wait; [] if none."""
    prompts = [prompt] if prompt else claims.first_prompts(pool)
    for start in range(0, len(prompts), PROMPTS_AT_ONCE):
        some = prompts[start : start + PROMPTS_AT_ONCE]
        by_prompt: dict[int, dict[int, int]] = {one: {} for one in some}
        for found in claims.of_prompts(pool, some):
            by_prompt[found.prompt].setdefault(found.image, found.slot)
        for looks in by_prompt.values():
            if len(looks) >= SIBLINGS[0]:
                return list(looks.values())[:count]
    return []


def open_page(*, dataset: Dataset, reviewer: User, batch: uuid.UUID) -> Page | None:
    """Return what of a page still lies before the reviewer; None where nothing does."""
    held = held_by(dataset, reviewer).filter(batch=batch)
    slots = sorted(with_image(held), key=lambda slot: _scattered(slot.pk))
    cards = [Card(slot, slot.lease_token) for slot in slots if slot.lease_token]
    return Page(batch, cards) if cards else None


# --- Leases ---------------------------------------------------------------------


def renew_leases(
    *, dataset: Dataset, reviewer: User, tokens: Iterable[uuid.UUID]
) -> set[uuid.UUID]:
    """Keep the cards while their page is open; return the tokens of those still held."""
    held = held_by(dataset, reviewer).filter(lease_token__in=list(tokens))
    held.update(lease_expires_at=Now() + dt.timedelta(minutes=dataset.policy.lease_minutes))
    return {token for token in held.values_list("lease_token", flat=True) if token}


def renew_lease(*, reviewer: User, token: uuid.UUID) -> bool:
    """Keep the card while its page is open; False where it went back to the queue."""
    slot = (
        ReviewSlot.objects.filter(state=SlotState.LEASED, reviewer=reviewer, lease_token=token)
        .select_related("dataset__policy")
        .first()
    )
    return slot is not None and bool(
        renew_leases(dataset=slot.dataset, reviewer=reviewer, tokens=[token])
    )


def release(*, dataset: Dataset, reviewer: User, tokens: Iterable[uuid.UUID] | None = None) -> int:
    """Give the reviewer's open cards back to the queue: those of `tokens`, or all of them."""
    held = held_by(dataset, reviewer)
    if tokens is not None:
        held = held.filter(lease_token__in=list(tokens))
    return give_back(held)


def held_by(
    dataset: Dataset, reviewer: User, *, adjudicates: bool | None = None
) -> QuerySet[ReviewSlot]:
    """Return the looks that lie before the reviewer: at the queue, to adjudicate, or both."""
    held = ReviewSlot.objects.filter(state=SlotState.LEASED, reviewer=reviewer, dataset=dataset)
    if adjudicates is None:
        return held
    purposes = [Purpose.ADJUDICATION] if adjudicates else list(AT_THE_QUEUE)
    return held.filter(purpose__in=purposes)


def give_back(held: QuerySet[ReviewSlot]) -> int:
    """Make leased looks free; their tokens are worth nothing from now on."""
    return _free(held, reviewer=None, lease_token=None)


def free_expired() -> int:
    """Give back every card whose lease ran out; the sweeper calls this.

    Its reviewer and token stay on it until somebody else is handed it: a decision that was made
    while the network was away still counts.
    """
    return _free(ReviewSlot.objects.filter(state=SlotState.LEASED, lease_expires_at__lt=Now()))


def _free(held: QuerySet[ReviewSlot], **changes: None) -> int:
    """Make leased looks free; what a certificate waits for comes first from now on."""
    with transaction.atomic():
        # Never waits: who holds a row at this moment decides it.
        rows = list(held.select_for_update(skip_locked=True).values_list("pk", "purpose"))
        looks = [pk for pk, purpose in rows if purpose == Purpose.LOOK]
        ReviewSlot.objects.filter(pk__in=looks).update(
            state=SlotState.WAITING,
            lease_expires_at=None,
            batch=None,
            lane=Case(
                When(lottery__isnull=False, then=Value(Lane.OWED.value)),
                default="lane",
                output_field=PositiveSmallIntegerField(),
            ),
            **changes,
        )
        others = [pk for pk, purpose in rows if purpose != Purpose.LOOK]
        if others:  # made when it was handed out, so that it never waits
            ReviewSlot.objects.filter(pk__in=others).delete()
    return len(rows)
