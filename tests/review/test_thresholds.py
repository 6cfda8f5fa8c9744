"""The choice of a threshold: hand-worked cases, and how often the chosen set is too bad."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.review.certificate import Look, Stream, running_bound
from synthreview.review.thresholds import (
    STEPS,
    Cell,
    chosen_of,
    cuts_of,
    has_shifted,
    level_of,
    steps_of,
)

TARGET, ALPHA = 0.05, 0.05


def cell_of(
    scores: np.ndarray, is_bad: np.ndarray, order: np.ndarray, is_audit: np.ndarray
) -> Cell:
    """Return a cell of which the images in `order` were handed out, by lot or not."""
    return Cell(
        scores=scores,
        place=order,
        is_audit=is_audit,
        is_bad=is_bad[order],
        is_lost=np.zeros(len(order), dtype=bool),
    )


def audited(scores: np.ndarray, is_bad: np.ndarray, count: int, seed: int = 0) -> Cell:
    """Return a cell of which so many images were drawn by lot and nothing else was seen."""
    order = np.random.default_rng(seed).permutation(len(scores))[:count]
    return cell_of(scores, is_bad, order, np.ones(count, dtype=bool))


def test_the_steps_are_nested_and_take_ties_along() -> None:
    scores = np.array([0.1, 0.2, 0.2, 0.2, *np.linspace(0.3, 0.9, 16)])
    cuts = cuts_of(scores)
    assert len(cuts) == STEPS
    assert cuts == sorted(cuts, reverse=True)
    assert cuts[0] == pytest.approx(0.9)
    assert cuts[-1] == pytest.approx(0.1)
    sizes = [
        s.population for s in steps_of(audited(scores, scores < 0, 0), target=0.05, alpha=0.05)
    ]
    assert sizes == [*range(1, 17), 19, 19, 19, 20]


def test_without_audits_nothing_is_accepted() -> None:
    scores = np.linspace(0, 1, 200)
    steps = steps_of(audited(scores, np.zeros(200, bool), 0), target=TARGET, alpha=ALPHA)
    assert chosen_of(steps) is None
    assert all(step.at_most == 1 for step in steps)


def test_without_scores_there_is_nothing_to_choose() -> None:
    steps = steps_of(audited(np.array([]), np.array([], bool), 0), target=TARGET, alpha=ALPHA)
    assert steps == []
    assert chosen_of(steps) is None


def test_the_bad_below_the_cut_are_left_out() -> None:
    """The lowest third is all bad, the rest all good: what is accepted ends near there."""
    scores = np.linspace(0, 1, 900)
    steps = steps_of(audited(scores, scores < 1 / 3, 400), target=TARGET, alpha=ALPHA)
    chosen = chosen_of(steps)
    assert chosen is not None
    assert 0.6 <= chosen.share <= 0.7
    assert chosen.at_most <= TARGET
    assert not any(step.is_passed for step in steps if step.share > 0.75)


def test_where_nothing_is_bad_everything_is_accepted_in_the_end() -> None:
    scores = np.linspace(0, 1, 900)
    chosen = chosen_of(steps_of(audited(scores, scores < 0, 500), target=TARGET, alpha=ALPHA))
    assert chosen is not None
    assert chosen.share == 1


def test_a_set_that_no_start_reaches_is_not_taken() -> None:
    """Bad ones high up: 60 and 65 % hold by themselves, but come after a half that does not."""
    scores = np.linspace(0, 1, 1000)
    steps = steps_of(audited(scores, scores > 0.97, 1000), target=TARGET, alpha=ALPHA)
    assert [step.number for step in steps if step.is_passed] == [15, 16, 17, 18, 19, 20]


def test_the_test_of_one_set_agrees_with_the_running_certificate() -> None:
    """A set is certain at a level exactly where the certificate's bound on it is low enough."""
    rng = np.random.default_rng(5)
    agreed = set()
    for _ in range(60):
        scores = rng.random(300)
        is_bad = rng.random(300) < rng.choice([0.0, 0.01, 0.03])
        cell = audited(scores, is_bad, int(rng.integers(20, 250)), int(rng.integers(1_000)))
        step = steps_of(cell, target=TARGET, alpha=ALPHA)[-1]
        looks = [Look(Stream.AUDIT, bool(bad)) for bad in cell.is_bad]
        bound = running_bound(looks, population=300, target=TARGET, alpha=ALPHA / 3)
        holds = bound.found_bad + bound.remaining_bad <= 15
        if step.is_passed:
            assert holds
        agreed.add(holds)
    assert agreed == {True, False}


def test_what_was_found_and_what_left_unseen_counts_against_the_set() -> None:
    scores = np.linspace(0, 1, 100)
    nothing = np.zeros(100, bool)
    order = np.arange(100)
    seen = Cell(scores, order, ~nothing, scores < 0.04, nothing)
    assert steps_of(seen, target=TARGET, alpha=ALPHA)[-1].is_passed
    lost = Cell(scores, order, ~nothing, scores < 0.04, (scores > 0.5) & (scores < 0.53))
    assert not steps_of(lost, target=TARGET, alpha=ALPHA)[-1].is_passed


def test_queue_looks_are_no_evidence() -> None:
    scores = np.linspace(0, 1, 400)
    order = np.argsort(scores)[::-1][:300]
    cell = cell_of(scores, scores < 0, order, np.zeros(300, dtype=bool))
    # Those 300 were all seen, so that the sets within them hold by count; no larger one does.
    chosen = chosen_of(steps_of(cell, target=TARGET, alpha=ALPHA))
    assert chosen is not None
    assert chosen.population <= 300 / (1 - TARGET)


def test_levels_of_all_cells_and_populations_stay_below_alpha() -> None:
    spent = sum(cells * level_of(n, cells, ALPHA) for n, cells in enumerate([12, 3, 40, 1] * 5, 1))
    assert spent <= ALPHA
    assert level_of(1, 1, ALPHA) == pytest.approx(0.8 * ALPHA)


def test_numbers_out_of_range_are_refused() -> None:
    cell = audited(np.linspace(0, 1, 10), np.zeros(10, bool), 0)
    with pytest.raises(ValueError, match="between 0 and 1"):
        steps_of(cell, target=0, alpha=ALPHA)


# --- How often it is wrong --------------------------------------------------------------


def worlds(rng: np.random.Generator, kind: str, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and truth of worlds that lie where a choice goes wrong most easily."""
    scores = rng.random(count)
    if kind == "useless score":
        return scores, rng.random(count) < TARGET * 1.3
    if kind == "bad ones score high":
        return scores, rng.random(count) < TARGET * 2.2 * scores
    # Just above the target from the middle on: the sequence must stop there.
    return scores, rng.random(count) < np.where(scores < 0.5, TARGET * 2.4, TARGET * 0.6)


@pytest.mark.parametrize("kind", ["useless score", "bad ones score high", "bad from the middle on"])
@pytest.mark.parametrize("queue", ["audits alone", "queue hides the bad", "queue finds the bad"])
def test_the_chosen_set_is_too_bad_in_at_most_one_of_twenty_cases(kind: str, queue: str) -> None:
    """Too bad at any moment: evidence only grows, so that the last look holds all earlier ones.

    `log_stake` is the highest ever reached, and a set's hypothesis never moves.
    """
    runs, wrong = 300, 0
    for run in range(runs):
        rng = np.random.default_rng([run, len(kind), len(queue)])
        count = 400
        scores, is_bad = worlds(rng, kind, count)
        cell = reviewed(rng, scores, is_bad, queue)
        chosen = chosen_of(steps_of(cell, target=TARGET, alpha=ALPHA, bounded=False))
        if chosen:
            inside = scores >= chosen.cut
            wrong += bool(is_bad[inside].sum() > TARGET * inside.sum())
    assert wrong <= 0.05 * runs


def test_it_accepts_what_is_good_enough_in_most_cases() -> None:
    """A procedure that never accepts anything would be valid too."""
    accepted = []
    for run in range(60):
        rng = np.random.default_rng([run, 7])
        scores = rng.random(600)
        is_bad = rng.random(600) < np.where(scores < 0.4, 0.3, 0.005)
        cell = reviewed(rng, scores, is_bad, "audits alone")
        chosen = chosen_of(steps_of(cell, target=TARGET, alpha=ALPHA, bounded=False))
        accepted.append(chosen.share if chosen else 0)
    assert np.median(accepted) >= 0.5


def reviewed(rng: np.random.Generator, scores: np.ndarray, is_bad: np.ndarray, queue: str) -> Cell:
    """Return 200 looks: all audits, or half of them chosen by a queue that knows the truth."""
    count = len(scores)
    lots = rng.permutation(count).tolist()
    if queue == "audits alone":
        wanted: list[int] = []
    else:
        first = is_bad if queue == "queue finds the bad" else ~is_bad
        wanted = np.argsort(~first, kind="stable").tolist()
    order: list[int] = []
    audits: list[bool] = []
    gone = np.zeros(count, dtype=bool)
    for look in range(200):
        by_lot = not wanted or look % 2 == 0
        source = lots if by_lot else wanted
        image = next(one for one in source if not gone[one])
        gone[image] = True
        order.append(image)
        audits.append(by_lot)
    return cell_of(scores, is_bad, np.array(order), np.array(audits, dtype=bool))


# --- Shifts -------------------------------------------------------------------------------


def test_a_shift_is_noticed_and_chance_is_not() -> None:
    rng = np.random.default_rng(0)
    known = rng.normal(0.5, 0.1, 500)
    assert has_shifted(known, rng.normal(0.65, 0.1, 60))
    assert not any(has_shifted(known, rng.normal(0.5, 0.1, 60)) for _ in range(200))
    assert not has_shifted(known, rng.normal(0.9, 0.1, 10))
