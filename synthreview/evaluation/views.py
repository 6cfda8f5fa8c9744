"""Pages of evaluation: the list with its form, and one report."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.evaluation import services
from synthreview.evaluation.charts import needs_table, report_charts, since_table
from synthreview.evaluation.forms import EvaluationForm
from synthreview.evaluation.models import Evaluation
from synthreview.scoring.models import ScorerVersion
from synthreview.work.models import WorkState
from synthreview.work.services import retry as retry_work

PER_PAGE = 25


@require_http_methods(["GET", "POST"])
def evaluations(request: HttpRequest, slug: str) -> HttpResponse:
    """The list, and the form that starts a new one."""
    action = Action.CURATE if request.method == "POST" else Action.VIEW
    dataset, context = open_dataset(request, slug, action)
    form = EvaluationForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            new = services.start_evaluation(
                dataset=dataset, created_by=signed_in(request), **form.cleaned_data
            )
        except services.CannotStartError as error:
            form.add_error(None, str(error))
        else:
            return redirect(new)
    outlook = services.outlook(dataset)
    rows = _rows(dataset).defer("inputs").select_related("created_by", "dataset")
    context |= {
        "form": form,
        "outlook": outlook,
        "minutes": [
            (services.learner(alias).title, _minutes(outlook.seconds([alias], 3)))
            for alias in settings.LEARNERS
        ],
        "notice": services.scorer_notice(ScorerVersion.objects.current()),
        "is_open": _rows(dataset).open().exists(),
        "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
    }
    return render(request, "evaluation/list.html", context, status=422 if form.errors else 200)


def _minutes(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} seconds"
    return f"about {seconds / 60:.0f} minutes"


@require_GET
def evaluation(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One evaluation: how far it is, or its report; htmx asks for its state while it is open."""
    dataset, context = open_dataset(request, slug)
    found = _find(dataset, number)
    context |= {"evaluation": found}
    if getattr(request, "htmx", False) and found.is_open:
        return page_or_part(request, "evaluation/detail.html", "evaluation/_state.html", context)
    if found.state == WorkState.DONE:
        context |= {
            "learners": report_charts(found),
            "counts": found.counts,
            "needs": needs_table(found),
            "since": since_table(found),
            "card_line": services.card_line(found),
            "notice": services.scorer_notice(found.version),
        }
    response = render(request, "evaluation/detail.html", context)
    if getattr(request, "htmx", False):  # it has ended meanwhile: the whole page is new
        response = HttpResponse(status=204, headers={"HX-Refresh": "true"})
    return response


@require_POST
def stop(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Stop it."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _find(dataset, number)
    if services.stop_evaluation(found):
        messages.success(request, "The evaluation is stopped.")
    else:
        messages.info(request, "It had ended already.")
    return redirect(found)


@require_POST
def retry(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Go on with one that failed; the trials that were done are kept."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _find(dataset, number)
    if _rows(dataset).open().exists():
        messages.error(request, "Another evaluation of this dataset is under way.")
    elif retry_work([found], dataset=dataset.pk):
        messages.success(request, "It goes on.")
    return redirect(found)


@require_GET
def report_json(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Everything that was found, as one JSON object."""
    dataset, _ = open_dataset(request, slug)
    found = _find(dataset, number)
    if found.state != WorkState.DONE:
        raise Http404("It has no result yet.")
    name = f"{dataset.slug}-evaluation-{number}.json"
    return JsonResponse(
        services.report_of(found),
        json_dumps_params={"indent": 1, "ensure_ascii": False},
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _rows(dataset: Dataset) -> Any:
    return Evaluation.objects.filter(dataset=dataset).order_by("-number")


def _find(dataset: Dataset, number: int) -> Evaluation:
    rows: QuerySet[Evaluation] = _rows(dataset).select_related("dataset", "version", "created_by")
    return get_object_or_404(rows.defer("inputs"), number=number)
