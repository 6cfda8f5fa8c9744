"""Pages of probes: the list, one probe's figures, its form, and the labelling of its sample."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.generation.models import GeneratedImage
from synthreview.overview.plots import probe_rows, words_of
from synthreview.overview.probe_forms import (
    GroupFormSet,
    ProbeForm,
    choices_of,
    initial_of,
    start_from,
)
from synthreview.overview.probes import STATES, probes_of, report_of
from synthreview.scoring.models import ScorerVersion
from synthreview.scoring.probe_models import Probe, ProbeGroup, ProbeLabel
from synthreview.scoring.probe_shares import LEAST_LABELLED
from synthreview.scoring.probing import (
    ProbeError,
    delete_probe,
    label_image,
    newest_pass,
    next_to_label,
    save_probe,
    take_back_label,
)

NONE = "none"
KEYS = "123456789abcdefghijk"  # 0 is none of these
WISHED_LABELS = 100


@require_GET
def probes(request: HttpRequest, slug: str) -> HttpResponse:
    """List the probes with their alarms, and what one may start from."""
    dataset, context = open_dataset(request, slug)
    context |= {"probes": probes_of(dataset), "choices": choices_of(dataset)}
    return render(request, "overview/probes.html", context)


@require_GET
def probe(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show one probe: what was asked, generated and approved, group by group."""
    dataset, context = open_dataset(request, slug)
    report = report_of(_find(dataset, pk))
    rows = probe_rows(report)
    context |= {
        "report": report,
        "rows": rows,
        "none_words": [words_of(figure) for figure in report.none_of_these or ()],
        "drift": {
            "asked": _percent(report.drift["asked_to_generated"]),
            "approved": _percent(report.drift["generated_to_approved"]),
        },
        "has_floor": any(row["floor"] for row in rows),
        "state_words": STATES[report.state],
        "least_labelled": LEAST_LABELLED,
        "wished_labels": WISHED_LABELS,
    }
    return render(request, "overview/probe.html", context)


def _percent(share: float | None) -> str | None:
    return None if share is None else f"{100 * share:.0f}"


@require_http_methods(["GET", "POST"])
def probe_new(request: HttpRequest, slug: str) -> HttpResponse:
    """Write a new probe, from nothing or from a preset."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    name, groups = start_from(dataset, request.GET.get("from", ""))
    return _edit(request, dataset, context, None, {"name": name}, initial_of(groups))


@require_http_methods(["GET", "POST"])
def probe_edit(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Change a probe."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    found = _find(dataset, pk)
    initial = {"name": found.name, "classes": list(found.classes.all())}
    return _edit(request, dataset, context, found, initial, initial_of(found.groups.all()))


def _edit(
    request: HttpRequest,
    dataset: Dataset,
    context: dict[str, Any],
    found: Probe | None,
    initial: dict[str, Any],
    groups: list[dict[str, Any]],
) -> HttpResponse:
    form = ProbeForm(request.POST or None, dataset=dataset, initial=initial)
    lines = GroupFormSet(request.POST or None, prefix="group", initial=groups)
    if request.method == "POST" and form.is_valid() and lines.is_valid():
        try:
            saved = save_probe(
                dataset=dataset,
                probe=found,
                name=form.cleaned_data["name"],
                classes=form.cleaned_data["classes"],
                groups=[line.wish for line in lines if line.cleaned_data.get("name")],
                created_by=signed_in(request),
            )
        except ProbeError as error:
            form.add_error(None, str(error))
        else:
            return redirect("probe", dataset.slug, saved.pk)
    context |= {"form": form, "lines": lines, "probe": found}
    has_errors = bool(form.errors) or (request.method == "POST" and not lines.is_valid())
    return render(request, "overview/probe_edit.html", context, status=422 if has_errors else 200)


@require_POST
def probe_delete(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Delete a probe with its labels."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    found = _find(dataset, pk)
    delete_probe(found)
    messages.success(request, f"The probe {found.name} is deleted.")
    return redirect("probes", slug)


# --- Labelling the sample -----------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def probe_label(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Show the next image of the sample, and take what a person sees in it."""
    dataset, context = open_dataset(request, slug, Action.REVIEW)
    found = _find(dataset, pk)
    if request.method == "POST":
        try:
            _take(request, found)
        except ProbeError as error:
            messages.error(request, str(error))
        if not getattr(request, "htmx", False):
            return redirect("probe-label", slug, pk)
    last = newest_pass(found, ScorerVersion.objects.current())
    context |= {
        "probe": found,
        "image": next_to_label(found),
        "keys": list(zip(KEYS, found.groups.all(), strict=False)),
        "labelled": found.labels.count(),
        "is_deaf": bool(last and last.unknown_words),
        "may_take_back": ProbeLabel.objects.filter(
            probe=found, labelled_by=signed_in(request)
        ).exists(),
        "wished_labels": WISHED_LABELS,
    }
    return page_or_part(request, "overview/probe_label.html", "overview/_probe_label.html", context)


def _take(request: HttpRequest, probe: Probe) -> None:
    """Put an answer on record, or take the last one back. Raises ProbeError."""
    person, answer = signed_in(request), request.POST.get("group", "")
    if answer == "undo":
        take_back_label(probe=probe, person=person)
        return
    group: ProbeGroup | None = None
    if answer != NONE:
        group = _numbered(probe.groups.all(), answer)
        if group is None:
            raise ProbeError("Choose one of the groups.")
    image = _numbered(
        GeneratedImage.objects.filter(dataset=probe.dataset_id), request.POST.get("image", "")
    )
    if image is None:
        raise ProbeError("That image is not of this dataset.")
    label_image(probe=probe, image=image, group=group, person=person)


def _numbered(rows: Any, number: str) -> Any:
    if not (number.isdecimal() and len(number) <= 18):
        return None
    return rows.filter(pk=int(number)).first()


def _find(dataset: Dataset, pk: int) -> Probe:
    rows = Probe.objects.filter(dataset=dataset).select_related("dataset")
    return get_object_or_404(rows.prefetch_related("groups", "classes"), pk=pk)
