"""The share of audits: what it depends on, which way it turns, and that it saves looks."""

from __future__ import annotations

import numpy as np

from benchmarks.audit_share import looks_until
from synthreview.review.certificate import Look, Stream
from synthreview.review.steering import LEAST, MOST, audit_share, queue_first

AUDIT_GOOD, AUDIT_BAD = Look(Stream.AUDIT, is_bad=False), Look(Stream.AUDIT, is_bad=True)
QUEUE_GOOD, QUEUE_BAD = Look(Stream.TARGETED, is_bad=False), Look(Stream.TARGETED, is_bad=True)


def share(looks: list[Look]) -> float:
    return audit_share(looks, population=3_000, target=0.02, start=0.3)


def test_it_starts_with_the_policys_share() -> None:
    assert share([]) == 0.3
    assert share([QUEUE_BAD] * 50 + [AUDIT_GOOD] * 4) == 0.3


def test_the_queue_works_while_it_finds_many() -> None:
    assert share([AUDIT_BAD, *[AUDIT_GOOD] * 9, *[QUEUE_BAD] * 30, *[QUEUE_GOOD] * 10]) == LEAST


def test_audits_are_drawn_once_the_rest_looks_clean() -> None:
    assert share([*[QUEUE_BAD] * 30, *[QUEUE_GOOD] * 60, *[AUDIT_GOOD] * 60]) == MOST


def test_a_queue_no_better_than_chance_gives_way_to_audits() -> None:
    assert share([AUDIT_BAD, *[AUDIT_GOOD] * 4] * 10 + [QUEUE_GOOD] * 60) == MOST


def test_bad_audits_bring_the_queue_back_where_it_still_finds() -> None:
    """The queue finds one in twenty, the audits none; then three of four audits are bad."""
    looks = [*[QUEUE_BAD, *[QUEUE_GOOD] * 19] * 3, *[AUDIT_GOOD] * 150]
    assert share(looks) == MOST
    better = [*[QUEUE_BAD, *[QUEUE_GOOD] * 4] * 12, *[AUDIT_GOOD] * 150]
    assert share([*better, AUDIT_BAD, AUDIT_BAD, AUDIT_GOOD, AUDIT_BAD]) == LEAST


def test_when_all_is_reviewed_it_still_answers() -> None:
    looks = [QUEUE_BAD, AUDIT_GOOD] * 10
    assert audit_share(looks, population=20, target=0.02) == MOST


def test_a_clean_rest_needs_no_queue_first() -> None:
    assert not queue_first(0.0005, 0.01, 5_000, target=0.02, alpha=0.05)
    assert queue_first(0.1, 0.6, 5_000, target=0.02, alpha=0.05)


def test_adapting_saves_looks() -> None:
    """1,200 images, 15 % bad, a middling score, target 5 %; ten populations."""

    def mean(share: float | None) -> float:
        rng = np.random.default_rng(5)
        bad = [rng.random(1_200) < 0.15 for _ in range(10)]
        keys = [rng.normal(size=1_200) - 2.0 * truth for truth in bad]
        return float(
            np.mean(
                [
                    looks_until(truth, key, share=share, target=0.05, rng=rng)
                    for truth, key in zip(bad, keys, strict=True)
                ]
            )
        )

    assert mean(None) < 0.95 * mean(0.2)
