"""Shares of groups: worked by hand, against a naive oracle, and by simulation."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.scoring.probe_shares import (
    ABOVE,
    PERHAPS_UNDER,
    TOO_FEW,
    UNDER,
    corrected_shares,
    distance,
    lots,
    shares_of,
    standing,
)


def counts(*rows: object) -> np.ndarray:
    return np.array(rows, dtype=np.int64)


def test_shares_are_parts_of_the_whole() -> None:
    assert shares_of(counts(3, 1)).tolist() == [0.75, 0.25]
    assert shares_of(counts(0, 0)).tolist() == [0, 0]


def test_a_sample_corrects_what_is_guessed() -> None:
    # 60 are guessed "man", 40 "woman". Of 20 looked at in each, 5 of the first are women. By hand:
    # 40 unseen men at (15.5 / 21) and 20 unseen women at (0.5 / 21), with a prior of 1/2 each.
    found = corrected_shares(counts(60, 40), counts([15, 5], [0, 20]))
    men = 15 + 40 * 15.5 / 21 + 20 * 0.5 / 21
    assert found.mean == pytest.approx([men / 100, 1 - men / 100])
    assert (found.low <= found.mean).all()
    assert (found.mean <= found.high).all()


def test_where_all_is_looked_at_nothing_is_uncertain() -> None:
    found = corrected_shares(counts(4, 6), counts([3, 1, 0], [1, 4, 1]))
    for shares in (found.mean, found.low, found.high):
        assert shares == pytest.approx([0.4, 0.5, 0.1])


def test_a_guess_that_nobody_looked_at_leaves_everything_open() -> None:
    found = corrected_shares(counts(100, 100), counts([100, 0], [0, 0]))
    assert found.low[1] < 0.02
    assert found.high[1] > 0.48


def test_the_interval_is_that_of_a_naive_oracle() -> None:
    guessed, labelled = counts(30, 20), counts([8, 2], [1, 9])
    found = corrected_shares(guessed, labelled, draws=20_000)
    rng = np.random.default_rng(5)
    seen = []
    for _ in range(4_000):
        first = 0
        for row in range(2):
            chance = rng.beta(labelled[row, 0] + 0.5, labelled[row, 1] + 0.5)
            unseen = guessed[row] - labelled[row].sum()
            first += labelled[row, 0] + sum(rng.random() < chance for _ in range(unseen))
        seen.append(first / 50)
    assert np.quantile(seen, 0.05) == pytest.approx(found.low[0], abs=0.021)
    assert np.quantile(seen, 0.95) == pytest.approx(found.high[0], abs=0.021)


def test_more_labels_than_images_are_refused() -> None:
    with pytest.raises(ValueError, match="More images are labelled"):
        corrected_shares(counts(1, 1), counts([2, 0], [0, 0]))
    with pytest.raises(ValueError, match="there are none"):
        corrected_shares(counts(0, 0), counts([0, 0], [0, 0]))


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    """300 sets of 1,000 images, 15 % of them women, a scorer right in 80 %, 100 looked at."""
    rng = np.random.default_rng(7)
    held = missed_by_guess = 0
    for seed in range(300):
        truth = (rng.random(1_000) < 0.15).astype(int)
        guess = np.where(rng.random(1_000) < 0.8, truth, 1 - truth)
        table = np.zeros((2, 2), dtype=np.int64)
        for at in rng.choice(1_000, 100, replace=False):
            table[guess[at], truth[at]] += 1
        found = corrected_shares(np.bincount(guess, minlength=2), table, draws=500, seed=seed)
        share = truth.mean()
        held += found.low[1] <= share <= found.high[1]
        missed_by_guess += abs(guess.mean() - share) > 0.05
    assert 0.86 <= held / 300 <= 0.96  # nominal 0.90; three standard errors are 0.05
    assert missed_by_guess == 300  # what the scorer alone says is far off: 29 % instead of 15 %


def test_how_far_two_distributions_are_apart() -> None:
    assert distance(np.array([0.5, 0.5]), np.array([0.8, 0.2])) == pytest.approx(0.3)
    assert distance(np.array([1.0, 0]), np.array([0, 1.0])) == 1


@pytest.mark.parametrize(
    ("share", "interval", "images", "said"),
    [
        (0.1, (0.05, 0.15), 100, UNDER),
        (0.1, (0.05, 0.25), 100, PERHAPS_UNDER),
        (0.1, None, 100, PERHAPS_UNDER),
        (0.3, (0.15, 0.4), 100, ABOVE),
        (0.0, (0.0, 0.01), 19, TOO_FEW),
    ],
)
def test_how_a_share_stands_to_its_floor(
    share: float, interval: tuple[float, float] | None, images: int, said: str
) -> None:
    assert standing(0.2, share, interval, images) == said


def test_lots_are_spread_evenly_stay_and_differ_between_probes() -> None:
    images = np.arange(1, 20_001)
    drawn = lots(images, 3)
    assert ((drawn >= 0) & (drawn < 2**31)).all()
    assert lots(images[:10], 3).tolist() == drawn[:10].tolist()
    tenths = np.bincount(drawn * 10 // 2**31, minlength=10)
    assert abs(tenths - 2_000).max() < 200  # 4.7 standard errors
    lowest = np.sort(images[np.argsort(drawn)[:1_000]])
    assert abs(lowest.mean() - 10_000) < 700  # nor do they go by age
    assert (np.argsort(drawn)[:100] != np.argsort(lots(images, 4))[:100]).any()
