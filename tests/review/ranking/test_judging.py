"""How a judge is judged."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from synthreview.review.ranking.judging import auroc, calibration_error, reliability

Rng = np.random.Generator


def test_auroc_by_hand() -> None:
    # Pairs (bad, good): 0.1 is below 0.2 and 0.3; 0.3 is above 0.2 and equal to 0.3: 2.5 of 4.
    found = auroc(np.array([0.1, 0.3, 0.2, 0.3]), np.array([True, True, False, False]))
    assert found is not None
    assert found.value == 2.5 / 4
    assert (found.bad, found.good) == (2, 2)
    assert 0 < found.low < found.value < found.high < 1


def test_auroc_agrees_with_counting_every_pair() -> None:
    rng = np.random.default_rng(0)
    score = rng.integers(0, 20, 300).astype(float)
    bad = rng.random(300) < 0.3
    found = auroc(score, bad)
    pairs = score[bad][:, None] - score[~bad][None, :]
    assert found is not None
    assert found.value == pytest.approx(np.mean((pairs < 0) + 0.5 * (pairs == 0)))


def test_scores_that_are_missing_are_left_out() -> None:
    score = np.array([0.1, 0.2, float("nan")])
    found = auroc(score, np.array([True, False, True]))
    assert found is not None
    assert (found.bad, found.good, found.value) == (1, 1, 1.0)
    assert auroc(score, np.array([True, True, False])) is None


@pytest.mark.parametrize("shift", [0.0, 0.7, 2.5])
def test_the_interval_holds_the_truth_as_often_as_it_says(shift: float) -> None:
    from scipy.stats import norm

    truth = norm.cdf(shift / 2**0.5)
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        bad = np.arange(120) < 25
        found = auroc(rng.normal(size=120) - shift * bad, bad)
        assert found is not None
        hits += found.low <= truth <= found.high
    assert hits / 400 > 0.92


def test_a_perfect_judge_of_few_images_is_not_called_sure() -> None:
    found = auroc(np.array([0.0, 1.0]), np.array([True, False]))
    assert found is not None
    assert found.value == 1
    assert found.low < 0.5
    assert not found.helps


def test_a_judge_that_shows_the_good_first_misleads() -> None:
    found = auroc(np.arange(100.0), np.arange(100) > 60)
    assert found is not None
    assert found.misleads
    assert not found.helps


def test_reliability_by_hand() -> None:
    chance = np.array([0.1, 0.1, 0.8, 0.9])
    bad = np.array([False, True, True, True])
    low, high = reliability(chance, bad, bins=2)
    assert (low.count, low.said, low.found) == (2, pytest.approx(0.1), 0.5)
    assert (high.low, high.high, high.said, high.found) == (0.8, 0.9, pytest.approx(0.85), 1.0)
    assert calibration_error(chance, bad, bins=2) == pytest.approx((2 * 0.4 + 2 * 0.15) / 4)


def test_images_of_one_chance_stay_in_one_bin() -> None:
    bins = reliability(np.full(50, 0.3), np.arange(50) < 15)
    assert [one.count for one in bins] == [50]
    assert reliability(np.empty(0), np.empty(0, dtype=bool)) == []


def test_every_image_is_in_one_bin_and_the_bins_rise() -> None:
    rng = np.random.default_rng(2)
    chance = np.round(rng.random(997), 1)
    bins = reliability(chance, rng.random(997) < chance)
    assert sum(one.count for one in bins) == 997
    assert all(a.high < b.low for a, b in itertools.pairwise(bins))
