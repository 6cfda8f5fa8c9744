"""From a table of images and the decisions so far to the numbers that a model can weigh.

Each column is about 0 for an ordinary image and about 1 in size, so that one penalty suits all.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import logit, ndtri

from synthreview.review.ranking.table import (
    CAPTION,
    CELL,
    LABEL_CLASS,
    NONE,
    BoolArray,
    FloatArray,
    ImageTable,
    IntArray,
)
from synthreview.review.ranking.unlike import NARROW, Float32Array, distances, unexplained

PULL = {CAPTION: 2.0}  # so many decisions at the average rate are added to each caption's own
ORDINARY_PULL = 10.0
LEAST_FOR_EMBEDDING = 100  # images; of fewer nothing can be said of what is ordinary
FARTHEST = 4.0  # deviations: what lies farther out counts as this far


@dataclass(frozen=True, slots=True)
class Columns:
    """(N, F) numbers with their names, (F,). Single precision: a million images have a hundred."""

    names: tuple[str, ...]
    values: Float32Array

    def __add__(self, other: Columns) -> Columns:
        return Columns(self.names + other.names, np.hstack((self.values, other.values)))

    def of(self, index: IntArray) -> Columns:
        return Columns(self.names, self.values[index])


Named = Iterable[tuple[str, npt.NDArray[np.floating]]]


def columns_of(named: Named, count: int) -> Columns:
    """Return named columns of length `count` side by side."""
    pairs = [(name, column.astype(np.float32)) for name, column in named]
    values = np.column_stack([v for _, v in pairs]) if pairs else np.empty((count, 0), np.float32)
    return Columns(tuple(name for name, _ in pairs), values)


# --- What needs no decision ---------------------------------------------------


def unlabelled(table: ImageTable, *, components: int = 0) -> Columns:
    """Return what is known of each image by itself: scores, ranks, the reduced embedding."""
    count = len(table)
    found = columns_of(_of_scores(table), count)
    if components and table.embedding is not None and len(table) > LEAST_FOR_EMBEDDING:
        found += of_embedding(table, components)
    return found


def _of_scores(table: ImageTable) -> Iterator[tuple[str, FloatArray]]:
    caption, cell = table.kind(CAPTION), table.kind(CELL)
    for name, score in table.scores.items():
        is_missing = np.isnan(score)
        if is_missing.all():
            continue
        yield name, standard(score)
        yield f"{name}, place among all", normal_place(score, np.zeros(len(score), dtype=np.int64))
        if (cell >= 0).any():
            yield f"{name}, place in class and technique", normal_place(score, cell)
        if (caption >= 0).any():
            yield f"{name}, place in caption", place_within(score, caption)
        if is_missing.any():
            yield f"{name}, missing", is_missing - is_missing.mean()


def standard(score: FloatArray) -> FloatArray:
    """Return (score - mean) / deviation, cut at FARTHEST; 0 where missing."""
    deviation = np.nanstd(score)
    if not deviation > 0:
        return np.zeros(len(score))
    found = np.clip((score - np.nanmean(score)) / deviation, -FARTHEST, FARTHEST)
    return np.asarray(np.nan_to_num(found), dtype=np.float64)


def place_within(score: FloatArray, group: IntArray) -> FloatArray:
    """Return the place within the group, -1/2 lowest to 1/2 highest; ties share their mean.

    0 where the score or the group is missing, or the image is the only one.
    """
    place, size = _places(score, group)
    return np.where(size > 1, place / np.maximum(size - 1, 1) - 0.5, 0.0)


def normal_place(score: FloatArray, group: IntArray) -> FloatArray:
    """Return the place within the group as the normal quantile that it would have; ties share."""
    place, size = _places(score, group)
    return np.where(size > 0, ndtri((place + 0.5) / np.maximum(size, 1)), 0.0)


def _places(score: FloatArray, group: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return (N,) places from 0 and the sizes of the groups; size 0 where something is missing."""
    place, size = np.zeros(len(score)), np.zeros(len(score))
    index = np.flatnonzero(~np.isnan(score) & (group != NONE))
    if not index.size:
        return place, size
    index = index[np.lexsort((score[index], group[index]))]
    ordered, values = group[index], score[index]
    new_group = np.r_[True, ordered[1:] != ordered[:-1]]
    starts = np.flatnonzero(new_group)
    sizes = np.diff(np.r_[starts, len(index)])
    at = np.arange(len(index)) - np.repeat(starts, sizes)
    new_value = new_group | np.r_[True, values[1:] != values[:-1]]
    first = np.flatnonzero(new_value)
    shared = np.diff(np.r_[first, len(index)])
    place[index] = np.repeat(at[first] + (shared - 1) / 2, shared)
    size[index] = np.repeat(sizes, sizes)
    return place, size


def lowest_within(score: FloatArray, group: IntArray) -> FloatArray:
    """Return the place from 0 within the group, lowest score first; images alone have 0."""
    return _places(score, group)[0]


def of_embedding(table: ImageTable, components: int) -> Columns:
    """Return how unlike its kin each picture looks, and the directions in which it differs.

    Fitted without labels; images without an embedding have 0 everywhere.
    """
    rest = unexplained(table)
    is_known = rest.any(axis=1)
    everybody = np.where(is_known, 0, NONE)
    named: list[tuple[str, npt.NDArray[np.floating]]] = []
    for width in dict.fromkeys((min(NARROW, rest.shape[1]), rest.shape[1])):
        far = distances(rest, table.kind(LABEL_CLASS), width=width)
        far = np.where(is_known, -np.log1p(far), np.nan)  # low = doubtful, as all scores
        named.append((f"likeness in {width} directions", standard(far)))
        named.append(
            (f"likeness in {width} directions, place among all", normal_place(far, everybody))
        )
    cut = np.clip(rest[:, :components], -FARTHEST, FARTHEST)
    named += [(f"embedding {i + 1}", cut[:, i]) for i in range(cut.shape[1])]
    return columns_of(named, len(table))


# --- What decisions teach about kinds -----------------------------------------


def pooled(table: ImageTable, is_known: BoolArray, is_bad: BoolArray) -> Columns:
    """Return for each kind how much likelier than average its images were found bad, as log odds.

    An image's own decision is left out of its own numbers. `is_bad` counts where `is_known` only.
    """
    bad = (is_known & is_bad).astype(float)
    known = is_known.astype(float)
    average = (bad.sum() + 0.5) / (known.sum() + 1)
    rates: list[tuple[str, FloatArray]] = []
    for name, codes in table.kinds.items():
        if codes.max(initial=NONE) > 0:
            pull = PULL.get(name, ORDINARY_PULL)
            rates.append((f"rate of {name}", _log_odds(codes, known, bad, average, pull)))
    return columns_of(rates, len(table))


def _log_odds(
    codes: IntArray, known: FloatArray, bad: FloatArray, average: float, pull: float
) -> FloatArray:
    """Return (N,) log odds of the pulled, leave-one-out bad rate less those of the average."""
    at = np.maximum(codes, 0)
    size = int(at.max()) + 1
    has = codes != NONE
    total = np.bincount(at, weights=known * has, minlength=size)[at] - known
    wrong = np.bincount(at, weights=bad * has, minlength=size)[at] - bad
    rate = (wrong + pull * average) / (total + pull)
    return np.where(has, logit(rate) - logit(average), 0.0)
