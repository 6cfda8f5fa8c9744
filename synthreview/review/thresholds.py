"""Thresholds: the largest set of high scores that may be accepted unseen, by what audits showed.

One *cell* is one class and technique of one frozen population. Its accepted sets are nested: the
images with the highest 5 %, 10 %, ... 100 % of the scores. The scores and the steps stand before
the first audit, so that an audit that falls into a set is a uniform draw from what nobody was
handed of it, and the running certificate (certificate.py) holds for each set by itself.

Which set to take is chosen by testing "more than target x size of it are bad" step by step from
three starts, each with a third of alpha, and going on to the next larger set as long as that is
ruled out. For each start the first true one is a fixed place, so that it is passed with chance
alpha / 3 at most: no other share of alpha is needed however many steps are taken, and however
often one looks. Source: Angelopoulos, Bates, Candes, Jordan and Lei, "Learn then Test" (2021),
fixed-sequence testing with several starts; Ville 1939 for "however often".

What was found bad and what left unseen counts against the set, because a null hypothesis that
moved with it could be passed more often. Plain NumPy; knows nothing of Django.
docs/thresholds.md tells it in words.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from synthreview.review.certificate import History, fractions, largest_left, log_stake

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

STEPS = 20
STARTS = (5, 10, 15)  # steps, counted from 1: a quarter, a half and three quarters of the images
FIRST_COHORT = 0.8  # of alpha; each later population gets a fifth of the one before


@dataclass(frozen=True, slots=True)
class Cell:
    """One class and technique of one population.

    `scores`: (N,) of all images that have one, high = good. Of the E images that left the
    unreviewed, in the order of handing out: `place` (E,) among the N, whether by lot, whether
    bad, whether without a verdict.
    """

    scores: FloatArray
    place: IntArray
    is_audit: BoolArray
    is_bad: BoolArray
    is_lost: BoolArray


@dataclass(frozen=True, slots=True)
class Step:
    """One accepted set, and what is certain of it.

    `at_most`: the share of (approved + unseen) that is bad, 0..1; holds for all steps of the cell
    at once. `is_passed`: the procedure came through it, so that "at most the target" is certain of
    it besides. `left` bad images are in it at most where it is passed.
    """

    number: int
    cut: float
    population: int
    unseen: int
    audits: int
    found_bad: int
    at_most: float
    is_passed: bool
    left: int

    @property
    def share(self) -> float:
        return self.number / STEPS


def level_of(cohort: int, cells: int, alpha: float) -> float:
    """Return a cell's share of alpha, in the `cohort`th population (from 1) of so many cells.

    All cells of all populations together stay below alpha, whatever number follows.
    """
    return alpha * FIRST_COHORT * (1 - FIRST_COHORT) ** (cohort - 1) / max(cells, 1)


def cuts_of(scores: FloatArray) -> list[float]:
    """Return the lowest accepted score of each step; [] without scores. Ties are taken along."""
    falling = np.sort(scores)[::-1]
    return [
        float(falling[math.ceil(number * len(falling) / STEPS) - 1])
        for number in range(1, STEPS + 1)
        if len(falling)
    ]


def steps_of(cell: Cell, *, target: float, alpha: float, bounded: bool = True) -> list[Step]:
    """Return every step with what is certain of it; `bounded` False leaves `at_most` at 1.

    Raises ValueError: a number out of its range.
    """
    if not 0 < alpha < 1 or not 0 < target < 1:
        raise ValueError(f"alpha {alpha} and target {target} must lie between 0 and 1")
    sets = [_Set.of(cell, cut, target) for cut in cuts_of(cell.scores)]
    holds = [one.holds(alpha / len(STARTS)) for one in sets]
    passed = _passed(holds)
    steps = []
    for number, one in enumerate(sets, start=1):
        at_most = one.at_most(alpha / STEPS) if bounded else 1.0
        is_passed = number in passed
        steps.append(
            Step(
                number=number,
                cut=one.cut,
                population=one.population,
                unseen=one.history.unreviewed,
                audits=one.history.audits,
                found_bad=one.history.found_bad,
                at_most=min(at_most, target) if is_passed else at_most,
                is_passed=is_passed,
                left=max(one.room, 0),
            )
        )
    return steps


def chosen_of(steps: Sequence[Step]) -> Step | None:
    """Return the largest set that the procedure came through; None where there is none."""
    return max((step for step in steps if step.is_passed), key=lambda s: s.number, default=None)


def _passed(holds: Sequence[bool]) -> set[int]:
    """Return the steps that are reached from a start without a break, counted from 1."""
    reached: set[int] = set()
    for start in STARTS:
        number = start
        while number <= len(holds) and holds[number - 1]:
            reached.add(number)
            number += 1
    return reached


@dataclass(frozen=True, slots=True)
class _Set:
    """One accepted set with its own audits; `room`: so many more bad ones would be too many - 1."""

    cut: float
    population: int
    history: History
    bets: FloatArray
    room: int

    @classmethod
    def of(cls, cell: Cell, cut: float, target: float) -> _Set:
        inside = cell.scores >= cut
        population = int(inside.sum())
        seen = inside[cell.place]
        history = History.of_arrays(
            cell.is_audit[seen], cell.is_bad[seen], cell.is_lost[seen], population
        )
        most = math.floor(target * population + 1e-9)
        room = most - history.found_bad - history.removed
        return cls(cut, population, history, fractions(history, target), room)

    def holds(self, level: float) -> bool:
        """Return whether it is ruled out that more than the target's share of it is bad."""
        if self.room < 0:
            return False
        if self.room >= self.history.unreviewed:
            return True  # what is left could all be bad
        return log_stake(self.history, self.bets, self.room + 1) >= -math.log(level)

    def at_most(self, level: float) -> float:
        leaving = self.history.unreviewed + self.history.reviewed - self.history.found_bad
        if not leaving:
            return 0.0
        return largest_left(self.history, self.bets, level) / leaving


# --- Has something shifted? -----------------------------------------------------------

ENOUGH = 30
SHIFT = 0.2
SHIFT_CHANCE = 1e-4


def has_shifted(known: FloatArray, new: FloatArray) -> bool:
    """Return whether new scores come from elsewhere than the known ones, and by how much it hurts.

    Kolmogorov and Smirnov's distance of at least 0.2 that chance alone gives once in 10,000 times:
    it is looked at often. With fewer than 30 on a side nothing is said.
    """
    if min(len(known), len(new)) < ENOUGH:
        return False
    both = np.concatenate((known, new))
    below = [
        np.searchsorted(np.sort(side), both, side="right") / len(side) for side in (known, new)
    ]
    distance = float(np.abs(below[0] - below[1]).max())
    size = len(known) * len(new) / (len(known) + len(new))
    # The tail of Kolmogorov's distribution (Smirnov 1948).
    return distance >= SHIFT and 2 * math.exp(-2 * size * distance**2) <= SHIFT_CHANCE
