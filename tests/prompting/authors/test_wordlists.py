"""The word lists' author: balance, to the last combination, and never twice."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthreview.lib.text import normalised
from synthreview.prompting.authors.base import Caption, WriteRequest
from synthreview.prompting.authors.wordlists import WordlistAuthor


def words(prefix: str, count: int) -> list[tuple[str, str]]:
    return [(f"{prefix}{n}", f"{prefix}{n}") for n in range(count)]


def write(
    sizes: dict[str, int], count: int, *, seed: int = 0, avoid: frozenset[str] = frozenset()
) -> list[Caption]:
    template = "A [class] " + " ".join(f"{{{name}}}" for name in sizes)
    axes = {name: words(name, size) for name, size in sizes.items()}
    request = WriteRequest("car", template, axes, count, seed=seed, avoid=avoid)
    return list(WordlistAuthor().write(request))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [7, 20, 40])
def test_each_value_appears_about_equally_often(seed: int, count: int) -> None:
    sizes = {"colour": 5, "place": 8, "style": 3}
    captions = write(sizes, count, seed=seed)
    assert len(captions) == count
    for slot, size in sizes.items():
        counts = Counter(caption.slots[slot] for caption in captions)
        often = [counts[name] for name, _ in words(slot, size)]
        assert max(often) - min(often) <= 3, (slot, often)


@settings(deadline=None)  # other tests run beside it
@given(
    st.integers(1, 4), st.integers(1, 5), st.integers(1, 30), st.integers(0, 2**31), st.booleans()
)
def test_it_writes_what_there_is_and_nothing_twice(
    a: int, b: int, count: int, seed: int, has_seen_one: bool
) -> None:
    sizes = {"colour": a, "place": b}
    seen = {normalised(write(sizes, 1)[0].text)} if has_seen_one else set()
    captions = write(sizes, count, seed=seed, avoid=frozenset(seen))
    keys = [normalised(caption.text) for caption in captions]
    assert len(keys) == len(set(keys)) == min(count, a * b - len(seen))
    assert not seen & set(keys)


def test_a_large_grid_is_not_walked_through() -> None:
    sizes = {"one": 100, "two": 100, "three": 100}
    assert len({caption.text for caption in write(sizes, 500)}) == 500


def test_without_axes_there_is_one_caption() -> None:
    captions = write({}, 5)
    assert [caption.text for caption in captions] == ["A car"]
    assert captions[0].slots == {}


def test_the_slots_hold_the_words_of_the_caption() -> None:
    request = WriteRequest(
        "umbrella", "A {colour} [class] {place}", {"place": [("beach", "on the beach")]}, 1
    )
    (caption,) = WordlistAuthor().write(request)
    assert caption.text == "An umbrella on the beach"
    assert caption.slots == {"place": "on the beach"}


def test_it_is_always_ready() -> None:
    assert WordlistAuthor().health() == []
