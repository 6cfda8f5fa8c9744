"""Splits: no family is parted, each class is shared alike, and as near to the wish as can be."""

from __future__ import annotations

import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthreview.export import splits
from synthreview.export.splits import (
    SPLITS,
    FamilySize,
    Wish,
    cost,
    parse_wish,
    share_out,
)
from synthreview.lib.forest import components

# --- The wish -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("80/10/10", {"train": 0.8, "validation": 0.1, "test": 0.1}),
        ("8/1/1", {"train": 0.8, "validation": 0.1, "test": 0.1}),
        ("70/30", {"train": 0.7, "validation": 0.3}),
        ("100", {"train": 1.0}),
        ("80/0/20", {"train": 0.8, "test": 0.2}),
        (" 1 / 1 ", {"train": 0.5, "validation": 0.5}),
    ],
)
def test_a_ratio_becomes_shares_that_add_up_to_one(text: str, shares: dict[str, float]) -> None:
    assert parse_wish(text).shares == pytest.approx(shares)
    assert parse_wish(text).splits == tuple(split for split in SPLITS if split in shares)


@pytest.mark.parametrize(
    ("text", "counts", "rest"),
    [
        ("rest/500/500", {"validation": 500, "test": 500}, "train"),
        ("1000/Rest", {"train": 1000}, "validation"),
        ("rest", {}, "train"),
        ("rest/0/20", {"test": 20}, "train"),
    ],
)
def test_numbers_of_images_leave_the_rest(text: str, counts: dict[str, int], rest: str) -> None:
    assert (parse_wish(text).counts, parse_wish(text).rest) == (counts, rest)


@pytest.mark.parametrize(
    "text",
    [
        "", "a/b", "80/", "-1/2", "0/0", "1/2/3/4", "nan/1", "inf/1", "1e999", "80,10,10",
        "rest/rest", "rest/-1", "rest/1.5", "rest/٣", "rest/",
    ],
)  # fmt: skip
def test_a_wrong_wish_says_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match="for example 80/10/10, or rest/500/500"):
        parse_wish(text)


@pytest.mark.parametrize("text", ["80/10/10", "70/30", "100", "rest/5/5", "5/rest"])
def test_a_wish_is_kept_as_json(text: str) -> None:
    wish = parse_wish(text, keeps=False)
    assert Wish.from_json(wish.as_json()) == wish
    mixed = dict(reversed(wish.as_json().items()))  # a database may mix the order
    assert str(Wish.from_json(mixed)) == str(wish)


def test_a_wish_from_before_there_were_counts_is_read() -> None:
    assert Wish.from_json({"test": 0.2, "train": 0.8}).splits == ("train", "test")


def test_wishes_are_told_in_words() -> None:
    assert str(parse_wish("80/10/10")) == "train 80%, validation 10%, test 10%"
    assert str(parse_wish("rest/1500")) == "train rest, validation 1,500"


def test_more_than_there_is_cannot_be_wished() -> None:
    with pytest.raises(ValueError, match=r"1,000 images are wished .* and there are 7"):
        share_out([FamilySize("a", ((0, 7),))], parse_wish("rest/500/500"), 1)


# --- Components -----------------------------------------------------------------------


@settings(deadline=None)
@given(
    st.integers(1, 30).flatmap(
        lambda count: st.tuples(
            st.just(count),
            st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1))),
        )
    )
)
def test_components_are_what_a_walk_from_each_node_reaches(
    graph: tuple[int, list[tuple[int, int]]],
) -> None:
    count, pairs = graph
    near = {node: {node} for node in range(count)}
    for first, second in pairs:
        near[first].add(second)
        near[second].add(first)
    for node, root in enumerate(components(count, pairs)):
        reached, border = {node}, [node]
        while border:
            new = near[border.pop()] - reached
            reached |= new
            border += new
        assert root == min(reached)


# --- Sharing out ----------------------------------------------------------------------


def images(*counts: int, label: int = 0) -> list[FamilySize]:
    return [
        FamilySize(f"{label}-{number}", ((label, count),)) for number, count in enumerate(counts)
    ]


def got(families: list[FamilySize], chosen: list[str], wish: Wish, classes: int) -> np.ndarray:
    counts = np.zeros((classes, len(wish.splits)))
    for family, split in zip(families, chosen, strict=True):
        for label, count in family.counts:
            counts[label, wish.splits.index(split)] += count
    return counts


def test_single_images_meet_the_wish_to_the_image_in_every_class() -> None:
    families = images(*[1] * 50) + images(*[1] * 30, label=1)
    chosen, _ = share_out(families, parse_wish("80/10/10"), 2)
    counts = got(families, chosen, parse_wish("80/10/10"), 2)
    assert counts.tolist() == [[40, 5, 5], [24, 3, 3]]


def test_numbers_are_shared_over_the_classes_by_their_size() -> None:
    families = images(*[1] * 60) + images(*[1] * 40, label=1)
    wish = parse_wish("rest/10/20")
    chosen, _ = share_out(families, wish, 2)
    assert got(families, chosen, wish, 2).tolist() == [[42, 6, 12], [28, 4, 8]]


def test_worked_by_hand() -> None:
    """As docs/exporting.md tells it: 6 + 3 + 1 images, half and half, are 6 and 4."""
    families = images(6, 3, 1)
    chosen, aimed = share_out(families, parse_wish("50/50"), 1)
    assert chosen == ["train", "validation", "validation"]
    assert aimed.tolist() == [[5, 5]]
    assert cost(got(families, chosen, parse_wish("50/50"), 1), aimed) == 4


def test_a_family_of_everything_stays_whole() -> None:
    chosen, _ = share_out(images(100), parse_wish("80/10/10"), 1)
    assert chosen == ["train"]


def test_a_pinned_family_stays_and_the_others_make_up_for_it() -> None:
    families = [FamilySize("p", ((0, 3),), "test"), *images(*[1] * 7)]
    chosen, _ = share_out(families, parse_wish("70/0/30"), 1)
    assert chosen == ["test"] + ["train"] * 7


def test_the_choice_hangs_on_names_and_not_on_the_order() -> None:
    families = images(*[1] * 40, 3, 3, 2)
    first = dict(zip([row.key for row in families], share_out(families, WISH, 1)[0], strict=True))
    mixed = random.Random(5).sample(families, len(families))
    second = dict(zip([row.key for row in mixed], share_out(mixed, WISH, 1)[0], strict=True))
    assert first == second


WISH = parse_wish("80/10/10")
small_families = st.lists(
    st.tuples(
        st.dictionaries(st.integers(0, 2), st.integers(1, 9), min_size=1, max_size=2),
        st.sampled_from(["", "", "", "train", "validation", "test"]),
    ),
    min_size=1,
    max_size=7,
).map(
    lambda rows: [
        FamilySize(str(number), tuple(sorted(counts.items())), pinned)
        for number, (counts, pinned) in enumerate(rows)
    ]
)


@settings(deadline=None, max_examples=150)
@given(small_families, st.sampled_from(["80/10/10", "1/1/1", "50/30/20", "rest/1/1"]))
def test_few_families_are_shared_as_near_as_any_way_can(
    families: list[FamilySize], text: str
) -> None:
    """Against every way there is, tried out by the plainest means."""
    wish = parse_wish(text)
    if sum(family.size for family in families) < sum(wish.counts.values()):
        return
    chosen, aimed = share_out(families, wish, 3)
    for family, split in zip(families, chosen, strict=True):
        assert split == (family.pinned or split)
    choices = [[family.pinned] if family.pinned else list(wish.splits) for family in families]
    best = min(
        cost(got(families, list(way), wish, 3), aimed) for way in itertools.product(*choices)
    )
    assert cost(got(families, chosen, wish, 3), aimed) == pytest.approx(best, abs=1e-5)


@settings(deadline=None, max_examples=60)
@given(small_families)
def test_moving_and_exchanging_ends_where_neither_helps(families: list[FamilySize]) -> None:
    """What many families get: no single move and no exchange of two brings it nearer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(splits, "EXHAUSTIVE", 0)
        chosen, aimed = share_out(families, WISH, 3)
    reached = cost(got(families, chosen, WISH, 3), aimed)
    free = [place for place, family in enumerate(families) if not family.pinned]
    ways = []
    for place, split in itertools.product(free, SPLITS):
        ways.append([*chosen[:place], split, *chosen[place + 1 :]])
    for first, second in itertools.combinations(free, 2):
        other = list(chosen)
        other[first], other[second] = chosen[second], chosen[first]
        ways.append(other)
    for way in ways:
        assert cost(got(families, way, WISH, 3), aimed) >= reached - 1e-5


def test_many_families_come_within_an_image_of_the_wish() -> None:
    sizes = random.Random(3).choices([1, 1, 1, 1, 2, 3, 4, 12], k=3_000)
    families = [FamilySize(str(number), ((number % 7, size),)) for number, size in enumerate(sizes)]
    chosen, aimed = share_out(families, WISH, 7)
    off = np.abs(got(families, chosen, WISH, 7) - aimed)
    assert off.max() < 1
    assert np.abs((got(families, chosen, WISH, 7) - aimed).sum(axis=0)).max() < 1
    assert Counter(chosen).keys() == set(SPLITS)


ancestries = st.integers(1, 40).flatmap(
    lambda count: st.tuples(
        st.lists(st.integers(0, 2), min_size=count, max_size=count),
        st.lists(st.tuples(st.integers(0, count - 1), st.integers(0, count - 1)), max_size=count),
        st.dictionaries(st.integers(0, count - 1), st.sampled_from(SPLITS), max_size=4),
    )
)


@settings(deadline=None, max_examples=200)
@given(ancestries, st.sampled_from(["80/10/10", "1/1/1", "100", "rest/1"]))
def test_no_family_of_any_ancestry_crosses_a_split(
    ancestry: tuple[list[int], list[tuple[int, int]], dict[int, str]], text: str
) -> None:
    labels, pairs, pins = ancestry
    wish = parse_wish(text)
    if sum(wish.counts.values()) > len(labels):
        return
    roots = components(len(labels), pairs)
    pinned = {roots[node]: split for node, split in pins.items() if split in wish.splits}
    counts = {root: Counter[int]() for root in roots}
    for root, label in zip(roots, labels, strict=True):
        counts[root][label] += 1
    families = [
        FamilySize(str(root), tuple(sorted(of.items())), pinned.get(root, ""))
        for root, of in counts.items()
    ]
    split_of = dict(zip(counts, share_out(families, wish, 3)[0], strict=True))
    for first, second in pairs:
        assert split_of[roots[first]] == split_of[roots[second]]
    for root, split in pinned.items():
        assert split_of[root] == split
