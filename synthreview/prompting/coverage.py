"""Coverage by design: how many combinations there are, which to write, and what is missing.

A `Space` holds the axes of one class and the pairs of values that must not meet. It is counted
without being written out, and three strategies choose from it: the whole grid, so few that
every pair of values meets (pairwise), or a random sample in which all values are equally often.
No Django here. docs/prompting.md has worked numbers.
"""

from __future__ import annotations

import functools
import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from covertable import criteria, make_async, sorters

Value = tuple[str, str]  # axis, name of the value
Combination = dict[str, str]  # axis → name of the value
Pair = tuple[int, int, int, int]  # axis, value, later axis, value
Row = tuple[int, ...]  # the number of a value for each axis, in the order of the axes

SMALL_GRID = 20_000  # up to here a grid may be written out
LIBRARY_PAIRS = 2_500  # the covering array of more pairs than these takes the library seconds
SWAP_TRIES = 60


class Strategy(StrEnum):
    """How combinations are chosen; the label says it on the page."""

    BALANCED = "balanced"
    PAIRWISE = "pairwise"
    GRID = "grid"

    @property
    def label(self) -> str:
        return {
            Strategy.BALANCED: "balanced sample: every value about equally often",
            Strategy.PAIRWISE: "pairwise: every two values meet at least once",
            Strategy.GRID: "full grid: every combination",
        }[self]


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
        self._number = {
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
        self._components = self._connected()
        self._counted = functools.lru_cache(maxsize=200_000)(self._count)

    def _forbid(self, pair: Collection[Value]) -> None:
        if len(pair) != 2 or not all(value in self._number for value in pair):
            return
        (i, a), (j, b) = (self._number[value] for value in pair)
        if i != j:
            for (x, u), (y, w) in (((i, a), (j, b)), ((j, b), (i, a))):
                left = self._leaves.setdefault((x, u), {})
                left[y] = left.get(y, self._all[y]) & ~(1 << w)

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
        return self._size(self._masks(self._number[value] for value in (fixed or {}).items()))

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
        for a in _bits(masks[0]):
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
        found = [self._number.get((axis, combination.get(axis, ""))) for axis in self.names]
        return tuple(number[1] for number in found if number) if all(found) else None

    def is_allowed(self, row: Row) -> bool:
        return not self._leaves or all(
            left >> row[j] & 1
            for i, a in enumerate(row)
            for j, left in self._leaves.get((i, a), {}).items()
        )

    def grid(self) -> Iterator[Row]:
        """Yield every allowed combination, the last axis quickest; nothing is kept in memory."""
        yield from self._grid(0, (), list(self._all))

    def _grid(self, i: int, row: Row, masks: list[int]) -> Iterator[Row]:
        if i == len(masks):
            yield row
            return
        for a in _bits(masks[i]):
            left = self._leaves.get((i, a))
            if not left:
                yield from self._grid(i + 1, (*row, a), masks)
                continue
            after = [m & left.get(j, self._all[j]) for j, m in enumerate(masks)]
            if all(after[i + 1 :]):
                yield from self._grid(i + 1, (*row, a), after)

    def living(self) -> list[list[int]]:
        """Return, for each axis, the values that occur in at least one combination."""
        if not self._leaves:
            return [list(range(size)) for size in self.sizes]
        return [
            [a for a in range(size) if self.is_possible([(i, a)])]
            for i, size in enumerate(self.sizes)
        ]

    def is_possible(self, chosen: Iterable[tuple[int, int]]) -> bool:
        """Say whether these values, as (axis, value), occur together in a combination."""
        return self._is_possible(self._masks(chosen))

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

    def _masks(self, chosen: Iterable[tuple[int, int]]) -> list[int]:
        """Return what is left of each axis once these values are chosen."""
        masks = list(self._all)
        for i, a in chosen:
            masks[i] &= 1 << a
            for j, left in self._leaves.get((i, a), {}).items():
                masks[j] &= left
        return masks

    @functools.cached_property
    def pairs(self) -> dict[tuple[int, int], frozenset[tuple[int, int]]]:
        """The pairs of values that can meet, by pair of axes."""
        return {
            (i, j): frozenset(self._pairs(i, j))
            for i, j in itertools.combinations(range(len(self.sizes)), 2)
        }

    def _pairs(self, i: int, j: int) -> Iterator[tuple[int, int]]:
        both_free = (self._free[i] & -self._free[i], self._free[j] & -self._free[j])
        # Values that go with everything are alike: what one of them can do, all can.
        masks = list(self._all)
        masks[i], masks[j] = both_free
        free_meet = all(both_free) and self._is_possible(masks)
        for a, b in itertools.product(range(self.sizes[i]), range(self.sizes[j])):
            if (self._free[i] >> a & self._free[j] >> b) & 1:
                if free_meet:
                    yield a, b
            elif self.is_possible([(i, a), (j, b)]):
                yield a, b

    def rows_for_all_pairs(self) -> int:
        """Return a number that pairwise needs at least, and mostly passes by little."""
        if len(self.sizes) < 2:
            return self.size()
        return max(len(pairs) for pairs in self.pairs.values())


def _bits(mask: int) -> Iterator[int]:
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def _nothing_taken(row: Row) -> bool:
    return False


def choose(
    space: Space,
    strategy: Strategy,
    *,
    count: int | None = None,
    seed: int = 0,
    is_taken: Callable[[Combination], bool] | None = None,
) -> list[Combination]:
    """Return up to `count` different combinations; the same seed gives the same ones.

    Without `count` the grid and the covering array are given whole, which the caller must
    have found small enough. What `is_taken` is left out. A covering array that is smaller
    than `count` is filled up with a balanced sample.
    """
    taken = _nothing_taken
    if is_taken is not None:  # asked again and again for the same row
        taken = functools.cache(lambda row: is_taken(space.combination(row)))
    rng = random.Random(seed)
    if strategy is Strategy.GRID:
        free = (row for row in space.grid() if not taken(row))
        rows = list(itertools.islice(free, count))
    elif strategy is Strategy.PAIRWISE:
        rows = list(itertools.islice((r for r in pairwise(space, seed) if not taken(r)), count))
        if count is not None and len(rows) < count:
            have = set(rows)
            rows += balanced(space, count - len(rows), rng, lambda r: r in have or taken(r))
    else:
        if count is None:
            raise ValueError("A balanced sample needs to know how many.")
        rows = balanced(space, count, rng, taken)
    return [space.combination(row) for row in rows]


# --- Pairwise -------------------------------------------------------------------


def pairwise(space: Space, seed: int = 0) -> Iterator[Row]:
    """Yield few combinations in which every two values that can meet do meet.

    covertable makes the array. It checks constraints slowly (seconds for some dozen pairs), so
    it makes the array without them; rows with a forbidden pair are left out, and what only
    those covered is covered anew. So is all of it where the axes are too long for the library
    (60 x 40 x 20 takes it five seconds): there the two longest axes set the number of rows.
    """
    if not space.size():
        return
    if len(space.sizes) < 2:
        yield from space.grid()
        return
    rng = random.Random(seed)
    if sum(map(len, space.pairs.values())) > LIBRARY_PAIRS:
        missing = [(i, a, j, b) for (i, j), pairs in space.pairs.items() for a, b in pairs]
        yield from _covering(space, missing, rng)
        return
    covered: set[Pair] = set()
    dropped: list[Row] = []
    array = make_async(
        space.living(), sorter=sorters.hash, criterion=criteria.greedy, salt=str(seed)
    )
    for row in map(tuple, array):
        if space.is_allowed(row):
            covered.update(_pairs_of(row))
            yield row
        else:
            dropped.append(row)
    again = {pair for row in dropped for pair in _pairs_of(row)} - covered
    yield from _covering(
        space, [pair for pair in again if pair[1::2] in space.pairs[pair[::2]]], rng
    )


def _pairs_of(row: Row) -> Iterator[Pair]:
    for (i, a), (j, b) in itertools.combinations(enumerate(row), 2):
        yield i, a, j, b


def _covering(space: Space, pairs: list[Pair], rng: random.Random) -> Iterator[Row]:
    """Yield rows until all pairs are covered; each takes in as many missing ones as it can."""
    missing = set(pairs)
    pairs = sorted(pairs)
    rng.shuffle(pairs)
    pairs.sort(key=lambda pair: -len(space.pairs[pair[::2]]))
    for pair in pairs:
        if pair in missing:
            row = _row_with(space, pair, missing, rng)
            missing.difference_update(_pairs_of(row))
            yield row


def _row_with(space: Space, pair: Pair, missing: set[Pair], rng: random.Random) -> Row:
    """Return an allowed row that holds the pair and many missing ones."""
    i, a, j, b = pair
    chosen = {i: a, j: b}
    for other in sorted(range(len(space.sizes)), key=lambda k: -space.sizes[k]):
        if other in chosen:
            continue
        gains = Counter(dict.fromkeys(_bits(space._masks(chosen.items())[other]), 0))
        for value, (k, u) in itertools.product(gains, chosen.items()):
            met = (k, u, other, value) if k < other else (other, value, k, u)
            gains[value] += met in missing
        values = list(gains)
        rng.shuffle(values)
        chosen[other] = next(
            value
            for value in sorted(values, key=gains.__getitem__, reverse=True)
            if space.is_possible([*chosen.items(), (other, value)])
        )
    return tuple(chosen[k] for k in range(len(space.sizes)))


# --- Balanced -------------------------------------------------------------------


def balanced(
    space: Space,
    count: int,
    rng: random.Random,
    is_taken: Callable[[Row], bool] = _nothing_taken,
) -> list[Row]:
    """Return `count` different rows, fewer where no more are left, in random order.

    How often the values of one axis occur differs by 1 at most, as long as neither forbidden
    pairs nor taken rows stand in the way.
    """
    size = space.size()
    count = min(count, size)
    if not count:
        return []
    if size <= SMALL_GRID and 2 * count > size:
        # Leaving out evenly is choosing evenly.
        left_out = set(balanced(space, size - count, rng)) if count < size else set()
        grid = list(space.grid())
        rng.shuffle(grid)
        rows = [row for row in grid if row not in left_out and not is_taken(row)]
        spare = [row for row in grid if row in left_out and not is_taken(row)]
        return rows + spare[: max(0, count - len(rows))]
    living = space.living()
    columns = [_column(values, count, rng) for values in living]
    rows = _untangled(space, [list(row) for row in zip(*columns, strict=True)], rng, is_taken)
    missing = count - len(rows)
    return rows + _filled_up(space, rows, missing, rng, is_taken) if missing > 0 else rows


def _column(values: list[int], count: int, rng: random.Random) -> list[int]:
    """Return `count` values, each as often as the others, or once more."""
    whole, over = divmod(count, len(values))
    column = values * whole + rng.sample(values, over)
    rng.shuffle(column)
    return column


def _untangled(
    space: Space, rows: list[list[int]], rng: random.Random, is_taken: Callable[[Row], bool]
) -> list[Row]:
    """Return the rows without doubles, forbidden and taken ones.

    Two rows that swap their values of one axis change no value's count. What no swap mends
    is left out.
    """
    seen = Counter(tuple(row) for row in rows)

    def is_good(row: Row) -> bool:
        return seen[row] <= 1 and space.is_allowed(row) and not is_taken(row)

    movable = [i for i, size in enumerate(space.sizes) if size > 1]
    for number, row in enumerate(rows):
        tries = 0
        while not is_good(tuple(row)) and tries < SWAP_TRIES and movable:
            tries += 1
            other, i = rows[rng.randrange(len(rows))], rng.choice(movable)
            if other is rows[number] or other[i] == row[i]:
                continue
            was_good = is_good(tuple(other))
            _swap(seen, row, other, i)
            if not is_good(tuple(row)) or (was_good and not is_good(tuple(other))):
                _swap(seen, row, other, i)
    kept: dict[Row, None] = {}
    for row in rows:
        if space.is_allowed(tuple(row)) and not is_taken(tuple(row)):
            kept.setdefault(tuple(row))
    return list(kept)


def _swap(seen: Counter[Row], row: list[int], other: list[int], i: int) -> None:
    seen.subtract((tuple(row), tuple(other)))
    row[i], other[i] = other[i], row[i]
    seen.update((tuple(row), tuple(other)))


def _filled_up(
    space: Space,
    rows: list[Row],
    missing: int,
    rng: random.Random,
    is_taken: Callable[[Row], bool],
) -> list[Row]:
    """Return more rows, made of the values that occur least so far."""
    seen = set(rows)
    used = Counter((i, a) for row in rows for i, a in enumerate(row))
    more: list[Row] = []
    is_small = space.size() <= SMALL_GRID
    tries, enough = 0, 2 * missing if is_small else 20 * missing + 1_000
    while len(more) < missing and tries < enough:
        tries += 1
        row = _rare_row(space, used, rng, loose=tries > missing)
        if row in seen or is_taken(row):
            continue
        seen.add(row)
        more.append(row)
        used.update(enumerate(row))
    if len(more) < missing and is_small:
        rest = [row for row in space.grid() if row not in seen and not is_taken(row)]
        more += rng.sample(rest, min(len(rest), missing - len(more)))
    return more


def _rare_row(
    space: Space, used: Counter[tuple[int, int]], rng: random.Random, *, loose: bool
) -> Row:
    """Return an allowed row of rare values; `loose` lets chance have more of a say."""
    chosen: dict[int, int] = {}
    axes = list(range(len(space.sizes)))
    rng.shuffle(axes)
    for i in axes:
        values = list(_bits(space._masks(chosen.items())[i]))
        rng.shuffle(values)
        if not loose:
            values.sort(key=lambda value: used[i, value])
        chosen[i] = next(
            value for value in values if space.is_possible([*chosen.items(), (i, value)])
        )
    return tuple(chosen[i] for i in range(len(space.sizes)))


# --- What is covered ------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Coverage:
    """How often each value occurs, and how many of the pairs that can meet do.

    `pairs` maps two axes to (covered, total); `gaps` names what is missing, values first.
    """

    values: Mapping[str, Mapping[str, int]]
    pairs: Mapping[tuple[str, str], tuple[int, int]]
    gaps: tuple[Combination, ...]

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
    used: Counter[tuple[int, int]] = Counter()
    met: dict[tuple[int, int], set[tuple[int, int]]] = {pair: set() for pair in space.pairs}
    for combination in combinations:
        row = [space._number[value] for value in combination.items() if value in space._number]
        row.sort()
        used.update(row)
        for (i, a), (j, b) in itertools.combinations(row, 2):
            met[i, j].add((a, b))
    living = space.living()
    gaps: list[Combination] = [
        {space.names[i]: space.axes[space.names[i]][a]}
        for i, values in enumerate(living)
        for a in values
        if not used[i, a]
    ]
    for (i, j), pairs in space.pairs.items():
        one, two = space.names[i], space.names[j]
        gaps += [
            {one: space.axes[one][a], two: space.axes[two][b]}
            for a, b in sorted(pairs - met[i, j])
            if used[i, a] and used[j, b]  # a value that is missing altogether is named alone
        ]
    return Coverage(
        {
            axis: {name: used[i, a] for a, name in enumerate(values)}
            for i, (axis, values) in enumerate(space.axes.items())
        },
        {
            (space.names[i], space.names[j]): (len(met[i, j] & pairs), len(pairs))
            for (i, j), pairs in space.pairs.items()
        },
        tuple(gaps),
    )


def grid_coverage(space: Space) -> Coverage:
    """Return what the whole grid covers, without making it."""
    return Coverage(
        {
            axis: {name: space.size({axis: name}) for name in values}
            for axis, values in space.axes.items()
        },
        {
            (space.names[i], space.names[j]): (len(pairs), len(pairs))
            for (i, j), pairs in space.pairs.items()
        },
        (),
    )
