"""How unlike its kin a picture looks: what its embedding holds beyond what its caption explains.

No decision is needed for it. A picture that lacks a wheel or has a second thing in it looks unlike
the others of its class, and so lies far from where its class, place and style would put it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from synthreview.review.ranking.table import (
    CAPTION,
    CELL,
    GENERATOR,
    LABEL_CLASS,
    NONE,
    FloatArray,
    ImageTable,
    IntArray,
    joint,
)

MOST_FITTED = 20_000
WIDEST = 128  # directions of the embedding that are looked at
NARROW = 32
LEAST_OF_A_KIND = 5
MOST_LEVELS = 800
ORDINARY = 0.85  # this share of a class, the nearest to its middle, says what is ordinary
ROUNDS = 2
PULL = 10.0  # so many images of the whole table are added to each class's own
CHUNK = 50_000

Float32Array = npt.NDArray[np.float32]


def unexplained(table: ImageTable) -> Float32Array:
    """Return (N, at most WIDEST) what the kinds do not explain of the embeddings.

    The directions are uncorrelated and of deviation 1, what varies most comes first. Rows without
    an embedding are 0.
    """
    assert table.embedding is not None
    is_known = np.any(table.embedding != 0, axis=1)
    rows = np.flatnonzero(is_known)
    levels = _levels(table, is_known)
    sample = rows[:: max(1, -(-len(rows) // MOST_FITTED))]
    shape = levels[sample]
    seen = table.embedding[sample].astype(np.float64)
    ridge = (shape.T @ shape).toarray() + np.eye(shape.shape[1])
    explained = np.linalg.solve(ridge, shape.T @ seen)
    rest = seen - shape @ explained
    middle = rest.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(rest - middle, rowvar=False))
    largest = np.argsort(variances)[::-1][:WIDEST]
    largest = largest[variances[largest] > variances.max() * 1e-6]
    scale = directions[:, largest] / np.sqrt(variances[largest])
    found = np.zeros((len(table), len(largest)), dtype=np.float32)
    turned, moved = (explained @ scale), middle @ scale
    for start in range(0, len(rows), CHUNK):
        part = rows[start : start + CHUNK]
        whole = table.embedding[part].astype(np.float32) @ scale.astype(np.float32)
        found[part] = whole - levels[part] @ turned - moved
    return found


def _levels(table: ImageTable, is_known: npt.NDArray[np.bool_]) -> sparse.csr_array:
    """Return (N, P) zeros and ones: which level of each kind an image has, and of class with it."""
    own_class = table.kind(LABEL_CLASS)
    kinds = [codes for name, codes in table.kinds.items() if name not in {CAPTION, CELL}]
    pairs = [
        joint(own_class, codes)
        for name, codes in table.kinds.items()
        if name not in {CAPTION, CELL, LABEL_CLASS, GENERATOR}
    ]
    rows, columns, width = [np.arange(len(table))], [np.zeros(len(table), dtype=np.int64)], 1
    for codes in [*kinds, *pairs]:
        counts = np.bincount(codes[is_known & (codes != NONE)])
        frequent = np.flatnonzero(counts >= LEAST_OF_A_KIND)
        if not 2 <= len(frequent) <= MOST_LEVELS:
            continue
        place = np.full(max(len(counts), codes.max() + 1) + 1, NONE)  # the last stands for NONE
        place[frequent] = width + np.arange(len(frequent))
        at = place[codes]
        rows.append(np.flatnonzero(at != NONE))
        columns.append(at[at != NONE])
        width += len(frequent)
    row, column = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(len(row), dtype=np.float32)
    return sparse.csr_array((ones, (row, column)), shape=(len(table), width))


def distances(rest: Float32Array, own_class: IntArray, *, width: int) -> FloatArray:
    """Return (N,) squared distances from the middle of the own class, in its own deviations.

    `rest` as from `unexplained`; its first `width` directions count. Middle and deviations are
    those of the ORDINARY share of the class, so that the odd ones do not hide each other.
    """
    rest = rest[:, :width]
    found = np.zeros(len(rest))
    order = np.argsort(own_class, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(own_class[order]) != 0])
    for members in np.split(order, starts[1:]):
        found[members] = _distances_within(rest[members])
    return found


def _distances_within(rest: Float32Array) -> FloatArray:
    sample = rest[:: max(1, -(-len(rest) // MOST_FITTED))].astype(np.float64)
    ordinary = sample
    own = np.eye(rest.shape[1])
    for round_ in range(ROUNDS + 1):
        weight = len(ordinary) + PULL
        middle = ordinary.sum(axis=0) / weight
        spread = (ordinary - middle).T @ (ordinary - middle) + PULL * own
        whiten = np.linalg.inv(np.linalg.cholesky(spread / weight)).T
        if round_ < ROUNDS:
            far = (((sample - middle) @ whiten) ** 2).sum(axis=1)
            ordinary = sample[far <= np.quantile(far, ORDINARY)]
    away = (rest - middle.astype(np.float32)) @ whiten.astype(np.float32)
    return np.asarray((away**2).sum(axis=1), dtype=np.float64)
