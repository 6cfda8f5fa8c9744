"""How varied a set of images is, by their embeddings: NumPy alone, knows no Django.

Every (N, D) array holds unit vectors in float32, oldest image first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

NEIGHBOURS = 5  # k of recall and coverage, as in the paper's experiments
BLOCK = 512
SUBSETS = 20


def vendi_score(vectors: FloatArray) -> float:
    """Return the effective number of different images: 1 where all are the same, N at most.

    The exponential of the entropy of the eigenvalues of K / N, K the cosines; the smaller of the
    two matrices that share them is taken.
    Source: Friedman & Dieng 2023, "The Vendi Score", definition 3.1; `score_dual` of vendi_score.
    """
    count, width = vectors.shape
    exact = vectors.astype(np.float64)
    product = exact @ exact.T if count <= width else exact.T @ exact
    shares = np.linalg.eigvalsh(product / count)
    shares = shares[shares > 1e-12]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def vendi_of_subsets(
    vectors: FloatArray, size: int, *, seed: int = 0
) -> tuple[float, float, float]:
    """Return the mean, least and greatest Vendi score of random subsets: it grows with N.

    Only sets of one size can be compared.
    """
    if size >= len(vectors):
        whole = vendi_score(vectors)
        return whole, whole, whole
    rng = np.random.default_rng(seed)
    found = [
        vendi_score(vectors[rng.choice(len(vectors), size, replace=False)]) for _ in range(SUBSETS)
    ]
    return float(np.mean(found)), min(found), max(found)


@dataclass(frozen=True, slots=True)
class Reach:
    """How much of the real images a set reaches: two shares of the real images."""

    recall: float
    coverage: float


def reach_of(real: FloatArray, ours: FloatArray, *, k: int = NEIGHBOURS) -> Reach:
    """Return recall and coverage of (N, D) real by (M, D) generated images.

    recall: real images within the ball of a generated image that reaches its k-th neighbour among
    the generated. coverage: real images whose ball to their k-th real neighbour holds a generated
    one; an outlier among the generated does not raise it.
    Raises ValueError where one of the sets has not more than k images.
    Source: Naeem et al. 2020, "Reliable fidelity and diversity metrics for generative models",
    sections 2.2 and 3.2; `prdc.py` of clovaai/generative-evaluation-prdc.
    """
    if min(len(real), len(ours)) <= k:
        raise ValueError(f"It takes more than {k} images of each.")
    between = _distances(real, ours)
    is_recalled = (between < _kth(ours, k)[None, :]).any(axis=1)
    is_covered = between.min(axis=1) < _kth(real, k)
    return Reach(float(is_recalled.mean()), float(is_covered.mean()))


def _distances(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return (N, M) Euclidean distances of unit vectors."""
    squares = 2 - 2 * (first @ second.T)
    distances: FloatArray = np.sqrt(np.clip(squares, 0, None)).astype(np.float32)
    return distances


def _kth(vectors: FloatArray, k: int) -> FloatArray:
    """Return each vector's distance to its k-th nearest other one."""
    distances = _distances(vectors, vectors)
    np.fill_diagonal(distances, 0)  # itself comes first, whatever rounding says
    kth: FloatArray = np.partition(distances, k, axis=1)[:, k]
    return kth


def compositions(vectors: FloatArray, threshold: float) -> Places:
    """Return for each image the first image of its composition; its own place where it is new.

    In order of age, an image joins the nearest first image whose cosine is `threshold` or more,
    else it begins a composition (leader clustering, Hartigan 1975, chapter 3). So every member is
    that near to its first image, and none is joined over a chain of others.
    """
    firsts: list[int] = []
    found = np.arange(len(vectors), dtype=np.int64)
    for start in range(0, len(vectors), BLOCK):
        block = vectors[start : start + BLOCK]
        known = len(firsts)
        cosines = block @ vectors[firsts].T if firsts else np.zeros((len(block), 0), np.float32)
        inside = block @ block.T
        for row in range(len(block)):
            new = [first - start for first in firsts[known:]]
            near = np.concatenate((cosines[row], inside[row, new]))
            if len(near) and near.max() >= threshold:
                found[start + row] = firsts[int(near.argmax())]
            else:
                firsts.append(start + row)
    return found


def growth(firsts: Places, points: int = 10) -> list[tuple[int, int]]:
    """Return (images, compositions among the first so many), at most so many points, evenly."""
    is_new = firsts == np.arange(len(firsts))
    total = np.cumsum(is_new)
    ends = np.unique(np.linspace(0, len(firsts), points + 1).round().astype(int)[1:])
    return [(int(end), int(total[end - 1])) for end in ends if end]


def repeats_among_newest(firsts: Places, window: int) -> tuple[int, int]:
    """Return how many of the newest images repeat a composition that was there, and of how many."""
    places = np.arange(len(firsts))[-window:]
    return int((firsts[places] != places).sum()), len(places)
