"""Which two images are fused: by lot, and far apart in a scorer's space. No Django here."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# Of so many partners drawn by lot the farthest is taken: spread, and not always the outliers.
CANDIDATES = 8
TRIES = 50


def far_pairs(
    groups: Sequence[Sequence[int]],
    count: int,
    *,
    vectors: Mapping[int, NDArray[np.float32]],
    seed: int,
) -> list[tuple[int, int]]:
    """Return up to `count` different pairs, each within one group, the groups taking turns.

    Args:
        groups: keys of images that may be paired with each other (those of one class).
        vectors: (D,) float32 of length 1 by key; a pair without both counts as near.
    Returns:
        Pairs (subject, setting); no pair comes twice in this order. Fewer where no more exist.
    """
    lot = random.Random(seed)
    pools = [list(group) for group in groups if len(group) > 1]
    left = [len(pool) * (len(pool) - 1) for pool in pools]
    taken: set[tuple[int, int]] = set()
    pairs: list[tuple[int, int]] = []
    turn = 0
    while len(pairs) < count and any(left):
        number = turn % len(pools)
        turn += 1
        if not left[number]:
            continue
        pair = _one(pools[number], taken, vectors, lot)
        left[number] -= 1
        taken.add(pair)
        pairs.append(pair)
    return pairs


def far_partners(
    firsts: Sequence[int],
    seconds: Sequence[int],
    count: int,
    *,
    vectors: Mapping[int, NDArray[np.float32]],
    seed: int,
) -> list[tuple[int, int]]:
    """Return up to `count` different pairs of one image of each kind; see `far_pairs`."""
    lot = random.Random(seed)
    taken: set[tuple[int, int]] = set()
    while len(taken) < min(count, len(firsts) * len(seconds)):
        first = lot.choice(list(firsts))
        free = [second for second in seconds if (first, second) not in taken]
        if free:
            some = lot.sample(free, min(CANDIDATES, len(free)))
            taken.add((first, max(some, key=lambda second: _distance(first, second, vectors))))
    return sorted(taken)


def _one(
    pool: Sequence[int],
    taken: set[tuple[int, int]],
    vectors: Mapping[int, NDArray[np.float32]],
    lot: random.Random,
) -> tuple[int, int]:
    for _ in range(TRIES):
        first = lot.choice(pool)
        some = lot.sample(pool, min(CANDIDATES + 1, len(pool)))
        free = [other for other in some if other != first and (first, other) not in taken]
        if free:
            return first, max(free, key=lambda other: _distance(first, other, vectors))
    # Hardly any is left: name them all.
    return lot.choice(
        [
            (first, other)
            for first in pool
            for other in pool
            if first != other and (first, other) not in taken
        ]
    )


def _distance(first: int, second: int, vectors: Mapping[int, NDArray[np.float32]]) -> float:
    """Return 1 less the cosine; 0 where one of both has no vector."""
    if first not in vectors or second not in vectors:
        return 0.0
    return 1 - float(vectors[first] @ vectors[second])
