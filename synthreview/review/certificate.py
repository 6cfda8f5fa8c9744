"""The running certificate: an upper bound on wrong labels that holds at every moment.

A frozen population of N images is reviewed without replacement; K of them, unknown, are bad. Looks
come in two kinds: *targeted* ones, chosen by the queue in any way that depends on the past only,
and *audits*, drawn uniformly at random from what nobody has been handed yet. Before an audit, a
candidate K says that the draw is bad with chance p = (K - found) / unreviewed. Betting a smaller
chance c * p against it, 0 <= c < 1, multiplies a stake by c if the draw is bad and by
(1 - c p) / (1 - p) if it is good; under the true K the stake's mean never grows, so it ever
reaches 1/alpha with chance at most alpha (Ville). Every K whose stake reached it is ruled out, for
good; the largest one left bounds what is still in there.

The bet is a fraction of the candidate's own chance. So the stake grows with K, which makes the
bound one step of halving, and a chance that is known only from below may stand in for p.

Sources: Ville 1939; Waudby-Smith & Ramdas, "Confidence sequences for sampling without replacement"
(2020) and "Estimating means of bounded random variables by betting" (2023).
Plain NumPy; knows nothing of Django. docs/certificate.md tells it in words, with a worked example.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]


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
    """One image that left the unreviewed: how it was chosen, and what people made of it.

    `is_bad` is None where it left without a verdict: removed unseen with the rest of its prompt,
    dropped as a duplicate, or taken into another round.
    """

    stream: Stream
    is_bad: bool | None


REMOVED = Look(Stream.TARGETED, None)


@dataclass(frozen=True, slots=True)
class Part:
    """A population that was frozen at one moment, and its looks in the order of handing out."""

    looks: Sequence[Look]
    population: int


@dataclass(frozen=True, slots=True)
class Bound:
    """What is certain at one moment.

    `remaining_bad`: at most so many bad images are among the unreviewed.
    `error`: at most this share of (approved + unreviewed) is bad; 0..1.
    `removed`: so many left without a verdict; they are in nothing that is exported.
    """

    population: int
    reviewed: int
    audits: int
    found_bad: int
    remaining_bad: int
    alpha: float
    removed: int = 0

    @property
    def unreviewed(self) -> int:
        return self.population - self.reviewed - self.removed

    @property
    def exported(self) -> int:
        """Return how many would be exported: the approved and the unreviewed."""
        return self.population - self.found_bad - self.removed

    @property
    def error(self) -> float:
        return self.remaining_bad / self.exported if self.exported else 0.0

    @property
    def recall(self) -> float:
        """Return the least share of the bad images still in question that has been found; 0..1."""
        total = self.found_bad + self.remaining_bad
        return self.found_bad / total if total else 1.0


# (share of the stake, the bet as a fraction of the candidate's chance); None lets the fraction
# follow what the latest audits showed. Chosen by simulation: see docs/certificate.md.
STRATEGIES: tuple[tuple[float, float | None], ...] = (
    (0.40, 0.0),
    (0.10, 0.25),
    (0.15, 0.5),
    (0.10, 0.75),
    (0.25, None),
)
SHARES = np.log([share for share, _ in STRATEGIES])[:, None]
# The latest audits weigh more, because the queue keeps changing what is left to be drawn.
FADING = 0.98
PRIOR_AUDITS = 10.0
HIGHEST_FRACTION = 0.97
FIRST_GUESS = 32


def running_bound(
    looks: Sequence[Look], *, population: int, target: float, alpha: float = 0.05
) -> Bound:
    """Return the bound after `looks`, in the order in which the images were handed out.

    Valid at every moment and for any rule of stopping, with chance at least 1 - alpha over
    the audit draws. `target` (0..1) only steers the bets; it must be fixed beforehand.

    Raises ValueError: more looks than images, or a number out of its range.
    """
    return joint_bound([Part(looks, population)], target=target, alpha=alpha)


def joint_bound(parts: Sequence[Part], *, target: float, alpha: float = 0.05) -> Bound:
    """Return the bound over several populations, each with its own draw, taken together.

    One alpha covers them all: the stakes of the parts are multiplied, so that a candidate is one
    number of bad images for each part, and evidence from one part counts beside that of another.

    Raises ValueError: as running_bound, or no part.
    """
    _check(parts, target, alpha)
    histories = [History.of(part.looks, part.population) for part in parts]
    if len(histories) == 1:
        remaining = largest_left(histories[0], fractions(histories[0], target), alpha)
    else:
        remaining = _largest_sum(histories, target, alpha)
    return Bound(
        population=sum(part.population for part in parts),
        reviewed=sum(history.reviewed for history in histories),
        audits=sum(history.audits for history in histories),
        found_bad=sum(history.found_bad for history in histories),
        remaining_bad=remaining,
        alpha=alpha,
        removed=sum(history.removed for history in histories),
    )


def _check(parts: Sequence[Part], target: float, alpha: float) -> None:
    if not 0 < alpha < 1 or not 0 < target < 1:
        raise ValueError(f"alpha {alpha} and target {target} must lie between 0 and 1")
    if not parts:
        raise ValueError("no population to bound")
    for part in parts:
        if len(part.looks) > part.population:
            raise ValueError(f"{len(part.looks)} looks at {part.population} images")


@dataclass(frozen=True, slots=True)
class History:
    """The audits as arrays of length A: what was known just before each, and what it showed.

    An audit that left without a verdict counts as bad: that stakes least.
    """

    is_bad: BoolArray
    found_before: FloatArray
    unreviewed_before: FloatArray
    found_bad: int
    unreviewed: int
    reviewed: int
    removed: int

    @property
    def audits(self) -> int:
        return len(self.is_bad)

    @classmethod
    def of(cls, looks: Sequence[Look], population: int) -> History:
        count = len(looks)
        audit = np.fromiter((look.stream is Stream.AUDIT for look in looks), bool, count)
        bad = np.fromiter((look.is_bad is True for look in looks), bool, count)
        lost = np.fromiter((look.is_bad is None for look in looks), bool, count)
        return cls.of_arrays(audit, bad, lost, population)

    @classmethod
    def of_arrays(
        cls, audit: BoolArray, bad: BoolArray, lost: BoolArray, population: int
    ) -> History:
        """Return it from one entry per look: was it an audit, found bad, without a verdict."""
        found = np.concatenate(([0], np.cumsum(bad)))
        unreviewed = population - np.arange(len(bad))
        return cls(
            is_bad=(bad | lost)[audit],
            found_before=found[:-1][audit].astype(float),
            unreviewed_before=unreviewed[audit].astype(float),
            found_bad=int(found[-1]),
            unreviewed=population - len(bad),
            reviewed=int((~lost).sum()),
            removed=int(lost.sum()),
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
            reviewed=self.reviewed + audits,
            removed=self.removed,
        )


# --- The bets -------------------------------------------------------------------


def fractions(history: History, target: float) -> FloatArray:
    """Return the fractions bet, (S, A): each depends on what was seen before its draw only."""
    shown = fading_rate(history.is_bad, target / 4)[:-1]
    # Against a candidate whose error lies just above the target once `shown` has fallen below it.
    following = shown / (shown + np.maximum(target - shown, target / 2))
    rows = [
        np.minimum(following, HIGHEST_FRACTION)
        if fraction is None
        else np.full(history.audits, fraction)
        for _, fraction in STRATEGIES
    ]
    return np.array(rows, dtype=float).reshape(len(STRATEGIES), history.audits)


def fading_rate(is_bad: BoolArray, prior: float) -> FloatArray:
    """Return the share of bad ones before each audit and after the last, (A + 1,).

    Older ones fade; `prior` stands for a few seen before the first.
    """
    rates = np.empty(len(is_bad) + 1)
    total, weight = prior * PRIOR_AUDITS, PRIOR_AUDITS
    rates[0] = prior
    for index, bad in enumerate(is_bad):
        total, weight = total * FADING + bad, weight * FADING + 1
        rates[index + 1] = total / weight
    return rates


def stake_paths(history: History, bets: FloatArray, bad_left: int) -> FloatArray:
    """Return the log of the whole stake after each audit, (A,), if "`bad_left` are still there".

    `bad_left` counts the bad among the unreviewed now, so K = found + bad_left + those among the
    removed. Of these nothing is known: leaving them out gives each p its least value that is
    consistent with `bad_left`, and the stake its least too. Never falls as `bad_left` grows.
    """
    before = history.found_bad + bad_left - history.found_before
    chance = before / history.unreviewed_before  # (A,), within 0..1 for 0 <= bad_left <= unreviewed
    # log 0 stands for "impossible": in the branch not taken it may meet itself.
    with np.errstate(divide="ignore", invalid="ignore"):
        steps = np.where(history.is_bad, np.log(bets), np.log1p(-bets * chance) - np.log1p(-chance))
    whole: FloatArray = np.logaddexp.reduce(SHARES + np.cumsum(steps, axis=1), axis=0)
    return whole


def log_stake(history: History, bets: FloatArray, bad_left: int) -> float:
    """Return the log of the highest stake ever reached against "`bad_left` are still in there"."""
    if not history.audits:
        return 0.0
    return max(0.0, float(stake_paths(history, bets, bad_left).max()))


# --- What is not ruled out ----------------------------------------------------------


def largest_left(history: History, bets: FloatArray, alpha: float) -> int:
    """Return the largest number of bad images left that is not ruled out."""
    limit = -np.log(alpha)
    found = _last_true(lambda left: log_stake(history, bets, left) < limit, history.unreviewed)
    return max(found, 0)  # all are ruled out with chance alpha at most


def _last_true(holds: Callable[[int], bool], highest: int) -> int:
    """Return the last of 0..highest for which `holds`, which never turns true again; -1: none."""
    if holds(highest):
        return highest
    low, high = -1, highest
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _largest_sum(histories: Sequence[History], target: float, alpha: float) -> int:
    """Return the largest sum of bad images left whose stakes' product is below the limit now.

    Each log stake is convex and grows with its candidate. For any price s > 0 of one image, no
    choice below the limit has a larger sum than (the best at that price) + (what it leaves of the
    limit) / s; the price is sought that makes this least.
    """
    limit = -np.log(alpha)
    stakes = []
    for history in histories:
        bets = fractions(history, target)
        stakes.append(_present_stake(history, bets))
    total = sum(history.unreviewed for history in histories)
    if sum(stake(history.unreviewed) for stake, history in zip(stakes, histories, strict=True)) < (
        limit
    ):
        return total
    best = float(total)
    low, high = np.log(1e-9), np.log(1e3)
    for _ in range(40):
        price = float(np.exp((low + high) / 2))
        chosen = [
            _best_at(stake, price, history.unreviewed)
            for stake, history in zip(stakes, histories, strict=True)
        ]
        spent = sum(stake(left) for stake, left in zip(stakes, chosen, strict=True))
        best = min(best, sum(chosen) + (limit - spent) / price)
        if spent < limit:
            low = np.log(price)
        else:
            high = np.log(price)
    return max(0, int(np.floor(best + 1e-9)))


def _present_stake(history: History, bets: FloatArray) -> Callable[[int], float]:
    if not history.audits:
        return lambda left: 0.0
    return lambda left: float(stake_paths(history, bets, left)[-1])


def _best_at(stake: Callable[[int], float], price: float, highest: int) -> int:
    """Return the largest candidate of which each further image adds no more than `price`."""
    return max(
        0,
        _last_true(lambda left: left == 0 or stake(left) - stake(left - 1) <= price, highest),
    )


# --- What to expect -------------------------------------------------------------------


def audits_until(bound: Bound, looks: Sequence[Look], *, target: float, rate: float) -> int | None:
    """Return how many more audits reach `target` if `rate` of them are bad, at an even pace.

    An estimate for planning, not a promise; exact to one part in 256. None where even all that
    is left is not enough, or the rate lies at the target or above it. Several populations are
    planned for as if they were one.
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
        exported = bound.exported - (future.found_bad - now.found_bad)
        enough = int(target * exported)  # so many may be left
        if enough >= future.unreviewed:
            return True
        return bool(log_stake(future, fractions(future, target), enough + 1) >= limit)

    low, high = 0, min(FIRST_GUESS, unreviewed)
    while not reached(high):
        if high == unreviewed:
            return None
        low, high = high, min(2 * high, unreviewed)
    while high - low > max(1, high // 256):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def error_after(
    bound: Bound, looks: Sequence[Look], *, audits: int, target: float, rate: float
) -> float:
    """Return the error that `audits` more would certify if `rate` of them are bad; 0..1.

    An estimate for planning, not a promise.
    """
    now = History.of(looks, bound.population)
    future = now.after(min(audits, now.unreviewed), rate)
    left = largest_left(future, fractions(future, target), bound.alpha)
    exported = bound.exported - (future.found_bad - now.found_bad)
    return left / exported if exported else 0.0
