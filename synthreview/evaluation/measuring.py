"""Figures of a classifier with their intervals: plain NumPy, no Django.

Everything takes `right`, (S, N): whether seed s judged image n rightly. Both the images and the
seeds are a sample, so both are drawn again (a crossed bootstrap, percentile interval: Owen 2007,
"The pigeonhole bootstrap"; its interval is rather too wide than too narrow). Shares of one class
get Wilson's interval, which holds for few images and for all right.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from synthreview.review.ranking.judging import calibration_error

Array = npt.NDArray[np.float64]
DRAWS: Final = 2_000
CONFIDENCE: Final = 0.95
CHUNK: Final = 4_000_000  # numbers in memory at once


class Estimate(NamedTuple):
    """A figure and the interval in which it lies with a confidence of 95 %."""

    value: float
    low: float
    high: float

    def rounded(self) -> list[float]:
        return [round(float(number), 4) for number in self]


def wilson(right: float, count: int) -> Estimate:
    """Return a share with Wilson's interval; of parts (means over seeds) the nearest whole number.

    No image: from 0 to 1, around one half.
    """
    from scipy.stats import binomtest  # takes a second to load

    if not count:
        return Estimate(0.5, 0.0, 1.0)
    interval = binomtest(round(right), count).proportion_ci(CONFIDENCE, method="wilson")
    share = right / count
    return Estimate(share, min(interval.low, share), max(interval.high, share))


def mean_of(right: Array, *, seed: int = 0) -> Estimate:
    """Return the share of right judgements over seeds and images, with its interval.

    Where all draws agree the interval is Wilson's: some images can never show that all are right.
    """
    found = _interval(right, seed)
    if found.low == found.high:
        return wilson(float(right.mean()) * right.shape[1], right.shape[1])
    return found


def difference_of(right: Array, base: Array, *, seed: int = 0) -> Estimate:
    """Return how much larger the share of the first is; both judged the same images.

    Pairs of seeds: the s-th seed of both arms left the same images out of its training.
    """
    return _interval(right - base, seed)


def _interval(values: Array, seed: int) -> Estimate:
    seeds, images = values.shape
    rng = np.random.default_rng(seed)
    means = np.empty(DRAWS)
    step = max(1, CHUNK // max(images, 1))
    for start in range(0, DRAWS, step):
        count = min(step, DRAWS - start)
        drawn = rng.integers(0, seeds, (count, seeds))
        shares = np.stack([(drawn == number).mean(axis=1) for number in range(seeds)], axis=1)
        per_image = shares @ values
        chosen = rng.integers(0, images, (count, images))
        means[start : start + count] = np.take_along_axis(per_image, chosen, axis=1).mean(axis=1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(float(values.mean()), float(low), float(high))


def confusion(chances: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]) -> Array:
    """Return (C, C): of the images of the row's class, the share taken for the column's.

    Args: chances (S, N, C), labels (N,). Rows of classes without an image are 0.
    """
    said = chances.argmax(axis=2)
    count = chances.shape[2]
    table = np.zeros((count, count))
    for judged in said:
        np.add.at(table, (labels, judged), 1)
    sums = table.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(table, sums, out=np.zeros_like(table), where=sums > 0))


def expected_calibration_error(
    chances: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> float:
    """Return how far the said chance of the named class lies from how often it is right, 0..1.

    Over all seeds together, in ten equally filled bins. Args: chances (S, N, C), labels (N,).
    """
    said = chances.max(axis=2).ravel().astype(np.float64)
    right = (chances.argmax(axis=2) == labels[None, :]).ravel()
    return calibration_error(said, right)
