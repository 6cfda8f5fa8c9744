"""Captions: written evenly, stored once, edited with care."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from synthreview.catalog.models import Dataset
from synthreview.catalog.services import set_axis_values
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.services import (
    edit_prompt,
    preview,
    set_prompt_state,
    write_prompts,
)
from tests.factories import make_dataset, make_prompt

pytestmark = pytest.mark.django_db
COLOURS = ("red", "blue", "green", "white")


@pytest.fixture
def world() -> Dataset:
    dataset = make_dataset(classes=["car", "umbrella", "dog"])
    colours = [{"name": name} for name in COLOURS]
    set_axis_values(dataset=dataset, axis_name="colour", values=colours)
    actions = [
        {"name": "parked", "classes": ["car"]},
        {"name": "open", "phrase": "wide open", "classes": ["umbrella"]},
    ]
    set_axis_values(dataset=dataset, axis_name="action", values=actions)
    return dataset


def write(dataset: Dataset, count: int, **fields: Any) -> list[Prompt]:
    return write_prompts(
        dataset=dataset,
        classes=list(dataset.classes.all()),
        count=count,
        **{"technique": "plain", "template": "A {colour} [class] [action]", **fields},
    ).prompts


def test_classes_and_words_are_shared_evenly(world: Dataset) -> None:
    prompts = write(world, 12)
    assert Counter(p.label_class.name for p in prompts) == {"car": 4, "umbrella": 4, "dog": 4}
    assert Counter(p.slots["colour"] for p in prompts) == dict.fromkeys(COLOURS, 3)


def test_a_value_belongs_to_its_classes_alone(world: Dataset) -> None:
    slots = {p.label_class.name: p.slots.get("action") for p in write(world, 3)}
    assert slots == {"car": "parked", "umbrella": "wide open", "dog": None}
    texts = {p.label_class.name: p.text for p in Prompt.objects.all()}
    assert texts["umbrella"].endswith("umbrella wide open")
    assert texts["dog"].endswith("dog")


def test_no_caption_is_written_twice(world: Dataset) -> None:
    assert len(write(world, 9)) == 9
    assert len(write(world, 9)) == 3  # four colours of three classes: twelve in all
    assert write(world, 9) == []
    assert Prompt.objects.count() == 12
    assert len(write(world, 3, technique="style")) == 3  # another technique may say the same


def test_the_same_seed_writes_the_same(world: Dataset) -> None:
    def texts(seed: int) -> list[str]:
        drafts = preview(
            dataset=world, classes=list(world.classes.all()), technique="plain", count=6,
            template="A {colour} [class]", seed=seed,
        )  # fmt: skip
        return [caption.text for _, caption in drafts]

    assert texts(1) == texts(1)
    assert texts(1) != texts(2)
    assert not Prompt.objects.exists()


def test_the_author_and_its_version_are_on_record(world: Dataset) -> None:
    (prompt,) = write(world, 1, state=PromptState.APPROVED)
    assert (prompt.author, prompt.state) == ("wordlists", "approved")
    assert prompt.author_version


@pytest.mark.parametrize("template", ["A car", "A [class] {weather}", "A [class] {colour"])
def test_a_wrong_template_writes_nothing(world: Dataset, template: str) -> None:
    with pytest.raises(ValueError, match=r"\[?class\]?|weather|[Bb]racket"):
        write(world, 3, template=template)
    assert not Prompt.objects.exists()


def test_an_unknown_author_lists_the_known_ones(world: Dataset) -> None:
    with pytest.raises(UnknownAdapterError, match=r"known: .*wordlists"):
        write(world, 3, author_alias="nobody")


def test_editing_drops_the_slots_whose_words_are_gone(world: Dataset) -> None:
    slots = {"colour": "red", "action": "parked"}
    prompt = make_prompt(world.classes.get(name="car"), "A red car parked", slots=slots)
    edit_prompt(prompt, "A hundredweight car, Parked here")
    prompt.refresh_from_db()
    assert (prompt.slots, prompt.text_key) == (
        {"action": "parked"},
        "a hundredweight car, parked here",
    )


def test_editing_into_another_caption_is_refused(world: Dataset) -> None:
    car = world.classes.get(name="car")
    make_prompt(car, "A red car")
    prompt = make_prompt(car, "A blue car")
    with pytest.raises(IntegrityError), transaction.atomic():
        edit_prompt(prompt, "a RED  car.")


def test_states_change_within_one_dataset_only(world: Dataset) -> None:
    own = make_prompt(world.classes.get(name="car"), state=PromptState.DRAFT)
    foreign = make_prompt(make_dataset().classes.all()[0], state=PromptState.DRAFT)
    keys = [own.pk, foreign.pk]
    assert set_prompt_state(keys, dataset=world, state=PromptState.APPROVED) == 1
    assert set_prompt_state(keys, dataset=world, state=PromptState.APPROVED) == 0
    foreign.refresh_from_db()
    assert foreign.state == PromptState.DRAFT


def test_a_scorer_can_judge_the_object_and_each_slot(world: Dataset) -> None:
    umbrella = world.classes.get(name="umbrella")
    prompt = make_prompt(umbrella, "A red umbrella", slots={"colour": "red"})
    assert prompt.parts == {"object": "an umbrella", "colour": "red"}
