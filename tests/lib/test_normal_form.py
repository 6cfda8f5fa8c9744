"""The normal form in which two captions count as the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthreview.lib.text import MAX_KEY_BYTES, normalised, one_line, text_key


@pytest.mark.parametrize(
    "text", ["A red car", "a  RED\tcar", " A red car. ", "A red car...", "\uff21 red\u00a0car"]
)
def test_captions_that_read_alike_have_one_normal_form(text: str) -> None:
    assert normalised(text) == "a red car"


@given(st.text())
def test_the_normal_form_is_stable(text: str) -> None:
    assert normalised(normalised(text)) == normalised(text)


def test_one_line_takes_marks_their_meaning() -> None:
    assert one_line("a|b\n# c [d](e) `f`") == r"a\|b \# c \[d\](e) \`f\`"


def test_a_short_caption_is_told_apart_by_its_normal_form() -> None:
    assert text_key("A  RED car.") == "a red car"


def test_long_captions_that_differ_at_their_end_stay_apart_in_a_short_key() -> None:
    one, other = ("é" * MAX_KEY_BYTES + end for end in ("x", "y"))
    assert text_key(one) != text_key(other)
    assert text_key(one) == text_key(one.upper())
    assert len(text_key(one).encode()) < MAX_KEY_BYTES
