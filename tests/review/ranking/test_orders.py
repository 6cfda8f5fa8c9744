"""In which order images come before people."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.review.ranking.orders import (
    BEHIND,
    FRONT,
    Policy,
    by_lowest,
    by_rank,
    explored,
    first_order,
    places,
    to_move,
)
from synthreview.review.ranking.schedule import next_model_at
from synthreview.review.ranking.table import ImageTable


def table(score: list[float], caption: list[int]) -> ImageTable:
    return ImageTable({"score": np.array(score)}, {"caption": np.array(caption)})


def test_lowest_first_by_hand() -> None:
    images = table([0.3, 0.1, 0.2], [0, 0, 0])
    assert by_lowest(images, np.random.default_rng(0)).tolist() == [1, 2, 0]


def test_the_lowest_of_each_caption_first_by_hand() -> None:
    images = table([0.5, 0.9, 0.1, 0.2, 0.3], [0, 0, 1, 1, 1])
    # The lowest of each caption (0.1, 0.5), then the second (0.2, 0.9), then the third.
    assert by_rank(images, np.random.default_rng(0)).tolist() == [2, 0, 3, 1, 4]


def test_chance_decides_between_equals_alone() -> None:
    images = table([0.5, 0.5, 0.1], [0, 1, 2])
    found = {tuple(by_lowest(images, np.random.default_rng(seed))) for seed in range(20)}
    assert found == {(2, 0, 1), (2, 1, 0)}


def test_an_image_without_a_score_takes_any_place() -> None:
    images = table([*np.linspace(0, 1, 49), float("nan")], [0] * 50)
    places = [by_lowest(images, np.random.default_rng(s)).tolist().index(49) for s in range(60)]
    assert min(places) < 10
    assert max(places) > 39


def test_random_is_another_order_for_each_seed() -> None:
    images = table([0.1] * 10, [0] * 10)
    first, second = (
        first_order(Policy.RANDOM, images, np.random.default_rng(s)).tolist() for s in (1, 2)
    )
    assert first != second
    assert sorted(first) == list(range(10))


@pytest.mark.parametrize(("decisions", "due"), [(0, 20), (20, 40), (400, 420), (10_000, 10_500)])
def test_a_model_is_due_after_twenty_decisions_or_a_twentieth(decisions: int, due: int) -> None:
    assert next_model_at(decisions) == due


def test_exploration_draws_evenly_from_all_that_waits() -> None:
    order = np.arange(50)[::-1]
    counts = np.zeros(50)
    for seed in range(4_000):
        new, drawn = explored(order, 10, np.random.default_rng(seed), share=0.1)
        assert sorted(new) == list(range(50))
        assert set(drawn) <= set(new[:10])
        counts[drawn] += 1
    assert counts.sum() == pytest.approx(4_000)
    assert counts.std() == pytest.approx(np.sqrt(4_000 / 50), rel=0.4)


def test_exploration_leaves_the_others_in_their_order() -> None:
    order = np.random.default_rng(0).permutation(100)
    new, drawn = explored(order, 40, np.random.default_rng(1), share=0.3)
    assert [i for i in new if i not in drawn] == [i for i in order if i not in drawn]


@pytest.mark.parametrize("share", [0.0, 1.0])
@pytest.mark.parametrize("waiting", [0, 1, 5])
def test_exploration_of_little_breaks_nothing(waiting: int, share: float) -> None:
    new, drawn = explored(np.arange(waiting), 10, np.random.default_rng(0), share=share)
    assert sorted(new) == list(range(waiting))
    assert len(drawn) == (waiting if share else 0)


def test_places_rise_with_the_chance_of_being_good_by_hand() -> None:
    chance = np.array([0.9, 0.1, 0.5, 0.05])
    # Image 3 was drawn by lot to the second place, and stands there among the likely bad.
    found = places(np.array([0, 3, 2, 1]), chance)
    assert found.tolist() == pytest.approx([0.1, 0.5, 0.5, 0.9], abs=1e-6)
    assert np.all(np.diff(found) > 0)
    assert places(np.empty(0, dtype=np.int64), chance).tolist() == []


def test_what_lies_behind_the_front_stays_as_it_lies() -> None:
    count = FRONT + 10_000
    chance = np.sort(np.random.default_rng(0).random(count))[::-1]
    order = np.arange(count)
    first, second = places(order, chance), places(order, chance * 0.9)
    assert np.all(np.diff(first) > 0)
    assert first[FRONT - 1] < BEHIND <= first[FRONT]
    assert to_move(first, first).size == 0
    assert to_move(first, second).tolist() == list(range(FRONT))
    # Two change sides: they move, and nobody else does.
    swapped, ends = chance.copy(), [0, count - 1]
    order[ends], swapped[ends] = order[ends[::-1]], swapped[ends[::-1]]
    assert to_move(first[order], places(order, swapped)).tolist() == ends
    # Who has no place yet gets one, and who came in since does not stay among the first.
    assert to_move(np.full(count, np.nan), first).size == count
    assert to_move(np.full(count, 0.5), first).size == count - np.sum(first == 0.5)
