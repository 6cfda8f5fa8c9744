"""Articles, plurals and names as they are spoken."""

from __future__ import annotations

import pytest

from synthreview.lib.text import article, number_of, plural, with_article, without_note

AN = """umbrella hour hour-hand honest heir usher unimportant uninhabited unidentified utter udder
urn eagle orange onion SUV LED MRI X-ray 8-bit 11 18 80 18th 11000 ice""".split()
A = """car house university European unicorn uniform union ukulele utensil user used one-eyed once
ewe eucalyptus uranium ubiquitous U-turn unicycle unique USB UFO LEGO NASA T-shirt hotel herb 1 100
1800 110 yacht""".split()


@pytest.mark.parametrize("noun", AN)
def test_an_stands_before_a_vowel_sound(noun: str) -> None:
    assert article(noun) == "an"


@pytest.mark.parametrize("noun", A)
def test_a_stands_before_a_consonant_sound(noun: str) -> None:
    assert article(noun) == "a"


PLURALS = {
    "dog": "dogs",
    "box": "boxes",
    "bus": "buses",
    "church": "churches",
    "stomach": "stomachs",
    "cherry": "cherries",
    "monkey": "monkeys",
    "soliloquy": "soliloquies",
    "knife": "knives",
    "roof": "roofs",
    "bookshelf": "bookshelves",
    "potato": "potatoes",
    "photo": "photos",
    "policeman": "policemen",
    "German shepherd": "German shepherds",
    "human": "humans",
    "child": "children",
    "goose": "geese",
    "mongoose": "mongooses",
    "dormouse": "dormice",
    "goldfish": "goldfish",
    "sheep": "sheep",
    "analysis": "analyses",
    "iris": "irises",
    "lens": "lenses",
    "cup of coffee": "cups of coffee",
    "man in a suit": "men in a suit",
    "mother-in-law": "mothers-in-law",
    "passer-by": "passers-by",
    "T-shirt": "T-shirts",
    "wooden chair": "wooden chairs",
    "a dog": "dogs",
    "dogs": "dogs",
    "people": "people",
    "scissors": "pairs of scissors",
    "bread": "pieces of bread",
    "tyre": "tyres",
    "aeroplane": "aeroplanes",
    "Mercedes": "Mercedeses",
}


@pytest.mark.parametrize("noun", PLURALS)
def test_plurals_are_those_of_english(noun: str) -> None:
    assert plural(noun) == PLURALS[noun]


@pytest.mark.parametrize(
    ("noun", "said"),
    [
        ("car", "a car"),
        ("umbrella", "an umbrella"),
        ("the moon", "the moon"),
        ("scissors", "a pair of scissors"),
        ("pair of scissors", "a pair of scissors"),
        ("bread", "bread"),
        ("slice of bread", "a slice of bread"),
        ("people", "people"),
        ("glass", "a glass"),
        ("", ""),
    ],
)
def test_a_noun_gets_the_article_that_it_takes(noun: str, said: str) -> None:
    assert with_article(noun) == said


def test_how_a_noun_is_counted_is_seen_at_its_head() -> None:
    assert number_of("cup of noodles").name == "SINGULAR"
    assert number_of("firewomen").name == "PLURAL"
    assert number_of("orange juice with ice").name == "SINGULAR"


def test_a_note_in_brackets_is_not_spoken() -> None:
    assert without_note("crane (bird)") == "crane"
    assert without_note("bow [weapon] and arrow") == "bow and arrow"
    assert without_note("(odd") == "odd"
    assert without_note("(all)") == "all"
