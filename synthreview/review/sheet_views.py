"""Review pages of several images: a grid of one class and question, and siblings side by side.

All images of a sheet are answered by one request; each has its own token and its own decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review import queue, services
from synthreview.review.card import empty_context, question_context, strip_context
from synthreview.review.examples import examples_for
from synthreview.review.forms import BestForm, GridForm, SheetForm, first_error
from synthreview.review.hand import waiting_kinds
from synthreview.review.key_views import keys_context
from synthreview.review.keys import Mode
from synthreview.review.models import Surface
from synthreview.review.reasons import reasons_for
from synthreview.review.views import back_to_page, progress_context, request_is_by_script

if TYPE_CHECKING:
    from synthreview.accounts.models import User
    from synthreview.catalog.models import Dataset
    from synthreview.review.queue import Page
    from synthreview.review.services import Answer


# --- Grid -----------------------------------------------------------------------


@never_cache
@require_GET
def grid(request: HttpRequest, slug: str) -> HttpResponse:
    """Many images of one class and question, presumed good until somebody marks one."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    wish = SheetForm(request.GET, dataset=dataset)
    sheet = _grid_sheet(dataset, reviewer, wish)
    context |= keys_context(reviewer, Mode.GRID) | strip_context(dataset, reviewer)
    context |= _sheet_context(dataset, reviewer, sheet, wish)
    held = len(sheet.cards) if sheet else 0
    context |= progress_context(dataset, reviewer, held=held)
    wish.offer(waiting_kinds(dataset))
    return render(request, "review/grid.html", context | {"wish": wish})


@require_POST
def more_grid(request: HttpRequest, slug: str) -> HttpResponse:
    """Deal the next grid, for the page to show when its turn comes."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    wish = SheetForm(request.POST, dataset=dataset)
    sheet = _grid_sheet(dataset, reviewer, wish)
    context |= _sheet_context(dataset, reviewer, sheet, wish)
    return render(request, "review/_grid.html", context)


@require_POST
def decide_grid(request: HttpRequest, slug: str) -> HttpResponse:
    """Record what was said of each image of a grid, all of them or none."""
    return _decide(request, slug, GridForm(request.POST), Surface.GRID)


def _grid_sheet(dataset: Dataset, reviewer: User, wish: SheetForm) -> Page | None:
    label_class, technique = wish.kind()
    return queue.claim_many(
        dataset=dataset,
        reviewer=reviewer,
        count=wish.wished_size,
        label_class=label_class,
        technique=technique,
    )


# --- Side by side ------------------------------------------------------------------


@never_cache
@require_GET
def compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Siblings of one prompt, of which the best is kept."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    sheet = queue.claim_siblings(dataset=dataset, reviewer=reviewer)
    context |= keys_context(reviewer, Mode.COMPARE) | strip_context(dataset, reviewer)
    context |= _sheet_context(dataset, reviewer, sheet)
    held = len(sheet.cards) if sheet else 0
    context |= progress_context(dataset, reviewer, held=held)
    return render(request, "review/compare.html", context)


@require_POST
def more_compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Deal the next siblings, for the page to show when their turn comes."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    reviewer = signed_in(request)
    sheet = queue.claim_siblings(dataset=dataset, reviewer=reviewer)
    context |= {"mode": Mode.COMPARE.value} | _sheet_context(dataset, reviewer, sheet)
    return render(request, "review/_compare.html", context)


@require_POST
def decide_compare(request: HttpRequest, slug: str) -> HttpResponse:
    """Keep the best of the siblings and reject the others, or say that none will do."""
    return _decide(request, slug, BestForm(request.POST), Surface.COMPARE)


# --- Both -----------------------------------------------------------------------------


def _decide(
    request: HttpRequest, slug: str, form: GridForm | BestForm, surface: str
) -> HttpResponse:
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    problem = ""
    if form.is_valid():
        problem = _record(dataset, signed_in(request), form.answers(), surface)
    else:
        problem = first_error(form)
    if not request_is_by_script(request):
        return back_to_page(request, dataset, problem)
    return render(request, "review/_problem.html", context | {"problem": problem})


def _record(dataset: Dataset, reviewer: User, answers: list[Answer], surface: str) -> str:
    """Record the answers; return what the reviewer should know, or nothing."""
    try:
        recorded = services.record_decisions(
            dataset=dataset, reviewer=reviewer, answers=answers, surface=surface
        )
    except services.ReviewError as error:
        return str(error)
    lost = len(recorded.lost)
    if not lost:
        return ""
    if lost == 1:
        return "One image had gone back to the queue because the page lay open too long."
    return f"{lost} images had gone back to the queue because the page lay open too long."


def _sheet_context(
    dataset: Dataset, reviewer: User, sheet: Page | None, wish: SheetForm | None = None
) -> dict[str, Any]:
    """Return what _grid.html and _compare.html show."""
    context: dict[str, Any] = {"sheet": sheet}
    if wish is not None:
        context |= {"marks_good": wish.marks_good, "is_narrowed": wish.kind()[0] is not None}
    if sheet is None:
        return context | empty_context(dataset, reviewer)
    image = sheet.cards[0].slot.image
    return (
        context
        | question_context(image)
        | {
            "label_class": image.label_class,
            "examples": examples_for(image.label_class_id),
            "caption": image.caption,
            "technique": TECHNIQUES[image.technique],
            "reasons": reasons_for(image.technique),
        }
    )
