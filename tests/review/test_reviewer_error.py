"""Bounds on the reviewers' misses: hand-worked cases, their promise by simulation, and limits."""

from __future__ import annotations

import math

import numpy as np
import pytest

from synthreview.review.certificate import Bound, Look, Stream, running_bound
from synthreview.review.reviewer_error import (
    FOR_AUDITS,
    FRACTIONS,
    Trials,
    miss_rate_bound,
    passed_at_most,
    true_bound,
)

CLEAN = [Look(Stream.AUDIT, is_bad=False)] * 300


def called(alpha: float = 0.05, population: int = 2_000) -> Bound:
    return running_bound(CLEAN, population=population, target=0.02, alpha=alpha * FOR_AUDITS)


def test_one_reviewer_without_a_miss_by_hand() -> None:
    """No miss in n trials: the stake at rate m is sum(share * ((1 - f m) / (1 - m))^n)."""
    count, alpha = 40, 0.05
    bound = miss_rate_bound({"ann": Trials(0, count)}, {"ann": 1.0}, alpha=alpha)

    def stake(rate: float) -> float:
        return sum(share * ((1 - f * rate) / (1 - rate)) ** count for share, f in FRACTIONS)

    assert stake(bound) >= 1 / alpha * 0.999, "what lies above is ruled out"
    assert stake(bound * 0.98) < 1 / alpha, "and little below it is not"
    exact = 1 - alpha ** (1 / count)  # one look only, by Clopper and Pearson
    assert exact < bound < 1.5 * exact


def test_misses_raise_the_bound_and_trials_lower_it() -> None:
    def bound(missed: int, caught: int) -> float:
        return miss_rate_bound({"ann": Trials(missed, caught)}, {"ann": 1.0}, alpha=0.05)

    assert bound(0, 20) > bound(0, 60) > bound(0, 400) > 0
    assert bound(0, 60) < bound(3, 57) < bound(10, 50)
    assert bound(10, 0) == 1.0, "who never caught one may miss everything"


def test_who_was_not_measured_may_miss_everything() -> None:
    assert miss_rate_bound({}, {"ann": 1.0}, alpha=0.05) == 1.0
    assert miss_rate_bound({}, {}, alpha=0.05) == 1.0
    half = miss_rate_bound({"ann": Trials(0, 1_000)}, {"ann": 0.5, "ben": 0.5}, alpha=0.05)
    assert 0.5 <= half < 0.51
    assert miss_rate_bound({"ann": Trials(0, 99)}, {"ann": 1.0, "ben": 0.0}, alpha=0.05) < 0.07


def test_two_measured_reviewers_share_their_evidence() -> None:
    one = miss_rate_bound({"ann": Trials(2, 98)}, {"ann": 1.0}, alpha=0.05)
    two = miss_rate_bound(
        {"ann": Trials(1, 49), "ben": Trials(1, 49)}, {"ann": 0.5, "ben": 0.5}, alpha=0.05
    )
    assert one < two < 1.5 * one


@pytest.mark.slow
def test_the_rate_is_rarely_above_its_bound_at_any_moment() -> None:
    """Looked at after every trial, two reviewers of 5 and 20 %: alpha is 10 %."""
    rng = np.random.default_rng(1)
    rates, weights = (0.05, 0.2), {"0": 0.6, "1": 0.4}
    truth = 0.6 * rates[0] + 0.4 * rates[1]
    failures = 0
    for _ in range(100):
        counts = [[0, 0], [0, 0]]
        for trial in range(120):
            person = trial % 2
            counts[person][int(rng.random() >= rates[person])] += 1
            if trial % 3 == 0:
                trials = {str(who): Trials(*counts[who]) for who in (0, 1)}
                if miss_rate_bound(trials, weights, alpha=0.1) < truth:
                    failures += 1
                    break
    assert failures <= 17  # 10 of 100 fail by right; 18 or more once in 100 times


def test_the_bound_on_the_rate_has_power() -> None:
    trials = {"ann": Trials(5, 95)}
    assert miss_rate_bound(trials, {"ann": 1.0}, alpha=0.05) < 0.16


@pytest.mark.parametrize(("caught", "rate"), [(0, 0.1), (20, 0.05), (200, 0.2)])
def test_more_pass_than_that_only_rarely(caught: int, rate: float) -> None:
    """For every number of bad images: passed and caught of them break the bound rarely."""
    rng = np.random.default_rng(2)
    limit = {
        count: passed_at_most(count, miss_rate=rate, alpha=0.05)
        for count in range(int(caught * 1.5) + 60)
    }
    for bad in (caught + 1, int((caught + 5) / (1 - rate))):
        passed = rng.binomial(bad, rate, size=4_000)
        share = np.mean([p > limit[bad - p] for p in passed])
        assert share <= 0.06
    expected = caught * rate / (1 - rate)
    assert expected <= limit[caught] <= 2.5 * expected + 8


def test_nothing_passes_at_rate_zero_and_a_rate_of_one_bounds_nothing() -> None:
    assert passed_at_most(500, miss_rate=0.0, alpha=0.05) == 0
    with pytest.raises(ValueError, match="bounds nothing"):
        passed_at_most(5, miss_rate=1.0, alpha=0.05)


def test_the_truth_is_bounded_by_what_is_called_bad_and_what_passes() -> None:
    bound = true_bound(called(), {"ann": Trials(1, 99)}, {"ann": 1.0}, alpha=0.05)
    most = bound.called.found_bad + bound.called.remaining_bad
    assert bound.passed == passed_at_most(most, miss_rate=bound.miss_rate, alpha=0.005)
    left = bound.called.remaining_bad + bound.passed
    assert bound.error == left / 2_000
    assert bound.called.error < bound.error < 0.05


def test_without_trials_everything_may_be_wrong() -> None:
    bound = true_bound(called(), {}, {"ann": 1.0}, alpha=0.05)
    assert (bound.miss_rate, bound.error) == (1.0, 1.0)


def test_a_bound_of_the_wrong_alpha_is_refused() -> None:
    whole = running_bound(CLEAN, population=2_000, target=0.02)
    with pytest.raises(ValueError, match=r"was made with 0\.05, not 0\.025"):
        true_bound(whole, {}, {}, alpha=0.05)
    assert math.isclose(called().alpha, 0.025)
