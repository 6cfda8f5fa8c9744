"""How many of a set of images show each group: from a scorer's guesses, and what people saw.

A scorer guesses a group for every image, and is sometimes wrong; people say of a random sample
what is really there. Of the images that it guesses alike, the sample tells which share shows what;
that share is carried over to the rest (post-stratification). So only the images that nobody looked
at are uncertain, and where everything is labelled nothing is. NumPy alone; knows no Django.

Sources: Little 1993, "Post-stratification: a modeler's perspective"; for the prior, Berger,
Bernardo & Sun 2015, "Overall objective priors", section 3 (1/T for each of T outcomes).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

LEVEL = 0.9  # of the intervals
DRAWS = 4_000
LEAST_LABELLED = 20  # fewer say too little to correct with
LEAST_IMAGES = 20  # of fewer no share is worth an alarm

UNDER, PERHAPS_UNDER, ABOVE, TOO_FEW = "under", "perhaps", "above", "few"

Counts = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shares:
    """The share of each of T outcomes with the ends of its interval; each (T,), 0..1."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray


def shares_of(counts: Counts) -> FloatArray:
    """Return (G,) shares of (G,) counts; zeros where there is nothing."""
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


def corrected_shares(
    guessed: Counts, labelled: Counts, *, level: float = LEVEL, draws: int = DRAWS, seed: int = 0
) -> Shares:
    """Return what a set of images shows, corrected by a labelled random sample of it.

    Args:
        guessed: (G,) images of the set by what was guessed, the labelled ones among them.
        labelled: (G, T) images of the sample by guess and by what people saw; T may be more
            than G ("none of these").
    Returns:
        (T,) shares: the posterior mean under a Dirichlet prior of 1/T for each guess, and a
        central interval from `draws` of the images that nobody looked at.
    Raises:
        ValueError: the set is empty, or more images are labelled than there are.
    """
    total, outcomes = int(guessed.sum()), labelled.shape[1]
    unseen = guessed - labelled.sum(axis=1)
    if not total or (unseen < 0).any():
        raise ValueError("More images are labelled than guessed, or there are none.")
    alpha = labelled + 1 / outcomes
    mean = (labelled + unseen[:, None] * alpha / alpha.sum(axis=1, keepdims=True)).sum(axis=0)
    rng = np.random.default_rng(seed)
    found = np.tile(labelled.sum(axis=0), (draws, 1))
    for row in np.flatnonzero(unseen):
        found += rng.multinomial(unseen[row], rng.dirichlet(alpha[row], size=draws))
    tail = (1 - level) / 2
    low, high = np.quantile(found / total, (tail, 1 - tail), axis=0)
    return Shares(mean / total, low, high)


def distance(first: FloatArray, second: FloatArray) -> float:
    """Return how far two distributions are apart: the share that would have to change, 0..1.

    Half the sum of the differences (total variation).
    """
    return float(np.abs(first - second).sum() / 2)


def standing(floor: float, share: float, interval: tuple[float, float] | None, images: int) -> str:
    """Say how a share stands to its floor.

    With an interval UNDER means that all of it is below. Without one, where nobody checked the
    guesses, a share below the floor is only PERHAPS_UNDER.
    """
    if images < LEAST_IMAGES:
        return TOO_FEW
    if interval is not None and interval[1] < floor:
        return UNDER
    return PERHAPS_UNDER if share < floor else ABOVE


def lots(images: Counts, probe: int) -> Counts:
    """Return each image's lot among all images of a probe, 0..2^31-1: who is looked at first.

    A fixed mix of both numbers (splitmix64), so that the lowest lots are a random sample of all
    images at any time, those that came later among them.
    Source: Steele, Lea & Flood 2014, "Fast splittable pseudorandom number generators"; for lots
    that stay, Ohlsson 1995, "Coordination of samples using permanent random numbers".
    """
    mixed = images.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed += np.array([probe], dtype=np.uint64) * np.uint64(0xD1342543DE82EF95)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return (mixed >> np.uint64(33)).astype(np.int64)
