"""Measures of variety: worked by hand, against naive oracles, and what they must not do."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.evaluation import spread
from synthreview.evaluation.spread import (
    FloatArray,
    compositions,
    growth,
    reach_of,
    repeats_among_newest,
    vendi_of_subsets,
    vendi_score,
)


def units(count: int, width: int = 8, *, seed: int = 0, spread: float = 10) -> FloatArray:
    """Return unit vectors around (1, 0, …): the wider the spread, the more varied."""
    rng = np.random.default_rng(seed)
    found = rng.normal(size=(count, width)) * spread + np.eye(width)[0]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def circle(*degrees: float) -> FloatArray:
    angles = np.radians(degrees)
    return np.stack((np.cos(angles), np.sin(angles)), axis=1).astype(np.float32)


# --- Vendi ----------------------------------------------------------------------------


def test_equal_images_are_one_and_orthogonal_ones_are_all_different() -> None:
    assert vendi_score(np.repeat(units(1), 9, axis=0)) == pytest.approx(1)
    assert vendi_score(np.eye(6, dtype=np.float32)) == pytest.approx(6)


def test_two_kinds_of_images_by_hand() -> None:
    # Three of one kind and one of another, orthogonal: entropy of (3/4, 1/4).
    vectors = np.eye(2, dtype=np.float32)[[0, 0, 0, 1]]
    by_hand = np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))
    assert vendi_score(vectors) == pytest.approx(by_hand)


@pytest.mark.parametrize("count", [5, 30])  # fewer and more images than dimensions
def test_vendi_is_the_entropy_of_the_cosines(count: int) -> None:
    vectors = units(count)
    shares = np.linalg.eigvalsh((vectors @ vectors.T).astype(np.float64) / count)
    shares = shares[shares > 1e-9]
    assert vendi_score(vectors) == pytest.approx(np.exp(-(shares * np.log(shares)).sum()), rel=1e-4)


def test_subsets_of_one_size_tell_the_varied_set_from_the_other() -> None:
    mean, low, high = vendi_of_subsets(units(200), 20)
    assert low <= mean <= high
    assert vendi_of_subsets(units(40, spread=0.1), 20)[2] < low
    assert vendi_of_subsets(units(20), 20)[0] == vendi_score(units(20))


# --- Recall and coverage ----------------------------------------------------------------


def test_recall_and_coverage_by_hand() -> None:
    # With one neighbour: the real at 0, 10 and 90 degrees reach 10, 10 and 80 degrees far; ours at
    # 12 and 20 reach 8. Of the real, 10 is within 8 of 12 (recall 1/3); 0 finds no one within 10,
    # 10 finds 12, and 90 finds 20 (coverage 2/3).
    found = reach_of(circle(0, 10, 90), circle(12, 20), k=1)
    assert (found.recall, found.coverage) == pytest.approx((1 / 3, 2 / 3))


def test_recall_and_coverage_against_a_naive_oracle() -> None:
    real, ours = units(30, seed=1), units(40, seed=2, spread=2)
    far = np.linalg.norm

    def kth(vectors: FloatArray, at: int) -> float:
        return sorted(float(far(vectors[at] - other)) for other in vectors)[5]

    recalled = [
        any(far(one - other) < kth(ours, at) for at, other in enumerate(ours)) for one in real
    ]
    covered = [
        any(far(one - other) < kth(real, at) for other in ours) for at, one in enumerate(real)
    ]
    found = reach_of(real, ours)
    assert found.recall == pytest.approx(np.mean(recalled))
    assert found.coverage == pytest.approx(np.mean(covered))


def test_the_same_set_reaches_itself_and_a_collapsed_one_does_not() -> None:
    real = units(50)
    assert reach_of(real, real) == reach_of(real, real[::-1])
    assert reach_of(real, real).coverage == 1
    collapsed = units(50, seed=3, spread=0.01)
    assert reach_of(real, collapsed).coverage < 0.3
    # One far image among ours makes recall jump; coverage stays (Naeem et al., section 2.3).
    outlier = np.concatenate((collapsed, -collapsed[:1]))
    assert reach_of(real, outlier).recall > 0.9
    assert reach_of(real, outlier).coverage < 0.3


def test_too_few_images_are_refused() -> None:
    with pytest.raises(ValueError, match="more than 5 images"):
        reach_of(units(5), units(30))


# --- Compositions -----------------------------------------------------------------------


def test_an_image_joins_the_nearest_first_one_and_never_over_a_chain() -> None:
    # Within 10 degrees: 8 joins 0; 16 is near to 8 but not to 0, so it begins one; 13 is nearer
    # to 16 than 0 is, and 4 is nearest to 0.
    firsts = compositions(circle(0, 8, 16, 13, 4), float(np.cos(np.radians(10))))
    assert firsts.tolist() == [0, 0, 2, 2, 0]


def test_compositions_over_many_blocks_are_those_of_a_plain_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spread, "BLOCK", 50)
    vectors = units(230, width=3)
    firsts: list[int] = []
    expected = []
    for at, vector in enumerate(vectors):
        near = {first: float(vectors[first] @ vector) for first in firsts}
        best = max(near, key=near.__getitem__, default=None)
        if best is not None and near[best] >= 0.99:
            expected.append(best)
        else:
            firsts.append(at)
            expected.append(at)
    assert compositions(vectors, 0.99).tolist() == expected


def test_growth_and_the_repeats_among_the_newest() -> None:
    firsts = np.array([0, 1, 0, 3, 1, 0, 0, 3])
    assert growth(firsts, 4) == [(2, 2), (4, 3), (6, 3), (8, 3)]
    assert growth(firsts[:1]) == [(1, 1)]
    assert repeats_among_newest(firsts, 4) == (4, 4)
    assert repeats_among_newest(firsts, 50) == (5, 8)
