"""The worker side of the ranking: learn from the decisions so far, and give every image its place.

Computes first and writes then, in small batches with the likeliest bad first, so that reviewers
never wait for it and soon feel it.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthreview.catalog.models import Dataset
from synthreview.review.intake import set_priorities
from synthreview.review.models import Decision, ReviewSlot, SlotState
from synthreview.review.ranking.judging import auroc, calibration_error, reliability
from synthreview.review.ranking.model import Decided, Fitted, Ranker
from synthreview.review.ranking.orders import by_rank, explored, places, to_move
from synthreview.review.ranking.schedule import next_model_at
from synthreview.review.ranking.table import FloatArray, IntArray
from synthreview.review.ranking_models import Ranking, RankingMethod
from synthreview.review.ranking_rows import QueuedImages, read_queue
from synthreview.review.ranking_services import current_ranking
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 300
WRITTEN_AT_ONCE = 5_000  # looks between two renewals of the lease
WEIGHTS_KEPT = 40
CARDS_AHEAD = 2  # exploration reaches so many times as far as the next model


class LeaseLostError(Exception):
    """Somebody else has this ranking now: stop."""


def load() -> None:
    """Called when a worker starts: this module has loaded what every ranking needs."""


def rank(ranking_pk: int) -> None:
    """Put the queue of the ranking's dataset in order, and keep what did it."""
    token = Ranking.objects.claim(ranking_pk, lease_s=LEASE_S)
    if token is None:
        return
    ranking = Ranking.objects.select_related("dataset").get(pk=ranking_pk)
    try:
        facts = put_in_order(ranking, token)
        Ranking.objects.settle(ranking_pk, token, WorkState.DONE, **facts)
    except LeaseLostError:
        return
    except Exception as error:  # the queue keeps the order it had
        logger.exception("Ranking %s broke off", ranking_pk)
        said = f"{type(error).__name__}: {error}"
        if ranking.attempts < Ranking.MAX_ATTEMPTS:
            Ranking.objects.postpone(ranking_pk, token, delay_s=5.0 * ranking.attempts, error=said)
        else:
            Ranking.objects.settle(ranking_pk, token, WorkState.FAILED, error=said)


def put_in_order(ranking: Ranking, token: uuid.UUID) -> dict[str, Any]:
    """Do it; return the facts that the row keeps. Raises LeaseLostError."""

    def stay() -> None:
        if not Ranking.objects.renew(ranking.pk, token, lease_s=LEASE_S):
            raise LeaseLostError

    began = time.monotonic()
    dataset = ranking.dataset
    last_decision = Decision.objects.filter(dataset=dataset).order_by("-pk").first()
    confirm_draws(ranking)
    queue = read_queue(dataset, on_page=stay)
    ordered = order_of(queue)
    stay()
    moved = 0
    for batch in changed_places(dataset, queue, ordered):
        moved += set_priorities(batch)
        stay()
    return {
        **facts_of(queue, ordered),
        "moved": moved,
        "last_decision": last_decision.pk if last_decision else 0,
        "seconds": round(time.monotonic() - began, 2),
    }


def confirm_draws(ranking: Ranking) -> None:
    """Leave of the last exploration what was decided while it held: that alone came by lot.

    An image that was put forward by lot and not reached may come later because it looks bad.
    """
    last = current_ranking(ranking.dataset)
    if last is None or not last.explored:
        return
    decided = ReviewSlot.objects.filter(image__in=last.explored, state=SlotState.DECIDED)
    kept = sorted(set(decided.values_list("image", flat=True)))
    Ranking.objects.filter(pk=last.pk).update(explored=kept)


# --- The order --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ordered:
    """What waits, by its place among all N images, best first, with the place each one gets."""

    order: IntArray
    places: FloatArray
    explored: IntArray
    fitted: Fitted | None


def order_of(queue: QueuedImages) -> Ordered:
    """Return the order of what waits: by the chance of being bad once there is one."""
    rng = np.random.default_rng()
    decided = Decided(queue.is_known, queue.is_bad, queue.is_random)
    fitted = Ranker(queue.table).fit(decided)
    if fitted is None:
        order = by_rank(queue.table, rng)
        chance = np.empty(len(order))
        chance[order] = 1 - (np.arange(len(order)) + 0.5) / max(len(order), 1)
    else:
        order, chance = np.argsort(-fitted.log_odds, kind="stable"), fitted.chance
    waiting = order[queue.is_waiting[order]]
    drawn = np.empty(0, dtype=np.int64)
    if fitted is not None:
        count = int(queue.is_known.sum())
        waiting, drawn = explored(waiting, CARDS_AHEAD * (next_model_at(count) - count), rng)
    return Ordered(waiting, places(waiting, chance), drawn, fitted)


def changed_places(
    dataset: Dataset, queue: QueuedImages, ordered: Ordered
) -> Iterator[dict[int, float]]:
    """Yield batches of image to place, best first, of the images that have to move."""
    present = np.full(len(queue.images), np.nan)
    free = ReviewSlot.objects.filter(
        dataset=dataset, state__in=[SlotState.WAITING, SlotState.SKIPPED]
    )
    for image, priority in free.values_list("image", "priority").iterator(chunk_size=10_000):
        at = np.searchsorted(queue.images, image)
        if at < len(present) and queue.images[at] == image:
            present[at] = priority
    moved = to_move(present[ordered.order], ordered.places)
    for start in range(0, len(moved), WRITTEN_AT_ONCE):
        part = moved[start : start + WRITTEN_AT_ONCE]
        images = queue.images[ordered.order[part]].tolist()
        yield dict(zip(images, ordered.places[part].tolist(), strict=True))


# --- The history ------------------------------------------------------------------


def facts_of(queue: QueuedImages, ordered: Ordered) -> dict[str, Any]:
    """Return what is kept of a ranking, as the fields of its row."""
    fitted = ordered.fitted
    bad = queue.is_bad[queue.is_known]
    return {
        "method": RankingMethod.LEARNED if fitted else RankingMethod.CAPTION,
        "decisions": len(bad),
        "bad": int(bad.sum()),
        "drawn": int((queue.is_random & queue.is_known).sum()),
        "waiting": len(ordered.order),
        "newest_image": int(queue.images[-1]) if len(queue.images) else 0,
        "scorers": [version.pk for version in queue.scorers],
        "explored": queue.images[ordered.explored].tolist(),
        "model": _model_facts(fitted) if fitted else {},
        "figures": _figures(fitted, bad) if fitted else {},
    }


def _model_facts(fitted: Fitted) -> dict[str, Any]:
    weights = zip(fitted.names, fitted.weights.tolist(), strict=True)
    return {
        "calibration": fitted.calibration,
        "weights": [
            {"name": name, "weight": round(weight, 4)}
            for name, weight in list(weights)[:WEIGHTS_KEPT]
        ],
    }


def _figures(fitted: Fitted, bad: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Return how good the model is on decisions that it had not seen."""
    found = auroc(-fitted.held_out, bad)
    assert found is not None
    return {
        "auroc": [round(value, 4) for value in (found.value, found.low, found.high)],
        "calibration_error": round(calibration_error(fitted.held_out, bad), 4),
        "reliability": [
            {"count": one.count, "said": round(one.said, 4), "found": round(one.found, 4)}
            for one in reliability(fitted.held_out, bad)
        ],
    }
