"""Pages of generation: runs, a new one, its progress; and the bytes of images."""

from __future__ import annotations

import datetime as dt
from functools import partial
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import Count, Min, Q, Sum
from django.db.models.functions import Now
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods, require_POST
from django_htmx.http import trigger_client_event

from synthreview.catalog.downloads import open_blob, send_rendition
from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.generation import services
from synthreview.generation.forms import RunForm
from synthreview.generation.models import Call, CallBatch, GeneratedImage, Run, service_of
from synthreview.generation.options import initial_of
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.lib.images import EXTENSIONS
from synthreview.spending.deciding import PAGE as UNKNOWN_SHOWN
from synthreview.spending.deciding import decide_ticked
from synthreview.spending.gates import gate_of, open_gate
from synthreview.spending.limits import Limits
from synthreview.spending.services import Outcome, budget_of
from synthreview.work.models import OPEN_STATES, WorkState

PAGE = 25
ESTIMATE = "estimate"  # what a form asks for without JavaScript, before it starts anything
NEWEST = 24
PATIENCE = dt.timedelta(seconds=20)


# --- Runs -----------------------------------------------------------------------


@require_GET
def runs(request: HttpRequest, slug: str) -> HttpResponse:
    """List the runs, newest first."""
    dataset, context = open_dataset(request, slug)
    rows = Run.objects.filter(dataset=dataset).select_related("created_by")
    rows = rows.annotate(
        drawn=Sum("calls__count", filter=Q(calls__state=WorkState.DONE), default=0),
        open_calls=Count("calls", filter=Q(calls__state__in=OPEN_STATES)),
        failed_calls=Count("calls", filter=Q(calls__state=WorkState.FAILED)),
        unknown_calls=Count("calls", filter=Q(calls__state=WorkState.UNKNOWN)),
    )
    page = Paginator(rows.order_by("-pk"), PAGE).get_page(request.GET.get("page"))
    titles = {run.generator: _title(run.generator) for run in page}
    context |= {"page": page, "runs": [(run, titles[run.generator]) for run in page]}
    return render(request, "generation/runs.html", context)


def _title(alias: str) -> str:
    try:
        return services.generator(alias).title
    except UnknownAdapterError:  # imported images, or a generator since removed
        return alias.capitalize()


@require_http_methods(["GET", "POST"])
def new_run(request: HttpRequest, slug: str) -> HttpResponse:
    """Start a run; before that show what it draws and the most that it costs."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    given = initial_of(request.GET, multiple={"classes", "techniques"})
    form = RunForm(request.POST or None, dataset=dataset, initial=given)
    if request.POST.get("ask") == ESTIMATE:
        context |= _estimated(dataset, form)
    elif form.is_valid():
        try:
            run = services.start_run(
                dataset=dataset,
                orders=services.orders_of(form.prompts()),
                created_by=signed_in(request),
                **form.order,
            )
        except services.RunError as error:
            form.add_error(None, str(error))
        else:
            return redirect("run", dataset.slug, run.number)
    return estimated_anew(render(request, "generation/run_new.html", context | {"form": form}))


def estimated_anew(response: HttpResponse) -> HttpResponse:
    """Have the page ask for its estimate once htmx has put these fields in: others are offered."""
    return trigger_client_event(response, "estimate", after="settle")


@require_GET
def estimate(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what the form as it stands would draw and cost; nothing is stored."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    form = RunForm(request.GET, dataset=dataset)
    context |= _estimated(dataset, form)
    return render(request, "generation/_estimate.html", context | {"form": form})


def _estimated(dataset: Dataset, form: RunForm) -> dict[str, Any]:
    """Return what the form would draw and cost; what is wrong stands in the form then."""
    if not form.is_valid():
        return {}
    prompts = form.prompts()
    found: dict[str, Any] = {"prompt_count": len(prompts), "budget": budget_of(dataset)}
    orders = services.orders_of(prompts)
    try:
        found["plan"] = services.plan_run(orders=orders, **form.order)
        if form.batch:  # both prices, whichever is chosen
            is_batched = form.order["is_batched"]
            other = services.plan_run(orders=orders, **{**form.order, "is_batched": not is_batched})
            pair = (other, found["plan"]) if is_batched else (found["plan"], other)
            found["at_once"], found["batched"] = pair
    except services.RunError as error:
        form.add_error(None, str(error))
    return found


@require_GET
def run(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Show how far a run has come; htmx asks for the progress alone while it is open."""
    dataset, context = open_dataset(request, slug)
    found = get_object_or_404(
        Run.objects.select_related("created_by"), dataset=dataset, number=number
    )
    found.dataset = dataset
    return page_or_part(
        request,
        "generation/run.html",
        "generation/_progress.html",
        context | _progress_of(found),
    )


def _progress_of(run: Run) -> dict[str, Any]:
    counts = run.counts()
    reports = run.calls.exclude(error="").order_by().values("error", "state")
    due = CallBatch.objects if run.is_batched and not counts[WorkState.DONE] else Call.objects
    waiting = due.due().filter(run=run).aggregate(since=Min("due_at"))["since"]
    return {
        "run": run,
        "title": _title(run.generator),
        "counts": counts,
        "reports": reports.annotate(lost=Sum("count")).order_by("-lost", "error")[:5],
        "newest": GeneratedImage.objects.filter(run=run)[:NEWEST],
        "steps": run.calls.filter(state=WorkState.RUNNING).aggregate(
            done=Sum("steps_done", default=0), total=Sum("steps_total", default=0)
        ),
        "can_stop": counts[WorkState.READY]
        or (counts[WorkState.RUNNING] and services.is_interruptible(run.generator)),
        # Nothing waits silently: due work that nobody takes means that no worker is there.
        "is_stuck": (
            waiting is not None
            and not counts[WorkState.RUNNING]
            and not run.batches.filter(state=WorkState.RUNNING).exists()
            and timezone.now() - waiting > PATIENCE
            and not run.calls.filter(settled_at__gt=timezone.now() - PATIENCE).exists()
        ),
        "gate": gate_of(service_of(run.generator)),
        "limits": Limits.of(settings.GENERATORS.get(run.generator)),
        "batches": list(run.batches.all()) if run.is_batched else [],
        "spent": run.calls.aggregate(
            billed=Sum("billed_micro_usd", default=0),
            reserved=Sum("estimated_micro_usd", filter=Q(state__in=OPEN_STATES), default=0),
            unknown=Sum("estimated_micro_usd", filter=Q(state=WorkState.UNKNOWN), default=0),
            estimated=Sum("estimated_micro_usd", default=0),
        ),
    }


@require_POST
def stop(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Cancel what has not been sent, and what can be stopped half-way."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    run = get_object_or_404(Run, dataset=dataset, number=number)
    stopped = services.stop_run(run)
    if stopped and run.is_batched:
        messages.success(request, "The run is stopped. What its batches have done still arrives.")
    elif stopped and services.is_interruptible(run.generator):
        messages.success(request, "The run is stopped; its worker ends after the step it is at.")
    elif stopped:
        messages.success(request, "The run is stopped. What is being drawn now still arrives.")
    else:
        messages.warning(request, "Nothing was waiting any more, so there was nothing to stop.")
    return redirect("run", dataset.slug, number)


@require_POST
def retry(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Draw failed calls again."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    try:
        retried = services.retry_run(get_object_or_404(Run, dataset=dataset, number=number))
    except services.RunError as error:
        messages.error(request, str(error))
    else:
        if retried:
            messages.success(request, "What failed is being drawn again.")
        else:
            messages.warning(request, "Nothing in this run has failed.")
    return redirect("run", dataset.slug, number)


@require_POST
def resume(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Open the gate of the run's generator: somebody has put right what was wrong."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = get_object_or_404(Run, dataset=dataset, number=number)
    if open_gate(service_of(found.generator), dataset=dataset.pk):
        found.calls.filter(state=WorkState.READY, due_at__gt=Now()).update(due_at=Now(), error="")
        messages.success(request, f"{_title(found.generator)} is asked again.")
    else:
        messages.warning(request, f"{_title(found.generator)} was not paused.")
    return redirect("run", dataset.slug, number)


@require_http_methods(["GET", "POST"])
def unknown(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Show the calls whose outcome is unknown, and let a person decide."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    found = get_object_or_404(Run, dataset=dataset, number=number)
    calls = found.calls.filter(state=WorkState.UNKNOWN).select_related("prompt").order_by("pk")
    if request.method == "POST":
        decide_ticked(request, found.calls.all(), partial(services.decide_unknown, found))
        left = calls.exists()
        return redirect("run-unknown" if left else "run", dataset.slug, number)
    page = Paginator(calls, UNKNOWN_SHOWN).get_page(request.GET.get("page"))
    context |= {"run": found, "title": _title(found.generator), "page": page, "outcomes": Outcome}
    return render(request, "generation/unknown.html", context)


# --- Bytes ----------------------------------------------------------------------


@require_GET
def rendition(request: HttpRequest, pk: int, name: str) -> HttpResponseBase:
    """Send the re-encoded picture that pages show; its address never changes its bytes."""
    visible = GeneratedImage.objects.visible_to(signed_in(request))
    return send_rendition(visible.filter(pk=pk).values_list("sha256", flat=True).first(), name)


@require_GET
def original(request: HttpRequest, pk: int) -> FileResponse:
    """Send the generator's file byte for byte, to be saved and never to be shown."""
    visible = GeneratedImage.objects.visible_to(signed_in(request))
    image = get_object_or_404(visible.only("sha256", "media_type"), pk=pk)
    response = FileResponse(
        open_blob(image.sha256, "original"),
        as_attachment=True,
        filename=f"{pk:08d}{EXTENSIONS.get(image.media_type, '')}",
        content_type="application/octet-stream",
    )
    response["Content-Security-Policy"] = "sandbox"
    response["X-Content-Type-Options"] = "nosniff"
    return response
