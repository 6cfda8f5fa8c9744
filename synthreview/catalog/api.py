"""The catalog over the API: the datasets that somebody may see, and their classes."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema

from synthreview.catalog.models import Axis, Dataset, Membership
from synthreview.catalog.pages import signed_in
from synthreview.catalog.permissions import ALLOWED, Action, actions_of, require

router = Router()


class Problem(Schema):
    """What went wrong, in a sentence; `errors` names fields where input is wrong."""

    detail: str
    errors: list[dict[str, str]] | None = None


PROBLEMS: dict[int, Any] = {401: Problem, 403: Problem, 404: Problem, 422: Problem}


class DatasetOut(Schema):
    """A dataset, and what the caller may do with it."""

    slug: str
    name: str
    description: str
    licence: str
    may: list[str]


class AxisOut(Schema):
    """An axis and its values; a value without a phrase is said by its name."""

    name: str
    values: list[dict[str, str]]


class DatasetDetail(DatasetOut):
    """A dataset with its axes."""

    axes: list[AxisOut]


class ClassOut(Schema):
    """A class, and what reviewers must know to recognise it."""

    slug: str
    name: str
    synonyms: list[str]
    definition: str
    guideline: str
    target_count: int
    is_none_of_these: bool


def dataset_for(request: HttpRequest, slug: str, action: Action = Action.VIEW) -> Dataset:
    """Return the dataset. Raises Http404 where the caller may not know of it, PermissionDenied."""
    user = signed_in(request)
    dataset = get_object_or_404(Dataset.objects.visible_to(user), slug=slug)
    require(user, dataset, action)
    return dataset


def _facts(dataset: Dataset, may: frozenset[Action]) -> dict[str, Any]:
    return {
        "slug": dataset.slug,
        "name": dataset.name,
        "description": dataset.description,
        "licence": dataset.licence,
        "may": sorted(may),
    }


@router.get("datasets", response={200: list[DatasetOut], 401: Problem})
def list_datasets(request: HttpRequest) -> Any:
    """List the datasets that you may see."""
    user = signed_in(request)
    roles = dict(Membership.objects.filter(user=user).values_list("dataset_id", "role"))
    every = frozenset(Action) if user.is_superuser else None
    return [
        _facts(one, every or ALLOWED[roles[one.pk]]) for one in Dataset.objects.visible_to(user)
    ]


@router.get("datasets/{slug:slug}", response={200: DatasetDetail, **PROBLEMS})
def get_dataset(request: HttpRequest, slug: str) -> Any:
    """Return a dataset and its axes."""
    dataset = dataset_for(request, slug)
    axes = Axis.objects.filter(dataset=dataset).prefetch_related("values")
    return _facts(dataset, actions_of(signed_in(request), dataset)) | {
        "axes": [
            {
                "name": axis.name,
                "values": [
                    {"name": value.name, "phrase": value.phrase} for value in axis.values.all()
                ],
            }
            for axis in axes
        ]
    }


@router.get("datasets/{slug:slug}/classes", response={200: list[ClassOut], **PROBLEMS})
def list_classes(request: HttpRequest, slug: str) -> Any:
    """List the classes in their order."""
    return list(dataset_for(request, slug).classes.all())
