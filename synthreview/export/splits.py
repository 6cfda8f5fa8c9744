"""Sharing families out over splits: none is ever parted, each class is shared alike.

A family here is a connected component of the images' ancestry. Among all ways to share them out
the one is wanted whose counts lie nearest to the wish, by least squares over every class and
split and over the totals. Few families are tried out exhaustively; with more, the largest are
placed first and then moved and exchanged one by one until that improves nothing any more.
Plain NumPy; knows nothing of Django. docs/exporting.md tells it in words.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

SPLITS = ("train", "validation", "test")
REST = "rest"
FloatArray = npt.NDArray[np.float64]
# So many ways (times the numbers of one way) are tried out at once.
EXHAUSTIVE = 3_000_000
EXCHANGED_KINDS = 1_000
MAX_STEPS = 10_000
EXAMPLE = "for example 80/10/10, or rest/500/500 for numbers of images"


# --- The wish -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wish:
    """How the images are to be shared out.

    Either by `shares` (split → 0..1, adding up to 1), or by `counts` (split → images) with
    everything else in the split `rest`. With `keeps`, what an earlier export put into a split
    stays there.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    rest: str = ""
    keeps: bool = True

    @property
    def splits(self) -> tuple[str, ...]:
        """Return the splits that were wished, in their order."""
        return tuple(
            split
            for split in SPLITS
            if split in self.shares or split in self.counts or split == self.rest
        )

    def __str__(self) -> str:
        if not self.rest:
            return ", ".join(f"{split} {self.shares[split]:.0%}" for split in self.splits)
        words = {**{name: f"{count:,}" for name, count in self.counts.items()}, self.rest: "rest"}
        return ", ".join(f"{split} {words[split]}" for split in self.splits)

    def as_json(self) -> dict[str, Any]:
        if self.rest:
            return {"counts": dict(self.counts), "rest": self.rest, "keeps": self.keeps}
        return {"shares": dict(self.shares), "keeps": self.keeps}

    @classmethod
    def from_json(cls, known: Mapping[str, Any]) -> Wish:
        if not {"shares", "rest"} & known.keys():
            return cls(shares=known)  # as exports kept it before there were counts
        return cls(
            known.get("shares", {}),
            known.get("counts", {}),
            known.get("rest", ""),
            known.get("keeps", True),
        )


def parse_wish(text: str, *, keeps: bool = True) -> Wish:
    """Return the wish that "80/10/10" or "rest/500/500" says (train/validation/test).

    Raises ValueError with what is wrong and an example.
    """
    parts = [part.strip().lower() for part in text.split("/")]
    if len(parts) > len(SPLITS):
        raise ValueError(f"{text!r}: give up to three of train/validation/test, {EXAMPLE}.")
    wished = dict(zip(SPLITS, parts, strict=False))
    if REST in parts:
        return _by_count(text, wished, keeps)
    try:
        numbers = {split: float(part) for split, part in wished.items()}
    except ValueError:
        raise ValueError(f"{text!r} is no ratio; write {EXAMPLE}.") from None
    total = sum(numbers.values())
    if min(numbers.values()) < 0 or not 0 < total < math.inf:
        raise ValueError(f"{text!r}: shares are 0 or more and not all 0, {EXAMPLE}.")
    shares = {split: number / total for split, number in numbers.items() if number > 0}
    return Wish(shares=shares, keeps=keeps)


def _by_count(text: str, wished: Mapping[str, str], keeps: bool) -> Wish:
    rests = [split for split, part in wished.items() if part == REST]
    counts = {split: part for split, part in wished.items() if part != REST}
    is_number = all(
        part.isascii() and part.isdigit() and len(part) < 10 for part in counts.values()
    )
    if len(rests) != 1 or not is_number:
        raise ValueError(
            f"{text!r}: one split takes the rest, the others whole numbers, {EXAMPLE}."
        )
    numbers = {split: int(part) for split, part in counts.items() if int(part)}
    return Wish(counts=numbers, rest=rests[0], keeps=keeps)


def targets(wish: Wish, class_totals: FloatArray) -> FloatArray:
    """Return how many images of each class each split should have: (C, S), rarely whole numbers.

    `class_totals` is (C,). Raises ValueError where more is wished than there is.
    """
    total = float(class_totals.sum())
    if not wish.rest:
        shares = np.array([wish.shares[split] for split in wish.splits])
        return np.outer(class_totals, shares)
    asked = sum(wish.counts.values())
    if asked > total:
        raise ValueError(
            f"{asked:,} images are wished for {' and '.join(wish.counts)}, and there are "
            f"{total:,.0f}: wish fewer."
        )
    shares = np.array([wish.counts.get(split, 0) / total if total else 0 for split in wish.splits])
    shares[wish.splits.index(wish.rest)] = 1 - shares.sum()
    return np.outer(class_totals, shares)


# --- Families -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FamilySize:
    """A family: how many images of which class it has, by the class's number.

    `key` names it and breaks ties; `pinned` is the split that it must have.
    """

    key: str
    counts: tuple[tuple[int, int], ...]
    pinned: str = ""

    @property
    def size(self) -> int:
        return sum(count for _, count in self.counts)


def share_out(
    families: Sequence[FamilySize], wish: Wish, class_count: int
) -> tuple[list[str], FloatArray]:
    """Return each family's split, and the counts that were aimed at: (C, S).

    Raises ValueError where more is wished than there is.
    """
    totals = np.zeros(class_count)
    for family in families:
        for label, count in family.counts:
            totals[label] += count
    aimed = targets(wish, totals)
    board = _Board.of(families, wish.splits, aimed)
    if board.ways() * board.goal.size <= EXHAUSTIVE:
        board.try_all()
    else:
        board.place()
        board.improve()
    return board.answer(len(families)), aimed


def cost(counts: FloatArray, aimed: FloatArray) -> float:
    """Return how far counts (C, S) lie from what was aimed at: squares by class, and of totals."""
    off = counts - aimed
    return float((off**2).sum() + (off.sum(axis=0) ** 2).sum())


@dataclass(slots=True)
class _Board:
    """Families by kind (those with the same counts are alike), and where they lie.

    A kind's vector has one number for each class and their sum, (C + 1,), so that a square
    of it counts the classes and the total alike. `goal` is what is left to reach, (C + 1, S).
    """

    splits: tuple[str, ...]
    goal: FloatArray
    vectors: FloatArray
    waiting: list[list[tuple[str, int]]]
    placed: list[list[list[tuple[str, int]]]]
    pinned: dict[int, str]

    @classmethod
    def of(
        cls, families: Sequence[FamilySize], splits: tuple[str, ...], aimed: FloatArray
    ) -> _Board:
        goal = np.vstack([aimed, aimed.sum(axis=0)])
        kinds: dict[tuple[tuple[int, int], ...], list[tuple[str, int]]] = defaultdict(list)
        pinned: dict[int, str] = {}
        for place, family in enumerate(families):
            if family.pinned:
                pinned[place] = family.pinned
                column = splits.index(family.pinned)
                for label, count in family.counts:
                    goal[label, column] -= count
                goal[-1, column] -= family.size
            else:
                # Which of those alike goes where is decided by their names, for good.
                mixed = hashlib.sha256(family.key.encode()).hexdigest()
                kinds[tuple(sorted(family.counts))].append((mixed, place))
        order = sorted(kinds, key=lambda counts: (-sum(number for _, number in counts), counts))
        vectors = np.zeros((len(order), len(goal)))
        for number, counts in enumerate(order):
            for label, count in counts:
                vectors[number, label] = count
            vectors[number, -1] = sum(count for _, count in counts)
        waiting = [sorted(kinds[counts], reverse=True) for counts in order]
        return cls(splits, goal, vectors, waiting, [[[] for _ in splits] for _ in order], pinned)

    def answer(self, count: int) -> list[str]:
        found = dict(self.pinned)
        for kind in self.placed:
            for split, rows in zip(self.splits, kind, strict=True):
                found |= {place: split for _, place in rows}
        return [found[place] for place in range(count)]

    # --- Every way ---

    def ways(self) -> int:
        """Return how many ways there are, families of one kind being alike."""
        found = 1
        for rows in self.waiting:
            found *= math.comb(len(rows) + len(self.splits) - 1, len(self.splits) - 1)
        return found

    def try_all(self) -> None:
        """Take the best of all ways; the first of equals."""
        splits = len(self.splits)
        left = self.goal[None]
        chosen = np.zeros((1, 0), dtype=np.int64)
        choices = []
        for vector, rows in zip(self.vectors, self.waiting, strict=True):
            parts = np.array(list(_parts(len(rows), splits)), dtype=float)
            choices.append(parts.astype(int))
            left = (left[:, None] - vector[None, None, :, None] * parts[None, :, None, :]).reshape(
                -1, *self.goal.shape
            )
            chosen = np.hstack(
                [
                    np.repeat(chosen, len(parts), axis=0),
                    np.tile(np.arange(len(parts)), len(chosen))[:, None],
                ]
            )
        best = chosen[int(np.argmin((left**2).sum(axis=(1, 2)).round(6)))]
        for kind, number in enumerate(best):
            for column, count in enumerate(choices[kind][number]):
                for _ in range(count):
                    self._put(kind, column)

    # --- Largest first, then one by one ---

    def place(self) -> None:
        """Give each family to the split that it brings nearest to its goal, the largest first."""
        for kind, rows in enumerate(self.waiting):
            vector = self.vectors[kind]
            while rows:
                # Of (goal - vector)² only this part depends on the split.
                self._put(kind, int(np.argmax((vector @ self.goal).round(9))))

    def improve(self) -> None:
        """Move a family, or exchange two, while that brings the counts nearer to the goal."""
        for _ in range(MAX_STEPS):
            step = self._best_move() or self._best_exchange()
            if step is None:
                return
            for kind, source, target in step:
                row = self.placed[kind][source].pop()
                self.goal[:, source] += self.vectors[kind]
                self.goal[:, target] -= self.vectors[kind]
                self.placed[kind][target].append(row)

    def _best_move(self) -> list[tuple[int, int, int]] | None:
        best, found = -1e-6, None
        squares = (self.vectors**2).sum(axis=1)
        for source, target in itertools.permutations(range(len(self.splits)), 2):
            change = 2 * (self.vectors @ (self.goal[:, source] - self.goal[:, target]) + squares)
            change[[not kind[source] for kind in self.placed]] = np.inf
            kind = int(np.argmin(change)) if len(change) else 0
            if len(change) and change[kind] < best:
                best, found = float(change[kind]), [(kind, source, target)]
        return found

    def _best_exchange(self) -> list[tuple[int, int, int]] | None:
        best, found = -1e-6, None
        vectors = self.vectors[-EXCHANGED_KINDS:]
        offset = len(self.vectors) - len(vectors)
        squares = (vectors**2).sum(axis=1)
        apart = squares[:, None] + squares[None, :] - 2 * vectors @ vectors.T
        for source, target in itertools.combinations(range(len(self.splits)), 2):
            pull = vectors @ (self.goal[:, source] - self.goal[:, target])
            change = 2 * (pull[:, None] - pull[None, :] + apart)
            change[[not kind[source] for kind in self.placed[offset:]], :] = np.inf
            change[:, [not kind[target] for kind in self.placed[offset:]]] = np.inf
            if not change.size:
                continue
            there, back = np.unravel_index(int(np.argmin(change)), change.shape)
            if change[there, back] < best:
                best = float(change[there, back])
                found = [
                    (offset + int(there), source, target),
                    (offset + int(back), target, source),
                ]
        return found

    def _put(self, kind: int, column: int) -> None:
        self.placed[kind][column].append(self.waiting[kind].pop())
        self.goal[:, column] -= self.vectors[kind]


def _parts(count: int, splits: int) -> Any:
    """Yield every way to write `count` as a sum over the splits, most in the first one first."""
    if splits == 1:
        yield (count,)
        return
    for first in range(count, -1, -1):
        for rest in _parts(count - first, splits - 1):
            yield (first, *rest)
