"""Exports of a dataset: the list with its form, one export, its packages, and their zips."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import (
    require_GET,
    require_http_methods,
    require_POST,
    require_safe,
)

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.export import services
from synthreview.export.collecting import Selection, SelectionError, promise_of
from synthreview.export.comparing import compare
from synthreview.export.delivering import destinations, order_delivery
from synthreview.export.downloads import download
from synthreview.export.forms import ExportForm, PackageForm, WebhookForm
from synthreview.export.models import Export, Package, Webhook, WebhookCall
from synthreview.export.splits import Wish
from synthreview.export.webhooks import WebhookError, add_webhook, remove_webhook
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.review.signing import SigningError, sign
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import retry

PER_PAGE = 25
OMISSIONS_SHOWN = 200
OTHERS_SHOWN = 100


@require_http_methods(["GET", "POST"])
def exports(request: HttpRequest, slug: str) -> HttpResponse:
    """The list, and the form that orders a new one."""
    action = Action.EXPORT if request.method == "POST" else Action.VIEW
    dataset, context = open_dataset(request, slug, action)
    form = ExportForm(request.POST or None, dataset=dataset)
    if request.method == "POST" and form.is_valid():
        try:
            export = services.order_export(
                dataset=dataset,
                wish=form.cleaned_data["split"],
                selection=form.cleaned_data["selection"],
                forms=[form.cleaned_data["form"]],
                created_by=signed_in(request),
            )
        except (services.NothingApprovedError, services.UnsignedError, SelectionError) as error:
            form.add_error(None, str(error))
        else:
            return redirect(export)
    context |= {"form": form} | _list_context(request, dataset)
    return render(request, "export/list.html", context, status=422 if form.errors else 200)


def _list_context(request: HttpRequest, dataset: Dataset) -> dict[str, Any]:
    rows = Export.objects.filter(dataset=dataset).select_related("created_by", "dataset")
    approved = services.approved_by_class(dataset)
    return {
        "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
        "approved": approved,
        "approved_count": sum(count for _, count in approved),
        "promise": promise_of(dataset),
        "signing": services.signing_of(dataset),
    }


@require_POST
def sign_export(request: HttpRequest, slug: str) -> HttpResponse:
    """Put one's name under what may leave now."""
    dataset, _ = open_dataset(request, slug, Action.ADJUDICATE)
    try:
        signed = sign(dataset=dataset, user=signed_in(request), name=request.POST.get("name", ""))
    except SigningError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"Signed by {signed.name} for {signed.image_count:,} images.")
    return redirect("exports", dataset.slug)


@require_GET
def export(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """One export; htmx asks for its state while anything of it is written."""
    dataset, context = open_dataset(request, slug)
    context |= _export_context(_find(dataset, number))
    return page_or_part(request, "export/detail.html", "export/_state.html", context)


def _export_context(found: Export) -> dict[str, Any]:
    packages = list(found.packages.select_related("export__dataset").prefetch_related("deliveries"))
    deliveries = [row for package in packages for row in package.deliveries.all()]
    is_frozen = found.state == WorkState.DONE
    splits, rows = services.counts_of(found) if is_frozen else ([], [])
    splitting = found.facts.get("splitting", {})
    return {
        "export": found,
        "packages": packages,
        "destinations": destinations(),
        "is_frozen": is_frozen,
        "is_open": any(row.state in OPEN_STATES for row in [found, *packages, *deliveries]),
        "splits": splits,
        "rows": rows,
        "totals": [sum(counts) for counts in zip(*(row.by_split for row in rows), strict=True)],
        "ratio": str(Wish.from_json(found.wish)),
        "notices": services.notices_of(found) if is_frozen else [],
        "filters": Selection.from_json(found.selection).in_words(),
        "splitting": splitting,
        "reached": _reached(splitting),
        "omissions": found.omissions.all()[:OMISSIONS_SHOWN],
        "earlier": _frozen(found.dataset)
        .filter(number__lt=found.number)
        .values_list("number", flat=True)
        .first()
        if is_frozen
        else None,
        "form": PackageForm(),
    }


def _reached(splitting: dict[str, Any]) -> list[tuple[str, int, float, float]]:
    """Return (split, images, their share in per cent, images wished) of each split."""
    got = splitting.get("got", {})
    total = sum(got.values()) or 1
    wished = splitting.get("wished", {})
    return [(split, got[split], 100 * got[split] / total, wished[split]) for split in got]


@require_GET
def compare_exports(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """An export beside another one of the dataset, the one before it where none is named."""
    dataset, context = open_dataset(request, slug)
    after = get_object_or_404(_frozen(dataset), number=number)
    others = _frozen(dataset).exclude(pk=after.pk)
    wanted = request.GET.get("with", "")
    if wanted:
        before = others.filter(number=wanted).first() if wanted.isdecimal() else None
    else:
        before = others.filter(number__lt=number).first() or others.first()
    if before is None:
        raise Http404("There is no other export yet.")
    context |= {"comparison": compare(before, after), "others": others[:OTHERS_SHOWN]}
    return render(request, "export/compare.html", context)


def _frozen(dataset: Dataset) -> QuerySet[Export]:
    """Return the dataset's exports whose list is made, the latest first."""
    return Export.objects.filter(dataset=dataset, state=WorkState.DONE).order_by("-number")


@require_POST
def retry_export(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Have a failed list made again."""
    dataset, _ = open_dataset(request, slug, Action.EXPORT)
    found = _find(dataset, number)
    if retry([found], dataset=dataset.pk):
        messages.success(request, "The list is being made again.")
    return redirect(found)


@require_POST
def new_package(request: HttpRequest, slug: str, number: int) -> HttpResponse:
    """Have a frozen list written in another form."""
    dataset, context = open_dataset(request, slug, Action.EXPORT)
    found = _find(dataset, number)
    form = PackageForm(request.POST)
    if form.is_valid():
        try:
            services.order_package(
                export=found, form=form.cleaned_data["form"], created_by=signed_in(request)
            )
        except services.NotFrozenError as error:
            messages.error(request, str(error))
        return redirect(found)
    context |= _export_context(found) | {"form": form}
    return render(request, "export/detail.html", context, status=422)


@require_POST
def retry_package(request: HttpRequest, slug: str, number: int, pk: int) -> HttpResponse:
    """Have a failed package written again."""
    dataset, _ = open_dataset(request, slug, Action.EXPORT)
    package = _find_package(dataset, number, pk)
    if retry([package], dataset=dataset.pk):
        messages.success(request, "It is being written again.")
    return redirect(package.export)


@require_POST
def deliver_package(request: HttpRequest, slug: str, number: int, pk: int) -> HttpResponse:
    """Have a finished package sent to a destination, or sent there again where it failed."""
    dataset, _ = open_dataset(request, slug, Action.EXPORT)
    package = _find_package(dataset, number, pk)
    try:
        delivery = order_delivery(
            package=package,
            destination=request.POST.get("destination", ""),
            created_by=signed_in(request),
        )
    except UnknownAdapterError:
        raise Http404("There is no such destination.") from None
    except services.NotFrozenError as error:
        messages.error(request, str(error))
    else:
        retry([delivery], dataset=dataset.pk)
        messages.success(request, "It is on its way.")
    return redirect(package.export)


@require_http_methods(["GET", "POST"])
def webhooks(request: HttpRequest, slug: str) -> HttpResponse:
    """Who is told when an export is finished, and the form that adds one."""
    dataset, context = open_dataset(request, slug, Action.EXPORT)
    form = WebhookForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            add_webhook(
                dataset=dataset, url=form.cleaned_data["url"], created_by=signed_in(request)
            )
        except WebhookError as error:
            form.add_error("url", str(error))
        else:
            messages.success(request, "It is told of every export that is finished from now on.")
            return redirect("export-webhooks", dataset.slug)
    hooks = Webhook.objects.filter(dataset=dataset)
    calls = WebhookCall.objects.filter(webhook__dataset=dataset).select_related(
        "webhook", "package__export__dataset"
    )
    context |= {"form": form, "hooks": hooks, "calls": calls[:PER_PAGE]}
    return render(request, "export/webhooks.html", context, status=422 if form.errors else 200)


@require_POST
def webhook_remove(request: HttpRequest, slug: str, pk: int) -> HttpResponse:
    """Forget a webhook."""
    dataset, _ = open_dataset(request, slug, Action.EXPORT)
    remove_webhook(get_object_or_404(Webhook, dataset=dataset, pk=pk))
    messages.success(request, "It is told nothing any more.")
    return redirect("export-webhooks", dataset.slug)


@require_safe
def package_file(
    request: HttpRequest, slug: str, number: int, pk: int, kind: str
) -> HttpResponseBase:
    """A finished package as a zip or tar, sent while it is read, whole or in part."""
    dataset, _ = open_dataset(request, slug, Action.EXPORT)
    package = _find_package(dataset, number, pk)
    if package.state != WorkState.DONE:
        raise Http404("This package is not written yet.")
    try:
        return download(request, services.fetch_package(package), package.folder_name, kind)
    except FileNotFoundError:
        raise Http404("This package is not here any more.") from None


def _find(dataset: Dataset, number: int) -> Export:
    rows = Export.objects.select_related("dataset", "created_by")
    found: Export = get_object_or_404(rows, dataset=dataset, number=number)
    return found


def _find_package(dataset: Dataset, number: int, pk: int) -> Package:
    rows = Package.objects.select_related("export__dataset")
    found: Package = get_object_or_404(rows, export__dataset=dataset, export__number=number, pk=pk)
    return found
