"""Exports over the API: order a frozen list, have it written in forms, compare two, fetch one."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest
from django.shortcuts import get_object_or_404
from django.urls import reverse
from ninja import Router, Schema, Status
from ninja.errors import HttpError
from pydantic import Field

from synthreview.catalog.api import PROBLEMS
from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import find_dataset, signed_in
from synthreview.catalog.permissions import Action, require
from synthreview.export import delivering, services
from synthreview.export.collecting import Selection
from synthreview.export.comparing import compare
from synthreview.export.models import Delivery, Export, Package
from synthreview.export.splits import Wish, parse_wish
from synthreview.export.writers.formats import DEFAULT
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.work.models import WorkState
from synthreview.work.services import retry

router = Router()
MOST_LISTED = 100
Names = list[str]


class FormIn(Schema):
    """A form to write in: a format of docs/exporting.md, and `original` or how to encode anew."""

    format: str = Field(DEFAULT, max_length=20, examples=["webdataset"])
    images: str = Field("original", max_length=40, examples=["jpeg-512px-q90"])


class ExportIn(Schema):
    """What to freeze, how to share it out, and the forms to write at once; filters narrow it."""

    split: str = Field("80/10/10", max_length=40, examples=["rest/500/500"])
    keeps: bool = True
    classes: Names = []
    techniques: Names = []
    generators: Names = []
    decisions: Names = []
    max_error: float | None = None
    min_confidence: float = 0.0
    forms: list[FormIn] = Field([], max_length=20)


class DeliveryIn(Schema):
    """Where to send a finished package: an alias of the installation's destinations."""

    destination: str = Field(max_length=40, examples=["s3"])


class DeliveryOut(Schema):
    """A package on its way; `place` is where it lies once it is done."""

    destination: str
    state: str
    sent: int
    place: str
    error: str


class PackageOut(Schema):
    """An export in one form; `zip` and `tar` are its addresses once it is done."""

    id: int
    format: str
    images: str
    state: str
    done: int
    bytes: int | None
    error: str
    zip: str | None
    tar: str | None
    deliveries: list[DeliveryOut]


class ExportOut(Schema):
    """A frozen list, or one that is being made; `splitting` tells how the splits came about."""

    number: int
    state: str
    error: str
    images: int
    split: str
    filters: list[str]
    certificate: str
    list_sha256: str
    frozen_at: str | None
    splitting: dict[str, Any]
    signed_by: str | None
    packages: list[PackageOut]


def _export(export: Export) -> dict[str, Any]:
    return {
        "number": export.number,
        "state": export.state,
        "error": export.error,
        "images": export.item_count,
        "split": str(Wish.from_json(export.wish)),
        "filters": Selection.from_json(export.selection).in_words(),
        "certificate": export.certificate,
        "list_sha256": export.list_sha256,
        "frozen_at": export.frozen_at.isoformat() if export.frozen_at else None,
        "splitting": export.facts.get("splitting", {}),
        "signed_by": export.facts.get("signature", {}).get("name"),
        "packages": [_package(export, package) for package in export.packages.all()],
    }


def _package(export: Export, package: Package) -> dict[str, Any]:
    where = [export.dataset.slug, export.number, package.pk]
    is_done = package.state == WorkState.DONE
    return {
        "id": package.pk,
        "format": package.format,
        "images": package.encoding or "original",
        "state": package.state,
        "done": package.done_count,
        "bytes": package.byte_count,
        "error": package.error,
        "zip": reverse("package-zip", args=where) if is_done else None,
        "tar": reverse("package-tar", args=where) if is_done else None,
        "deliveries": [_delivery(row) for row in package.deliveries.all()],
    }


def _delivery(row: Delivery) -> dict[str, Any]:
    return {
        "destination": row.destination,
        "state": row.state,
        "sent": row.sent_bytes,
        "place": row.place,
        "error": row.error,
    }


def _dataset(request: HttpRequest, slug: str, action: Action = Action.VIEW) -> Dataset:
    dataset = find_dataset(signed_in(request), slug)
    require(signed_in(request), dataset, action)
    return dataset


def _exports(dataset: Dataset) -> Any:
    rows = Export.objects.filter(dataset=dataset).select_related("dataset")
    return rows.prefetch_related("packages__deliveries").order_by("-number")


def _find(dataset: Dataset, number: int) -> Export:
    found: Export = get_object_or_404(_exports(dataset), number=number)
    return found


@router.get("datasets/{slug:slug}/exports", response={200: list[ExportOut], **PROBLEMS})
def list_exports(request: HttpRequest, slug: str) -> Any:
    """List the latest hundred exports, the latest first."""
    return [_export(row) for row in _exports(_dataset(request, slug))[:MOST_LISTED]]


@router.post("datasets/{slug:slug}/exports", response={201: ExportOut, **PROBLEMS})
def order_export(request: HttpRequest, slug: str, wish: ExportIn) -> Any:
    """Order an export; a worker freezes its list and writes the forms."""
    dataset = _dataset(request, slug, Action.EXPORT)
    try:
        export = services.order_export(
            dataset=dataset,
            wish=parse_wish(wish.split, keeps=wish.keeps),
            selection=Selection(
                classes=tuple(wish.classes),
                techniques=tuple(wish.techniques),
                generators=tuple(wish.generators),
                decisions=tuple(wish.decisions),
                max_error=wish.max_error,
                min_confidence=wish.min_confidence,
            ),
            forms=[services.Form(form.format, form.images) for form in wish.forms],
            created_by=signed_in(request),
        )
    except (ValueError, UnknownAdapterError) as error:
        raise HttpError(422, str(error)) from error
    return Status(201, _export(export))


@router.get("datasets/{slug:slug}/exports/{int:number}", response={200: ExportOut, **PROBLEMS})
def get_export(request: HttpRequest, slug: str, number: int) -> Any:
    """Return an export, how far it is, and its packages."""
    return _export(_find(_dataset(request, slug), number))


@router.post(
    "datasets/{slug:slug}/exports/{int:number}/packages", response={201: PackageOut, **PROBLEMS}
)
def order_package(request: HttpRequest, slug: str, number: int, form: FormIn) -> Any:
    """Have a frozen export written in another form; the same form again is the same package."""
    export = _find(_dataset(request, slug, Action.EXPORT), number)
    try:
        package = services.order_package(
            export=export,
            form=services.Form(form.format, form.images),
            created_by=signed_in(request),
        )
    except (ValueError, UnknownAdapterError) as error:
        raise HttpError(422, str(error)) from error
    return Status(201, _package(export, package))


@router.post(
    "datasets/{slug:slug}/exports/{int:number}/packages/{int:pk}/deliveries",
    response={201: DeliveryOut, **PROBLEMS},
)
def order_delivery(request: HttpRequest, slug: str, number: int, pk: int, where: DeliveryIn) -> Any:
    """Have a finished package sent to a destination; ordered again, a failed one is tried again."""
    dataset = _dataset(request, slug, Action.EXPORT)
    export = _find(dataset, number)
    package = get_object_or_404(export.packages.select_related("export__dataset"), pk=pk)
    try:
        delivery = delivering.order_delivery(
            package=package, destination=where.destination, created_by=signed_in(request)
        )
    except (ValueError, UnknownAdapterError) as error:
        raise HttpError(422, str(error)) from error
    if retry([delivery], dataset=dataset.pk):
        delivery.refresh_from_db()
    return Status(201, _delivery(delivery))


@router.get(
    "datasets/{slug:slug}/exports/{int:number}/compare/{int:other}",
    response={200: dict[str, Any], **PROBLEMS},
)
def compare_exports(request: HttpRequest, slug: str, number: int, other: int) -> Any:
    """Return what changed from the export `other` to this one."""
    dataset = _dataset(request, slug)
    after, before = _find(dataset, number), _find(dataset, other)
    if {after.state, before.state} != {WorkState.DONE}:
        raise Http404("One of them is not frozen.")
    return compare(before, after).as_json()
