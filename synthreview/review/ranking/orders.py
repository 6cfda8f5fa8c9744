"""In which order images come before people, what is drawn by lot, and when to learn anew.

The queue and `manage.py replay` both run this.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from synthreview.review.ranking.features import lowest_within
from synthreview.review.ranking.table import CAPTION, FloatArray, ImageTable, IntArray

EXPLORATION = 0.03  # this share of the cards is drawn by lot from all that waits
LEAST_STEP = 20  # decisions between two models
STEP_SHARE = 20  # one part in so many of the decisions so far, where that is more

Rng = np.random.Generator


class Policy(StrEnum):
    """How the next image is chosen."""

    RANDOM = "random"
    LOWEST = "lowest"
    RANK = "rank"
    LEARNED = "learned"


def next_model_at(decisions: int) -> int:
    """Return how many decisions there must be before the model is fitted again."""
    return decisions + max(LEAST_STEP, decisions // STEP_SHARE)


def by_lowest(table: ImageTable, rng: Rng) -> IntArray:
    """Return the images by main score, low first; one without a score takes a random place."""
    return np.lexsort((rng.random(len(table)), _place(table.main_score, rng)))


def by_rank(table: ImageTable, rng: Rng) -> IntArray:
    """Return first the lowest of each caption, then the second lowest of each, and so on.

    Among equals the lower score comes first. This is the order before there are decisions.
    """
    place = _place(table.main_score, rng)
    rank = lowest_within(place, table.kind(CAPTION))
    return np.lexsort((rng.random(len(table)), place, np.floor(rank)))


def first_order(policy: Policy, table: ImageTable, rng: Rng) -> IntArray:
    """Return the order in which a policy begins; best first."""
    if policy is Policy.RANDOM:
        return rng.permutation(len(table))
    return by_lowest(table, rng) if policy is Policy.LOWEST else by_rank(table, rng)


def _place(score: FloatArray, rng: Rng) -> FloatArray:
    """Return scores as places, 0..1, equal ones equal; random where there is no score."""
    is_missing = np.isnan(score)
    values, place = np.unique(score[~is_missing], return_inverse=True)
    found = rng.random(len(score))
    found[~is_missing] = (place + 0.5) / max(len(values), 1)
    return found


def explored(
    order: IntArray, cards: int, rng: Rng, *, share: float = EXPLORATION
) -> tuple[IntArray, IntArray]:
    """Return the order with draws by lot among its next `cards`, and the images drawn.

    Each draw is uniform over all of `order`, whatever the order says of it; so what is found among
    them says how the rest is.
    """
    wanted = share * min(cards, len(order))
    count = min(int(wanted) + bool(rng.random() < wanted % 1), len(order))
    drawn = rng.choice(order, count, replace=False)
    if not count:
        return order, drawn
    places = np.sort(rng.choice(min(cards, len(order)), count, replace=False))
    rest = order[~np.isin(order, drawn)]
    return np.insert(rest, np.minimum(places - np.arange(count), len(rest)), drawn), drawn
