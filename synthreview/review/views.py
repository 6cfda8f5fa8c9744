"""The review page: one image at a time, one request per decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.prompting.techniques import review_question
from synthreview.review import queue, services
from synthreview.review.forms import DecisionForm, LeaseForm, RoundForm, first_error
from synthreview.review.keys import KEYS, key_map
from synthreview.review.models import Verdict
from synthreview.review.reasons import REASON_KEYS, REASON_OF_PART, REASONS
from synthreview.scoring.services import scoring_notice

if TYPE_CHECKING:
    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset
    from synthreview.review.queue import Card
    from synthreview.review.services import Said

SAID = {
    Verdict.APPROVE: "Approved",
    Verdict.REJECT: "Rejected",
    Verdict.SKIP: "Skipped",
    Verdict.UNSURE: "Left undecided",
}


@never_cache
@require_GET
def review(request: HttpRequest, slug: str) -> HttpResponse:
    """The page with the reviewer's card; htmx gets the card alone."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    skipped_until = None
    if request.GET.get("skipped"):
        skipped_until = services.round_of_skipped(dataset=dataset, reviewer=reviewer)
    card = queue.next_card(dataset=dataset, reviewer=reviewer, skipped_until=skipped_until)
    problem = services.LEASE_LOST if request.GET.get("late") else ""
    context |= card_context(dataset, reviewer, card, skipped_until, problem=problem)
    if not _wants_card_alone(request):
        context |= progress_context(dataset, reviewer) | {"keys": KEYS, "key_map": key_map()}
    return page_or_part(request, "review/page.html", "review/_card.html", context)


@require_POST
def decide(request: HttpRequest, slug: str) -> HttpResponse:
    """Record a decision and answer with the next card, in one request."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    skipped_until = _skipped_until(request)
    form = DecisionForm(request.POST)
    if not form.is_valid():
        card = queue.next_card(dataset=dataset, reviewer=reviewer, skipped_until=skipped_until)
        turn = services.Turn(None, first_error(form), card)
    else:
        turn = services.decide_and_continue(
            dataset=dataset,
            reviewer=reviewer,
            answer=services.Answer(**form.cleaned_data),
            skipped_until=skipped_until,
        )
    if not _wants_card_alone(request):
        return _back_to_page(request, dataset, turn.problem, skipped_until)
    context |= card_context(
        dataset, reviewer, turn.card, skipped_until, said=turn.said, problem=turn.problem
    )
    return render(request, "review/_card.html", context)


@require_POST
def undo(request: HttpRequest, slug: str) -> HttpResponse:
    """Take back the last decision and answer with its card."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    card = services.undo(dataset=dataset, reviewer=reviewer)
    problem = "" if card else "There is nothing left to undo."
    skipped_until = _skipped_until(request)
    if not _wants_card_alone(request):
        return _back_to_page(request, dataset, problem, skipped_until)
    card = card or queue.next_card(dataset=dataset, reviewer=reviewer, skipped_until=skipped_until)
    context |= card_context(dataset, reviewer, card, skipped_until, problem=problem)
    return render(request, "review/_card.html", context)


@require_POST
def heartbeat(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep the card and answer with the progress; 204 where the card is no longer theirs."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    form = LeaseForm(request.POST)
    if not form.is_valid() or not queue.renew_lease(
        reviewer=reviewer, token=form.cleaned_data["token"]
    ):
        return HttpResponse(status=204)
    return render(request, "review/_progress.html", context | progress_context(dataset, reviewer))


@require_POST
def leave(request: HttpRequest, slug: str) -> HttpResponse:
    """Give the open card back: the page was closed."""
    dataset, _ = open_dataset(request, slug, Action.REVIEW)
    queue.release(reviewer=signed_in(request), dataset=dataset)
    return HttpResponse(status=204)


def _wants_card_alone(request: HttpRequest) -> bool:
    return bool(getattr(request, "htmx", False))


def _skipped_until(request: HttpRequest) -> int | None:
    form = RoundForm(request.POST)
    return form.cleaned_data["skipped_until"] if form.is_valid() else None


def _back_to_page(
    request: HttpRequest, dataset: Dataset, problem: str, skipped_until: int | None
) -> HttpResponse:
    if problem:
        messages.warning(request, problem)
    page = reverse("review", args=[dataset.slug])
    return redirect(page if skipped_until is None else f"{page}?skipped=1")


def progress_context(dataset: Dataset, reviewer: User) -> dict[str, Any]:
    """Return what _progress.html shows."""
    return {
        "progress": services.progress(dataset=dataset, reviewer=reviewer),
        "counts": services.queue_counts(dataset=dataset, reviewer=reviewer),
    }


def card_context(
    dataset: Dataset,
    reviewer: User,
    card: Card | None,
    skipped_until: int | None,
    *,
    said: Said | None = None,
    problem: str = "",
) -> dict[str, Any]:
    """Return what _card.html shows."""
    context = {
        "card": card,
        "skipped_until": skipped_until,
        "problem": problem,
        "said": said.decision.verdict if said and not said.is_replay else "",
        "announcement": _announcement(card, said, problem),
        "last_decisions": services.last_decisions(dataset=dataset, reviewer=reviewer),
    }
    if card is None:
        return context | _empty_context(dataset, reviewer)
    image = card.slot.image
    slots = image.prompt.slots if image.prompt else {}
    question = review_question(image.technique, image.label_class.name, slots)
    asked, _, aside = question.partition("? ")
    return context | {
        "image": image,
        "question": asked.removesuffix("?") + "?",
        "question_aside": aside,
        "slots": slots.items(),
        "score": image.review.score,
        "shows_score": not dataset.policy.blind_scores,
        "reasons": _reasons(card, shows_score=not dataset.policy.blind_scores),
    }


def _empty_context(dataset: Dataset, reviewer: User) -> dict[str, Any]:
    on_the_way = services.on_the_way(dataset)
    return {
        "counts": services.queue_counts(dataset=dataset, reviewer=reviewer),
        "on_the_way": on_the_way,
        "notice": scoring_notice(dataset) if on_the_way == "scored" else "",
    }


def _announcement(card: Card | None, said: Said | None, problem: str) -> str:
    """Return what a screen reader is told: what happened, and what is there now."""
    done = problem
    if said:
        done = f"{SAID[Verdict(said.decision.verdict)]}."
    if card and card.undone:
        done = "Undone."
    now = f"Next: {card.slot.image.label_class.name}." if card else "Nothing is left to review."
    return f"{done} {now}".strip()


def _reasons(card: Card, *, shows_score: bool) -> list[dict[str, Any]]:
    """Return the reasons with their keys; the one that the weakest part suggests is marked."""
    score = card.slot.image.review.score
    hint = REASON_OF_PART.get(score.weakest_part) if shows_score and score else None
    return [
        {"key": key, "code": code, "label": REASONS[code], "is_hinted": code == hint}
        for key, code in REASON_KEYS.items()
    ]
