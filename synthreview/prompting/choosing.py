"""Which combinations are written: the whole grid, every pair, or a balanced sample.

Three strategies choose from a `coverage.Space`: the whole grid, so few that every pair of values
meets (pairwise), or a random sample in which all values are equally often. No Django here.
docs/prompting.md has worked numbers.
"""

from __future__ import annotations

import functools
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import numpy as np
from covertable import criteria, make_async, sorters

from synthreview.prompting.coverage import Combination, Row, Space, bits

Pair = tuple[int, int, int, int]  # axis, value, later axis, value

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
    rows = choose_rows(space, strategy, count=count, seed=seed, is_taken=taken)
    return [space.combination(row) for row in rows]


def choose_rows(
    space: Space,
    strategy: Strategy,
    *,
    count: int | None = None,
    seed: int = 0,
    is_taken: Callable[[Row], bool] = _nothing_taken,
) -> list[Row]:
    """Return the same as `choose`, as rows of numbers."""
    rng = random.Random(seed)
    if strategy is Strategy.GRID:
        free = (row for row in space.grid() if not is_taken(row))
        return list(itertools.islice(free, count))
    if strategy is Strategy.PAIRWISE:
        free = (row for row in pairwise(space, seed) if not is_taken(row))
        rows = list(itertools.islice(free, count))
        if count is not None and len(rows) < count:
            have = set(rows)
            rows += balanced(space, count - len(rows), rng, lambda r: r in have or is_taken(r))
        return rows
    if count is None:
        raise ValueError("A balanced sample needs to know how many.")
    return balanced(space, count, rng, is_taken)


# --- Pairwise -------------------------------------------------------------------


def pairwise(space: Space, seed: int = 0) -> Iterator[Row]:
    """Yield few combinations in which every two values that can meet do meet.

    They come from the covering array for as many values without forbidden pairs (covertable
    checks those slowly), in which the seed says which value takes which place. Rows with a
    forbidden pair are left out, and what only those covered is covered anew.
    """
    if not space.size():
        return
    if len(space.sizes) < 2:
        yield from space.grid()
        return
    rng = random.Random(seed)
    places = [rng.sample(values, len(values)) for values in space.living]
    covered: set[Pair] = set()
    dropped: list[Row] = []
    for numbers in _array(tuple(map(len, places))):
        row = tuple(values[a] for values, a in zip(places, numbers, strict=True))
        if space.is_allowed(row):
            covered.update(_pairs_of(row))
            yield row
        else:
            dropped.append(row)
    again = {pair for row in dropped for pair in _pairs_of(row)} - covered
    yield from _covering(
        space, [(i, a, j, b) for i, a, j, b in again if space.meets(i, j)[a, b]], rng
    )


class _Growing:
    """The rows of an iterator, made once and only as far as anybody has read; safe for threads."""

    def __init__(self, source: Iterator[Row]) -> None:
        self._source = source
        self._rows: list[Row] = []
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Row]:
        for number in itertools.count():
            if number >= len(self._rows):
                with self._lock:
                    if number >= len(self._rows):
                        more = next(self._source, None)
                        if more is None:
                            return
                        self._rows.append(more)
            yield self._rows[number]


@functools.lru_cache(maxsize=64)
def _array(sizes: tuple[int, ...]) -> _Growing:
    """Return a covering array of axes of these sizes; all classes and requests share it.

    covertable makes it, unless the axes are too long for it (60 x 40 x 20 takes it five
    seconds): there the two longest axes set the number of rows.
    """
    space = Space({str(i): map(str, range(size)) for i, size in enumerate(sizes)})
    if sum(int(space.meets(i, j).sum()) for i, j in space.pairs) > LIBRARY_PAIRS:
        missing = [
            (i, a, j, b)
            for i, j in space.pairs
            for a, b in itertools.product(range(sizes[i]), range(sizes[j]))
        ]
        return _Growing(_covering(space, missing, random.Random(0)))
    found = make_async(
        [list(range(size)) for size in sizes],
        sorter=sorters.hash,
        criterion=criteria.greedy,
        salt="0",
    )
    return _Growing(map(tuple, found))


def _pairs_of(row: Row) -> Iterator[Pair]:
    for (i, a), (j, b) in itertools.combinations(enumerate(row), 2):
        yield i, a, j, b


def _covering(space: Space, pairs: Iterable[Pair], rng: random.Random) -> Iterator[Row]:
    """Yield rows until all pairs are covered; each takes in as many missing ones as it can."""
    missing = set(pairs)
    pairs = sorted(missing)
    rng.shuffle(pairs)
    pairs.sort(key=lambda pair: -space.sizes[pair[0]] * space.sizes[pair[2]])
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
        gains = Counter(dict.fromkeys(bits(space.masks(chosen.items())[other]), 0))
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
    columns = [_column(values, count, rng) for values in space.living]
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
    seen = Counter(map(tuple, rows))

    def is_good(row: Row) -> bool:
        return seen[row] <= 1 and space.is_allowed(row) and not is_taken(row)

    movable = [i for i, size in enumerate(space.sizes) if size > 1]
    for number in _bad(space, rows, seen, is_taken):
        row, tries = rows[number], 0
        while not is_good(tuple(row)) and tries < SWAP_TRIES and movable:
            tries += 1
            other, i = rows[rng.randrange(len(rows))], rng.choice(movable)
            if other is row or other[i] == row[i]:
                continue
            was_good = is_good(tuple(other))
            _swap(seen, row, other, i)
            if not is_good(tuple(row)) or (was_good and not is_good(tuple(other))):
                _swap(seen, row, other, i)
    kept: dict[Row, None] = {}
    allowed = space.are_allowed(np.asarray(rows, np.intp).reshape(len(rows), len(space.sizes)))
    for one, is_allowed in zip(map(tuple, rows), allowed.tolist(), strict=True):
        if is_allowed and not is_taken(one):
            kept.setdefault(one)
    return list(kept)


def _bad(
    space: Space, rows: list[list[int]], seen: Counter[Row], is_taken: Callable[[Row], bool]
) -> list[int]:
    """Return the numbers of the rows that must change: few, so that the rest costs little."""
    allowed = space.are_allowed(np.asarray(rows, np.intp).reshape(len(rows), len(space.sizes)))
    return [
        number
        for number, (row, is_allowed) in enumerate(
            zip(map(tuple, rows), allowed.tolist(), strict=True)
        )
        if not is_allowed or seen[row] > 1 or is_taken(row)
    ]


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
        values = list(bits(space.masks(chosen.items())[i]))
        rng.shuffle(values)
        if not loose:
            values.sort(key=lambda value: used[i, value])
        chosen[i] = next(
            value for value in values if space.is_possible([*chosen.items(), (i, value)])
        )
    return tuple(chosen[i] for i in range(len(space.sizes)))
