"""Pages of the word lists: the axes with their values, files of them, and forbidden pairs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from synthreview.catalog.models import ForbiddenPair
from synthreview.catalog.pages import open_dataset
from synthreview.catalog.permissions import Action
from synthreview.catalog.services import allow_pair as allow_pair_again
from synthreview.catalog.services import forbid_pair
from synthreview.prompting.axes import (
    add_none_of_these,
    add_shipped_lists,
    add_starter_axes,
    export_axes,
    import_axes,
)
from synthreview.prompting.axis_files import AxisFileError
from synthreview.prompting.forbidden import removals
from synthreview.prompting.shipped import shipped_axes
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.prompting.word_forms import AxisFileForm, PairForm, ShippedForm

CONTENT_TYPES = {"csv": "text/csv; charset=utf-8", "toml": "application/toml; charset=utf-8"}


@require_http_methods(["GET", "POST"])
def word_lists(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the axes with their values; add shipped lists, or the lists of a file."""
    action = Action.CURATE if request.method == "POST" else Action.VIEW
    dataset, context = open_dataset(request, slug, action)
    do = request.POST.get("do", "")
    shipped = ShippedForm(request.POST if do == "lists" else None, dataset=dataset)
    upload = AxisFileForm(request.POST, request.FILES) if do == "file" else AxisFileForm()
    if do == "starter":
        made = add_starter_axes(dataset, WRITTEN)
        if request.POST.get("none_of_these"):
            add_none_of_these(dataset)
        _say(request, [axis.name for axis in made])
        return redirect("word-lists", dataset.slug)
    try:
        if shipped.is_bound and shipped.is_valid():
            names = shipped.cleaned_data["lists"]
            add_shipped_lists(
                dataset, names, kinds=shipped.kinds, starter=shipped.cleaned_data["starter"]
            )
            _say(request, names)
            return redirect("word-lists", dataset.slug)
        if upload.is_bound and upload.is_valid():
            made = import_axes(
                dataset,
                upload.cleaned_data["file"].read(),
                kind=upload.kind,
                replace=upload.cleaned_data["replace"],
            )
            _say(request, [axis.name for axis in made])
            return redirect("word-lists", dataset.slug)
    except AxisFileError as error:
        upload.add_error("file", str(error))
    except ValueError as error:
        (upload if do == "file" else shipped).add_error(None, str(error))
    axes = dataset.axes.prefetch_related("values__classes")
    used = {
        axis.name: [t.title for t in TECHNIQUES.values() if axis.name in t.axes] for axis in axes
    }
    there = {axis.name for axis in axes}
    starter = dict.fromkeys(name for key in WRITTEN for name in TECHNIQUES[key].axes)
    context |= {
        "axes": [(axis, used[axis.name], axis.name in shipped_axes()) for axis in axes],
        "missing": [name for name in starter if name not in there],
        "has_none_of_these": dataset.classes.filter(is_none_of_these=True).exists(),
        "shipped": shipped,
        "upload": upload,
    }
    status = 422 if shipped.errors or upload.errors else 200
    return render(request, "prompting/word_lists.html", context, status=status)


def _say(request: HttpRequest, names: list[str]) -> None:
    if names:
        messages.success(request, f"Saved: {', '.join(names)}.")
    else:
        messages.info(request, "There was nothing to add: the lists are there already.")


@require_GET
def export_word_lists(request: HttpRequest, slug: str, kind: str) -> HttpResponse:
    """Send the axes as a file."""
    dataset, _ = open_dataset(request, slug)
    if kind not in CONTENT_TYPES:
        raise Http404
    return HttpResponse(
        export_axes(dataset, kind=kind),
        content_type=CONTENT_TYPES[kind],
        headers={
            "Content-Disposition": f'attachment; filename="{dataset.slug}-word-lists.{kind}"',
            "Cache-Control": "private, no-store",
        },
    )


# --- Forbidden pairs ------------------------------------------------------------


@require_http_methods(["GET", "POST"])
def forbidden_pairs(request: HttpRequest, slug: str) -> HttpResponse:
    """List what must not meet, with what that removes; forbid one more pair."""
    action = Action.CURATE if request.method == "POST" else Action.VIEW
    dataset, context = open_dataset(request, slug, action)
    form = PairForm(request.POST or None, dataset=dataset)
    if form.is_bound and form.is_valid():
        pair: dict[str, Any] = form.cleaned_data
        try:
            made = forbid_pair(dataset=dataset, **pair)
        except ValueError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{made} will not meet.")
            return redirect("forbidden-pairs", dataset.slug)
    context |= {"form": form, "removals": removals(dataset)}
    status = 422 if form.errors else 200
    return render(request, "prompting/forbidden_pairs.html", context, status=status)


@require_POST
def allow_pair(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Let a pair meet again."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    pair = get_object_or_404(ForbiddenPair.objects.filter(dataset=dataset), pk=pk)
    words = str(pair)
    allow_pair_again(pair)
    messages.success(request, f"{words} may meet again.")
    return redirect("forbidden-pairs", dataset.slug)
