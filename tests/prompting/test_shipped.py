"""The word lists that ship: well stocked, each value usable in a caption."""

from __future__ import annotations

import re

import pytest

from synthreview.lib.text import article, normalised
from synthreview.prompting.shipped import (
    KINDS,
    PLACES,
    ShippedAxis,
    kind_of,
    shipped_axes,
    shipped_axis,
)

AXES = list(shipped_axes().values())
AT_LEAST = {
    "environment": 60,
    "style": 40,
    "light": 20,
    "weather": 15,
    "season": 4,
    "viewpoint": 15,
    "distance": 8,
    "action": 60,
    "count": 10,
    "background": 15,
    "colour": 20,
    "material": 20,
    "group": 20,
    "occupation": 20,
}


@pytest.mark.parametrize("name", AT_LEAST)
def test_the_list_is_well_stocked(name: str) -> None:
    assert len(shipped_axis(name).values) >= AT_LEAST[name]


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_every_value_is_distinct_and_fits_the_database(axis: ShippedAxis) -> None:
    assert axis.place in PLACES
    assert 0 < axis.starter <= len(axis.values)
    names = [normalised(value.name) for value in axis.values]
    assert len(set(names)) == len(names)
    for kind in KINDS:
        phrases = [normalised(value.phrase) for value in axis.of_kind([kind])]
        assert len(set(phrases)) == len(phrases)
    for value in axis.values:
        assert re.fullmatch(r"[\w' -]{2,80}", value.name), value.name
        assert re.fullmatch(r"[\w' -]{2,120}", value.phrase), value.phrase
        assert set(value.kinds) <= set(KINDS)


@pytest.mark.parametrize("axis", AXES, ids=lambda axis: axis.name)
def test_the_articles_inside_the_phrases_are_right(axis: ShippedAxis) -> None:
    for value in axis.values:
        for found in re.finditer(r"\b(an?) (\w+)", value.phrase):
            assert found[1] == article(found[2]), value.phrase


def test_every_kind_of_thing_has_a_dozen_actions() -> None:
    for kind in KINDS:
        assert len(shipped_axis("action").of_kind([kind])) >= 12


def test_the_starters_of_two_kinds_are_joined() -> None:
    action = shipped_axis("action")
    both = action.of_kind(["animal", "vehicle"], starter=True)
    assert {"sleeping", "parked"} <= {value.name for value in both}
    assert len(both) == 2 * action.starter


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("dog", "animal"),
        ("golden retriever", "animal"),
        ("Dogs", "animal"),
        ("fire truck", "vehicle"),
        ("nurse", "person"),
        ("sunflower", "plant"),
        ("umbrella", "object"),
        ("dog house", "object"),
        ("flurbl", "object"),
    ],
)
def test_the_kind_of_a_class_is_guessed(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_an_unknown_list_names_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"called 'wether'; known: .*weather"):
        shipped_axis("wether")
