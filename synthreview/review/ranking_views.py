"""Pages of the ranking, for curators: what orders the queue, how good each judge is, the replay."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import open_dataset
from synthreview.catalog.permissions import Action
from synthreview.review.judges import judges_of
from synthreview.review.ranking_models import Ranking
from synthreview.review.ranking_services import ask_for_ranking, current_ranking
from synthreview.work.models import OPEN_STATES, WorkState

HISTORY_SHOWN = 15


@require_GET
def ranking(request: HttpRequest, slug: str) -> HttpResponse:
    """Show by what the queue is ordered now, and by what it was ordered before."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    rows = Ranking.objects.filter(dataset=dataset).order_by("-pk")
    newest = rows.first()
    current = current_ranking(dataset)
    context |= {
        "current": current,
        "weights": _weights(current) if current else [],
        "history": rows.filter(state=WorkState.DONE).order_by("-pk")[:HISTORY_SHOWN],
        "is_open": newest is not None and newest.state in OPEN_STATES,
        "failed": newest if newest and newest.state == WorkState.FAILED else None,
    }
    return render(request, "review/ranking.html", context)


def _weights(current: Ranking) -> list[dict[str, Any]]:
    """Return the largest weights as bars: 0..100 of the largest."""
    rows = current.main_weights()
    most = max((abs(row["weight"]) for row in rows), default=0) or 1
    return [row | {"share": round(100 * abs(row["weight"]) / most)} for row in rows]


@require_POST
def rank_now(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for the queue to be put in order now."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    if ask_for_ranking(dataset):
        messages.success(request, "The queue is being put in order; people can go on meanwhile.")
    else:
        messages.info(request, "The queue is being put in order already.")
    return redirect("ranking", dataset.slug)


@require_GET
def judges(request: HttpRequest, slug: str) -> HttpResponse:
    """Show how well each judge tells bad from good, by what people decided."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    return render(request, "review/judges.html", context | {"judges": judges_of(dataset)})
