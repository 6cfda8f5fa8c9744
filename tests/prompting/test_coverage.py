"""Counting without making, choosing by design, and saying what is missing."""

from __future__ import annotations

import itertools
import random
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthreview.prompting.choosing import Strategy, balanced, choose, pairwise
from synthreview.prompting.coverage import Space, coverage, grid_coverage


def make_space(*sizes: int, forbidden: int = 0, seed: int = 0) -> Space:
    """Return axes x0, x1, … of these sizes, with that many random forbidden pairs."""
    rng = random.Random(seed)
    axes = {f"x{i}": [f"v{a}" for a in range(size)] for i, size in enumerate(sizes)}
    pairs = []
    while len(pairs) < forbidden:
        i, j = rng.sample(range(len(sizes)), 2)
        pairs.append([(f"x{k}", f"v{rng.randrange(sizes[k])}") for k in (i, j)])
    return Space(axes, pairs)


small_spaces = st.builds(
    make_space,
    st.integers(1, 5),
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 3),
    forbidden=st.integers(0, 25),
    seed=st.integers(0, 999),
)


def all_rows(space: Space) -> set[tuple[int, ...]]:
    """The naive way: write the whole grid, then throw out what is forbidden."""
    grid = itertools.product(*(range(size) for size in space.sizes))
    return {row for row in grid if space.is_allowed(row)}


# --- Counting -------------------------------------------------------------------


def test_a_worked_count() -> None:
    axes = {"environment": ["beach", "under water", "city"], "light": ["candle", "sun"]}
    space = Space(axes, [{("environment", "under water"), ("light", "candle")}])
    assert space.size() == 5
    assert space.size({"environment": "under water"}) == 1
    assert [tuple(space.combination(row).values()) for row in space.grid()] == [
        ("beach", "candle"),
        ("beach", "sun"),
        ("under water", "sun"),
        ("city", "candle"),
        ("city", "sun"),
    ]


@given(small_spaces)
def test_the_count_is_that_of_the_written_grid(space: Space) -> None:
    rows = all_rows(space)
    assert space.size() == len(rows)
    assert set(space.grid()) == rows
    for i, axis in enumerate(space.names):
        for a, name in enumerate(space.axes[axis]):
            assert space.size({axis: name}) == sum(row[i] == a for row in rows)


@given(small_spaces)
def test_the_pairs_that_can_meet_are_those_of_the_written_grid(space: Space) -> None:
    rows = all_rows(space)
    for i, j in space.pairs:
        pairs = {tuple(pair) for pair in np.argwhere(space.meets(i, j)).tolist()}
        assert pairs == {(row[i], row[j]) for row in rows}


@pytest.mark.parametrize("sizes", [(22, 18, 16, 17), (60, 40, 20, 3), (8, 8, 8, 8, 8, 4)])
def test_a_hundred_thousand_combinations_are_counted_at_once(sizes: tuple[int, ...]) -> None:
    space = make_space(*sizes, forbidden=40)
    start = time.process_time()
    size = space.size()
    assert time.process_time() - start < 0.1
    assert size > 50_000
    assert size == sum(1 for _ in space.grid())


def test_pairs_of_what_is_not_there_forbid_nothing() -> None:
    axes = {"light": ["sun", "moon"], "place": ["city"]}
    unknown = [
        [("light", "candle"), ("place", "city")],
        [("season", "winter"), ("place", "city")],
        [("light", "sun"), ("light", "moon")],
        [("light", "sun")],
    ]
    assert Space(axes, unknown).size() == 2


def test_no_axes_leave_one_combination_and_an_empty_axis_none() -> None:
    assert Space({}).size() == 1
    assert choose(Space({}), Strategy.BALANCED, count=3) == [{}]
    empty = Space({"light": [], "place": ["city"]})
    assert empty.size() == 0
    for strategy in Strategy:
        assert choose(empty, strategy, count=3) == []


# --- Choosing -------------------------------------------------------------------


@given(small_spaces, st.sampled_from(Strategy), st.integers(0, 40), st.integers(0, 5))
def test_every_strategy_gives_different_allowed_combinations_and_as_many_as_there_are(
    space: Space, strategy: Strategy, count: int, seed: int
) -> None:
    chosen = choose(space, strategy, count=count, seed=seed)
    rows = [space.row(combination) for combination in chosen]
    assert len(set(rows)) == len(rows) == min(count, space.size())
    assert set(rows) <= all_rows(space)
    assert choose(space, strategy, count=count, seed=seed) == chosen


@given(small_spaces, st.sampled_from(Strategy), st.integers(0, 5))
def test_what_is_taken_is_left_out(space: Space, strategy: Strategy, seed: int) -> None:
    size = space.size()
    first = choose(space, strategy, count=size // 2, seed=seed)
    rest = choose(space, strategy, count=size, seed=seed, is_taken=lambda c: c in first)
    assert len(rest) == size - len(first)
    assert not [combination for combination in rest if combination in first]


@given(small_spaces, st.integers(0, 9))
def test_pairwise_meets_every_pair_that_can_meet(space: Space, seed: int) -> None:
    rows = [space.combination(row) for row in pairwise(space, seed)]
    assert coverage(space, rows).is_complete


@pytest.mark.parametrize("sizes", [(12, 10, 6, 8), (60, 40, 20, 3)])
@pytest.mark.parametrize("forbidden", [0, 40])
def test_pairwise_takes_few_rows(sizes: tuple[int, ...], forbidden: int) -> None:
    space = make_space(*sizes, forbidden=forbidden)
    rows = list(pairwise(space))
    assert coverage(space, map(space.combination, rows)).is_complete
    assert space.rows_for_all_pairs() <= len(rows) <= 1.2 * space.rows_for_all_pairs()


def test_pairwise_goes_on_with_a_balanced_sample() -> None:
    space = make_space(4, 3, 3)
    assert len(list(pairwise(space))) < 20
    assert len(choose(space, Strategy.PAIRWISE, count=30)) == 30


@given(st.lists(st.integers(1, 6), min_size=1, max_size=4), st.integers(0, 60), st.integers(0, 99))
def test_a_balanced_sample_has_every_value_equally_often(
    sizes: list[int], count: int, seed: int
) -> None:
    space = make_space(*sizes)
    rows = balanced(space, min(count, space.size()), random.Random(seed))
    for i, size in enumerate(sizes):
        often = Counter(row[i] for row in rows)
        assert max(often.values(), default=0) - min(often[a] for a in range(size)) <= 1


def test_two_hundred_out_of_twelve_by_ten_by_six_by_eight() -> None:
    space = make_space(12, 10, 6, 8)
    assert space.size() == 5_760
    chosen = choose(space, Strategy.BALANCED, count=200, seed=7)
    assert len({tuple(combination.values()) for combination in chosen}) == 200
    often = {axis: set(values.values()) for axis, values in coverage(space, chosen).values.items()}
    assert often == {"x0": {16, 17}, "x1": {20}, "x2": {33, 34}, "x3": {25}}


def test_a_balanced_sample_stays_even_beside_some_forbidden_pairs() -> None:
    space = make_space(12, 10, 6, 8, forbidden=5)
    covered = coverage(space, choose(space, Strategy.BALANCED, count=200))
    for values in covered.values.values():
        assert max(values.values()) - min(values.values()) <= 1


def test_another_seed_gives_other_combinations() -> None:
    space = make_space(12, 10, 6)
    one, two = (choose(space, Strategy.BALANCED, count=30, seed=seed) for seed in (1, 2))
    assert one != two


def test_the_grid_is_given_whole() -> None:
    space = make_space(3, 4, forbidden=2)
    assert len(choose(space, Strategy.GRID)) == space.size()
    with pytest.raises(ValueError, match="how many"):
        choose(space, Strategy.BALANCED)


# --- Coverage -------------------------------------------------------------------


def test_gaps_are_named() -> None:
    axes = {"place": ["beach", "city"], "light": ["sun", "moon", "candle"]}
    space = Space(axes, [[("place", "beach"), ("light", "candle")]])
    found = coverage(
        space,
        [
            {"place": "beach", "light": "sun"},
            {"place": "city", "light": "moon"},
            {"place": "city", "season": "winter"},
        ],
    )
    assert found.values == {
        "place": {"beach": 1, "city": 2},
        "light": {"sun": 1, "moon": 1, "candle": 0},
    }
    assert found.pairs == {("place", "light"): (2, 5)}
    assert found.gaps == (
        {"light": "candle"},
        {"place": "beach", "light": "moon"},
        {"place": "city", "light": "sun"},
    )
    assert (found.pairs_covered, found.pairs_total, found.is_complete) == (2, 5, False)


@given(small_spaces)
def test_the_coverage_of_the_grid_needs_no_grid(space: Space) -> None:
    written = coverage(space, [space.combination(row) for row in space.grid()])
    assert grid_coverage(space) == written
    assert written.is_complete
