"""What takes part as what: arms, seeds, and the share that steers."""

from __future__ import annotations

import hashlib

from synthreview.evaluation.arms import Arm, arms_of, full_arm, training_part
from synthreview.evaluation.frozen import Frozen, Part, is_for_validation, kept_by_lot


def part(count: int, *, first: int = 0, techniques: bool = False) -> Part:
    numbers = range(first, first + count)
    return Part(
        list(numbers),
        [hashlib.sha256(str(number).encode()).hexdigest() for number in numbers],
        [number % 2 for number in numbers],
        [number % 3 for number in numbers] if techniques else (),
    )


def frozen(real: int = 10) -> Frozen:
    return Frozen(
        classes=[(1, "car"), (2, "cup")],
        techniques=["plain", "style", "typographic"],
        test=part(40, first=1000),
        real=part(real),
        approved=part(30, first=100, techniques=True),
        drawn=part(60, first=100, techniques=True),
    )


def names(arms: list[Arm]) -> list[str]:
    return [arm.name for arm in arms]


def test_it_survives_being_written_down() -> None:
    assert Frozen.from_json(frozen().as_json()) == frozen()


def test_there_is_an_arm_for_each_technique_left_out() -> None:
    assert names(arms_of(frozen(), with_unreviewed=True)) == [
        "real", "synthetic", "both", "without:plain", "without:style", "without:typographic",
        "unreviewed",
    ]  # fmt: skip


def test_without_real_images_the_synthetic_ones_stand_alone() -> None:
    arms = arms_of(frozen(real=0), with_unreviewed=False)
    assert names(arms)[0] == full_arm(arms).name == "synthetic"
    assert not any(arm.with_real for arm in arms)


def test_an_arm_holds_what_its_name_says() -> None:
    arms = {arm.name: arm for arm in arms_of(frozen(), with_unreviewed=True)}
    both = training_part(frozen(), arms["both"], 0)
    without = training_part(frozen(), arms["without:style"], 0)
    style = {pk for pk, at in zip(frozen().approved.ids, frozen().approved.techniques, strict=True)
             if at == 1}  # fmt: skip
    assert set(both.ids) - set(without.ids) == style & set(both.ids)
    assert set(without.ids) < set(both.ids)
    unreviewed = training_part(frozen(), arms["unreviewed"], 0)
    assert max(unreviewed.ids) > max(both.ids)


def test_no_arm_ever_holds_a_test_image() -> None:
    for arm in arms_of(frozen(), with_unreviewed=True):
        for seed in range(3):
            assert not {*training_part(frozen(), arm, seed).sha256} & {*frozen().test.sha256}


def test_seeds_leave_out_other_images_and_the_same_in_every_arm() -> None:
    arms = {arm.name: arm for arm in arms_of(frozen(), with_unreviewed=True)}
    real = [set(training_part(frozen(), arms["real"], seed).ids) for seed in range(8)]
    assert all(len(kept) == 8 for kept in real)  # one of five of each class
    assert len({frozenset(kept) for kept in real}) > 1
    for seed, kept in enumerate(real):
        both = set(training_part(frozen(), arms["both"], seed).ids)
        assert both & set(frozen().real.ids) == kept


def test_of_two_images_of_a_class_none_is_left_out() -> None:
    few = Part([1, 2], ["a", "b"], [0, 0])
    assert kept_by_lot(few, 3) == [0, 1]


def test_what_steers_stays_so_however_the_test_set_grows() -> None:
    steering = [is_for_validation(sha256) for sha256 in part(500).sha256]
    assert steering[:100] == [is_for_validation(sha256) for sha256 in part(100).sha256]
    assert 110 <= sum(steering) <= 190  # 30 % of 500, give or take four deviations
