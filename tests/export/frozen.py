"""Exports that are made here and now, as the worker would make them."""

from __future__ import annotations

from typing import Any

from synthreview.catalog.models import Dataset
from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Export, Package
from synthreview.export.services import Form, order_export
from synthreview.export.splits import parse_wish
from synthreview.work.models import WorkState


def frozen(dataset: Dataset, ratio: str = "80/10/10", **wish: Any) -> Export:
    """Return a new export whose list is frozen; its image folder is ordered."""
    export = order_export(dataset=dataset, wish=parse_wish(ratio), **wish)
    freeze(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.DONE, export.error
    return export


def package_of(export: Export) -> Package:
    """Return the export's only package."""
    return Package.objects.select_related("export__dataset").get(export=export)


def written(dataset: Dataset, form: Form | None = None, ratio: str = "80/10/10") -> Package:
    """Return a new export's package, its folder in place."""
    package = package_of(frozen(dataset, ratio, forms=[form or Form()]))
    write_package(package.pk)
    package.refresh_from_db()
    assert package.state == WorkState.DONE, package.error
    return package
