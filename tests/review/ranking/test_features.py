"""What is known of each image before a model weighs it."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.review.ranking import features
from synthreview.review.ranking.table import NONE, ImageTable, codes_of, joint

NAN = float("nan")


def test_codes_number_values_in_order_of_appearance_and_leave_out_what_is_missing() -> None:
    assert codes_of(["b", "a", "", "b", None]).tolist() == [0, 1, NONE, 0, NONE]


def test_pairs_of_kinds_are_one_kind_and_missing_where_a_part_is() -> None:
    pairs = joint(np.array([0, 0, 1, NONE, 1]), np.array([5, 5, 5, 5, NONE]))
    assert pairs.tolist() == [pairs[0], pairs[0], pairs[2], NONE, NONE]
    assert pairs[0] != pairs[2]


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="different lengths"):
        ImageTable({"score": np.zeros(3)}, {"caption": np.zeros(2, dtype=np.int64)})


def test_a_place_in_the_caption_by_hand() -> None:
    score = np.array([0.3, 0.1, 0.2, 0.9, NAN, 0.5])
    caption = np.array([0, 0, 0, 1, 0, NONE])
    # Three of caption 0 in the order 0.1, 0.2, 0.3; alone, without score or caption: the middle.
    assert features.place_within(score, caption).tolist() == [0.5, -0.5, 0.0, 0.0, 0.0, 0.0]


def test_equal_scores_share_their_place() -> None:
    group = np.zeros(4, dtype=np.int64)
    assert features.place_within(np.array([1.0, 1.0, 2.0, 3.0]), group).tolist() == pytest.approx(
        [-1 / 3, -1 / 3, 1 / 6, 1 / 2]
    )
    assert features.lowest_within(np.array([1.0, 1.0, 2.0, 3.0]), group).tolist() == [
        0.5,
        0.5,
        2,
        3,
    ]


def test_a_normal_place_is_even_about_the_middle() -> None:
    places = features.normal_place(np.arange(101.0), np.zeros(101, dtype=np.int64))
    assert places[50] == pytest.approx(0)
    assert places == pytest.approx(-places[::-1])
    assert np.all(np.diff(places) > 0)


def test_a_standard_score_is_cut_at_the_farthest_and_zero_where_missing() -> None:
    score = np.array([*np.zeros(99), 1e6, NAN])
    found = features.standard(score)
    assert found[-2] == features.FARTHEST
    assert found[-1] == 0
    assert features.standard(np.full(5, 2.0)).tolist() == [0] * 5


def test_a_rate_leaves_the_own_decision_out_by_hand() -> None:
    # Caption 0: three decided, two of them bad, and one not decided. Average (2 + 1/2) / (4 + 1).
    table = ImageTable({"score": np.zeros(5)}, {"caption": np.array([0, 0, 0, 0, 1])})
    known = np.array([True, True, True, False, True])
    bad = np.array([True, True, False, True, False])
    [rates] = features.pooled(table, known, bad).values.T

    def expected(bad_others: int, others: int) -> float:
        rate = (bad_others + 2.0 * 0.5) / (others + 2.0)
        return float(np.log(rate / (1 - rate)))  # the average of one half has log odds 0

    assert rates.tolist() == pytest.approx(
        [expected(1, 2), expected(1, 2), expected(2, 2), expected(2, 3), expected(0, 0)]
    )


def test_what_is_not_decided_never_enters_a_rate() -> None:
    table = ImageTable({"score": np.zeros(4)}, {"caption": np.array([0, 0, 1, 1])})
    known = np.array([True, True, False, False])
    first = features.pooled(table, known, np.array([True, False, True, True])).values
    second = features.pooled(table, known, np.array([True, False, False, False])).values
    assert (first == second).all()


def test_a_judge_that_never_speaks_adds_no_column() -> None:
    table = ImageTable({"score": np.full(3, NAN)}, {}).with_cells()
    assert features.unlabelled(table).values.shape == (3, 0)


def test_ranks_agree_with_a_naive_count() -> None:
    rng = np.random.default_rng(1)
    score = rng.integers(0, 8, 200).astype(float)
    score[rng.random(200) < 0.1] = NAN
    group = rng.integers(-1, 5, 200)
    found = features.lowest_within(score, group)
    for i in range(200):
        peers = score[(group == group[i]) & ~np.isnan(score)]
        if group[i] == NONE or np.isnan(score[i]):
            assert found[i] == 0
        else:
            lower, equal = (peers < score[i]).sum(), (peers == score[i]).sum()
            assert found[i] == lower + (equal - 1) / 2
