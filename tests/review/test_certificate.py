"""The running certificate against hand-worked cases, a naive oracle, and its own promise."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.certificate_validity import ORDERS, failure_share
from synthreview.review.certificate import (
    STRATEGIES,
    Look,
    Stream,
    audits_until,
    running_bound,
)

GOOD, BAD = Look(Stream.AUDIT, is_bad=False), Look(Stream.AUDIT, is_bad=True)


def naive_remaining(looks: list[Look], population: int, target: float, alpha: float) -> int:
    """Play every candidate through, one draw at a time, as the docstring says."""
    found_at_end = sum(look.is_bad for look in looks)
    possible = []
    for left in range(population - len(looks) + 1):
        total, found, unreviewed = found_at_end + left, 0, population
        stakes = [share for share, _ in STRATEGIES]
        audits = bad_audits = 0
        highest = 0.0
        for look in looks:
            if look.stream is Stream.AUDIT:
                chance = (total - found) / unreviewed
                for index, (_, multiple) in enumerate(STRATEGIES):
                    bet = (
                        min((bad_audits + target / 4) / (audits + 1), 0.9)
                        if multiple is None
                        else target * multiple
                    )
                    if look.is_bad:
                        stakes[index] *= bet / chance
                    elif chance < 1:
                        stakes[index] *= (1 - bet) / (1 - chance)
                    else:
                        stakes[index] = math.inf
                highest = max(highest, sum(stakes))
                audits += 1
                bad_audits += look.is_bad
            found += look.is_bad
            unreviewed -= 1
        if highest < 1 / alpha:
            possible.append(left)
    return max(possible)


def test_before_any_audit_everything_unreviewed_may_be_bad() -> None:
    bound = running_bound([], population=100, target=0.02)
    assert (bound.remaining_bad, bound.error) == (100, 1.0)


def test_targeted_looks_alone_prove_nothing_about_the_rest() -> None:
    looks = [Look(Stream.TARGETED, is_bad=False)] * 60
    bound = running_bound(looks, population=100, target=0.02)
    assert bound.remaining_bad == bound.unreviewed == 40


def test_when_all_is_reviewed_nothing_is_left() -> None:
    bound = running_bound([GOOD, BAD] * 50, population=100, target=0.02)
    assert (bound.remaining_bad, bound.error, bound.found_bad) == (0, 0.0, 50)


def test_one_audit_of_ten_by_hand() -> None:
    """One good draw of ten: K bad images survive it with chance 1 - K/10.

    The stake is sum(share * (1 - bet)) / (1 - K/10), at most 1 / 0.1; it reaches that limit
    of 10 (alpha = 0.1) only for K = 10, which a good draw rules out anyway: 9 are left at most.
    """
    assert running_bound([GOOD], population=10, target=0.02, alpha=0.1).remaining_bad == 9


@pytest.mark.parametrize("seed", range(8))
def test_it_equals_the_naive_oracle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    population = int(rng.integers(20, 120))
    count = int(rng.integers(1, population))
    looks = [
        Look(Stream.AUDIT if rng.random() < 0.6 else Stream.TARGETED, bool(rng.random() < 0.15))
        for _ in range(count)
    ]
    bound = running_bound(looks, population=population, target=0.05)
    assert bound.remaining_bad == naive_remaining(looks, population, 0.05, 0.05)


def test_good_audits_tighten_the_bound_and_an_early_bad_one_loosens_it() -> None:
    bounds = [
        running_bound([GOOD] * count, population=10_000, target=0.02).error
        for count in (50, 100, 200, 400)
    ]
    assert bounds == sorted(bounds, reverse=True)
    with_bad = running_bound([BAD] + [GOOD] * 399, population=10_000, target=0.02).error
    assert with_bad > bounds[-1]


def test_what_was_ruled_out_stays_ruled_out() -> None:
    before = running_bound([GOOD] * 399, population=10_000, target=0.02)
    after = running_bound([GOOD] * 399 + [BAD], population=10_000, target=0.02)
    assert after.remaining_bad == before.remaining_bad - 1


def test_170_clean_audits_certify_two_per_cent_of_ten_thousand() -> None:
    """The figure of docs/certificate.md."""
    assert running_bound([GOOD] * 170, population=10_000, target=0.02).error <= 0.02
    assert running_bound([GOOD] * 150, population=10_000, target=0.02).error > 0.02


def test_the_forecast_of_audits_is_right_for_a_clean_population() -> None:
    start = running_bound([], population=10_000, target=0.02)
    needed = audits_until(start, [], target=0.02, rate=0.0)
    assert needed is not None
    assert running_bound([GOOD] * needed, population=10_000, target=0.02).error <= 0.02
    assert running_bound([GOOD] * (needed - 1), population=10_000, target=0.02).error > 0.02


def test_no_forecast_where_the_rate_is_at_the_target() -> None:
    start = running_bound([], population=1_000, target=0.02)
    assert audits_until(start, [], target=0.02, rate=0.02) is None


@pytest.mark.parametrize(
    ("population", "target", "alpha"), [(10, 0, 0.05), (10, 0.02, 1), (1, 0.02, 0.05)]
)
def test_impossible_numbers_are_refused(population: int, target: float, alpha: float) -> None:
    with pytest.raises(ValueError, match=r"between 0 and 1|looks at"):
        running_bound([GOOD, GOOD], population=population, target=target, alpha=alpha)


@pytest.mark.parametrize("order", ORDERS)
def test_it_is_wrong_in_at_most_five_per_cent_of_runs(order: str) -> None:
    """Peeking after every review, for queues that help and queues that hide (short form).

    300 runs: a true failure rate of 5 % shows more than 9 % once in 1,500 times.
    """
    share = failure_share(
        population=1_000,
        rate=0.05,
        order=ORDERS[order],
        audit_share=0.5,
        runs=300,
        rng=np.random.default_rng(7),
    )
    assert share <= 0.09
