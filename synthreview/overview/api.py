"""What is read over all stages, over the API: coverage."""

from __future__ import annotations

from typing import Annotated, Any

from django.http import HttpRequest
from ninja import Query, Router
from ninja.errors import HttpError
from pydantic import Field

from synthreview.catalog.api import PROBLEMS
from synthreview.catalog.pages import find_dataset, signed_in
from synthreview.catalog.permissions import Action, require
from synthreview.overview.coverage import FLOOR, atlas_of, report

router = Router()


@router.get("datasets/{slug:slug}/coverage", response={200: dict[str, Any], **PROBLEMS})
def coverage(
    request: HttpRequest,
    slug: str,
    axis: Annotated[str, Query(max_length=40)] = "",
    technique: Annotated[str, Query(max_length=20)] = "",
    floor: Annotated[int, Field(ge=1, le=100_000)] = FLOOR,
) -> Any:
    """Return what was asked, generated, approved and rejected, by class, axis value, technique."""
    dataset = find_dataset(signed_in(request), slug)
    require(signed_in(request), dataset, Action.VIEW)
    try:
        return report(atlas_of(dataset), dataset, axis=axis, technique=technique, floor=floor)
    except KeyError as error:
        raise HttpError(422, error.args[0]) from None
