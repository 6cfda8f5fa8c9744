"""Pages of the scoring stage. The scores themselves are shown where the images are."""

from __future__ import annotations

from functools import partial

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from synthreview.catalog.pages import open_dataset
from synthreview.catalog.permissions import Action
from synthreview.scoring.models import QuestionCall
from synthreview.spending.deciding import PAGE, decide_ticked
from synthreview.spending.services import Outcome, resolve_unknown
from synthreview.work.models import WorkState


@require_http_methods(["GET", "POST"])
def unknown_questions(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the questions whose outcome is unknown, and let a person decide."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    all_calls = QuestionCall.objects.filter(image__dataset=dataset)
    calls = all_calls.filter(state=WorkState.UNKNOWN)
    calls = calls.select_related("image", "version").order_by("pk")
    if request.method == "POST":
        decide_ticked(request, all_calls, partial(resolve_unknown, dataset))
        return redirect("questions-unknown" if calls.exists() else "costs", dataset.slug)
    page = Paginator(calls, PAGE).get_page(request.GET.get("page"))
    context |= {"page": page, "outcomes": Outcome}
    return render(request, "scoring/unknown.html", context)
