"""Pages of one writing: how far it is, what it cost, what was not kept; stop and try again."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, page_or_part
from synthreview.catalog.permissions import Action
from synthreview.prompting import gate, ordering
from synthreview.prompting.drafting import author_title
from synthreview.prompting.models import Prompt, Writing
from synthreview.spending.services import Outcome, OverBudgetError

NEWEST = 12


@require_GET
def writing(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show one writing; htmx asks for its progress alone while it is open."""
    dataset, context = open_dataset(request, slug)
    found = _writing(dataset, pk)
    context |= _context(found)
    return page_or_part(request, "prompting/writing.html", "prompting/_progress.html", context)


def _context(found: Writing) -> dict[str, Any]:
    prompts = Prompt.objects.filter(writing=found)
    return {
        "writing": found,
        "author_title": author_title(found.author),
        "progress": ordering.progress_of(found) if found.calls.exists() else None,
        "newest": prompts.select_related("label_class").order_by("-pk")[:NEWEST],
        "flagged_count": prompts.filter(~Q(flags=[])).count(),
        "outcomes": Outcome,
        "text_threshold": found.brief.get("text_threshold", gate.TEXT_THRESHOLD),
    }


def _writing(dataset: Dataset, pk: int) -> Writing:
    found = get_object_or_404(Writing.objects.select_related("created_by"), dataset=dataset, pk=pk)
    found.dataset = dataset
    return found


@require_POST
def stop(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Cancel what has not been sent."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _writing(dataset, pk)
    if ordering.stop_writing(found):
        messages.success(request, "It is stopped. What is being written now still arrives.")
    else:
        messages.warning(request, "Nothing was waiting any more, so there was nothing to stop.")
    return redirect(found)


@require_POST
def retry(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Ask again where asking failed."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _writing(dataset, pk)
    try:
        retried = ordering.retry_writing(found)
    except OverBudgetError as error:
        messages.error(request, str(error))
    else:
        if retried:
            messages.success(request, "What failed is asked again.")
        else:
            messages.warning(request, "Nothing in this writing has failed.")
    return redirect(found)


@require_POST
def resume(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Ask an author again that was left alone: somebody has put right what was wrong."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _writing(dataset, pk)
    if ordering.resume_author(found):
        messages.success(request, f"{author_title(found.author)} is asked again.")
    else:
        messages.warning(request, f"{author_title(found.author)} was not paused.")
    return redirect(found)


@require_POST
def settle(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Say what became of the calls whose outcome is unknown."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _writing(dataset, pk)
    outcome = request.POST.get("outcome", "")
    if outcome not in Outcome.values:
        messages.error(request, "Say what became of them.")
        return redirect(found)
    try:
        settled = ordering.settle_unknown(found, outcome)
    except OverBudgetError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{settled} question{'' if settled == 1 else 's'} decided.")
    return redirect(found)
