"""Verbs of review: record decisions, undo them, and say how far the work is."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Avg, Count, Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import Call, GeneratedImage
from synthreview.review import claims
from synthreview.review.assignment import assignment_of
from synthreview.review.claims import Claim
from synthreview.review.intake import ask_again, set_priorities
from synthreview.review.models import (
    AT_THE_QUEUE,
    FINAL_VERDICTS,
    SAYABLE,
    Decision,
    Purpose,
    ReviewSlot,
    SlotState,
    Surface,
    Verdict,
)
from synthreview.review.queue import TRIES, Card, card_of, claim_next, give_back, held_by, next_card
from synthreview.review.reasons import REASONS

COUNT_LIMIT = 1_000
MAX_SECONDS = 3_600.0
DAY_LIMIT = 10_000
PACE_WINDOW = 30
PACE_MINIMUM = 5
MOST_ANSWERS = 500
LEASE_LOST = "Your last image went back to the queue because it lay open too long."
DECISION_GONE = "That decision does not stand any more: the page shows what does."


__all__ = ["ask_again", "set_priorities"]  # verbs that live in intake.py


class ReviewError(Exception):
    """The decision cannot be taken; the message says why, in plain words."""


class LeaseLostError(ReviewError):
    """The image went back to the queue, or to somebody else, before the decision came."""


# --- Decisions ----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """What a reviewer says of the card that carries `token`.

    `wrong_slots`: what of the caption the image does not show; it goes with any verdict, because
    a label can be right where a colour is wrong.
    """

    token: uuid.UUID
    verdict: str
    reasons: Sequence[str] = ()
    note: str = ""
    seconds: float = 0.0
    wrong_slots: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Said:
    """A decision on record; `is_replay` where this token had said it before."""

    decision: Decision
    is_replay: bool


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of several answers: those on record, and the tokens of those that came late."""

    said: list[Said]
    lost: list[uuid.UUID]


def record_decision(
    *,
    dataset: Dataset,
    reviewer: User,
    token: uuid.UUID,
    verdict: str,
    reasons: Iterable[str] = (),
    note: str = "",
    seconds: float = 0.0,
    wrong: Iterable[str] = (),
    surface: str = Surface.FOCUS,
) -> Said:
    """Record what the reviewer says of the card that carries `token`.

    The same token gives the same decision again: a double click or a replay changes nothing.
    Raises LeaseLostError where the card is no longer theirs, ReviewError for a wrong verdict.
    """
    answer = Answer(token, verdict, list(reasons), note, seconds, wrong_slots=list(wrong))
    recorded = record_decisions(
        dataset=dataset, reviewer=reviewer, answers=[answer], surface=surface
    )
    if recorded.lost:
        raise LeaseLostError(LEASE_LOST)
    return recorded.said[0]


def record_decisions(
    *,
    dataset: Dataset,
    reviewer: User,
    answers: Sequence[Answer],
    surface: str = Surface.FOCUS,
) -> Recorded:
    """Record what the reviewer says of several cards, each by its own token, exactly once.

    All in one transaction: a page of a grid, or what was decided while the network was away. A
    token that said something before says it again; one whose card somebody else was handed in
    between is lost. Raises ReviewError for a wrong verdict or reason, and then nothing is kept.
    """
    check_answers(answers, surface)
    by_token = {answer.token: answer for answer in answers}
    with transaction.atomic():
        decisions = _take(dataset, reviewer, by_token, surface)
    fresh = {decision.client_token for decision in decisions}
    before = _said_before(dataset, reviewer, [token for token in by_token if token not in fresh])
    said = [Said(decision, is_replay=False) for decision in decisions]
    said += [Said(decision, is_replay=True) for decision in before]
    known = {one.decision.client_token for one in said}
    return Recorded(said, [token for token in by_token if token not in known])


def check_answers(answers: Sequence[Answer], surface: str = Surface.FOCUS) -> None:
    """Raise ReviewError where an answer cannot be taken as it stands."""
    if len(answers) > MOST_ANSWERS:
        raise ReviewError(f"{len(answers)} answers at once; {MOST_ANSWERS} at most.")
    if surface not in Surface.values:
        raise ReviewError(f"{surface!r} is no surface; known: {', '.join(Surface.values)}.")
    for answer in answers:
        if answer.verdict not in SAYABLE:
            known = ", ".join(SAYABLE[:-1])
            raise ReviewError(f"{answer.verdict!r} is no verdict; choose {known} or {SAYABLE[-1]}.")
        if unknown := [reason for reason in answer.reasons if reason not in REASONS]:
            raise ReviewError(f"{unknown[0]!r} is no reason; known: {', '.join(REASONS)}.")


def _take(
    dataset: Dataset, reviewer: User, answers: Mapping[uuid.UUID, Answer], surface: str
) -> list[Decision]:
    """Write the decisions of the cards that are still the reviewer's; in a transaction."""
    by_verdict: dict[str, list[uuid.UUID]] = {}
    for answer in answers.values():
        by_verdict.setdefault(answer.verdict, []).append(answer.token)
    decisions = []
    for verdict, tokens in by_verdict.items():
        taken = claims.answer(dataset, reviewer, tokens, is_final=verdict in FINAL_VERDICTS)
        decisions += [
            _decision(one, answers[one.token], dataset, reviewer, surface) for one in taken
        ]
    claims.write_decisions(decisions)
    _settle(decisions)
    return decisions


def _decision(
    one: claims.Answered, answer: Answer, dataset: Dataset, reviewer: User, surface: str
) -> Decision:
    return Decision(
        image_id=one.image,
        dataset=dataset,
        reviewer=reviewer,
        verdict=answer.verdict,
        stream=one.stream,
        purpose=one.purpose,
        surface=surface,
        batch=one.batch,
        round=one.round,
        reasons=list(answer.reasons) if answer.verdict == Verdict.REJECT else [],
        wrong_slots=sorted(set(answer.wrong_slots)),
        note=answer.note.strip()[:500],
        seconds=min(max(answer.seconds, 0.0), MAX_SECONDS),
        guideline_version=one.guideline_version,
        client_token=one.token,
    )


def _said_before(dataset: Dataset, reviewer: User, tokens: Sequence[uuid.UUID]) -> list[Decision]:
    if not tokens:
        return []
    return list(
        Decision.objects.filter(dataset=dataset, reviewer=reviewer, client_token__in=tokens)
    )


def _settle(decisions: Sequence[Decision]) -> None:
    """Count final verdicts for their images; each image is counted by itself, in one statement."""
    for verdict in FINAL_VERDICTS:
        images = [
            decision.image_id
            for decision in decisions
            if decision.verdict == verdict and decision.purpose == Purpose.LOOK
        ]
        if images:
            claims.count_verdict(images, verdict, by=1)
        settled = [
            decision.image_id
            for decision in decisions
            if decision.verdict == verdict and decision.purpose == Purpose.ADJUDICATION
        ]
        if settled:
            claims.adjudicate(settled, verdict)


@dataclass(frozen=True, slots=True)
class Turn:
    """What one request of a reviewer did: what was said, or why not, and the next card."""

    said: Said | None
    problem: str
    card: Card | None


def decide_and_continue(
    *,
    dataset: Dataset,
    reviewer: User,
    answer: Answer,
    surface: str = Surface.FOCUS,
    skipped_until: int | None = None,
    adjudicates: bool = False,
) -> Turn:
    """Record the answer and hand out the next card, in one transaction.

    Where the answer cannot be taken, `problem` says why, and the card is the one that lies open
    or else the next.
    """
    said, problem, claim = None, "", None
    try:
        check_answers([answer], surface)
        with transaction.atomic():
            decisions = _take(dataset, reviewer, {answer.token: answer}, surface)
            if decisions:
                said = Said(decisions[0], is_replay=False)
                claim = claim_next(
                    dataset=dataset,
                    reviewer=reviewer,
                    skipped_until=skipped_until,
                    adjudicates=adjudicates,
                )
    except ReviewError as error:
        problem = str(error)
    if said is not None:
        following = card_of(claim) if claim else None
        return Turn(said, "", following)
    if not problem:
        before = _said_before(dataset, reviewer, [answer.token])
        said = Said(before[0], is_replay=True) if before else None
        problem = "" if said else LEASE_LOST
    card = next_card(
        dataset=dataset,
        reviewer=reviewer,
        skipped_until=skipped_until,
        adjudicates=adjudicates,
    )
    return Turn(said, problem, card)


# --- Changing one's mind ------------------------------------------------------------


@transaction.atomic
def undo(
    *,
    dataset: Dataset,
    reviewer: User,
    undo_token: uuid.UUID | None = None,
    keeps_open_cards: bool = False,
    adjudicates: bool = False,
) -> Card | None:
    """Take back the reviewer's last standing decision and put its image before them again.

    Each further call goes one further back. None where nothing is left to undo.
    An adjudicator's words are taken back among the adjudications alone.

    Args:
        undo_token: the undo's own; sent again, it gives the same card and takes back nothing more.
        keeps_open_cards: False: what was open goes back to the queue.
    """
    undo_token = undo_token or uuid.uuid4()
    if done := Decision.objects.filter(client_token=undo_token, reviewer=reviewer).first():
        return _taken_back_before(done, dataset, reviewer, adjudicates=adjudicates)
    purposes = [Purpose.ADJUDICATION] if adjudicates else list(AT_THE_QUEUE)
    token = uuid.uuid4()
    for _ in range(TRIES):  # what stands may be changed, or a skip be taken up, in this moment
        last = _standing(dataset, reviewer).filter(purpose__in=purposes).order_by("-pk").first()
        if last is None:
            return None
        if not keeps_open_cards:
            held = held_by(dataset, reviewer, adjudicates=adjudicates)
            give_back(held.filter(batch__isnull=True))
        if _lease_again(last, token, dataset.policy.lease_minutes):
            break
    else:
        return None
    Decision.objects.create(
        image_id=last.image_id,
        dataset=dataset,
        reviewer=reviewer,
        verdict=Verdict.WITHDRAW,
        stream=last.stream,
        purpose=last.purpose,
        round=last.round,
        guideline_version=last.guideline_version,
        client_token=undo_token,
        supersedes=last,
    )
    _uncount(last)
    claim = Claim(last.slot_of.pk, last.image_id, token)
    return card_of(claim, undone=last)


def _lease_again(last: Decision, token: uuid.UUID, minutes: int) -> bool:
    """Put a decided look before its reviewer again; False where the decision stands no more."""
    return bool(
        ReviewSlot.objects.filter(pk=last.slot_of.pk, decision=last).update(
            state=SlotState.LEASED,
            lease_token=token,
            lease_expires_at=Now() + dt.timedelta(minutes=minutes),
            batch=None,
            decision=None,
        )
    )


def _taken_back_before(
    undone: Decision, dataset: Dataset, reviewer: User, *, adjudicates: bool
) -> Card | None:
    """Return the card of an undo that was done before; None where it lies open no more."""
    held = held_by(dataset, reviewer, adjudicates=adjudicates)
    slot = held.filter(image=undone.image_id, round=undone.round).first()
    if slot is None or slot.lease_token is None or undone.supersedes is None:
        return None
    claim = Claim(slot.pk, undone.image_id, slot.lease_token)
    return card_of(claim, undone=undone.supersedes)


@transaction.atomic
def change_decision(
    *,
    dataset: Dataset,
    reviewer: User,
    decision: int,
    token: uuid.UUID,
    verdict: str,
    reasons: Iterable[str] = (),
    note: str = "",
) -> Said:
    """Say something else of an image that the reviewer decided before; nothing is handed out.

    `decision` is what stood there when they looked; `token` is the change's own, so that it is
    made once. Raises ReviewError where that decision is not theirs, or something else stands.
    """
    answer = Answer(token, verdict, list(reasons), note)
    check_answers([answer], Surface.STRIP)
    if before := _said_before(dataset, reviewer, [token]):
        return Said(before[0], is_replay=True)
    last = _standing(dataset, reviewer).filter(pk=decision).first()
    if last is None:
        raise ReviewError(DECISION_GONE)
    changed = Decision(
        image_id=last.image_id,
        dataset=dataset,
        reviewer=reviewer,
        verdict=verdict,
        stream=last.stream,
        purpose=last.purpose,
        surface=Surface.STRIP,
        round=last.round,
        reasons=answer.reasons if verdict == Verdict.REJECT else [],
        note=note.strip()[:500],
        guideline_version=last.guideline_version,
        client_token=token,
        supersedes=last,
    )
    if not claims.replace_answer(last.slot_of.pk, last, changed):
        raise ReviewError(DECISION_GONE)
    changed.save(force_insert=True)
    _uncount(last)
    _settle([changed])
    return Said(changed, is_replay=False)


def _standing(dataset: Dataset, reviewer: User) -> QuerySet[Decision]:
    """Return the reviewer's decisions that count and can be taken back, of the present rounds."""
    return Decision.objects.filter(
        reviewer=reviewer,
        dataset=dataset,
        slot_of__reviewer=reviewer,
        round=F("image__review__round"),
    ).select_related("slot_of")


def _uncount(decision: Decision) -> None:
    if decision.verdict not in FINAL_VERDICTS:
        return
    if decision.purpose == Purpose.LOOK:
        claims.count_verdict([decision.image_id], decision.verdict, by=-1)
    elif decision.purpose == Purpose.ADJUDICATION:
        claims.adjudicate([decision.image_id], "")


# --- What was said, and what is left ----------------------------------------------


def last_decisions(*, dataset: Dataset, reviewer: User, limit: int = 8) -> QuerySet[Decision]:
    """Return the reviewer's latest standing decisions, newest first."""
    own = Decision.objects.filter(dataset=dataset, reviewer=reviewer, superseded_by__isnull=True)
    own = own.exclude(verdict=Verdict.WITHDRAW).order_by("-pk")
    return own.select_related("image__label_class", "image__review__score")[:limit]


def recent_prompts(*, dataset: Dataset, reviewer: User, limit: int = 24) -> list[int]:
    """Return the prompts of the reviewer's latest standing decisions."""
    last = last_decisions(dataset=dataset, reviewer=reviewer, limit=limit)
    prompts = last.select_related(None).values_list("image__prompt", flat=True)
    return list({prompt for prompt in prompts if prompt is not None})


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
    """How much is left; counted up to COUNT_LIMIT, so that a page costs the same at any size.

    `waiting` images may come to this reviewer. `for_others` looks wait too, and cannot: they have
    judged the image, or hold it, or its class is not theirs. `is_more`: there is more of either.
    """

    waiting: int
    for_others: int
    skipped_by_me: int
    is_more: bool


def queue_counts(*, dataset: Dataset, reviewer: User) -> QueueCounts:
    """Count what waits in the queue, for this reviewer and for others, and what they skipped."""
    slots = ReviewSlot.objects.filter(dataset=dataset)
    window = slots.filter(state=SlotState.WAITING).order_by()[: COUNT_LIMIT + 1].values("pk")
    own = slots.filter(image=OuterRef("image"), round=OuterRef("round"), reviewer=reviewer)
    mine = Q(~Exists(own.exclude(state=SlotState.WAITING)))
    if classes := assignment_of(dataset=dataset, reviewer=reviewer).classes:
        mine &= Q(label_class__in=classes)
    found = ReviewSlot.objects.filter(pk__in=window).aggregate(
        every=Count("pk"),
        looks=Count("pk", filter=mine),
        images=Count("image", filter=mine, distinct=True),
    )
    skipped = slots.filter(state=SlotState.SKIPPED, reviewer=reviewer).order_by()
    return QueueCounts(
        waiting=min(found["images"], COUNT_LIMIT),
        for_others=min(found["every"] - found["looks"], COUNT_LIMIT),
        skipped_by_me=skipped[: COUNT_LIMIT + 1].count(),
        is_more=found["every"] > COUNT_LIMIT,
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
