"""What approval teaches: rates with credible intervals, and shares by Thompson sampling.

A tally counts the images that people approved and rejected. The share of approved ones gets
Jeffreys' prior, Beta(1/2, 1/2), so after a approved and r rejected images it is distributed as
Beta(a + 1/2, r + 1/2). Its central intervals cover the true rate about as often as they say,
for few images too (Brown, Cai & DasGupta 2001, "Interval estimation for a binomial proportion").
No Django here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

PRIOR = 0.5
LEVEL = 0.9  # of the credible interval


@dataclass(frozen=True, slots=True)
class Tally:
    """How many images people approved and rejected; disputed and waiting ones are neither."""

    approved: int = 0
    rejected: int = 0

    @property
    def images(self) -> int:
        return self.approved + self.rejected

    def __add__(self, other: Self) -> Tally:
        return Tally(self.approved + other.approved, self.rejected + other.rejected)


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of approved images: its expected value and the ends of its credible interval."""

    mean: float
    low: float
    high: float


def rate_of(tally: Tally, *, level: float = LEVEL) -> Rate:
    """Return what a tally says of the rate behind it.

    Without an image the interval is nearly everything: 0.006 to 0.994 at 90 %. With 9 approved
    and 1 rejected the mean is 0.864 and the interval 0.669 to 0.982.
    """
    from scipy.special import betaincinv  # takes 0.2 s, and only this needs it

    a, b = tally.approved + PRIOR, tally.rejected + PRIOR
    tail = (1 - level) / 2
    low, high = (float(betaincinv(a, b, tail)), float(betaincinv(a, b, 1 - tail)))
    return Rate(a / (a + b), low, high)


def thompson_turns(tallies: Sequence[Tally], count: int, *, seed: int) -> tuple[int, ...]:
    """Return which of the choices each of `count` turns takes; the same seed, the same turns.

    For each turn a rate is drawn for every choice from what its tally says, and the highest
    wins. So what is known to be good gets most turns, what is hardly known gets some, and
    what is known to be bad gets hardly any.
    Source: Thompson 1933; Chapelle & Li 2011, "An empirical evaluation of Thompson sampling".
    Raises ValueError where there is nothing to choose from.
    """
    if not tallies:
        raise ValueError("There is nothing to choose from.")
    rng = np.random.default_rng(seed)
    approved = np.array([tally.approved for tally in tallies]) + PRIOR
    rejected = np.array([tally.rejected for tally in tallies]) + PRIOR
    drawn = rng.beta(approved, rejected, size=(count, len(tallies)))
    return tuple(drawn.argmax(axis=1).tolist())
