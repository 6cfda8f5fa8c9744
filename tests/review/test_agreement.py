"""Agreement and error rates against worked examples from the literature and naive oracles."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from synthreview.review.agreement import (
    agreement_with_others,
    cohens_kappa,
    dawid_skene,
    drift_p_value,
    fleiss_kappa,
    krippendorffs_alpha,
    share,
    windows,
)

NONE = math.nan


def test_cohens_kappa_of_a_textbook_table() -> None:
    """20 both yes, 5 and 10 split, 15 both no: observed 0.7, by chance 0.5, kappa 0.4."""
    first = np.array([1.0] * 25 + [0.0] * 25)
    second = np.array([1.0] * 20 + [0.0] * 5 + [1.0] * 10 + [0.0] * 15)
    assert cohens_kappa(first, second) == pytest.approx(0.4)


def test_cohens_kappa_takes_only_what_both_rated() -> None:
    first = np.array([1.0, 0.0, NONE, 1.0, 0.0])
    second = np.array([1.0, 0.0, 1.0, NONE, 0.0])
    assert cohens_kappa(first, second) == 1.0


def test_kappas_are_silent_where_nothing_varies_or_nobody_overlaps() -> None:
    alike = np.array([[0.0, 0.0], [0.0, 0.0]])
    assert cohens_kappa(alike[:, 0], alike[:, 1]) is None
    assert fleiss_kappa(alike) is None
    assert krippendorffs_alpha(alike) is None
    apart = np.array([[0.0, NONE], [NONE, 1.0]])
    assert cohens_kappa(apart[:, 0], apart[:, 1]) is None
    assert fleiss_kappa(apart) is None
    assert krippendorffs_alpha(apart) is None


def test_fleiss_kappa_by_hand() -> None:
    """Three looks each at four images: 3, 2, 1 and 0 say bad.

    Agreeing pairs: (1 + 1/3 + 1/3 + 1) / 4 = 2/3; by chance 1/2; kappa 1/3.
    """
    ratings = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0]], dtype=float)
    assert fleiss_kappa(ratings) == pytest.approx(1 / 3)


def test_fleiss_kappa_takes_the_commonest_number_of_looks() -> None:
    ratings = np.array([[1, 1, 1], [1, 1, 0], [0, 0, 1], [0, 0, 0], [1, 0, NONE], [1, NONE, NONE]])
    assert fleiss_kappa(ratings) == pytest.approx(1 / 3)


def test_krippendorffs_alpha_by_hand() -> None:
    """Two reviewers, ten images, one pair apart: 1 - (20 - 1) * 2 / (2 * 11 * 9) = 0.8081."""
    first = np.array([1.0] * 6 + [0.0] * 4)
    second = np.array([1.0] * 5 + [0.0] * 5)
    expected = 1 - 19 * 2 / (2 * 11 * 9)
    assert krippendorffs_alpha(np.stack((first, second), axis=1)) == pytest.approx(expected)


def test_agreement_counts_every_pair_of_looks_at_one_image() -> None:
    ratings = np.array([[1, 1, 0], [0, 0, NONE], [1, NONE, NONE]])
    assert agreement_with_others(ratings) == [(2, 3), (2, 3), (0, 2)]


def test_a_share_has_the_exact_interval() -> None:
    """No miss in 20: the two-sided 95 % interval ends at 1 - 0.025^(1/20)."""
    found = share(0, 20)
    assert (found.low, found.high) == (0.0, pytest.approx(1 - 0.025 ** (1 / 20)))
    assert share(20, 20).high == 1.0
    assert share(0, 0).value is None
    low, high = share(7, 50).low, share(7, 50).high
    at_most = sum(math.comb(50, k) * high**k * (1 - high) ** (50 - k) for k in range(8))
    at_least = sum(math.comb(50, k) * low**k * (1 - low) ** (50 - k) for k in range(7, 51))
    assert (at_most, at_least) == (pytest.approx(0.025), pytest.approx(0.025))


# --- Dawid and Skene ------------------------------------------------------------------


def one_round(
    ratings: list[list[float]], is_bad: list[float], smoothing: float
) -> tuple[list[float], list[float], float, list[float]]:
    """Do one step of maximisation and one of expectation with loops alone."""
    reviewers = range(len(ratings[0]))
    missed, alarmed = [], []
    for person in reviewers:
        table = {(truth, said): smoothing for truth in (0, 1) for said in (0, 1)}
        for row, chance in zip(ratings, is_bad, strict=True):
            if not math.isnan(row[person]):
                table[1, int(row[person])] += chance
                table[0, int(row[person])] += 1 - chance
        missed.append(table[1, 0] / (table[1, 0] + table[1, 1]))
        alarmed.append(table[0, 1] / (table[0, 0] + table[0, 1]))
    common = (sum(is_bad) + smoothing) / (len(is_bad) + 2 * smoothing)
    new = []
    for row in ratings:
        if_bad, if_good = common, 1 - common
        for person in reviewers:
            if row[person] == 1:
                if_bad, if_good = if_bad * (1 - missed[person]), if_good * alarmed[person]
            elif row[person] == 0:
                if_bad, if_good = if_bad * missed[person], if_good * (1 - alarmed[person])
        new.append(if_bad / (if_bad + if_good))
    return missed, alarmed, common, new


def test_dawid_skene_of_one_image_by_hand() -> None:
    """One image, one reviewer, "bad", half a look added to each cell: all stays at its start.

    missed = 0.5 / 2 = 0.25, alarmed = 0.5 / 1 = 0.5 (nothing good was seen), bad 1.5 / 2 = 0.75;
    then 0.75 * 0.75 / (0.75 * 0.75 + 0.25 * 0.5) = 0.8182, and on from there.
    """
    missed, alarmed, common, new = one_round([[1.0]], [1.0], 0.5)
    assert (missed, alarmed, common) == ([0.25], [0.5], 0.75)
    assert new == [pytest.approx(0.5625 / 0.6875)]
    found = dawid_skene(np.array([[1.0]]))
    assert found.is_bad[0] > 0.5


@pytest.mark.parametrize("seed", range(4))
def test_dawid_skene_settles_where_the_naive_loops_do(seed: int) -> None:
    rng = np.random.default_rng(seed)
    ratings = (rng.random((30, 4)) < 0.4).astype(float)
    ratings[rng.random((30, 4)) < 0.3] = NONE
    ratings[:, 0] = np.where(np.isnan(ratings).all(axis=1), 1.0, ratings[:, 0])
    is_bad = [float(np.nanmean(row)) for row in ratings]
    for _ in range(500):
        missed, alarmed, common, is_bad = one_round(ratings.tolist(), is_bad, 0.5)
    found = dawid_skene(ratings)
    assert found.missed == pytest.approx(missed, abs=1e-4)
    assert found.alarmed == pytest.approx(alarmed, abs=1e-4)
    assert found.bad_share == pytest.approx(common, abs=1e-4)
    assert found.is_bad == pytest.approx(is_bad, abs=1e-4)


def test_dawid_skene_finds_who_errs_and_how() -> None:
    rng = np.random.default_rng(3)
    truth = rng.random(3_000) < 0.2
    misses, alarms = np.array([0.05, 0.3, 0.1]), np.array([0.02, 0.05, 0.2])
    draw = rng.random((3_000, 3))
    ratings = np.where(truth[:, None], draw >= misses, draw < alarms).astype(float)
    found = dawid_skene(ratings)
    assert found.missed == pytest.approx(misses, abs=0.06)
    assert found.alarmed == pytest.approx(alarms, abs=0.03)
    assert found.bad_share == pytest.approx(0.2, abs=0.03)
    majority = ratings.sum(axis=1) >= 2
    assert ((found.is_bad > 0.5) == truth).mean() > (majority == truth).mean()


def test_known_answers_stay_and_teach() -> None:
    """Two who always agree against one: the known answers say who is right."""
    ratings = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]] * 20)
    known = np.full(40, NONE)
    known[:20] = np.array([0.0, 1.0] * 10)
    found = dawid_skene(ratings, known=known)
    assert found.is_bad[:20] == pytest.approx(known[:20])
    assert found.is_bad[20] < 0.05 < 0.95 < found.is_bad[21]


def test_order_of_reviewers_and_images_is_of_no_matter() -> None:
    rng = np.random.default_rng(4)
    ratings = (rng.random((25, 3)) < 0.5).astype(float)
    found = dawid_skene(ratings)
    turned = dawid_skene(ratings[::-1, ::-1])
    assert turned.missed[::-1] == pytest.approx(found.missed, abs=1e-6)
    assert turned.is_bad[::-1] == pytest.approx(found.is_bad, abs=1e-6)


def test_an_image_without_a_look_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a rating"):
        dawid_skene(np.array([[1.0, 0.0], [NONE, NONE]]))
    with pytest.raises(ValueError, match="needs a rating"):
        dawid_skene(np.empty((0, 0)))


# --- Drift --------------------------------------------------------------------------------


def test_windows_end_with_the_latest_look() -> None:
    found = windows([True] * 25, size=10)
    assert [(window.first, window.last) for window in found] == [(5, 14), (15, 24)]
    assert windows([True] * 9, size=10) == []


def test_drift_is_told_from_chance() -> None:
    steady = [True, True, True, False] * 20
    assert (drift_p_value(steady, size=20) or 0) > 0.9
    worse = [True] * 60 + [False] * 20
    assert (drift_p_value(worse, size=20) or 1) < 1e-6
    assert drift_p_value([True] * 39, size=20) is None


def test_drift_is_found_by_chance_no_oftener_than_it_says() -> None:
    rng = np.random.default_rng(6)
    values = [drift_p_value(list(rng.random(60) < 0.8), size=20) for _ in range(400)]
    assert np.mean([value is not None and value < 0.05 for value in values]) <= 0.08


def test_agreement_of_naive_pairs() -> None:
    rng = np.random.default_rng(7)
    ratings = (rng.random((20, 4)) < 0.5).astype(float)
    ratings[rng.random((20, 4)) < 0.4] = NONE
    naive = [[0, 0] for _ in range(4)]
    for row in ratings:
        for one, other in itertools.permutations(range(4), 2):
            if not math.isnan(row[one]) and not math.isnan(row[other]):
                naive[one][0] += row[one] == row[other]
                naive[one][1] += 1
    assert agreement_with_others(ratings) == [tuple(pair) for pair in naive]
