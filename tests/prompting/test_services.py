"""Captions: written evenly, stored once, edited with care."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from synthreview.catalog.models import Dataset
from synthreview.catalog.services import set_axis_values
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting import services
from synthreview.prompting.drafting import draft
from synthreview.prompting.learning import Tally
from synthreview.prompting.models import Prompt, PromptOutcome, PromptState, Writing
from synthreview.prompting.services import (
    edit_prompt,
    record_outcomes,
    set_prompt_state,
    write_prompts,
    write_set,
)
from synthreview.prompting.wishes import Share
from tests.factories import make_dataset, make_prompt
from tests.prompting.wish import make_wish

pytestmark = pytest.mark.django_db
TEMPLATE = "A {colour} [class] [action]"
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
    stored = {name: fields.pop(name) for name in ("author_alias", "state") if name in fields}
    wish = make_wish(dataset, count=count, **{"template": TEMPLATE, **fields})
    return write_prompts(wish, **stored).prompts


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
        drafted = draft(make_wish(world, count=6, template="A {colour} [class]", seed=seed))
        return [judged.caption.text for _, judged in drafted.passed]

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


# --- What is remembered -----------------------------------------------------------


def test_a_prompt_remembers_its_template_and_its_writing(world: Dataset) -> None:
    (one, two) = write(
        world, 2, template="A [class]\nOne [class] alone", classes=[world.classes.first()]
    )
    assert (one.template, two.template) == ("A [class]", "One [class] alone")
    writing = Writing.objects.get()
    assert one.writing == two.writing == writing
    assert (writing.asked, writing.written, writing.dropped_count) == (2, 2, 0)
    assert writing.wish["templates"] == ["A [class]", "One [class] alone"]
    assert (writing.author, writing.technique) == ("wordlists", "plain")
    writing.delete()
    one.refresh_from_db()
    assert one.writing is None


def test_a_long_caption_is_stored_once(world: Dataset) -> None:
    car = world.classes.get(name="car")
    axis = [{"name": f"value{n}", "phrase": "ж" * 119 + str(n)} for n in range(2)]
    names = [f"a{n}" for n in range(12)]
    for name in names:
        set_axis_values(dataset=world, axis_name=name, values=axis)
    template = "A [class] " + " ".join(f"{{{name}}}" for name in names)
    wish: dict[str, Any] = {
        "template": template,
        "classes": [car],
        "axes": dict.fromkeys(names, ()),
    }
    first = write(world, 3, **wish)
    # The gate drops them: they are longer than image models read.
    assert first == []
    assert Writing.objects.get().dropped_count == 3
    assert "at most" in Writing.objects.get().dropped[0]["reasons"][0][1]


def test_editing_looks_at_the_new_words_alone(world: Dataset) -> None:
    prompt = make_prompt(world.classes.get(name="car"), "A car", flags=[["near_text", "Too near"]])
    edit_prompt(prompt, "A car by Claude Monet")
    prompt.refresh_from_db()
    assert [code for code, _ in prompt.flags] == ["name"]
    assert edit_prompt(prompt, "A plain car").flags == []


def test_a_set_is_stored_whole_or_not_at_all(
    world: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = services.store
    calls: list[str] = []

    def breaks_at_the_second(wish: Any, *rest: Any, **options: Any) -> Any:
        calls.append(wish.technique)
        if len(calls) == 2:
            raise IntegrityError
        return stored(wish, *rest, **options)

    monkeypatch.setattr(services, "store", breaks_at_the_second)
    with pytest.raises(IntegrityError):
        write_set(make_wish(world, count=20))
    assert len(calls) == 2
    assert not Prompt.objects.exists()
    assert not Writing.objects.exists()


# --- What approval taught ---------------------------------------------------------

TWO = "A [class] {colour}\nThe [class] {colour}"


def templates_of(prompts: list[Prompt]) -> Counter[str]:
    return Counter(prompt.template for prompt in prompts)


def learn(dataset: Dataset, template: str, approved: int, rejected: int) -> None:
    prompt = make_prompt(dataset.classes.get(name="dog"), template=template)
    record_outcomes({prompt.pk: Tally(approved, rejected)})


def test_the_better_template_gets_most_of_a_learned_share(world: Dataset) -> None:
    learn(world, "A [class] {colour}", 40, 2)
    learn(world, "The [class] {colour}", 2, 40)
    even = templates_of(write(world, 12, template=TWO))
    assert set(even.values()) == {6}
    Prompt.objects.filter(writing__isnull=False).delete()
    learned = templates_of(write(world, 12, template=TWO, share=Share.LEARNED))
    assert learned == {"A [class] {colour}": 12}


def test_a_learned_share_is_the_same_for_the_same_seed(world: Dataset) -> None:
    learn(world, "A [class] {colour}", 3, 2)
    wish = make_wish(world, count=12, template=TWO, share=Share.LEARNED, seed=4)
    one, two = ([judged.caption.template for _, judged in draft(wish).judged] for _ in range(2))
    assert one == two
    assert set(one) == set(TWO.splitlines()), "what is hardly known is tried"


def test_outcomes_are_counted_once_however_often_they_are_told(world: Dataset) -> None:
    prompt = make_prompt(world.classes.get(name="dog"))
    told = {prompt.pk: Tally(2, 1), 999_999: Tally(1, 0)}
    assert [record_outcomes(told) for _ in range(2)] == [1, 0]
    assert PromptOutcome.objects.get().tally == Tally(2, 1)
    record_outcomes({prompt.pk: Tally(1, 1)})  # one was taken back
    assert PromptOutcome.objects.get().tally == Tally(1, 1)


def test_a_technique_without_a_share_leaves_no_writing(world: Dataset) -> None:
    written = write_set(make_wish(world, count=2))
    assert list(written) == ["style"], "the one with every axis comes first"
    assert Writing.objects.get().technique == "style"
