"""How good a judge is: how well it tells bad from good, and whether its chances are true.

Sources: DeLong, DeLong and Clarke-Pearson 1988, in the fast form of Sun and Xu 2014; the interval
on the logit scale after Pepe 2003, section 5.2; calibration error in equally filled bins after
Naeini et al. 2015 and Nixon et al. 2019.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit, ndtri

from synthreview.review.ranking.table import BoolArray, FloatArray

BINS = 10


@dataclass(frozen=True, slots=True)
class Auroc:
    """The chance that a bad image scores below a good one, with its interval; 0.5 = chance."""

    value: float
    low: float
    high: float
    bad: int
    good: int

    @property
    def helps(self) -> bool:
        """Say whether the judge is surely better than chance, at the interval's confidence."""
        return self.low > 0.5

    @property
    def misleads(self) -> bool:
        """Say whether the judge is surely worse than chance: its order shows the good first."""
        return self.high < 0.5


def auroc(score: FloatArray, is_bad: BoolArray, *, confidence: float = 0.95) -> Auroc | None:
    """Return how well a low score tells the bad; None without both kinds. NaN scores are left out.

    A tie counts one half. The interval is DeLong's, on the logit scale, so that it stays within
    0..1; for a perfect judge, whose variance is 0, the value is moved by half a pair inwards.
    """
    has = ~np.isnan(score)
    bad, good = -score[has & is_bad], -score[has & ~is_bad]
    if not len(bad) or not len(good):
        return None
    whole = _ranks(np.concatenate((bad, good)))
    over_good = (whole[: len(bad)] - _ranks(bad)) / len(good)
    over_bad = 1 - (whole[len(bad) :] - _ranks(good)) / len(bad)
    value = float(over_good.mean())
    half_pair = 0.5 / (len(bad) * len(good))
    inner = min(max(value, half_pair), 1 - half_pair)
    variance = _variance_of_mean(over_good) + _variance_of_mean(over_bad)
    least = inner * (1 - inner) / (len(bad) * len(good))  # never surer than single pairs allow
    deviation = np.sqrt(max(variance, least)) / (inner * (1 - inner))
    reach = ndtri((1 + confidence) / 2) * deviation
    low, high = expit(logit(inner) + np.array([-reach, reach]))
    return Auroc(value, min(float(low), value), max(float(high), value), len(bad), len(good))


def _ranks(values: FloatArray) -> FloatArray:
    """Return ranks from 1; equal values share their mean (scipy.stats takes a second to load)."""
    _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: FloatArray = (np.cumsum(counts) - (counts - 1) / 2)[place]
    return ranks


def _variance_of_mean(values: FloatArray) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else 0.25


@dataclass(frozen=True, slots=True)
class Bin:
    """Some images whose chances lie together: what was said of them, and what was found."""

    count: int
    low: float
    high: float
    said: float
    found: float


def reliability(chance: FloatArray, is_bad: BoolArray, *, bins: int = BINS) -> list[Bin]:
    """Return equally filled bins by rising chance; images of one chance stay in one bin."""
    order = np.argsort(chance, kind="stable")
    chance, bad = chance[order], is_bad[order]
    edges = np.unique(np.searchsorted(chance, chance[_starts(len(chance), bins)], side="left"))
    return [
        Bin(
            count=len(part),
            low=float(part[0]),
            high=float(part[-1]),
            said=float(part.mean()),
            found=float(found.mean()),
        )
        for part, found in zip(np.split(chance, edges[1:]), np.split(bad, edges[1:]), strict=True)
        if len(part)
    ]


def _starts(count: int, bins: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.unique(np.arange(bins) * count // bins) if count else np.empty(0, dtype=np.int64)


def calibration_error(chance: FloatArray, is_bad: BoolArray, *, bins: int = BINS) -> float:
    """Return the mean distance, over images, of what their bin was said and found to be; 0..1."""
    found = reliability(chance, is_bad, bins=bins)
    return sum(b.count * abs(b.said - b.found) for b in found) / max(len(chance), 1)
