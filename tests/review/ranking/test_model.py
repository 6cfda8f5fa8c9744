"""The chance of being bad, learned from decisions."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.review.ranking.judging import auroc, calibration_error
from synthreview.review.ranking.model import Decided, Fitted, Ranker, calibration, folds_of
from synthreview.review.ranking.table import BoolArray, FloatArray, ImageTable
from tests.review.ranking.worlds import World, make_world


def fit(world: World, decided: Decided) -> Fitted:
    fitted = Ranker(world.table).fit(decided)
    assert fitted is not None
    return fitted


def quality(log_odds: FloatArray, is_bad: BoolArray) -> float:
    found = auroc(-log_odds, is_bad)
    assert found is not None
    return found.value


def test_nothing_is_learned_before_there_are_decisions_of_both_kinds() -> None:
    world = make_world()
    ranker = Ranker(world.table)
    nobody = np.zeros(len(world.table), dtype=bool)
    assert ranker.fit(Decided(nobody, world.is_bad, nobody)) is None
    assert ranker.fit(Decided(world.is_bad, world.is_bad, nobody)) is None


def test_what_is_hidden_is_never_read() -> None:
    world = make_world()
    decided = world.decided(200)
    other = np.where(decided.is_known, world.is_bad, ~world.is_bad)
    first, second = fit(world, decided), fit(World(world.table, other), decided)
    swapped = Ranker(world.table).fit(Decided(decided.is_known, other, decided.is_random))
    assert swapped is not None
    assert (first.chance == swapped.chance).all()
    assert (first.chance == second.chance).all()


def test_bad_captions_are_learned_though_the_score_says_nothing() -> None:
    world = make_world(2_000, score_tells=0, bad_share=0.1, bad_captions=0.2)
    decided = world.decided(500)
    hidden = ~decided.is_known
    assert quality(world.table.main_score[hidden], world.is_bad[hidden]) < 0.55
    assert quality(fit(world, decided).log_odds[hidden], world.is_bad[hidden]) > 0.75


def test_a_good_score_is_not_spoilt_by_few_decisions() -> None:
    losses = []
    for seed in range(20):
        world = make_world(seed=seed, score_tells=3.0)
        decided = world.decided(20, seed)
        fitted = Ranker(world.table).fit(decided)
        assert fitted is not None
        hidden = ~decided.is_known
        alone = quality(-world.table.main_score[hidden], world.is_bad[hidden])
        losses.append(alone - quality(fitted.log_odds[hidden], world.is_bad[hidden]))
    assert np.mean(losses) < 0.01


def test_a_score_that_misleads_is_turned_around() -> None:
    world = make_world(2_000, score_tells=-1.5)
    decided = world.decided(400)
    hidden = ~decided.is_known
    assert quality(fit(world, decided).log_odds[hidden], world.is_bad[hidden]) > 0.8


@pytest.mark.parametrize("decisions", [100, 1_500])
def test_chances_are_true_on_images_that_nobody_looked_at(decisions: int) -> None:
    errors = []
    for seed in range(5):
        world = make_world(6_000, seed=seed, score_tells=1.5, bad_captions=0.1)
        decided = world.decided(decisions, seed)
        fitted = fit(world, decided)
        hidden = ~decided.is_known
        errors.append(calibration_error(fitted.chance[hidden], world.is_bad[hidden]))
    assert np.mean(errors) < (0.05 if decisions == 100 else 0.03)


def test_draws_by_lot_stand_for_the_rest_that_the_queue_did_not_choose() -> None:
    """The queue showed the likely bad alone; a twentieth of the looks were drawn by lot."""
    world = make_world(6_000, score_tells=2.0, bad_share=0.1)
    count = len(world.table)
    known = np.zeros(count, dtype=bool)
    known[np.argsort(world.table.main_score)[:500]] = True
    lot = np.random.default_rng(1).choice(count, 60, replace=False)
    is_random = np.zeros(count, dtype=bool)
    is_random[lot] = known[lot] = True
    hidden = ~known
    fitted = fit(world, Decided(known, world.is_bad, is_random))
    assert fitted.chance[hidden].mean() == pytest.approx(world.is_bad[hidden].mean(), abs=0.03)


def test_the_same_decisions_give_the_same_model() -> None:
    world = make_world()
    first, second = fit(world, world.decided(150)), fit(world, world.decided(150))
    assert (first.chance == second.chance).all()
    assert (first.held_out == second.held_out).all()


def test_every_fold_has_its_share_of_the_bad() -> None:
    bad = np.arange(103) < 25
    fold = folds_of(bad)
    assert np.bincount(fold[bad]).tolist() == [5] * 5
    assert set(np.bincount(fold)) <= {20, 21}


def test_the_calibration_is_a_line_for_few_and_steps_for_many() -> None:
    rng = np.random.default_rng(0)
    for count, name in ((150, "Platt"), (4_000, "isotonic")):
        odds = rng.normal(size=count)
        bad = rng.random(count) < 1 / (1 + np.exp(-2 * odds))
        calibrate, how = calibration(odds, bad, np.ones(count))
        assert how == name
        chances = calibrate(np.linspace(-9, 9, 50))
        assert np.all(np.diff(chances) >= 0)
        assert 0 < chances[0] < 0.1
        assert 0.9 < chances[-1] < 1


def test_a_table_without_any_score_can_teach_too() -> None:
    world = make_world(1_000, bad_captions=0.3, bad_share=0.1)
    nothing = {"score": np.full(len(world.table), np.nan)}
    silent = World(ImageTable(nothing, world.table.kinds), world.is_bad)
    decided = silent.decided(400)
    hidden = ~decided.is_known
    assert quality(fit(silent, decided).log_odds[hidden], world.is_bad[hidden]) > 0.7


def test_the_names_of_the_weights_come_largest_first() -> None:
    fitted = fit(make_world(score_tells=3.0), make_world(score_tells=3.0).decided(300))
    assert len(fitted.names) == len(fitted.weights)
    assert np.all(np.diff(np.abs(fitted.weights)) <= 0)
    assert fitted.names[0].startswith("score")
