"""The template language: what it says, how it complains, and that nothing else comes of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthreview.prompting.template import check_template, fill, parse, slot_names

WHOLE = "A {count} {colour} [class] [action]( under {weather} skies) {environment}, {style}"


@pytest.mark.parametrize(
    ("words", "caption"),
    [
        ({"class": "dog"}, "A dog"),
        ({"class": "umbrella"}, "An umbrella"),
        ({"class": "umbrella", "colour": "red"}, "A red umbrella"),
        ({"class": "hourglass", "style": "as a sketch"}, "An hourglass, as a sketch"),
        ({"class": "dog", "weather": "grey"}, "A dog under grey skies"),
        ({"class": "dog", "count": "two"}, "Two dogs"),
        ({"class": "box", "count": "three", "colour": "old"}, "Three old boxes"),
        ({"class": "box", "count": "a single"}, "A single box"),
        ({"class": "box", "count": "one"}, "One box"),
        ({"class": "child", "count": "12", "action": "running"}, "12 children running"),
        ({"class": "scissors", "colour": "orange"}, "A pair of orange scissors"),
        ({"class": "bread"}, "Bread"),
        ({"class": "people", "action": "dancing"}, "People dancing"),
        ({"class": "the Eiffel Tower", "colour": "red"}, "The red Eiffel Tower"),
        ({"class": "an owl", "colour": "grey"}, "A grey owl"),
        ({"class": "crane (bird)"}, "A crane"),
        ({"class": "dog", "environment": "on a ice floe"}, "A dog on an ice floe"),
    ],
)
def test_words_come_out_as_english(words: dict[str, str], caption: str) -> None:
    assert fill(WHOLE, words) == caption


@pytest.mark.parametrize(
    ("template", "caption"),
    [
        ("[class] {environment}", "Owl at night"),
        ("{style} of a [class]", "Of an owl"),
        ("a [class] {environment}", "an owl at night"),
        ("At home, {style}, a [class], {style}.", "At home, an owl."),
        ("A photo of a {colour} [class]", "A photo of an owl"),
        ("The [class]", "The owl"),
        ("A tree\n  and a\t[class]", "A tree and an owl"),
        ("A [class] beside a [class]", "An owl beside an owl"),
        ("A {class} (and {colour} snow)", "An owl"),
        ("Vitamin A for a [class]", "Vitamin A for an owl"),
    ],
)
def test_what_stands_around_the_slots_stays(template: str, caption: str) -> None:
    assert fill(template, {"class": "owl", "environment": "at night"}) == caption


@pytest.mark.parametrize(
    ("template", "complaint"),
    [
        ("A dog", "must contain [class]"),
        ("", "must contain [class]"),
        ("A [class] {wether}", "Unknown slot 'wether'; known: class, colour, weather."),
        ("A [class", "Character 3: the [ stands alone"),
        ("A [class]]", "Character 10: the ] stands alone"),
        ("A [class] {a {b}}", "Character 11: the { stands alone"),
        ("A [class] {Colour}", "'Colour' is no name for a slot"),
        ("A [class] {}", "the slot has no name"),
        ("A [class] (red)", "must hold a slot"),
        ("A [class] ({colour}", "the ( is never closed"),
        ("A [class] ({colour} ({weather}))", "cannot hold another one"),
        ("A ([class])", "must not stand in an optional part"),
        ("A [class] " + "x" * 500, "510 characters; 500 are allowed"),
        ("A [class]\0", "control character"),
    ],
)
def test_a_wrong_template_is_told_what_is_wrong(template: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        check_template(template, {"weather", "colour"})


def test_slots_are_listed_once_and_in_order() -> None:
    assert slot_names("A {colour} [class] and a {colour} sky ({style})") == [
        "colour",
        "class",
        "style",
    ]


# --- Whatever comes -------------------------------------------------------------

PIECES = ["[class]", "{colour}", "{style}", "{count}", "A ", "an ", ", ", "(", ")", "[", "}", "x "]
anything = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES)).map("".join))
words = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=12
).filter(lambda text: text.strip())


def complaint_about(template: str) -> str:
    try:
        parse(template)
    except ValueError as error:
        return str(error)
    return ""


@given(anything)
def test_any_text_is_a_template_or_gets_one_readable_line(text: str) -> None:
    if complaint := complaint_about(text):
        assert complaint.isprintable()
        assert 10 < len(complaint) < 200
        assert complaint.endswith(".")


@given(anything, st.dictionaries(st.sampled_from(["colour", "style", "count"]), words), words)
def test_no_bracket_is_left_in_a_caption(template: str, slots: dict[str, str], name: str) -> None:
    if complaint_about(template):
        return
    assert not re.search(r"[\[\]{}()]", fill(template, {"class": name, **slots}))


plain_words = st.lists(st.sampled_from("owl red hour on the beach two boxes".split()), min_size=1)


@given(
    st.lists(st.sampled_from(["{colour}", "{style}", " in ", "a ", "({colour}, )", ", "])),
    plain_words,
    plain_words,
)
def test_the_words_of_every_slot_are_in_the_caption(
    pieces: list[str], colour: list[str], style: list[str]
) -> None:
    slots = {"colour": " ".join(colour), "style": " ".join(style)}
    template = " ".join(["A [class]", *pieces])
    said = f" {fill(template, {'class': 'dog', **slots})} ".lower()
    assert "dog" in said
    for slot in set(slot_names(template)) - {"class"}:
        assert slots[slot] in said
