"""The review page with one image at a time: one request per decision, which brings the next card.

What a page of several images shares with it (undo, changes, heartbeat, leaving) is here as well.
The page's script keeps a few cards ahead: `more` deals them, and it says which ones it has.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.generation.models import GeneratedImage
from synthreview.review import queue, services
from synthreview.review.card import card_context, said_context, strip_context
from synthreview.review.examples import examples_for
from synthreview.review.forms import (
    ChangeForm,
    DecisionForm,
    MoreForm,
    RoundForm,
    TokensForm,
    UndoForm,
    first_error,
)
from synthreview.review.hand import deal, let_go
from synthreview.review.key_views import keys_context
from synthreview.review.keys import Mode
from synthreview.review.models import Decision
from synthreview.review.putting_aside import suspicious_prompts
from synthreview.review.reviewers import own_agreement
from synthreview.review.sources import siblings_of

if TYPE_CHECKING:
    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset
    from synthreview.review.queue import Card

MODE_PAGES = {"focus": "review", "grid": "review-grid", "compare": "review-compare"}


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
    context |= card_context(dataset, reviewer, card, skipped_until, shows_beside=True)
    if not request_is_by_script(request):
        context |= keys_context(reviewer, Mode.FOCUS)
        context |= strip_context(dataset, reviewer)
        context |= progress_context(dataset, reviewer, held=int(card is not None))
    return page_or_part(request, "review/page.html", "review/_card.html", context)


@require_POST
def decide(request: HttpRequest, slug: str) -> HttpResponse:
    """Record a decision and answer with the next card, in one request."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    skipped_until = _skipped_until(request)
    form = DecisionForm(request.POST)
    if form.is_valid():
        turn = services.decide_and_continue(
            dataset=dataset,
            reviewer=reviewer,
            answer=form.answer(),
            skipped_until=skipped_until,
        )
        problem, card = turn.problem, turn.card
    else:
        problem = first_error(form)
        card = queue.next_card(dataset=dataset, reviewer=reviewer, skipped_until=skipped_until)
    if not request_is_by_script(request):
        return back_to_page(request, dataset, problem, skipped_until)
    context |= card_context(dataset, reviewer, card, skipped_until, problem=problem)
    return render(request, "review/_card.html", context)


@require_POST
def more(request: HttpRequest, slug: str) -> HttpResponse:
    """Deal cards beyond those that the page holds, for it to show when their turn comes."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    form = MoreForm(request.POST)
    form.is_valid()  # what is wrong in it counts as not given
    held = form.cleaned_data.get("tokens") or []
    skipped_until = _skipped_until(request)
    cards: Sequence[Card | None] = deal(
        dataset=dataset,
        reviewer=reviewer,
        holding=held,
        count=form.cleaned_data.get("count") or 1,
        skipped_until=skipped_until,
    )
    shown = [
        render_to_string(
            "review/_card.html",
            context | card_context(dataset, reviewer, card, skipped_until),
            request,
        )
        for card in cards or [None]
    ]
    return HttpResponse("".join(shown))


@require_POST
def undo(request: HttpRequest, slug: str) -> HttpResponse:
    """Take back the last decision and answer with its card."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    form = UndoForm(request.POST)
    token = form.cleaned_data["token"] if form.is_valid() else None
    is_by_script = request_is_by_script(request)
    card = services.undo(
        dataset=dataset, reviewer=reviewer, undo_token=token, keeps_open_cards=is_by_script
    )
    problem = "" if card else "There is nothing left to undo."
    skipped_until = _skipped_until(request)
    if not is_by_script:
        return back_to_page(request, dataset, problem, skipped_until)
    if card is None:
        return render(request, "review/_problem.html", context | {"problem": problem})
    context |= card_context(dataset, reviewer, card, skipped_until)
    return render(request, "review/_card.html", context)


@require_POST
def change(request: HttpRequest, slug: str) -> HttpResponse:
    """Let another verdict stand in the place of an earlier one; answer with it for the strip."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    form = ChangeForm(request.POST)
    said, problem = None, ""
    if form.is_valid():
        try:
            said = services.change_decision(
                dataset=dataset,
                reviewer=reviewer,
                decision=_decision_of(dataset, reviewer, form.cleaned_data["decision"]),
                token=form.cleaned_data["token"],
                verdict=form.cleaned_data["verdict"],
            )
        except services.ReviewError as error:
            problem = str(error)
    else:
        problem = first_error(form)
    if not request_is_by_script(request):
        return back_to_page(request, dataset, problem, _skipped_until(request))
    if said is None:
        return render(request, "review/_problem.html", context | {"problem": problem})
    return render(request, "review/_said.html", context | said_context(said.decision.pk))


@require_POST
def heartbeat(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep the cards of the page and answer with the progress, and which are theirs no more."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    form = TokensForm(request.POST)
    tokens = form.cleaned_data["tokens"] if form.is_valid() else []
    kept = queue.renew_leases(dataset=dataset, reviewer=reviewer, tokens=tokens)
    context |= progress_context(dataset, reviewer)
    if context["can"][Action.CURATE]:
        recent = services.recent_prompts(dataset=dataset, reviewer=reviewer)
        context["wrong"] = suspicious_prompts(dataset, among=recent)[:1]
    context["lost"] = [token for token in tokens if token not in kept]
    return render(request, "review/_progress.html", context)


@require_POST
def leave(request: HttpRequest, slug: str) -> HttpResponse:
    """Give the open cards of the page back, in a moment: it was closed."""
    dataset, _ = open_dataset(request, slug, Action.REVIEW)
    form = TokensForm(request.POST)
    if form.is_valid():
        let_go(dataset=dataset, reviewer=signed_in(request), tokens=form.cleaned_data["tokens"])
    return HttpResponse(status=204)


@require_GET
def beside(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Examples of the guideline, and the siblings of an image: asked for once it is in sight."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    image = get_object_or_404(GeneratedImage, pk=pk, dataset=dataset)
    context |= {
        "examples": examples_for(image.label_class_id, beside=image.pk),
        "siblings": siblings_of(image),
    }
    response = render(request, "review/_beside.html", context)
    response["Cache-Control"] = "private, max-age=300"
    return response


def _decision_of(dataset: Dataset, reviewer: User, token: uuid.UUID) -> int:
    """Return the key of the reviewer's own decision with this token; 0 where there is none."""
    own = Decision.objects.filter(dataset=dataset, reviewer=reviewer, client_token=token)
    return own.values_list("pk", flat=True).first() or 0


def request_is_by_script(request: HttpRequest) -> bool:
    """Say whether the page's script asks, which wants parts and no redirects."""
    return bool(getattr(request, "htmx", False))


def _skipped_until(request: HttpRequest) -> int | None:
    if not request.POST.get("skipped_until"):  # mostly: a form costs as much as a query
        return None
    form = RoundForm(request.POST)
    return form.cleaned_data["skipped_until"] if form.is_valid() else None


def back_to_page(
    request: HttpRequest, dataset: Dataset, problem: str, skipped_until: int | None = None
) -> HttpResponse:
    """Send a browser without script back to the page that it came from."""
    if problem:
        messages.warning(request, problem)
    page = MODE_PAGES.get(request.POST.get("mode", ""), "review")
    address = reverse(page, args=[dataset.slug])
    return redirect(address if skipped_until is None else f"{address}?skipped=1")


def progress_context(dataset: Dataset, reviewer: User, *, held: int = 0) -> dict[str, Any]:
    """Return what _progress.html shows; `held`: cards that lie on the page and are left, too."""
    progress = services.progress(dataset=dataset, reviewer=reviewer)
    counts = services.queue_counts(dataset=dataset, reviewer=reviewer)
    minutes = None
    if progress.per_hour and not counts.is_more:
        minutes = max(1, round(60 * counts.waiting / progress.per_hour))
    return {
        "progress": progress,
        "counts": counts,
        "held": held,
        "minutes_left": minutes,
        "agreement": own_agreement(dataset=dataset, reviewer=reviewer),
    }
