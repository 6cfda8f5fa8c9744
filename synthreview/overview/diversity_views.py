"""The page of diversity, and the guard's word on other pages."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.evaluation.diversity_services import (
    newest_diversity,
    open_or_failed,
    proposals_of,
    start_diversity,
)
from synthreview.evaluation.models import Diversity
from synthreview.evaluation.services import CannotStartError, scorer_notice
from synthreview.generation.models import GeneratedImage, Run
from synthreview.overview.plots import growth_plot
from synthreview.overview.probes import floor_alarms


class DiversityForm(forms.Form):
    """From where on two images count as one composition."""

    threshold = forms.FloatField(
        label="One composition from a cosine of",
        min_value=0.5,
        max_value=0.9999,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )


@require_http_methods(["GET", "POST"])
def diversity(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how varied each class is, beside the real images; a curator has it measured anew."""
    action = Action.CURATE if request.method == "POST" else Action.VIEW
    dataset, context = open_dataset(request, slug, action)
    look, pending = newest_diversity(dataset), open_or_failed(dataset)
    form = DiversityForm(request.POST or None, initial={"threshold": _threshold(look)})
    if request.method == "POST" and form.is_valid():
        try:
            start_diversity(dataset=dataset, created_by=signed_in(request), **form.cleaned_data)
        except CannotStartError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, "A worker measures it; the page shows it when it is done.")
            return redirect("diversity", slug)
    context |= {
        "look": look,
        "pending": pending,
        "form": form,
        "classes": _classes(look),
        "notice": scorer_notice(look.version if look else None),
    }
    status = 422 if form.errors else 200
    part = "overview/_diversity.html"
    if request.method == "POST":
        return render(request, "overview/diversity.html", context, status=status)
    return page_or_part(request, "overview/diversity.html", part, context)


def _threshold(look: Diversity | None) -> float:
    return look.threshold if look else float(settings.SAME_COMPOSITION)


def _classes(look: Diversity | None) -> list[dict[str, Any]]:
    """Return each class with its plot and the images of its contact sheets; one query."""
    if look is None:
        return []
    classes = look.result["classes"]
    proposals = {one["class_id"]: one["words"] for one in look.proposals}
    wanted = {pk for one in classes for sheet in one["sheets"] for pk in sheet["images"]}
    images = GeneratedImage.objects.filter(dataset=look.dataset_id).in_bulk(wanted)
    return [
        {
            **one,
            "plot": growth_plot(one),
            "proposal": proposals.get(one["class_id"], ""),
            "sheets": [
                {**sheet, "images": [images[pk] for pk in sheet["images"] if pk in images]}
                for sheet in one["sheets"]
            ],
        }
        for one in classes
    ]


@require_GET
def guard(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what to know before more is drawn: a part of the pages of runs.

    Groups that are under their floor, and classes of which more of the same adds little; `run`
    names a run, of whose classes alone the latter are told.
    """
    dataset, context = open_dataset(request, slug)
    context["floor_alarms"] = floor_alarms(dataset)
    classes = None
    number = request.GET.get("run", "")
    if number.isdecimal() and len(number) <= 9:
        run = Run.objects.filter(dataset=dataset, number=int(number)).first()
        calls = run.calls.order_by() if run else None
        if calls is not None:
            classes = set(calls.values_list("prompt__label_class", flat=True).distinct())
    context["proposals"] = proposals_of(dataset, classes)
    return render(request, "overview/_guard.html", context)
