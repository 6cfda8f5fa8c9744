"""Evaluations over the API: start one, watch it, stop it, read what it found."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from ninja import Router, Schema, Status
from ninja.errors import HttpError
from pydantic import Field

from synthreview.catalog.api import PROBLEMS
from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import find_dataset, signed_in
from synthreview.catalog.permissions import Action, require
from synthreview.evaluation import services
from synthreview.evaluation.models import MOST_SEEDS, Evaluation

router = Router()
MOST_LISTED = 100


class EvaluationIn(Schema):
    """What to train, with how many seeds, and whether to compare with unreviewed images."""

    learners: list[str] = Field(["probe"], max_length=10)
    seeds: int = Field(services.DEFAULT_SEEDS, ge=1, le=MOST_SEEDS)
    with_unreviewed: bool = True


class EvaluationOut(Schema):
    """An evaluation; `result` is empty until it is done. docs/evaluation.md names its fields."""

    dataset: str
    evaluation: int
    state: str
    error: str
    phase: str
    done: int
    of: int
    settled_at: str | None
    learners: list[str]
    seeds: list[int]
    scorer: str | None
    counts: dict[str, Any]
    result: dict[str, Any]
    card: str


def _dataset(request: HttpRequest, slug: str, action: Action = Action.VIEW) -> Dataset:
    dataset = find_dataset(signed_in(request), slug)
    require(signed_in(request), dataset, action)
    return dataset


def _rows(dataset: Dataset) -> Any:
    rows = Evaluation.objects.filter(dataset=dataset).defer("inputs")
    return rows.select_related("dataset", "version").order_by("-number")


def _find(dataset: Dataset, number: int) -> Evaluation:
    found: Evaluation = get_object_or_404(_rows(dataset), number=number)
    return found


@router.get("datasets/{slug:slug}/evaluations", response={200: list[EvaluationOut], **PROBLEMS})
def list_evaluations(request: HttpRequest, slug: str) -> Any:
    """List the latest hundred evaluations, the latest first."""
    return [services.report_of(row) for row in _rows(_dataset(request, slug))[:MOST_LISTED]]


@router.post("datasets/{slug:slug}/evaluations", response={201: EvaluationOut, **PROBLEMS})
def start_evaluation(request: HttpRequest, slug: str, wish: EvaluationIn) -> Any:
    """Start an evaluation; a worker does it."""
    dataset = _dataset(request, slug, Action.CURATE)
    try:
        new = services.start_evaluation(
            dataset=dataset, created_by=signed_in(request), **wish.dict()
        )
    except services.CannotStartError as error:
        raise HttpError(422, str(error)) from error
    return Status(201, services.report_of(new))


@router.get(
    "datasets/{slug:slug}/evaluations/{int:number}", response={200: EvaluationOut, **PROBLEMS}
)
def get_evaluation(request: HttpRequest, slug: str, number: int) -> Any:
    """Return an evaluation: how far it is, or what it found."""
    return services.report_of(_find(_dataset(request, slug), number))


@router.post(
    "datasets/{slug:slug}/evaluations/{int:number}/stop", response={200: EvaluationOut, **PROBLEMS}
)
def stop_evaluation(request: HttpRequest, slug: str, number: int) -> Any:
    """Stop it; where it has ended already nothing changes."""
    found = _find(_dataset(request, slug, Action.CURATE), number)
    services.stop_evaluation(found)
    found.refresh_from_db()
    return services.report_of(found)
