"""The running certificate: an upper bound on wrong labels that holds at every moment.

A frozen population of N images is reviewed without replacement; K of them, unknown, are bad. Looks
come in two kinds: *targeted* ones, chosen by the queue in any way that depends on the past only,
and *audits*, drawn uniformly at random from what nobody has been handed yet. Before an audit, a
candidate K says that the draw is bad with chance p = (K - found) / unreviewed. Betting a chance b
against it multiplies a stake by b/p if it is bad and (1-b)/(1-p) if it is good; under the true K
the stake's mean never grows, so it ever reaches 1/alpha with chance at most alpha (Ville). Every K
whose stake reached it is ruled out, for good; the largest one left bounds what is still in there.

Sources: Ville 1939; Waudby-Smith & Ramdas, "Confidence sequences for sampling without replacement"
(2020) and "Estimating means of bounded random variables by betting" (2023).
Plain NumPy; knows nothing of Django. docs/certificate.md tells it in words, with a worked example.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Stream(StrEnum):
    """How an image came before a reviewer.

    An AUDIT is drawn uniformly from all that nobody was handed, a CLASS_AUDIT from those of one
    class and technique: it is evidence about these alone, and a targeted look for all together.
    """

    TARGETED = "queue"
    AUDIT = "audit"
    CLASS_AUDIT = "in_class"


@dataclass(frozen=True, slots=True)
class Look:
    """One reviewed image: how it was chosen, and what people made of it."""

    stream: Stream
    is_bad: bool


@dataclass(frozen=True, slots=True)
class Bound:
    """What is certain at one moment.

    `remaining_bad`: at most so many bad images are among the unreviewed.
    `error`: at most this share of (approved + unreviewed) is bad; 0..1.
    """

    population: int
    reviewed: int
    audits: int
    found_bad: int
    remaining_bad: int
    alpha: float

    @property
    def unreviewed(self) -> int:
        return self.population - self.reviewed

    @property
    def exported(self) -> int:
        """Return how many would be exported: the approved and the unreviewed."""
        return self.population - self.found_bad

    @property
    def error(self) -> float:
        return self.remaining_bad / self.exported if self.exported else 0.0


# (share of the stake, the chance bet as a multiple of the target error); None bets what the
# audits have shown so far. Chosen by simulation: see docs/certificate.md.
STRATEGIES: tuple[tuple[float, float | None], ...] = (
    (0.40, 0.0),
    (0.15, 0.25),
    (0.20, 0.5),
    (0.25, None),
)
FIRST_GUESS = 32


def running_bound(
    looks: Sequence[Look], *, population: int, target: float, alpha: float = 0.05
) -> Bound:
    """Return the bound after `looks`, in the order in which the images were handed out.

    Valid at every moment and for any rule of stopping, with chance at least 1 - alpha over
    the audit draws. `target` (0..1) only steers the bets; it must be fixed beforehand.

    Raises ValueError: more looks than images, or a number out of its range.
    """
    if not 0 < alpha < 1 or not 0 < target < 1:
        raise ValueError(f"alpha {alpha} and target {target} must lie between 0 and 1")
    if len(looks) > population:
        raise ValueError(f"{len(looks)} looks at {population} images")
    history = History.of(looks, population)
    found = history.found_bad
    remaining = _largest_left(history, _bets(history, target), alpha)
    return Bound(population, len(looks), history.audits, found, remaining, alpha)


@dataclass(frozen=True, slots=True)
class History:
    """The audits as arrays of length A: what was known just before each, and what it showed."""

    is_bad: npt.NDArray[np.bool_]
    found_before: FloatArray
    unreviewed_before: FloatArray
    found_bad: int
    unreviewed: int

    @property
    def audits(self) -> int:
        return len(self.is_bad)

    @classmethod
    def of(cls, looks: Sequence[Look], population: int) -> History:
        bad = np.fromiter((look.is_bad for look in looks), dtype=bool, count=len(looks))
        audit = np.fromiter(
            (look.stream is Stream.AUDIT for look in looks), dtype=bool, count=len(looks)
        )
        found = np.concatenate(([0], np.cumsum(bad)))
        unreviewed = population - np.arange(len(looks))
        return cls(
            is_bad=bad[audit],
            found_before=found[:-1][audit].astype(float),
            unreviewed_before=unreviewed[audit].astype(float),
            found_bad=int(found[-1]),
            unreviewed=population - len(looks),
        )

    def after(self, audits: int, rate: float) -> History:
        """Return the history after more audits of which `rate` are bad, at an even pace."""
        bad = np.floor(np.arange(1, audits + 1) * rate) > np.floor(np.arange(audits) * rate)
        found = self.found_bad + np.concatenate(([0], np.cumsum(bad)))
        return History(
            is_bad=np.concatenate((self.is_bad, bad)),
            found_before=np.concatenate((self.found_before, found[:-1])),
            unreviewed_before=np.concatenate(
                (self.unreviewed_before, self.unreviewed - np.arange(audits))
            ),
            found_bad=int(found[-1]),
            unreviewed=self.unreviewed - audits,
        )


def _bets(history: History, target: float) -> FloatArray:
    """Return the chances bet, (S, A): each depends on what was seen before its draw only."""
    audits = np.arange(history.audits)
    shown = np.concatenate(([0], np.cumsum(history.is_bad)))[:-1]
    running = (shown + target / 4) / (audits + 1)
    rows = [
        np.minimum(running, 0.9) if multiple is None else np.full(history.audits, target * multiple)
        for _, multiple in STRATEGIES
    ]
    return np.array(rows, dtype=float).reshape(len(STRATEGIES), history.audits)


def log_stake(history: History, bets: FloatArray, bad_left: int) -> float:
    """Return the log of the highest stake ever reached against "`bad_left` are still in there".

    `bad_left` counts the bad among the unreviewed now, so K = found + bad_left.
    """
    if not history.audits:
        return 0.0
    before = history.found_bad + bad_left - history.found_before
    chance = before / history.unreviewed_before  # (A,), within 0..1 for 0 <= bad_left <= unreviewed
    # log 0 stands for "impossible": in the branch not taken it may meet itself.
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(
            history.is_bad,
            np.log(bets) - np.log(chance),
            np.log1p(-bets) - np.log1p(-chance),
        )
        shares = np.log([share for share, _ in STRATEGIES])
    paths = shares[:, None] + np.cumsum(steps, axis=1)
    return max(0.0, float(np.logaddexp.reduce(paths, axis=0).max()))


def _largest_left(history: History, bets: FloatArray, alpha: float) -> int:
    """Return the largest number of bad images left that is not ruled out.

    The stake is log-convex in the candidate, so that those not ruled out form one interval:
    its top is found by halving, above the least doubtful candidate.
    """
    limit = -np.log(alpha)
    low = _least_doubtful(history, bets)
    if log_stake(history, bets, low) >= limit:
        return low  # all are ruled out, which happens with chance alpha at most
    high = history.unreviewed
    if log_stake(history, bets, high) < limit:
        return high
    while high - low > 1:  # low is possible, high is ruled out
        middle = (low + high) // 2
        if log_stake(history, bets, middle) >= limit:
            high = middle
        else:
            low = middle
    return low


def _least_doubtful(history: History, bets: FloatArray) -> int:
    low, high = 0, history.unreviewed
    while low < high:
        middle = (low + high) // 2
        if log_stake(history, bets, middle) <= log_stake(history, bets, middle + 1):
            high = middle
        else:
            low = middle + 1
    return low


def audits_until(bound: Bound, looks: Sequence[Look], *, target: float, rate: float) -> int | None:
    """Return how many more audits reach `target` if `rate` of them are bad, at an even pace.

    An estimate for planning, not a promise; exact to one part in 256. None where even all that
    is left is not enough, or the rate lies at the target or above it.
    """
    unreviewed = bound.unreviewed
    if bound.error <= target:
        return 0
    if rate >= target:
        return None

    now = History.of(looks, bound.population)
    limit = -np.log(bound.alpha)

    def reached(more: int) -> bool:
        future = now.after(more, rate)
        enough = int(target * (bound.population - future.found_bad))  # so many may be left
        if enough >= future.unreviewed:
            return True
        # Those not ruled out are one interval: it ends at `enough` or before it where the next
        # candidate is ruled out and the least doubtful one does not lie beyond.
        bets = _bets(future, target)
        above = log_stake(future, bets, enough + 1)
        return above >= limit and log_stake(future, bets, enough) <= above

    low, high = 0, min(FIRST_GUESS, unreviewed)
    while not reached(high):
        if high == unreviewed:
            return None
        low, high = high, min(2 * high, unreviewed)
    while high - low > max(1, high // 256):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high
