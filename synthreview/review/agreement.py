"""How far reviewers agree, and how often each is wrong: counts, kappas and Dawid-Skene.

Ratings are an array (N, R) of N images and R reviewers: 1.0 says bad, 0.0 good, NaN nothing.
Cohen's kappa is scikit-learn's and Krippendorff's alpha the package's of that name, both loaded
when first asked for; Fleiss' kappa and Dawid-Skene are here. Knows nothing of Django.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

MOST_ROUNDS = 500
SETTLED = 1e-8


# --- Two and more reviewers ---------------------------------------------------------


def cohens_kappa(first: FloatArray, second: FloatArray) -> float | None:
    """Return Cohen's kappa of two reviewers over the images that both rated.

    None where there are none, or both said one and the same of all: then chance explains all.
    Source: Cohen 1960.
    """
    both = ~np.isnan(first) & ~np.isnan(second)
    if not both.any() or len(np.unique(np.concatenate((first[both], second[both])))) < 2:
        return None
    from sklearn.metrics import cohen_kappa_score

    return float(cohen_kappa_score(first[both], second[both]))


def fleiss_kappa(ratings: FloatArray) -> float | None:
    """Return Fleiss' kappa over the images that have the commonest number of ratings, 2 or more.

    The reviewers may differ from image to image. None where it says nothing.
    Source: Fleiss 1971, equations 1 to 7.
    """
    looks = (~np.isnan(ratings)).sum(axis=1)
    several = looks[looks >= 2]
    if not len(several):
        return None
    size = int(np.bincount(several).argmax())
    chosen = ratings[looks == size]
    bad = np.nansum(chosen, axis=1)
    counts = np.stack((bad, size - bad), axis=1)  # (N, 2)
    observed = ((counts**2).sum(axis=1) - size).mean() / (size * (size - 1))
    expected = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    return None if expected >= 1 else float((observed - expected) / (1 - expected))


def krippendorffs_alpha(ratings: FloatArray) -> float | None:
    """Return Krippendorff's alpha for nominal ratings, missing ones allowed; None: nothing said.

    Source: Krippendorff, "Content Analysis" (4th edition), chapter 12.
    """
    several = (~np.isnan(ratings)).sum(axis=1) >= 2
    values = ratings[several]
    if len(np.unique(values[~np.isnan(values)])) < 2:
        return None
    from krippendorff import alpha

    return float(alpha(reliability_data=values.T, level_of_measurement="nominal"))


@dataclass(frozen=True, slots=True)
class Share:
    """So many of so many, with its exact interval (Clopper and Pearson 1934)."""

    count: int
    of: int
    low: float
    high: float

    @property
    def value(self) -> float | None:
        return self.count / self.of if self.of else None


def share(count: int, of: int, *, confidence: float = 0.95) -> Share:
    """Return a share with its two-sided interval, valid for a number of trials fixed beforehand."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return Share(count, of, low, high)


def agreement_with_others(ratings: FloatArray) -> list[tuple[int, int]]:
    """Return for each reviewer (pairs that agree, pairs) with every other rating of an image."""
    rated = ~np.isnan(ratings)
    bad = np.where(rated, ratings, 0).sum(axis=1, keepdims=True)
    good = rated.sum(axis=1, keepdims=True) - bad
    same = np.where(rated, np.where(ratings == 1, bad, good) - 1, 0)
    pairs = np.where(rated, rated.sum(axis=1, keepdims=True) - 1, 0)
    return [
        (int(agree), int(total))
        for agree, total in zip(same.sum(axis=0), pairs.sum(axis=0), strict=True)
    ]


# --- Dawid and Skene --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DawidSkene:
    """What the ratings say of images and reviewers if each reviewer errs in a way of their own.

    `bad_share`: of all images. `missed` (R,): chance to call a bad image good. `alarmed` (R,):
    chance to call a good one bad. `is_bad` (N,): each image's chance of being bad.
    """

    bad_share: float
    missed: FloatArray
    alarmed: FloatArray
    is_bad: FloatArray
    rounds: int


def dawid_skene(
    ratings: FloatArray, *, known: FloatArray | None = None, smoothing: float = 0.5
) -> DawidSkene:
    """Return the most likely error rates of the reviewers, by expectation and maximisation.

    Begins with each image's share of "bad" votes. `known` (N,) fixes images whose answer is
    known, NaN elsewhere. `smoothing` looks are added to each cell of a reviewer's table, half a
    look by default, so that nobody is taken to be without fault after three images.

    Raises ValueError: no ratings, or an image without one.
    Source: Dawid and Skene 1979, section 3.
    """
    rated = ~np.isnan(ratings)
    if not ratings.size or not rated.any(axis=1).all():
        raise ValueError("each image needs a rating")
    bad_votes = np.where(rated, ratings, 0.0)
    good_votes = np.where(rated, 1 - ratings, 0.0)
    fixed = np.full(len(ratings), np.nan) if known is None else known
    is_bad = np.where(np.isnan(fixed), bad_votes.sum(axis=1) / rated.sum(axis=1), fixed)
    rounds, moved = 0, 1.0
    while moved > SETTLED and rounds < MOST_ROUNDS:
        rounds += 1
        # Maximisation: each reviewer's table, and how common bad images are.
        missed = _rate(good_votes.T @ is_bad, rated.T @ is_bad, smoothing)
        alarmed = _rate(bad_votes.T @ (1 - is_bad), rated.T @ (1 - is_bad), smoothing)
        bad_share = float(_rate(is_bad.sum(), np.float64(len(is_bad)), smoothing))
        # Expectation: each image's chance, given those.
        with np.errstate(divide="ignore", invalid="ignore"):
            if_bad = np.log(bad_share) + _dot(bad_votes, 1 - missed) + _dot(good_votes, missed)
            if_good = (
                np.log1p(-bad_share) + _dot(bad_votes, alarmed) + _dot(good_votes, 1 - alarmed)
            )
            odds = if_good - if_bad
        new = np.where(np.isnan(fixed), 1 / (1 + np.exp(np.clip(odds, -700, 700))), fixed)
        moved = float(np.abs(new - is_bad).max())
        is_bad = new
    return DawidSkene(bad_share, missed, alarmed, is_bad, rounds)


def _rate(
    count: FloatArray | np.float64, of: FloatArray | np.float64, smoothing: float
) -> FloatArray:
    with np.errstate(invalid="ignore"):
        return np.asarray((count + smoothing) / (of + 2 * smoothing), dtype=float)


def _dot(votes: FloatArray, chances: FloatArray) -> FloatArray:
    """Return votes (N, R) times the log of chances (R,), where no vote means no term."""
    logs = np.log(chances)
    return np.asarray(np.where(votes > 0, votes * logs, 0.0).sum(axis=1), dtype=float)


# --- Drift ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """A run of one reviewer's judged looks: how many were right, first and last of them."""

    first: int
    last: int
    right: int

    @property
    def count(self) -> int:
        return self.last - self.first + 1

    @property
    def value(self) -> float:
        return self.right / self.count


def windows(right: Sequence[bool], *, size: int) -> list[Window]:
    """Cut looks, oldest first, into windows of `size`, the last one whole; the rest is dropped."""
    begin = len(right) % size if len(right) >= size else len(right)
    return [
        Window(start, start + size - 1, sum(right[start : start + size]))
        for start in range(begin, len(right), size)
    ]


def drift_p_value(right: Sequence[bool], *, size: int) -> float | None:
    """Return how likely a difference as large as between the last window and all before is.

    By Fisher's exact test, two-sided. None where there are not two windows' worth of looks.
    """
    if len(right) < 2 * size:
        return None
    from scipy.stats import fisher_exact

    late, early = sum(right[-size:]), sum(right[:-size])
    table = [[late, size - late], [early, len(right) - size - early]]
    return float(fisher_exact(table).pvalue)
