"""Pages of fine-tuning: what there is to learn from, the training, both authors side by side."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.prompting import finetuning
from synthreview.prompting.drafting import author_title
from synthreview.prompting.models import Comparison, Tuning
from synthreview.prompting.tuning.file import to_jsonl
from synthreview.prompting.tuning_forms import ComparisonForm, TrainingFileForm, TuningForm
from synthreview.spending.services import Outcome, OverBudgetError, budget_of
from synthreview.work.models import OPEN_STATES, WorkState

SHOWN = 50
COMPARISONS = 5
OUTCOMES = [(one.value, one.label) for one in (Outcome.LOOK_UP, Outcome.CHARGED, Outcome.FREE)]


@require_http_methods(["GET", "POST"])
def tunings(request: HttpRequest, slug: str) -> HttpResponse:
    """List the tuned authors, and order another one."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = TuningForm(request.POST if request.method == "POST" else None, dataset=dataset)
    if form.is_bound and form.is_valid():
        try:
            made = finetuning.order_tuning(
                dataset=dataset, created_by=signed_in(request), **form.order
            )
        except ValueError as error:  # nothing to learn from, or no money for it
            form.add_error(None, str(error))
        else:
            return redirect("tuning", dataset.slug, made.pk)
    context |= {
        "form": form,
        "file_form": TrainingFileForm(),
        "tunings": Tuning.objects.filter(dataset=dataset)[:SHOWN],
        "can_tune": bool(form.fields["base"].choices),  # type: ignore[attr-defined]
    }
    status = 422 if form.errors else 200
    return render(request, "prompting/tunings.html", context, status=status)


@require_GET
def preview(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what the training file would hold and cost; nothing is stored."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = TuningForm(request.GET, dataset=dataset)
    context |= {"form": form, "budget": budget_of(dataset)}
    if form.is_valid():
        context |= form.facts()
    return page_or_part(
        request, "prompting/tuning_preview.html", "prompting/_tuning_preview.html", context
    )


@require_GET
def training_file(request: HttpRequest, slug: str) -> HttpResponse | StreamingHttpResponse:
    """Send the training file, for any other trainer."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    form = TrainingFileForm(request.GET)
    if not form.is_valid():
        return HttpResponseBadRequest("Choose what the file holds and how it answers.")
    name = f"{dataset.slug}-{form.cleaned_data['kind']}.jsonl"
    return StreamingHttpResponse(
        (line.encode() for line in to_jsonl(form.lesson(dataset).rows)),
        content_type="application/jsonl; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{name}"',
            "Cache-Control": "private, no-store",
        },
    )


@require_GET
def tuning(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show one training and its comparisons; htmx asks for the progress while it goes on."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    found = _tuning(dataset, pk)
    context |= _context(found)
    return page_or_part(request, "prompting/tuning.html", "prompting/_tuning.html", context)


def _context(found: Tuning) -> dict[str, Any]:
    comparisons = [
        (one, finetuning.sides_of(one))
        for one in found.comparisons.select_related("plain", "tuned")[:COMPARISONS]
    ]
    for one, _ in comparisons:
        one.tuning = found
    is_open = found.state in OPEN_STATES
    return {
        "tuning": found,
        "is_open": is_open,
        "is_watched": is_open or any(s.is_open for _, sides in comparisons for s in sides),
        "base_title": author_title(found.base),
        "comparisons": comparisons,
        "can_compare": found.state == WorkState.DONE and bool(found.held_out),
        "comparison_form": ComparisonForm(),
        "outcomes": OUTCOMES,
    }


def _tuning(dataset: Dataset, pk: int) -> Tuning:
    rows = Tuning.objects.filter(dataset=dataset).select_related("created_by")
    found: Tuning = get_object_or_404(rows, pk=pk)
    found.dataset = dataset
    return found


@require_POST
def stop(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Stop a training."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _tuning(dataset, pk)
    if finetuning.stop_tuning(found):
        messages.success(request, "It is being stopped.")
    else:
        messages.warning(request, "It has ended already.")
    return redirect(found)


@require_POST
def retry(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Begin a failed training anew."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _tuning(dataset, pk)
    try:
        if finetuning.retry_tuning(found):
            messages.success(request, "It begins anew.")
        else:
            messages.warning(request, "It has not failed.")
    except OverBudgetError as error:
        messages.error(request, str(error))
    return redirect(found)


@require_POST
def settle(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Say what became of a training whose outcome is unknown, or look once more."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _tuning(dataset, pk)
    outcome = request.POST.get("outcome", "")
    if outcome not in dict(OUTCOMES):
        messages.error(request, "Say what became of it.")
    elif finetuning.settle_unknown_tuning(found, outcome):
        messages.success(request, "It is decided.")
    else:
        messages.warning(request, "Its outcome is known.")
    return redirect(found)


@require_POST
def compare(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Have both authors write for the held-out classes."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _tuning(dataset, pk)
    form = ComparisonForm(request.POST)
    if not form.is_valid():
        messages.error(request, "Choose between 1 and 500 captions.")
        return redirect(found)
    try:
        finetuning.order_comparison(
            found, count=form.cleaned_data["count"], created_by=signed_in(request)
        )
    except ValueError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, "Both are asked to write the same.")
    return redirect(found)


@require_POST
def stop_comparison(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Stop a comparison: what is being written still arrives."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = get_object_or_404(Comparison, tuning__dataset=dataset, pk=pk)
    finetuning.stop_comparison(found)
    messages.success(request, "It is stopped. What is being written now still arrives.")
    return redirect("tuning", dataset.slug, found.tuning_id)
