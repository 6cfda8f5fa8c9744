"""What the templates of the review pages show of a card, of a decision, and of nothing."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from synthreview.prompting.techniques import INSTRUCTION_SLOTS, review_question
from synthreview.review import services
from synthreview.review.assignment import assignment_of
from synthreview.review.examples import examples_for
from synthreview.review.keys import TICK_KEYS
from synthreview.review.models import FINAL_VERDICTS, Decision
from synthreview.review.reasons import REASON_OF_PART, reasons_for
from synthreview.review.sources import siblings_of, sources_of
from synthreview.scoring.services import scoring_notice

if TYPE_CHECKING:
    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset
    from synthreview.generation.models import GeneratedImage
    from synthreview.review.queue import Card


def question_context(image: GeneratedImage) -> dict[str, str]:
    """Return what is asked of the image: the question, and what stands beside it."""
    slots = image.prompt.slots if image.prompt else {}
    question = review_question(image.technique, image.label_class.name, slots)
    asked, _, aside = question.partition("? ")
    return {"question": asked.removesuffix("?") + "?", "question_aside": aside}


def card_context(
    dataset: Dataset,
    reviewer: User,
    card: Card | None,
    skipped_until: int | None = None,
    *,
    problem: str = "",
    shows_beside: bool = False,
) -> dict[str, Any]:
    """Return what _card.html shows.

    `shows_beside`: with the examples and siblings, which the page's script else asks for later.
    """
    context: dict[str, Any] = {"card": card, "skipped_until": skipped_until, "problem": problem}
    if card is None:
        return context | empty_context(dataset, reviewer)
    image = card.slot.image
    shows_score = not dataset.policy.blind_scores
    context |= question_context(image) | {
        "image": image,
        "ticks": ticks_of(image),
        "score": image.review.score,
        "shows_score": shows_score,
        "reasons": _reasons(image, shows_score=shows_score),
        "sources": sources_of(image),
        "shows_beside": shows_beside,
    }
    if shows_beside:
        context["examples"] = examples_for(image.label_class_id, beside=image.pk)
        context["siblings"] = siblings_of(image)
    return context


def ticks_of(image: GeneratedImage) -> list[dict[str, str]]:
    """Return what the caption asks for and the eye can see, each with the key that ticks it."""
    slots = image.prompt.slots if image.prompt else {}
    seen = [(slot, words) for slot, words in slots.items() if slot not in INSTRUCTION_SLOTS]
    keys = [*TICK_KEYS, *[""] * len(seen)]
    return [
        {"slot": slot, "words": words, "key": key}
        for (slot, words), key in zip(seen, keys, strict=False)
    ]


def empty_context(dataset: Dataset, reviewer: User) -> dict[str, Any]:
    """Return what _nothing.html shows."""
    on_the_way = services.on_the_way(dataset)
    return {
        "counts": services.queue_counts(dataset=dataset, reviewer=reviewer),
        "assigned": assignment_of(dataset=dataset, reviewer=reviewer),
        "on_the_way": on_the_way,
        "notice": scoring_notice(dataset) if on_the_way == "scored" else "",
    }


def strip_context(dataset: Dataset, reviewer: User) -> dict[str, Any]:
    """Return what _strip.html shows; each decision with the token of a change of it."""
    last = list(services.last_decisions(dataset=dataset, reviewer=reviewer))
    return {"last_decisions": [_for_strip(decision) for decision in last]}


def said_context(decision: int) -> dict[str, Any]:
    """Return what _said.html shows of the decision with this key."""
    found = Decision.objects.select_related("image__label_class", "image__review__score")
    return {"decision": _for_strip(found.get(pk=decision))}


def _for_strip(decision: Decision) -> dict[str, Any]:
    """Return the decision, the token of a change of it, and the score if it is decided."""
    is_decided = decision.verdict in FINAL_VERDICTS
    return {
        "row": decision,
        "image": decision.image,
        "change_token": uuid.uuid4(),
        "score": decision.image.review.score if is_decided else None,
    }


def _reasons(image: GeneratedImage, *, shows_score: bool) -> list[dict[str, Any]]:
    """Return the reasons with their keys; the one that the weakest part suggests is marked."""
    score = image.review.score
    hint = REASON_OF_PART.get(score.weakest_part) if shows_score and score else None
    return [
        {
            "key": reason.key,
            "code": reason.code,
            "label": reason.label,
            "is_hinted": reason.code == hint,
        }
        for reason in reasons_for(image.technique)
    ]
