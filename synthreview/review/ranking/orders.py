"""In which order images come before people, and what is drawn by lot.

The queue and `manage.py replay` both run this.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np

from synthreview.review.ranking.features import lowest_within
from synthreview.review.ranking.table import CAPTION, FloatArray, ImageTable, IntArray

EXPLORATION = 0.03  # this share of the cards is drawn by lot from all that waits

Rng = np.random.Generator


class Policy(StrEnum):
    """How the next image is chosen."""

    RANDOM = "random"
    LOWEST = "lowest"
    RANK = "rank"
    LEARNED = "learned"


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


# --- Places -----------------------------------------------------------------------

FRONT = 20_000  # so many stand in order; the queue is put in order anew before they are used up
BEHIND = 1.0  # from here on lies what comes after them, and needs no order of its own
STEP = 1e-9  # between two images of the same chance


def places(order: IntArray, chance: FloatArray) -> FloatArray:
    """Return the places of `order`, best first, rising; (len(order),).

    A place is the chance of being good, 0..1, so that images which come later can be put between
    them; behind the FRONT, one more than that. `chance`: (N,) of being bad; it falls along `order`
    but for images drawn by lot, which take the place that they stand at.
    """
    if not len(order):
        return np.empty(0)
    # Of those that come later the likeliest bad says the place; one drawn by lot does not.
    later = np.maximum.accumulate(chance[order][::-1])[::-1]
    at = np.arange(len(order))
    return np.where(at < FRONT, 1 - later + at * STEP, BEHIND + 1 - later)


def to_move(present: FloatArray, wanted: FloatArray) -> IntArray:
    """Return where a place has to be written; NaN: who has none now gets one.

    What lies behind stays as it lies: of a million images a model moves nearly each a little, and
    nobody comes to them before the next model.
    """
    stays = (present >= BEHIND) & (wanted >= BEHIND)
    return np.flatnonzero((present != wanted) & ~stays)
