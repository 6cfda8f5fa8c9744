"""Rates with their intervals, and shares by Thompson sampling."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from synthreview.prompting.learning import Tally, rate_of, thompson_turns


def test_a_worked_rate() -> None:
    """Beta(9.5, 1.5) has the mean 9.5 / 11; its 5 % and 95 % points by a table of F."""
    rate = rate_of(Tally(9, 1))
    assert rate.mean == pytest.approx(9.5 / 11)
    assert (rate.low, rate.high) == pytest.approx((0.6694, 0.9821), abs=1e-4)


def test_what_is_not_known_may_be_anything() -> None:
    rate = rate_of(Tally())
    assert rate.mean == 0.5
    assert rate.low < 0.01
    assert rate.high > 0.99


def test_approvals_and_rejections_are_mirror_images() -> None:
    one, other = rate_of(Tally(7, 2)), rate_of(Tally(2, 7))
    assert (one.low, one.high) == pytest.approx((1 - other.high, 1 - other.low))


@pytest.mark.parametrize("rate", [0.5, 0.8, 0.95])
def test_the_interval_covers_the_true_rate_about_as_often_as_it_says(rate: float) -> None:
    """At 90 %, over 20 images: Jeffreys' interval swings around its level and comes near to it."""
    rng = np.random.default_rng(1)
    images, runs = 20, 1_000
    covered = 0
    for approved in rng.binomial(images, rate, size=runs).tolist():
        found = rate_of(Tally(approved, images - approved))
        covered += found.low <= rate <= found.high
    assert 0.84 < covered / runs < 0.97


def test_turns_follow_what_is_known() -> None:
    turns = Counter(thompson_turns([Tally(90, 10), Tally(10, 90), Tally()], 2_000, seed=1))
    assert turns[0] > turns[2] > 100 > turns[1]
    # Against Beta(90.5, 10.5), a rate from Beta(1/2, 1/2) is higher with chance 0.197.
    assert turns[2] / 2_000 == pytest.approx(0.197, abs=0.03)


def test_without_any_decision_the_turns_are_even() -> None:
    turns = Counter(thompson_turns([Tally()] * 4, 4_000, seed=2))
    assert all(900 < count < 1_100 for count in turns.values())


def test_the_same_seed_gives_the_same_turns() -> None:
    tallies = [Tally(3, 1), Tally(1, 3)]
    assert thompson_turns(tallies, 50, seed=3) == thompson_turns(tallies, 50, seed=3)
    assert thompson_turns(tallies, 50, seed=3) != thompson_turns(tallies, 50, seed=4)


def test_nothing_to_choose_from_is_told() -> None:
    with pytest.raises(ValueError, match="nothing to choose from"):
        thompson_turns([], 5, seed=0)
