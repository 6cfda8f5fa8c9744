"""The gate: what is kept, flagged and dropped, and that its quick search misses nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthreview.prompting import gate
from synthreview.prompting.authors.base import Caption
from synthreview.prompting.gate import (
    GateRules,
    Outcome,
    check,
    flags,
    mentions,
    near_by_meaning,
)

RULES = GateRules(
    names=("dog", "hound"), axes={"environment": ["on the beach", "in a forest"], "light": []}
)


def caption(text: str, **slots: str) -> Caption:
    return Caption(text, slots)


def judge(text: str, rules: GateRules = RULES) -> tuple[Outcome, list[str]]:
    (one,) = check([caption(text)], rules).judged
    return one.outcome, [reason.code for reason in one.reasons]


@pytest.mark.parametrize(
    "text",
    [
        "A dog running on the beach",
        "Two dogs chasing a ball",
        "HOUND, asleep.",
        "A dog-like shadow on the wall",
        "The dog's bowl beside the dog",
        "A dog yawning, no 4",
        "A dog as a sketch in the style of a cartoon",
        "A dog beside an Art Nouveau lamp",
        "A dog at the lake by Easter morning",
        "A dog 🐕‍🦺 at work",
        "A dog beside a sign: der Hund",
    ],
)
def test_good_captions_are_kept(text: str) -> None:
    assert judge(text) == (Outcome.KEPT, [])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("A cat on a mat", "class"),
        ("A hotdogger eating", "class"),
        ("Dog", "short"),
        ("", "short"),
        ("A dog " + "very " * 70, "long"),
        ("A dog " + "x" * 400, "long"),
        ("A dog\0 running", "control"),
        ("A dog \u202egnp.exe", "control"),
        ("A dog\nrunning", "control"),
        ("A [class] with a dog", "placeholder"),
        ("A dog {environment}", "placeholder"),
        ("A dog ____ on the beach", "placeholder"),
        ("Sure, a dog on the beach", "talk"),
        ("Here are some captions of a dog", "talk"),
        ("I cannot draw a dog", "talk"),
        ("As an AI I see a dog", "talk"),
        ("Ein dog läuft mit dem Ball und der Katze", "language"),
        ("Un dog dans la forêt avec des enfants", "language"),
        ("Собака dog на пляже лежит", "language"),
    ],
)
def test_what_is_no_caption_is_dropped_with_one_reason(text: str, code: str) -> None:
    assert judge(text) == (Outcome.DROPPED, [code])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("A naked dog on grass", "unsafe"),
        ("Two corpses beside a dog", "unsafe"),
        ("A dog in the style of Greg Rutkowski", "name"),
        ("A dog in the style of van gogh", "name"),
        ("A dog painted by monet", "name"),
        ("A dog with Barack Obama", "name"),
        ("A dog beside Maria Lopez on a bench", "name"),
        ("A picasso dog in blue", "name"),
        ("A dog, write to me@example.org", "personal"),
        ("A dog, call +49 30 1234567", "personal"),
        ("A dog from https://example.org", "personal"),
    ],
)
def test_what_a_person_should_see_is_flagged(text: str, code: str) -> None:
    assert judge(text) == (Outcome.FLAGGED, [code])


def test_the_datasets_own_words_are_no_names() -> None:
    rules = GateRules(names=("Golden Retriever",), axes={"style": ["in the style of Monet"]})
    assert judge("My Golden Retriever in the style of Monet", rules) == (Outcome.KEPT, [])
    assert flags("A pug in the style of Monet")[0].code == "name"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mouse", "three mice"),
        ("a cherry", "cherries on a plate"),
        ("polar bear", "polar-bear cubs"),
        ("polar bear", "two Polar  Bears"),
        ("crane (bird)", "a crane in reeds"),
        ("C++", "C++ on a mug"),
    ],
)
def test_plurals_hyphens_and_notes_still_name_the_class(name: str, text: str) -> None:
    assert mentions(text, [name])
    assert not mentions("something else", [name])


def test_no_name_is_asked_for_where_the_technique_needs_none() -> None:
    assert judge("Add a red hat", GateRules()) == (Outcome.KEPT, [])


def test_an_unknown_language_is_not_checked() -> None:
    rules = GateRules(names=("Hund",), language="")
    assert judge("Ein Hund mit dem Ball und der Katze", rules)[0] is Outcome.KEPT


# --- Near-duplicates ---------------------------------------------------------------------


def codes(captions: list[Caption], rules: GateRules = RULES, **known: list[Caption]) -> list[str]:
    judged = check(captions, rules, **known).judged
    return [one.reasons[0].code if one.reasons else "" for one in judged]


def test_other_endings_order_and_articles_make_no_new_caption() -> None:
    same = ["A dog running on the beach", "A dog runs on a beach", "On the beach: the running dog"]
    assert codes([caption(text) for text in same]) == ["", "near_text", "near_text"]
    assert codes([caption("A DOG  running on the beach.")], known=[caption(same[0])]) == [
        "duplicate"
    ]


def test_saying_more_or_something_else_is_no_duplicate() -> None:
    texts = [
        "A dog on the beach",
        "A happy dog on the beach",
        "A dog on the beach at dusk",
        "A dog chasing a cat in snow",
        "A dog chasing a car in snow",
    ]
    assert codes([caption(text) for text in texts]) == [""] * 5


def test_values_of_an_axis_make_siblings_by_design() -> None:
    rules = GateRules(names=("dog",), axes=RULES.axes, text_threshold=0.5)
    one = caption("A dog asleep on the beach", environment="on the beach")
    other = caption("A dog asleep in a forest", environment="in a forest")
    elsewhere = caption("A dog asleep at the beach", environment="at the beach")
    assert codes([one, other, elsewhere], rules) == ["", "", "near_text"]


def test_the_reason_shows_the_other_caption_and_the_threshold() -> None:
    first, second = caption("A dog running on a beach"), caption("The dog runs on a beach")
    (_, judged) = check([first, second], RULES).judged
    assert "threshold 0.90" in judged.reasons[0].text
    assert first.text in judged.reasons[0].text


def test_what_means_nearly_the_same_is_found_with_its_cosine_and_threshold() -> None:
    near = [0.99, np.sqrt(1 - 0.99**2)]
    vectors = np.array([[1, 0], near, [0, 1], near], np.float32)
    new = [
        caption("A puppy"),
        caption("A young dog"),
        caption("An old dog"),
        caption("A dog asleep", environment="in a forest"),
    ]
    found = near_by_meaning(new, vectors, [], np.zeros((0, 2), np.float32), axes={})
    assert [reason is not None for reason in found] == [False, True, False, True]
    assert found[1]
    assert found[1].code == "near_meaning"
    assert "(0.99, threshold 0.97) as “A puppy”" in found[1].text
    strict = near_by_meaning(
        new, vectors, [], np.zeros((0, 2), np.float32), axes={}, threshold=0.995
    )
    assert [reason is not None for reason in strict] == [False, False, False, True]
    known = [caption("A dog", environment="on the beach")]
    there = np.array([[1, 0]], np.float32)
    found = near_by_meaning(new, vectors, known, there, axes=RULES.axes)
    assert [reason is not None for reason in found] == [True, True, False, False], "a sibling stays"


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0.5, 0.7, 0.8, 0.9, 1.0]))
def test_the_quick_search_finds_what_comparing_all_finds(seed: int, threshold: float) -> None:
    rng = random.Random(seed)
    words = [f"w{n}" for n in range(12)]
    captions = [caption("dog " + " ".join(rng.sample(words, rng.randint(2, 7)))) for _ in range(25)]
    rules = GateRules(names=("dog",), text_threshold=threshold)
    taken: list[set[str]] = []
    naive = []
    for one in captions:
        bag = set(gate._bag(one.text))
        near = any(2 * len(bag & t) / (len(bag) + len(t)) >= threshold - 1e-12 for t in taken)
        naive.append(near)
        if not near:
            taken.append(bag)
    assert [bool(code) for code in codes(captions, rules)] == naive


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80))
def test_any_text_gets_a_verdict(text: str) -> None:
    (one,) = check([caption(text)], RULES).judged
    assert (one.outcome is Outcome.KEPT) == (not one.reasons)
