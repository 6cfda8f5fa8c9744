"""Figures and their intervals: worked cases, and how often the intervals hold."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.evaluation.measuring import (
    confusion,
    difference_of,
    expected_calibration_error,
    mean_of,
    wilson,
)


def test_wilsons_interval_is_the_one_of_the_book() -> None:
    # Wilson 1927, by hand: 8 of 10 at z = 1.96.
    found = wilson(8, 10)
    assert found.value == 0.8
    assert (round(found.low, 3), round(found.high, 3)) == (0.490, 0.943)


def test_a_share_of_nothing_may_be_anything() -> None:
    assert tuple(wilson(0, 0)) == (0.5, 0.0, 1.0)


def test_all_right_is_not_certainly_all_right() -> None:
    found = mean_of(np.ones((3, 20)))
    assert found.value == 1
    assert found.low < 0.9


def test_the_interval_of_a_mean_holds_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(5)
    held = 0
    for trial in range(200):
        # Images of different difficulty, and seeds that move all of them a little.
        hard = rng.beta(4, 2, 60)
        luck = rng.normal(0, 0.02, 4)
        right = (rng.random((4, 60)) < np.clip(hard + luck[:, None], 0, 1)).astype(float)
        found = mean_of(right, seed=trial)
        held += found.low <= 4 / 6 <= found.high
    assert held >= 184  # 95 % of 200 less two and a half deviations


def test_no_difference_is_called_one_seldom() -> None:
    rng = np.random.default_rng(6)
    false_alarms = 0
    for trial in range(200):
        hard = rng.beta(4, 2, 60)
        arms = [(rng.random((3, 60)) < hard).astype(float) for _ in range(2)]
        found = difference_of(*arms, seed=trial)
        false_alarms += not found.low <= 0 <= found.high
    assert false_alarms <= 18


def test_a_difference_counts_pairs_of_images() -> None:
    base = np.tile([1.0, 0.0], (2, 40))
    better = np.ones((2, 80))
    found = difference_of(better, base)
    assert found.value == 0.5
    assert 0.35 < found.low < 0.5 < found.high < 0.65
    assert difference_of(base, base) == (0, 0, 0)


def test_confusion_counts_rows_by_the_true_class() -> None:
    chances = np.array([[[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]], dtype=np.float32)
    table = confusion(chances, np.array([0, 0, 1]))
    assert table.tolist() == [[0.5, 0.5], [0, 1]]


@pytest.mark.parametrize(("said", "error"), [(0.9, 0.4), (0.5, 0.0)])
def test_calibration_is_how_far_the_chance_is_off(said: float, error: float) -> None:
    chances = np.tile(np.array([said, 1 - said], dtype=np.float32), (1, 100, 1))
    labels = np.tile([0, 1], 50)  # half of them are right
    assert expected_calibration_error(chances, labels) == pytest.approx(error, abs=1e-6)
