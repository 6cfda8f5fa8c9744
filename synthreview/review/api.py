"""Reviewing over the API: claim cards, decide, change one's mind, give cards back.

Whatever the review page can do, another front end can do with these: same verbs, same roles, and
no more about a card than the page shows. docs/api.md tells how they go together.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

from django.http import HttpRequest
from ninja import Router, Schema
from ninja.errors import HttpError
from pydantic import ConfigDict, Field

from synthreview.accounts.models import User
from synthreview.catalog.api import PROBLEMS
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.pages import find_dataset, signed_in
from synthreview.catalog.permissions import Action, require
from synthreview.prompting.techniques import TECHNIQUES, review_question
from synthreview.review import queue, services
from synthreview.review.models import SAYABLE
from synthreview.review.queue import Card
from synthreview.review.reasons import REASONS
from synthreview.review.services import Answer, ReviewError, Said

router = Router(by_alias=True)

MAX_ID = 2**63 - 1
EXAMPLE_TOKEN = "6f1c2a52-0f6e-4f0e-9d0e-0c1f6f3a7b11"  # noqa: S105 - of the documentation
Note = Annotated[str, Field(max_length=500, pattern=r"^[^\x00]*$")]
Verdict = Annotated[str, Field(json_schema_extra={"enum": [one.value for one in SAYABLE]})]
Tokens = Annotated[list[uuid.UUID], Field(max_length=services.MOST_ANSWERS)]


# --- What goes in and out -------------------------------------------------------


class ClaimIn(Schema):
    """Which cards are wanted.

    `next`: one card, the most urgent; what lies open already comes again. `page`: `count` images of
    one class and technique, of your choice or, without both, of the most urgent image's.
    `siblings`: 2 to 6 images of one prompt.
    """

    kind: Literal["next", "page", "siblings"] = "next"
    count: int = Field(6, ge=1, le=48)
    class_name: str = Field("", alias="class", max_length=120)
    technique: str = Field("", max_length=20)
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"kind": "next"},
                {"kind": "page", "count": 24, "class": "car", "technique": "plain"},
            ]
        }
    )


class CardOut(Schema):
    """An image that lies before you until its lease runs out; `token` is worth one decision.

    The addresses are of renditions, and need your session too. Where the policy hides scores,
    `score` is null.
    """

    token: uuid.UUID
    image: int
    class_name: str = Field(alias="class")
    technique: str
    caption: str
    question: str
    definition: str
    guideline: str
    slots: dict[str, str]
    view_url: str
    thumb_url: str
    width: int
    height: int
    score: float | None
    lease_minutes: int


class CardsOut(Schema):
    """The cards that are yours now; none where nothing waits. `ahead`: images to load early."""

    batch: uuid.UUID | None = None
    cards: list[CardOut]
    ahead: list[str] = []


class AnswerIn(Schema):
    """What you say of the card with this token."""

    token: uuid.UUID
    verdict: Verdict
    reasons: list[str] = Field([], max_length=len(REASONS))
    note: Note = ""
    seconds: float = Field(0, ge=0)


class DecideIn(Schema):
    """Answers, each recorded once however often it is sent; `claim` gives the next card too."""

    answers: list[AnswerIn] = Field(min_length=1, max_length=services.MOST_ANSWERS)
    claim: bool = False
    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "answers": [
                        {
                            "token": EXAMPLE_TOKEN,
                            "verdict": "reject",
                            "reasons": ["wrong_object"],
                            "seconds": 1.8,
                        }
                    ],
                    "claim": True,
                }
            ]
        }
    )


class SaidOut(Schema):
    """A decision on record; `is_replay` where it had been before."""

    token: uuid.UUID
    decision: int
    verdict: str
    is_replay: bool


class DecidedOut(Schema):
    """What is on record, and the tokens of images that went to somebody else in between."""

    said: list[SaidOut]
    lost: list[uuid.UUID]
    next: CardsOut | None = None


class ChangeIn(Schema):
    """Another verdict in the place of your standing decision; `token` is a new one, of yours."""

    decision: int = Field(ge=1, le=MAX_ID)
    token: uuid.UUID
    verdict: Verdict
    reasons: list[str] = Field([], max_length=len(REASONS))
    note: Note = ""


class TokensIn(Schema):
    """Cards that lie before you; null: all of them."""

    tokens: Tokens | None = None


class HeldIn(Schema):
    """Cards that lie before you."""

    tokens: Tokens


class HeldOut(Schema):
    """Those of the cards that are still yours, for as long as a lease lasts."""

    tokens: list[uuid.UUID]


class Released(Schema):
    """How many cards went back to the queue."""

    released: int


class ReasonOut(Schema):
    """A reason for rejecting."""

    code: str
    label: str


# --- From rows to answers ---------------------------------------------------------


def _desk(request: HttpRequest, slug: str) -> Dataset:
    """Return the dataset for somebody who may review it. Raises Http404, PermissionDenied."""
    user = signed_in(request)
    dataset = find_dataset(user, slug)
    require(user, dataset, Action.REVIEW)
    return dataset


def _card(card: Card, dataset: Dataset) -> dict[str, Any]:
    image = card.slot.image
    slots = image.prompt.slots if image.prompt else {}
    score = image.review.score
    shown = score.value if score and not dataset.policy.blind_scores else None
    return {
        "token": card.token,
        "image": image.pk,
        "class": image.label_class.name,
        "technique": image.technique,
        "caption": image.caption,
        "question": review_question(image.technique, image.label_class.name, slots),
        "definition": image.label_class.definition,
        "guideline": image.label_class.guideline,
        "slots": slots,
        "view_url": image.view_url,
        "thumb_url": image.thumb_url,
        "width": image.width,
        "height": image.height,
        "score": shown,
        "lease_minutes": dataset.policy.lease_minutes,
    }


def _cards(
    dataset: Dataset, reviewer: User, *cards: Card | None, batch: uuid.UUID | None = None
) -> dict[str, Any]:
    there = [card for card in cards if card]
    is_single = there and batch is None
    ahead = queue.upcoming(dataset=dataset, reviewer=reviewer) if is_single else []
    return {
        "batch": batch,
        "cards": [_card(card, dataset) for card in there],
        "ahead": [image.view_url for image in ahead],
    }


def _said(said: Said) -> dict[str, Any]:
    return {
        "token": said.decision.client_token,
        "decision": said.decision.pk,
        "verdict": said.decision.verdict,
        "is_replay": said.is_replay,
    }


def _kind(dataset: Dataset, wish: ClaimIn) -> tuple[LabelClass | None, str | None]:
    if not wish.class_name and not wish.technique:
        return None, None
    if wish.technique not in TECHNIQUES:
        known = ", ".join(TECHNIQUES)
        raise HttpError(422, f"No technique is called {wish.technique!r}; known: {known}.")
    label_class = dataset.classes.filter(name=wish.class_name).first()
    if label_class is None:
        raise HttpError(422, f"No class is called {wish.class_name!r} in {dataset.name}.")
    return label_class, wish.technique


# --- Cards --------------------------------------------------------------------


@router.post("datasets/{slug:slug}/review/claim", response={200: CardsOut, **PROBLEMS})
def claim(request: HttpRequest, slug: str, wish: ClaimIn) -> Any:
    """Lease cards: one, a page of one class and technique, or siblings of one prompt."""
    dataset, user = _desk(request, slug), signed_in(request)
    if wish.kind == "next":
        return _cards(dataset, user, queue.next_card(dataset=dataset, reviewer=user))
    try:
        if wish.kind == "siblings":
            page = queue.claim_siblings(dataset=dataset, reviewer=user, count=wish.count)
        else:
            label_class, technique = _kind(dataset, wish)
            page = queue.claim_many(
                dataset=dataset,
                reviewer=user,
                count=wish.count,
                label_class=label_class,
                technique=technique,
            )
    except ValueError as error:
        raise HttpError(422, str(error)) from error
    return _cards(dataset, user, *page.cards, batch=page.batch) if page else _cards(dataset, user)


@router.post("datasets/{slug:slug}/review/heartbeat", response={200: HeldOut, **PROBLEMS})
def heartbeat(request: HttpRequest, slug: str, held: HeldIn) -> Any:
    """Renew the leases of cards that still lie open."""
    dataset, user = _desk(request, slug), signed_in(request)
    kept = queue.renew_leases(dataset=dataset, reviewer=user, tokens=held.tokens)
    return {"tokens": [token for token in held.tokens if token in kept]}


@router.post("datasets/{slug:slug}/review/release", response={200: Released, **PROBLEMS})
def release(request: HttpRequest, slug: str, cards: TokensIn) -> Any:
    """Give cards back to the queue."""
    dataset, user = _desk(request, slug), signed_in(request)
    return {"released": queue.release(dataset=dataset, reviewer=user, tokens=cards.tokens)}


# --- Decisions ------------------------------------------------------------------


@router.post("datasets/{slug:slug}/review/decide", response={200: DecidedOut, **PROBLEMS})
def decide(request: HttpRequest, slug: str, data: DecideIn) -> Any:
    """Record answers, all or none; a token that was answered before gives its first answer."""
    dataset, user = _desk(request, slug), signed_in(request)
    answers = [Answer(**one.dict()) for one in data.answers]
    try:
        recorded = services.record_decisions(
            dataset=dataset, reviewer=user, answers=answers, surface="api"
        )
    except ReviewError as error:
        raise HttpError(422, str(error)) from error
    following = None
    if data.claim:
        following = _cards(dataset, user, queue.next_card(dataset=dataset, reviewer=user))
    return {
        "said": [_said(said) for said in recorded.said],
        "lost": recorded.lost,
        "next": following,
    }


@router.post("datasets/{slug:slug}/review/change", response={200: SaidOut, **PROBLEMS})
def change(request: HttpRequest, slug: str, data: ChangeIn) -> Any:
    """Say something else of an image that you decided before."""
    dataset, user = _desk(request, slug), signed_in(request)
    try:
        said = services.change_decision(dataset=dataset, reviewer=user, **data.dict())
    except ReviewError as error:
        raise HttpError(422, str(error)) from error
    return _said(said)


@router.post("datasets/{slug:slug}/review/undo", response={200: CardsOut, **PROBLEMS})
def undo(request: HttpRequest, slug: str) -> Any:
    """Take back your last standing decision; its image lies before you again."""
    dataset, user = _desk(request, slug), signed_in(request)
    return _cards(dataset, user, services.undo(dataset=dataset, reviewer=user))


@router.get("review/reasons", response={200: list[ReasonOut], **PROBLEMS})
def list_reasons(request: HttpRequest) -> Any:
    """List the reasons for rejecting an image."""
    return [{"code": code, "label": label} for code, label in REASONS.items()]
