"""Splits: by family, stable under growth, and on average as large as asked for."""

from __future__ import annotations

import uuid
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthreview.export.splits import SPLITS, parse_ratio, ratio_text, split_of

SHARES = {"train": 0.8, "validation": 0.1, "test": 0.1}


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("80/10/10", SHARES),
        ("8/1/1", SHARES),
        ("70/30", {"train": 0.7, "validation": 0.3}),
        ("100", {"train": 1.0}),
        ("80/0/20", {"train": 0.8, "test": 0.2}),
        (" 1 / 1 ", {"train": 0.5, "validation": 0.5}),
    ],
)
def test_a_ratio_becomes_shares_that_add_up_to_one(text: str, shares: dict[str, float]) -> None:
    assert parse_ratio(text) == pytest.approx(shares)


@pytest.mark.parametrize(
    "text", ["", "a/b", "80/", "-1/2", "0/0", "1/2/3/4", "nan/1", "inf/1", "1e999", "80,10,10"]
)
def test_a_wrong_ratio_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="for example 80/10/10"):
        parse_ratio(text)


@settings(deadline=None)
@given(st.lists(st.floats(min_value=0, max_value=1e6), min_size=1, max_size=3))
def test_shares_of_any_ratio_add_up_to_one(numbers: list[float]) -> None:
    text = "/".join(f"{number:f}" for number in numbers)
    try:
        shares = parse_ratio(text)
    except ValueError:
        assert sum(float(f"{number:f}") for number in numbers) == 0
    else:
        assert sum(shares.values()) == pytest.approx(1)
        assert set(shares) <= set(SPLITS)


@settings(deadline=None)
@given(st.uuids(), st.sampled_from(["80/10/10", "70/30", "100", "1/1/1", "0/0/1"]))
def test_each_family_has_one_split_of_those_asked_for(family: uuid.UUID, ratio: str) -> None:
    shares = parse_ratio(ratio)
    assert split_of(family, shares) in shares
    mixed = dict(sorted(shares.items()))  # as PostgreSQL gives them back
    assert split_of(family, shares) == split_of(uuid.UUID(str(family)), mixed)


def test_splits_worked_by_hand() -> None:
    """As docs/exporting.md tells it: the number of a family is its hash's first eight bytes."""
    assert split_of(uuid.UUID(int=0), SHARES) == "train"
    assert split_of(uuid.UUID(int=3), SHARES) == split_of(uuid.UUID(int=3), SHARES)
    found = {split_of(uuid.UUID(int=number), SHARES) for number in range(60)}
    assert found == set(SPLITS)


def test_shares_are_met_on_average() -> None:
    counts = Counter(split_of(uuid.UUID(int=number), SHARES) for number in range(20_000))
    for split, share in SHARES.items():
        assert counts[split] / 20_000 == pytest.approx(share, abs=0.01)


def test_a_larger_train_share_takes_no_image_out_of_train() -> None:
    families = [uuid.UUID(int=number) for number in range(500)]
    small, large = parse_ratio("60/40"), parse_ratio("80/20")
    before = {family for family in families if split_of(family, small) == "train"}
    after = {family for family in families if split_of(family, large) == "train"}
    assert before < after


def test_shares_are_told_in_one_order() -> None:
    mixed = {"test": 0.1, "train": 0.8, "validation": 0.1}
    assert ratio_text(mixed) == "train 80%, validation 10%, test 10%"
