"""A replay says what the queue would have cost: by hand, against plain loops, and on drawn data."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.review.certificate import Look, Stream, running_bound
from synthreview.review.ranking.model import Ranker
from synthreview.review.ranking.orders import Policy
from synthreview.review.ranking.replaying import (
    Mean,
    Review,
    found_after,
    looks_to_certify,
    perfect,
    replay,
    review,
    share_to_find,
)
from synthreview.review.ranking.table import ImageTable
from tests.review.ranking.worlds import make_world

# Ten images, two captions, five bad. Lowest first: bad at the 1st, 2nd, 4th, 7th and 10th place.
SCORE = [0.05, 0.10, 0.15, 0.20, 0.25, 0.30, 0.35, 0.40, 0.45, 0.50]
BAD = np.array([1, 1, 0, 1, 0, 0, 1, 0, 0, 1], dtype=bool)
CAPTION = [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
TEN = ImageTable({"score": np.array(SCORE)}, {"caption": np.array(CAPTION)})


def test_lowest_first_by_hand() -> None:
    [found] = replay(TEN, BAD, policies=[Policy.LOWEST], seeds=3, certify=())
    # 80 % of five is four, found at the 7th look; all five at the last.
    assert {q: m.mean for q, m in found.share_to_find.items()} == pytest.approx(
        {0.8: 0.7, 0.9: 1.0, 0.95: 1.0, 0.99: 1.0}
    )
    # After one look one of five, after two two, after five three.
    assert {q: m.mean for q, m in found.found_after.items()} == pytest.approx(
        {0.1: 0.2, 0.2: 0.4, 0.5: 0.6}
    )
    assert found.curve[0] == 0
    assert found.curve[-1] == 1


def test_the_lowest_of_each_caption_first_by_hand() -> None:
    [found] = replay(TEN, BAD, policies=[Policy.RANK], seeds=2, certify=())
    # Looks: 0 5 | 1 6 | 2 7 | 3 8 | 4 9; bad are 0, 1, 6, 3 and 9: the 1st, 3rd, 4th, 7th, 10th.
    assert found.share_to_find[0.8] == Mean(0.7, 0.7, 0.7)
    assert {q: m.mean for q, m in found.found_after.items()} == pytest.approx(
        {0.1: 0.2, 0.2: 0.2, 0.5: 0.6}
    )


def test_an_order_that_knows_the_truth_by_hand() -> None:
    found = perfect(BAD)
    assert {q: m.mean for q, m in found.share_to_find.items()} == {
        0.8: 0.4,
        0.9: 0.5,
        0.95: 0.5,
        0.99: 0.5,
    }
    assert found.found_after[0.5].mean == 1


def test_a_share_of_the_bad_is_found_at_the_first_look_that_reaches_it() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        count = int(rng.integers(2, 60))
        bad = rng.random(count) < 0.3
        bad[0] = True
        order = rng.permutation(count)
        for share in (0.8, 0.9, 0.95, 0.99, 1.0):
            looks = round(share_to_find(order, bad, share) * count)
            assert bad[order[:looks]].sum() >= share * bad.sum() - 1e-9
            assert bad[order[: looks - 1]].sum() < share * bad.sum() - 1e-9
        assert found_after(order, bad, 1.0) == 1


def test_the_certificate_of_a_replay_is_the_products_own() -> None:
    """The documented case: 170 good audits are enough to certify 2 % of 10,000 images."""
    bad = np.zeros(10_000, dtype=bool)
    bad[-50:] = True
    audits = Review(np.arange(10_000), np.ones(10_000, dtype=bool))
    count = looks_to_certify(audits, bad, 0.02)
    assert count <= 170
    good = [Look(Stream.AUDIT, is_bad=False)]
    assert running_bound(good * count, population=10_000, target=0.02).error <= 0.02
    assert running_bound(good * (count - 1), population=10_000, target=0.02).error > 0.02


def test_the_first_certified_look_is_the_one_that_a_plain_walk_finds() -> None:
    world = make_world(300, score_tells=2.0)
    done = review(
        world.table, world.is_bad, Policy.LOWEST, np.random.default_rng(0), audit_share=0.5
    )
    looks = [
        Look(Stream.AUDIT if audit else Stream.TARGETED, bool(world.is_bad[image]))
        for image, audit in zip(done.order, done.is_audit, strict=True)
    ]
    for target in (0.05, 0.15):
        plain = next(
            count
            for count in range(301)
            if running_bound(looks[:count], population=300, target=target).error <= target
        )
        assert 0 < plain < 300
        assert looks_to_certify(done, world.is_bad, target) == plain


@pytest.mark.parametrize("policy", Policy)
def test_every_image_comes_once_with_its_share_of_audits(policy: Policy) -> None:
    world = make_world(500)
    done = review(world.table, world.is_bad, policy, np.random.default_rng(1), audit_share=0.2)
    assert sorted(done.order) == list(range(500))
    assert 60 < done.is_audit.sum() < 140
    bare = review(world.table, world.is_bad, policy, np.random.default_rng(1))
    assert not bare.is_audit.any()


def test_audits_are_drawn_evenly_from_what_waits() -> None:
    world = make_world(40)
    counts = np.zeros(40)
    for seed in range(600):
        done = review(
            world.table,
            world.is_bad,
            Policy.LOWEST,
            np.random.default_rng(seed),
            audit_share=0.2,
        )
        counts[done.order[np.flatnonzero(done.is_audit)[:1]]] += 1
    # The first audit comes after four cards of the queue on average: those lowest are gone.
    rest = counts[np.argsort(world.table.main_score)[20:]]
    assert rest.min() > 4
    assert rest.std() < 2 * np.sqrt(rest.mean())


def test_learning_beats_the_score_where_captions_go_wrong() -> None:
    world = make_world(600, score_tells=0.7, bad_share=0.05, bad_captions=0.15)
    lowest, learned = replay(
        world.table,
        world.is_bad,
        policies=[Policy.LOWEST, Policy.LEARNED],
        seeds=3,
        certify=(),
    )
    assert learned.share_to_find[0.8].mean < 0.8 * lowest.share_to_find[0.8].mean


def test_learning_does_not_hurt_where_the_score_is_good() -> None:
    ratios = []
    for seed in range(5):
        world = make_world(600, seed=seed, score_tells=3.0)
        lowest, learned = replay(
            world.table,
            world.is_bad,
            policies=[Policy.LOWEST, Policy.LEARNED],
            seeds=2,
            certify=(),
        )
        ratios.append(learned.share_to_find[0.9].mean / lowest.share_to_find[0.9].mean)
    assert np.mean(ratios) < 1.08


def test_a_seed_gives_the_same_replay_again() -> None:
    world = make_world(200)
    first, second = (
        replay(world.table, world.is_bad, policies=[Policy.LEARNED], seeds=2) for _ in range(2)
    )
    assert first == second


def test_the_truth_of_what_nobody_saw_changes_nothing_before_it_is_seen() -> None:
    world = make_world(300)
    ranker = Ranker(world.table)
    order = review(
        world.table, world.is_bad, Policy.LEARNED, np.random.default_rng(0), ranker=ranker
    ).order
    other = world.is_bad.copy()
    other[order[100:]] = ~other[order[100:]]
    again = review(
        world.table, other, Policy.LEARNED, np.random.default_rng(0), ranker=ranker
    ).order
    assert (order[:100] == again[:100]).all()


def test_a_mean_has_students_interval() -> None:
    found = Mean.of([1.0, 2.0, 3.0])
    assert found.mean == 2
    assert found.high - found.mean == pytest.approx(4.302653 / 3**0.5)
    assert Mean.of([1.0]) == Mean(1, 1, 1)
