"""The page of coverage: classes against the values of an axis, and captions for what is missing."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.models import LabelClass
from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.evaluation.diversity_services import proposals_of
from synthreview.overview.coverage import (
    FLOOR,
    MOST_GAPS,
    Atlas,
    GapError,
    Matrix,
    atlas_of,
    by_value,
    plan_captions,
)
from synthreview.overview.probes import floor_alarms
from synthreview.prompting.techniques import TECHNIQUES

MOST_CAPTIONS = 50
SEPARATOR = "|"  # between a class's slug and a value; a slug has none


# What a cell may tell, and the words above the matrix that say so.
SHOWN = {
    "approved": ("Approved of drawn", "approved of drawn"),
    "asked": ("Asked", "images asked for"),
    "rejected": ("Rejected of drawn", "rejected of drawn"),
    "rate": ("Approval rate", "approved of decided, in per cent, with 90 % intervals"),
    "cost": ("Cost", "what the calls were billed"),
}


class CoverageForm(forms.Form):
    """Which axis to look at, of which technique, what of it, and how many images are enough."""

    axis = forms.ChoiceField(required=False)
    technique = forms.ChoiceField(required=False)
    show = forms.ChoiceField(
        required=False, choices=[(key, title) for key, (title, _) in SHOWN.items()]
    )
    floor = forms.IntegerField(
        label="Enough from", required=False, initial=FLOOR, min_value=1, max_value=100_000
    )

    def __init__(self, *arguments: Any, atlas: Atlas, **named: Any) -> None:
        super().__init__(*arguments, **named)
        known = [(key, TECHNIQUES[key].title) for key in atlas.techniques if key in TECHNIQUES]
        self.fields["axis"].choices = [(axis, axis) for axis in atlas.axes]  # type: ignore[attr-defined]
        self.fields["technique"].choices = [("", "All techniques"), *known]  # type: ignore[attr-defined]

    @property
    def shown(self) -> str:
        """Return what the cells tell."""
        self.is_valid()
        return self.cleaned_data.get("show") or "approved"

    def matrix(self, atlas: Atlas) -> Matrix | None:
        """Return what was chosen, or the first axis; None where the dataset has none."""
        self.is_valid()
        axis = self.cleaned_data.get("axis") or next(iter(atlas.axes), None)
        if axis is None:
            return None
        return atlas.matrix(
            axis,
            technique=self.cleaned_data.get("technique") or "",
            floor=self.cleaned_data.get("floor") or FLOOR,
        )


class GapForm(forms.Form):
    """How many captions each gap gets."""

    count = forms.IntegerField(
        label="Captions for each", initial=4, min_value=1, max_value=MOST_CAPTIONS
    )


@require_GET
def coverage(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how the classes cover the values of an axis."""
    dataset, context = open_dataset(request, slug)
    atlas = atlas_of(dataset)
    given = {"floor": FLOOR, "axis": next(iter(atlas.axes), ""), **request.GET.dict()}
    form = CoverageForm(given, atlas=atlas)
    context |= {
        "form": form,
        "gap_form": GapForm(),
        "shown": form.shown,
        "shown_words": SHOWN[form.shown][1],
        "floor_alarms": floor_alarms(dataset),
        "proposals": proposals_of(dataset),
        **_matrix_context(form.matrix(atlas)),
    }
    return render(request, "overview/coverage.html", context)


def _matrix_context(matrix: Matrix | None) -> dict[str, Any]:
    if matrix is None:
        return {"matrix": None}
    return {
        "matrix": matrix,
        "gap_count": len(matrix.gaps),
        "fill_count": min(len(matrix.gaps), MOST_GAPS),
        "by_value": [(line, line.counts.rate) for line in by_value(matrix)],
    }


@require_POST
def plan_gaps(request: HttpRequest, slug: str) -> HttpResponse:
    """Draft captions for one gap, or for all that the page shows."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    atlas = atlas_of(dataset)
    form, gap_form = CoverageForm(request.POST, atlas=atlas), GapForm(request.POST)
    matrix = form.matrix(atlas)
    back = f"{reverse('coverage', args=[slug])}?{urlencode(_chosen(matrix))}"
    if matrix is None or not form.is_valid() or not gap_form.is_valid():
        messages.error(request, f"Ask for 1 to {MOST_CAPTIONS} captions of an axis of the dataset.")
        return redirect(back)
    try:
        written = plan_captions(
            dataset=dataset,
            axis=matrix.axis,
            gaps=_wanted(matrix, request.POST.get("gap", "")),
            count=gap_form.cleaned_data["count"],
            technique=matrix.technique,
            created_by=signed_in(request),
        )
    except (GapError, ValueError) as error:
        messages.error(request, str(error))
        return redirect(back)
    count = sum(len(one.prompts) for one in written)
    if not count:
        messages.warning(request, "Everything that can be written for it is written already.")
        return redirect(back)
    messages.success(
        request, f"{count} captions are drafted. Approve what is good, then start a run."
    )
    return redirect(f"{reverse('prompts', args=[slug])}?state=draft")


def _chosen(matrix: Matrix | None) -> dict[str, Any]:
    if matrix is None:
        return {}
    return {"axis": matrix.axis, "technique": matrix.technique, "floor": matrix.floor}


def _wanted(matrix: Matrix, gap: str) -> list[tuple[LabelClass, str]]:
    """Return the gaps asked for: one by its name, or the emptiest of all. Raises GapError."""
    emptiest = sorted(matrix.gaps, key=lambda cell: cell.counts.approved)
    gaps = [(cell.label_class, cell.value) for cell in emptiest]
    if gap == "all":
        return gaps[:MOST_GAPS]
    slug, _, value = gap.partition(SEPARATOR)
    found = [pair for pair in gaps if (pair[0].slug, pair[1]) == (slug, value)]
    if not found:
        raise GapError("That is no gap any more.")
    return found
