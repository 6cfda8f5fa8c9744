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
from synthreview.review.ranking_models import AS_IT_WAS, Ranking, Replay
from synthreview.review.ranking_services import (
    ask_for_ranking,
    ask_for_replay,
    current_ranking,
)
from synthreview.work.models import OPEN_STATES, WorkState

HISTORY_SHOWN = 15
FIND_SHOWN = 0.9
WIDTH, HEIGHT = 600, 320  # the chart's own units; the page scales it
TITLES = {
    "random": "any image",
    "lowest": "lowest score first",
    "rank": "lowest of each caption",
    "learned": "learned",
    AS_IT_WAS: "as it was decided",
    "perfect": "perfect",
}
DRAWN = [name for name in TITLES if name != "rank"]  # each has a dash of its own in ranking.css


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


# --- Replay -----------------------------------------------------------------------


@require_GET
def replay(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what the queue would have saved on the dataset's own decisions."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    rows = Replay.objects.filter(dataset=dataset).order_by("-pk")
    newest = rows.first()
    done = rows.filter(state=WorkState.DONE).first()
    context |= {
        "done": done,
        "is_open": newest is not None and newest.state in OPEN_STATES,
        "failed": newest if newest and newest.state == WorkState.FAILED else None,
    }
    if done:
        context |= {
            "curves": _curves(done),
            "saved": _saved(done),
            "chart": {"width": WIDTH, "height": HEIGHT, "grid": _grid()},
        }
    return render(request, "review/replay.html", context)


@require_POST
def replay_now(request: HttpRequest, slug: str) -> HttpResponse:
    """Ask for a replay of the dataset's decisions."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    if ask_for_replay(dataset):
        messages.success(request, "The replay is under way; load this page again in a minute.")
    else:
        messages.info(request, "A replay is under way already.")
    return redirect("replay", dataset.slug)


def _curves(done: Replay) -> list[dict[str, Any]]:
    """Return the lines of the chart with their figures, in the order of the legend."""
    by_policy = {row["policy"]: row for row in done.result}
    return [
        {
            "name": name.replace(" ", "-"),
            "title": title,
            "is_drawn": name in DRAWN,
            "points": _points(row["curve"]),
            "to_find": [mean for _, mean, _, _ in row["share_to_find"]],
            "certify": [mean for _, mean, _, _ in row["reviews_to_certify"]],
        }
        for name, title in TITLES.items()
        if (row := by_policy.get(name))
    ]


def _saved(done: Replay) -> dict[str, int] | None:
    """Return how many looks find nine in ten of the bad, learned and as it was."""
    looks = {
        row["policy"]: round(mean * done.images)
        for row in done.result
        for share, mean, _, _ in row["share_to_find"]
        if share == FIND_SHOWN
    }
    if not {"learned", AS_IT_WAS} <= looks.keys():
        return None
    learned, was = looks["learned"], looks[AS_IT_WAS]
    return {"learned": learned, "was": was, "saved": was - learned, "more": learned - was}


def _points(curve: list[float]) -> str:
    """Return a rising curve over 0..1 as the points of a line, from the lower left corner."""
    last = max(len(curve) - 1, 1)
    return " ".join(
        f"{round(WIDTH * at / last, 1)},{round(HEIGHT * (1 - share), 1)}"
        for at, share in enumerate(curve)
    )


def _grid() -> list[dict[str, int]]:
    """Return the quarter lines of the chart."""
    return [{"x": WIDTH * part // 4, "y": HEIGHT * part // 4} for part in (1, 2, 3)]
