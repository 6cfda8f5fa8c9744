"""Images as columns: everything that may be known of them before anybody looked."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MAIN_SCORE = "score"
CAPTION, LABEL_CLASS, TECHNIQUE, GENERATOR = "caption", "label_class", "technique", "generator"
CELL = "class and technique"
NONE = -1  # the code of "has none"


@dataclass(frozen=True, slots=True)
class ImageTable:
    """N images.

    `scores`: name to (N,) numbers, low = doubtful, NaN where the judge has nothing to say; the
    first one is the main score. `kinds`: name to (N,) codes from 0, NONE where the image has none:
    caption, label_class, technique, generator, template, one for each axis. `embedding`: (N, D)
    of any float type, rows of zeros where there is none; or None.
    """

    scores: Mapping[str, FloatArray]
    kinds: Mapping[str, IntArray]
    embedding: npt.NDArray[np.floating] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        lengths = {len(column) for column in [*self.scores.values(), *self.kinds.values()]}
        if self.embedding is not None:
            lengths.add(len(self.embedding))
        if len(lengths) > 1:
            raise ValueError(f"columns of different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(next(iter([*self.scores.values(), *self.kinds.values()]), ()))

    def of(self, index: IntArray) -> ImageTable:
        """Return the table of some of the images, in the order of `index`."""
        return ImageTable(
            scores={name: column[index] for name, column in self.scores.items()},
            kinds={name: column[index] for name, column in self.kinds.items()},
            embedding=None if self.embedding is None else self.embedding[index],
        )

    def with_cells(self) -> ImageTable:
        """Return the table with class and technique taken together as one more kind."""
        cells = joint(self.kind(LABEL_CLASS), self.kind(TECHNIQUE))
        return ImageTable(self.scores, {**self.kinds, CELL: cells}, self.embedding)

    @property
    def main_score(self) -> FloatArray:
        """Return the (N,) score that orders where nothing is learned; NaN without any judge."""
        return next(iter(self.scores.values()), np.full(len(self), np.nan))

    def kind(self, name: str) -> IntArray:
        """Return the (N,) codes of a kind; all NONE where it is not there."""
        return self.kinds.get(name, np.full(len(self), NONE))


def codes_of(values: Iterable[object]) -> IntArray:
    """Return each value's code in order of first appearance; NONE for None and ""."""
    known: dict[object, int] = {}
    return np.array(
        [NONE if v is None or v == "" else known.setdefault(v, len(known)) for v in values],
        dtype=np.int64,
    )


def joint(first: IntArray, second: IntArray) -> IntArray:
    """Return codes of the pairs that occur, from 0; NONE where either part is."""
    whole = first * (second.max(initial=0) + 1) + second
    _, found = np.unique(whole, return_inverse=True)
    return np.where((first == NONE) | (second == NONE), NONE, found).astype(np.int64)
