"""Pages of the audit trail: of one dataset for those who curate it, of all for superusers."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.trail.acts import Act
from synthreview.trail.files import KINDS, lines
from synthreview.trail.services import entries

PER_PAGE = 50


class TrailForm(forms.Form):
    """What to look for."""

    act = forms.ChoiceField(label="Act", required=False, choices=[("", "Everything"), *Act.choices])
    actor = forms.CharField(label="Person", required=False, max_length=150)
    since = forms.DateTimeField(
        label="Since", required=False, widget=forms.DateInput(attrs={"type": "date"})
    )


@require_GET
def trail(request: HttpRequest, slug: str) -> HttpResponse:
    """Show who changed what in a dataset, the latest first."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    return render(request, "overview/trail.html", context | _found(request, dataset.pk))


@require_GET
def trail_file(request: HttpRequest, slug: str, kind: str) -> StreamingHttpResponse:
    """Hand a dataset's trail out, oldest first, as it is filtered on the page."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    return _file(request, dataset.pk, kind, f"{dataset.slug}-trail")


@require_GET
def everything(request: HttpRequest) -> HttpResponse:
    """Show who changed what anywhere, sign-ins too."""
    _superusers_only(request)
    return render(request, "overview/trail_all.html", _found(request, None))


@require_GET
def everything_file(request: HttpRequest, kind: str) -> StreamingHttpResponse:
    """Hand the whole trail out, oldest first."""
    _superusers_only(request)
    return _file(request, None, kind, "trail")


def _superusers_only(request: HttpRequest) -> None:
    if not signed_in(request).is_superuser:
        raise Http404


def _filters(request: HttpRequest) -> tuple[TrailForm, dict[str, Any]]:
    form = TrailForm(request.GET or None)
    form.full_clean()  # a wrong filter is told of beside its field, and the others hold
    return form, form.cleaned_data if form.is_bound else {}


def _found(request: HttpRequest, dataset: int | None) -> dict[str, Any]:
    form, filters = _filters(request)
    page = Paginator(entries(dataset=dataset, **filters), PER_PAGE).get_page(
        request.GET.get("page")
    )
    query = request.GET.copy()
    query.pop("page", None)
    return {"form": form, "page": page, "query": query.urlencode()}


def _file(request: HttpRequest, dataset: int | None, kind: str, name: str) -> StreamingHttpResponse:
    if kind not in KINDS:
        raise Http404
    _, filters = _filters(request)
    found = entries(dataset=dataset, **filters).order_by("pk")
    return StreamingHttpResponse(
        lines(found.iterator(2_000), kind),
        content_type=KINDS[kind],
        headers={"Content-Disposition": f'attachment; filename="{name}.{kind}"'},
    )
