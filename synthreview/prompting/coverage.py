"""Coverage: how many combinations there are, which pairs can meet, and what is missing.

A `Space` holds the axes of one class and the pairs of values that must not meet. It is counted
without being written out; `choosing` picks from it. No Django here. docs/prompting.md has
worked numbers.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Value = tuple[str, str]  # axis, name of the value
Combination = dict[str, str]  # axis → name of the value
Row = tuple[int, ...]  # the number of a value for each axis, in the order of the axes


class Space:
    """The combinations of `axes` (axis → names of its values) without the `forbidden` pairs.

    A forbidden pair that names an axis or a value which is not here forbids nothing.
    """

    def __init__(
        self,
        axes: Mapping[str, Iterable[str]],
        forbidden: Iterable[Collection[Value]] = (),
    ) -> None:
        self.axes = {axis: tuple(dict.fromkeys(values)) for axis, values in axes.items()}
        self.names = tuple(self.axes)
        self.sizes = tuple(len(values) for values in self.axes.values())
        self._all = tuple((1 << size) - 1 for size in self.sizes)
        self.number = {
            (axis, name): (i, a)
            for i, (axis, values) in enumerate(self.axes.items())
            for a, name in enumerate(values)
        }
        # What each value leaves of the other axes: {(axis, value): {other axis: bit mask}}.
        self._leaves: dict[tuple[int, int], dict[int, int]] = {}
        for pair in forbidden:
            self._forbid(pair)
        # The values that go with everything: where each axis has one left, all is possible.
        self._free = tuple(
            sum(1 << a for a in range(size) if (i, a) not in self._leaves)
            for i, size in enumerate(self.sizes)
        )
        self._barred = self._tables_of_barred()
        self._meets: dict[tuple[int, int], NDArray[np.bool_]] = {}
        self._components = self._connected()
        self._counted = functools.lru_cache(maxsize=200_000)(self._count)

    def _forbid(self, pair: Collection[Value]) -> None:
        if len(pair) != 2 or not all(value in self.number for value in pair):
            return
        (i, a), (j, b) = (self.number[value] for value in pair)
        if i != j:
            for (x, u), (y, w) in (((i, a), (j, b)), ((j, b), (i, a))):
                left = self._leaves.setdefault((x, u), {})
                left[y] = left.get(y, self._all[y]) & ~(1 << w)

    def _tables_of_barred(self) -> dict[tuple[int, int], NDArray[np.bool_]]:
        """Return (values of i, values of j), true where forbidden, of two axes with such pairs."""
        tables: dict[tuple[int, int], NDArray[np.bool_]] = {}
        for (i, a), others in self._leaves.items():
            for j, left in others.items():
                if i < j:
                    empty = np.zeros((self.sizes[i], self.sizes[j]), np.bool_)
                    table = tables.setdefault((i, j), empty)
                    table[a] = [not left >> b & 1 for b in range(self.sizes[j])]
        return tables

    def _connected(self) -> list[tuple[int, ...]]:
        """Return the groups of axes that forbidden pairs tie together, small axes first."""
        group = list(range(len(self.sizes)))
        for (i, _), others in self._leaves.items():
            for j in others:
                old, new = group[j], group[i]
                group = [new if member == old else member for member in group]
        return [
            tuple(
                sorted((i for i, g in enumerate(group) if g == root), key=lambda i: self.sizes[i])
            )
            for root in dict.fromkeys(group)
        ]

    # --- Counting -----------------------------------------------------------------

    def size(self, fixed: Mapping[str, str] | None = None) -> int:
        """Return the exact number of combinations, those with the `fixed` values alone.

        It multiplies what is free and follows only values with a forbidden partner, so that
        a million combinations with some dozen forbidden pairs take about a millisecond.
        """
        return self._size(self.masks(self.number[value] for value in (fixed or {}).items()))

    def _size(self, masks: Sequence[int]) -> int:
        return math.prod(
            self._counted(axes, tuple(masks[i] for i in axes)) for axes in self._components
        )

    def _count(self, axes: tuple[int, ...], masks: tuple[int, ...]) -> int:
        """Count one group of axes, of which `masks` says what is left."""
        first, rest = axes[0], axes[1:]
        if not rest:
            return masks[0].bit_count()
        total, free = 0, masks[0]
        for a in bits(masks[0]):
            left = self._leaves.get((first, a))
            if left and any(j in left for j in rest):
                free &= ~(1 << a)
                after = tuple(
                    m & left.get(j, self._all[j]) for j, m in zip(rest, masks[1:], strict=True)
                )
                if all(after):
                    total += self._counted(rest, after)
        if free and all(masks[1:]):
            total += free.bit_count() * self._counted(rest, masks[1:])
        return total

    # --- Combinations -------------------------------------------------------------

    def combination(self, row: Row) -> Combination:
        return {axis: self.axes[axis][a] for axis, a in zip(self.names, row, strict=True)}

    def row(self, combination: Mapping[str, str]) -> Row | None:
        """Return the row of a combination; None where it names other axes or values."""
        found = [self.number.get((axis, combination.get(axis, ""))) for axis in self.names]
        return tuple(number[1] for number in found if number) if all(found) else None

    def is_allowed(self, row: Row) -> bool:
        return not any(table[row[i], row[j]] for (i, j), table in self._barred.items())

    def are_allowed(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return (N,) of (N, axes) rows."""
        allowed = np.ones(len(rows), np.bool_)
        for (i, j), table in self._barred.items():
            allowed &= ~table[rows[:, i], rows[:, j]]
        return allowed

    def grid(self) -> Iterator[Row]:
        """Yield every allowed combination, the last axis quickest; nothing is kept in memory."""
        yield from self._grid(0, (), list(self._all))

    def _grid(self, i: int, row: Row, masks: list[int]) -> Iterator[Row]:
        if i == len(masks):
            yield row
            return
        for a in bits(masks[i]):
            left = self._leaves.get((i, a))
            if not left:
                yield from self._grid(i + 1, (*row, a), masks)
                continue
            after = [m & left.get(j, self._all[j]) for j, m in enumerate(masks)]
            if all(after[i + 1 :]):
                yield from self._grid(i + 1, (*row, a), after)

    @functools.cached_property
    def living(self) -> list[list[int]]:
        """For each axis, the values that occur in at least one combination."""
        if all(self._free):  # any value goes with those that go with everything
            return [list(range(size)) for size in self.sizes]
        return [
            [a for a in range(size) if self.is_possible([(i, a)])]
            for i, size in enumerate(self.sizes)
        ]

    def is_possible(self, chosen: Iterable[tuple[int, int]]) -> bool:
        """Say whether these values, as (axis, value), occur together in a combination."""
        return self._is_possible(self.masks(chosen))

    def _is_possible(self, masks: list[int]) -> bool:
        if not self._leaves:
            return all(masks)
        # Mostly one is found at once: values that go with everything, else the first left.
        tried = list(masks)
        for i, free in enumerate(self._free):
            if not all(tried):
                break
            if not tried[i] & free:
                a = (tried[i] & -tried[i]).bit_length() - 1
                tried[i] = 1 << a
                for j, left in self._leaves[i, a].items():
                    tried[j] &= left
        return all(tried) or (all(masks) and self._size(masks) > 0)

    def masks(self, chosen: Iterable[tuple[int, int]]) -> list[int]:
        """Return what is left of each axis once these values are chosen."""
        masks = list(self._all)
        for i, a in chosen:
            masks[i] &= 1 << a
            for j, left in self._leaves.get((i, a), {}).items():
                masks[j] &= left
        return masks

    @property
    def pairs(self) -> Iterator[tuple[int, int]]:
        """Every two axes."""
        return itertools.combinations(range(len(self.sizes)), 2)

    def meets(self, i: int, j: int) -> NDArray[np.bool_]:
        """Return (values of i, values of j), true where the two can meet; i is before j."""
        if (i, j) not in self._meets:
            barred = self._barred.get((i, j))
            size = (self.sizes[i], self.sizes[j])
            table = np.ones(size, np.bool_) if barred is None else ~barred
            # Where the other axes have values that go with everything, nothing else hinders it.
            if not all(free for k, free in enumerate(self._free) if k not in (i, j)):
                for a, b in np.argwhere(table).tolist():
                    table[a, b] = self.is_possible([(i, a), (j, b)])
            self._meets[i, j] = table
        return self._meets[i, j]

    def rows_for_all_pairs(self) -> int:
        """Return a number that pairwise needs at least, and mostly passes by little."""
        if len(self.sizes) < 2:
            return self.size()
        return max(int(self.meets(i, j).sum()) for i, j in self.pairs)


def bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


# --- What is covered ------------------------------------------------------------


@dataclass(frozen=True)
class Coverage:
    """How often each value occurs, and how many of the pairs that can meet do.

    `pairs` maps two axes to (covered, total); `gaps` names what is missing, values first. It is
    worked out when it is asked for: a page that follows each key needs the numbers alone.
    """

    values: Mapping[str, Mapping[str, int]]
    pairs: Mapping[tuple[str, str], tuple[int, int]]
    find_gaps: Callable[[], tuple[Combination, ...]] = field(repr=False, compare=False)

    @functools.cached_property
    def gaps(self) -> tuple[Combination, ...]:
        return self.find_gaps()

    @property
    def pairs_covered(self) -> int:
        return sum(covered for covered, _ in self.pairs.values())

    @property
    def pairs_total(self) -> int:
        return sum(total for _, total in self.pairs.values())

    @property
    def is_complete(self) -> bool:
        return not self.gaps


def coverage(space: Space, combinations: Iterable[Mapping[str, str]]) -> Coverage:
    """Return what the combinations cover; one that lacks an axis counts for the others."""
    rows = []
    for combination in combinations:
        row = [-1] * len(space.sizes)
        for value in combination.items():
            if value in space.number:
                i, a = space.number[value]
                row[i] = a
        rows.append(row)
    return coverage_of_rows(space, rows)


def coverage_of_rows(space: Space, rows: Sequence[Sequence[int]]) -> Coverage:
    """Return what the rows cover; -1 stands where a row lacks an axis."""
    table = np.asarray(rows, np.intp).reshape(len(rows), len(space.sizes))
    counts = [
        np.bincount(table[table[:, i] >= 0, i], minlength=size)
        for i, size in enumerate(space.sizes)
    ]
    met: dict[tuple[int, int], NDArray[np.bool_]] = {}
    for i, j in space.pairs:
        one, other = table[:, i], table[:, j]
        is_whole = (one >= 0) & (other >= 0)
        found = np.zeros((space.sizes[i], space.sizes[j]), np.bool_)
        found[one[is_whole], other[is_whole]] = True
        met[i, j] = found & space.meets(i, j)

    def find_gaps() -> tuple[Combination, ...]:
        gaps: list[Combination] = [
            {space.names[i]: space.axes[space.names[i]][a]}
            for i, values in enumerate(space.living)
            for a in values
            if not counts[i][a]
        ]
        for i, j in space.pairs:
            one, two = space.names[i], space.names[j]
            missing = space.meets(i, j) & ~met[i, j]
            # A value that is missing altogether is named alone.
            missing &= (counts[i] > 0)[:, None] & (counts[j] > 0)
            gaps += [
                {one: space.axes[one][a], two: space.axes[two][b]}
                for a, b in np.argwhere(missing).tolist()
            ]
        return tuple(gaps)

    return Coverage(
        {
            axis: dict(zip(values, counts[i].tolist(), strict=True))
            for i, (axis, values) in enumerate(space.axes.items())
        },
        {
            (space.names[i], space.names[j]): (int(found.sum()), int(space.meets(i, j).sum()))
            for (i, j), found in met.items()
        },
        find_gaps,
    )


def grid_coverage(space: Space) -> Coverage:
    """Return what the whole grid covers, without making it."""
    totals = {(i, j): int(space.meets(i, j).sum()) for i, j in space.pairs}
    return Coverage(
        {
            axis: {name: space.size({axis: name}) for name in values}
            for axis, values in space.axes.items()
        },
        {(space.names[i], space.names[j]): (total, total) for (i, j), total in totals.items()},
        tuple,
    )
