"""The reviewers' own misses, bounded at every moment and carried into the certificate.

The certificate bounds what reviewers would *call* bad. Some bad images pass as good. How often is
measured where the answer is known (gold images, blind double reviews): each such look at a bad
image is a trial that misses it or catches it. From the trials follows an upper bound on the miss
rate, and from that one on the bad images that pass, over a whole population. Both are betting
bounds, as certificate.py's: they hold at every moment, and alpha is split between the three.

It assumes that reviewers miss the known bad images as often as the others, and one image
independently of another. NumPy alone; knows nothing of Django. docs/certificate.md, "The
reviewers' own mistakes".
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthreview.review.certificate import Bound

FloatArray = npt.NDArray[np.float64]

# alpha's parts: for the audits, for the miss rate, for the chance in how many pass.
FOR_AUDITS, FOR_RATE, FOR_CHANCE = 0.5, 0.4, 0.1
# Bets on a rate lower than a candidate's, as fractions of it, and their shares of the stake.
FRACTIONS: tuple[tuple[float, float], ...] = (
    (0.30, 0.0),
    (0.175, 0.2),
    (0.175, 0.4),
    (0.175, 0.6),
    (0.175, 0.8),
)
# Bets that more pass than the rate says, as multiples of it; equal shares.
MULTIPLES = np.array([1.15, 1.3, 1.5, 1.8, 2.2, 3.0, 4.5])
# Candidates of a rate; bounds are rounded up to the next one.
GRID = np.concatenate(([0.0], np.geomspace(1e-4, 1.0, 1200)))


@dataclass(frozen=True, slots=True)
class Trials:
    """One reviewer's looks at images known to be bad."""

    missed: int
    caught: int

    @property
    def count(self) -> int:
        return self.missed + self.caught


@dataclass(frozen=True, slots=True)
class TrueBound:
    """What is certain of the truth, the reviewers' own misses included.

    `miss_rate`: at most this share of bad images passes. `passed`: at most so many bad images
    pass or would pass, over the population. `error`: at most this share of what is exported is
    bad; 0..1.
    """

    called: Bound
    miss_rate: float
    passed: int
    alpha: float

    @property
    def error(self) -> float:
        exported = self.called.exported
        if not exported:
            return 0.0
        return min(1.0, (self.called.remaining_bad + self.passed) / exported)


def miss_rate_bound(
    trials: Mapping[str, Trials], weights: Mapping[str, float], *, alpha: float
) -> float:
    """Return an upper bound on the miss rate of the reviewers together; 0..1.

    Args:
        trials: by reviewer; who has none may miss everything.
        weights: each reviewer's share of the work; sums to 1.
    Holds at every moment with chance at least 1 - alpha. Rates are one number per reviewer; the
    stakes against them are multiplied, and the largest weighted mean not ruled out is sought as
    in `certificate.joint_bound`.
    """
    people = [name for name, weight in weights.items() if weight > 0]
    if not people:
        return 1.0
    limit = -math.log(alpha)
    weight = np.array([weights[name] for name in people])[:, None]
    stakes = np.array([_log_stakes(trials.get(name, Trials(0, 0))) for name in people])
    # Between two candidates: the upper one's gain at the lower one's stake.
    gain, stake = weight * GRID[1:], stakes[:, :-1]

    def most(log_scale: float) -> float:
        scale = math.exp(log_scale)
        return float((gain - stake * scale).max(axis=1).sum() + limit * scale)

    # Convex in the scale, so that thirds close in on the least; any scale gives a valid bound.
    low, high = math.log(1e-6), math.log(1e3)
    for _ in range(32):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (low, right) if most(left) < most(right) else (left, high)
    return min(1.0, most((low + high) / 2))


def _log_stakes(trials: Trials) -> FloatArray:
    """Return the log stake against each candidate of GRID, never falling with it."""
    shares = np.log([share for share, _ in FRACTIONS])[:, None]
    bets = np.array([fraction for _, fraction in FRACTIONS])[:, None]
    stakes = np.full(len(GRID), math.inf if trials.caught else 0.0)  # a rate of 1 catches nothing
    below = GRID[:-1]
    with np.errstate(divide="ignore"):
        missed = trials.missed * np.log(bets) if trials.missed else 0 * bets
    caught = trials.caught * (np.log1p(-bets * below) - np.log1p(-below))
    stakes[:-1] = np.logaddexp.reduce(shares + missed + caught, axis=0)
    return stakes


def passed_at_most(caught: int, *, miss_rate: float, alpha: float) -> int:
    """Return how many bad images pass at most where `caught` at most are called bad.

    Holds at every moment with chance at least 1 - alpha, if each bad image passes with at most
    the chance `miss_rate`, given what came before it.
    """
    if miss_rate <= 0:
        return 0
    if miss_rate >= 1:
        raise ValueError("a miss rate of 1 bounds nothing")
    bets = np.minimum(miss_rate * MULTIPLES, (1 + miss_rate) / 2)
    share, limit = -math.log(len(bets)), -math.log(alpha)
    lost = caught * (np.log1p(-bets) - math.log1p(-miss_rate))
    won = np.log(bets) - math.log(miss_rate)

    def is_possible(passed: int) -> bool:
        return float(np.logaddexp.reduce(share + passed * won + lost)) < limit

    low, high = 0, 1
    while is_possible(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_possible(middle) else (low, middle)
    return low


def true_bound(
    called: Bound, trials: Mapping[str, Trials], weights: Mapping[str, float], *, alpha: float
) -> TrueBound:
    """Return the bound on the truth, from a bound on what is called bad.

    `called` must have been made with alpha * FOR_AUDITS. The most that is called bad, found or
    not, is the most that is caught; to so many belongs a most that passes.
    Raises ValueError for a bound of another alpha.
    """
    if not math.isclose(called.alpha, alpha * FOR_AUDITS):
        raise ValueError(f"the bound was made with {called.alpha}, not {alpha * FOR_AUDITS}")
    rate = miss_rate_bound(trials, weights, alpha=alpha * FOR_RATE)
    exported = called.exported
    if rate >= 1:
        return TrueBound(called, 1.0, exported - called.remaining_bad, alpha)
    most = called.found_bad + called.remaining_bad
    passed = passed_at_most(most, miss_rate=rate, alpha=alpha * FOR_CHANCE)
    return TrueBound(called, rate, min(passed, exported - called.remaining_bad), alpha)
