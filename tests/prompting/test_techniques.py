"""The eight techniques: templates, label rules, questions, and words that can be drawn."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

from synthreview.generation.generators.sketch import vocabulary
from synthreview.generation.generators.sketch.understanding import understand
from synthreview.prompting.techniques import (
    INSTRUCTED,
    TECHNIQUES,
    WRITTEN,
    label_note,
    review_question,
    templates_for,
)
from synthreview.prompting.template import fill, parse, slot_names


def test_there_are_eight_and_four_of_them_are_text() -> None:
    assert WRITTEN == ("plain", "environment", "style", "adversarial")
    assert INSTRUCTED == ("typographic", "variation", "fusion", "inpaint")


@pytest.mark.parametrize("key", TECHNIQUES)
def test_each_is_whole(key: str) -> None:
    technique = TECHNIQUES[key]
    assert technique.title
    assert technique.help.endswith(".")
    assert "{name}" in technique.question
    slots = [set(slot_names(parse(text).text)) for text in technique.templates]
    assert all(one == slots[0] for one in slots), "templates that take turns share their slots"
    assert set(technique.axes) <= slots[0]


def test_the_reviewer_is_asked_what_the_technique_needs() -> None:
    ask = review_question
    assert ask("plain", "umbrella") == "Is this an umbrella, and right for the caption?"
    assert ask("typographic", "scissors").startswith("Is this still a pair of scissors,")
    slots = {"look": "dog", "carrier": "car"}
    assert ask("adversarial", "car", slots) == "Is this truly not a dog, but a car?"
    slots = {"look": "owl", "carrier": "ice cream"}
    assert (
        ask("adversarial", "none of these", slots) == "Is this truly not an owl, but an ice cream?"
    )
    assert ask("adversarial", "car") == "Is this truly a car, and nothing else?"


def test_a_label_that_may_surprise_is_explained() -> None:
    slots = {"look": "dog", "carrier": "car"}
    assert label_note("adversarial", "car", slots) == (
        "It only looks like a dog: it is a car, so its label is 'car'."
    )
    assert label_note("plain", "car") == ""
    assert "source image" in label_note("inpaint", "car")


@pytest.mark.parametrize("template", TECHNIQUES["adversarial"].templates)
@pytest.mark.parametrize("look", vocabulary.OBJECT_NAMES)
def test_the_drawn_world_understands_adversarial_captions(template: str, look: str) -> None:
    for carrier in vocabulary.OBJECT_NAMES:
        if carrier == look:
            continue
        words = {"class": look, "carrier": carrier, "environment": "on the beach"}
        caption = fill(template, words)
        assert re.match(r"An? ", caption)
        understood = understand(caption)
        assert understood.object == carrier, caption
        assert understood.look == vocabulary.LOOK_OF[look], caption
        assert understood.environment == "beach", caption
        assert understood.unknown_words == (), caption


@pytest.mark.parametrize(
    ("technique", "axes", "template"),
    [
        ("plain", ["action"], "A {colour} [class] [action]"),
        ("plain", ["count", "light"], "A {colour} {count} [class] [action] {light}"),
        (
            "style",
            ["weather", "style"],
            "A {colour} [class] [action] {environment} {weather}, {style}",
        ),
        ("plain", ["style", "mood"], "A {colour} [class] [action] {mood}, {style}"),
        ("adversarial", ["colour"], "A [class]-style {colour} {carrier} {environment}"),
    ],
)
def test_chosen_axes_get_a_place(technique: str, axes: list[str], template: str) -> None:
    assert templates_for(technique, axes=axes)[0] == template


def test_a_look_before_a_hyphen_only_describes() -> None:
    words = {"carrier": "car", "count": "two"}
    template = "A [class]-style {carrier}"
    assert fill(template, {"class": "scissors", **words}) == "A scissors-style car"
    assert fill(template, {"class": "umbrella", **words}) == "An umbrella-style car"
    assert fill(template, {"class": "the moon", **words}) == "A moon-style car"


def test_the_table_of_the_documentation_is_that_of_the_code() -> None:
    page = (Path(settings.BASE_DIR) / "docs" / "prompting.md").read_text()
    for technique in TECHNIQUES.values():
        question = (technique.look_question or technique.question).replace("|", "\\|")
        row = (
            f"| `{technique.key}` | `{technique.template}` | {technique.label_rule.value} "
            f"| {question} |"
        )
        assert row in page, row
