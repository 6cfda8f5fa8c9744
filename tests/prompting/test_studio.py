"""What the prompt studio stands on: plans, strategies, labels, lists, forbidden pairs."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from synthreview.catalog.models import AxisValue, Dataset, ForbiddenPair
from synthreview.catalog.services import add_class, set_axis_values
from synthreview.lib.text import article, normalised
from synthreview.prompting import services
from synthreview.prompting.axes import (
    add_none_of_these,
    add_shipped_axis,
    add_starter_axes,
    export_axes,
    forbid_values,
    import_axes,
)
from synthreview.prompting.axis_files import AxisFileError
from synthreview.prompting.coverage import Space
from synthreview.prompting.covering import stored_coverage
from synthreview.prompting.drafting import plan
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import INSTRUCTED, WRITTEN
from tests.factories import make_dataset, make_user
from tests.prompting.wish import make_wish

pytestmark = pytest.mark.django_db


def set_axes(dataset: Dataset, **axes: str) -> None:
    """Make axes of these words: set_axes(dataset, light="sun moon")."""
    for name, words in axes.items():
        values = [{"name": word} for word in words.split()]
        set_axis_values(dataset=dataset, axis_name=name, values=values)


def write(dataset: Dataset, technique: str = "plain", count: int = 20, **wish: Any) -> list[Prompt]:
    return services.write_prompts(make_wish(dataset, technique, count, **wish)).prompts


# --- The promise ----------------------------------------------------------------


def test_one_class_name_gives_two_hundred_prompts_that_cover_every_pair() -> None:
    dataset = make_dataset(classes=["owl"])
    add_none_of_these(dataset)
    add_starter_axes(dataset, WRITTEN)
    written = services.write_set(make_wish(dataset, count=200, seed=5, strategy="pairwise"))
    prompts = [prompt for one in written.values() for prompt in one.prompts]
    assert len({normalised(prompt.text) for prompt in prompts}) == len(prompts) == 200
    assert Prompt.objects.filter(dataset=dataset).count() == 200
    assert all(written[technique].prompts for technique in WRITTEN)
    (covered,) = written["style"].coverage.values()
    assert set(covered.pairs) == set(combinations(["action", "environment", "style"], 2))
    assert covered.is_complete, covered.gaps
    assert covered.pairs_total == 8 * 12 + 8 * 10 + 12 * 10
    for prompt in prompts:
        first, second = prompt.text.split()[:2]
        assert first.lower() == article(second), prompt.text
        assert "owl" in prompt.text
        assert not set("[]{}()") & set(prompt.text)
        assert "  " not in prompt.text


# --- Plans ----------------------------------------------------------------------


@pytest.mark.parametrize("strategy", ["balanced", "pairwise", "grid"])
def test_a_plan_of_a_hundred_thousand_combinations_makes_no_grid(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(classes=["dog"])
    sizes = {"environment": 22, "style": 18, "light": 16, "viewpoint": 17}
    for axis, size in sizes.items():
        set_axes(dataset, **{axis: " ".join(f"{axis}{n}" for n in range(size))})
    forbid_values(dataset, {"environment": "environment3", "light": "light2"})
    wish = make_wish(dataset, "style", 200, axes=dict.fromkeys(sizes, ()), strategy=strategy)
    walked, grid = 0, Space.grid

    def counted(space: Space) -> Any:
        nonlocal walked
        for row in grid(space):
            walked += 1
            yield row

    monkeypatch.setattr(Space, "grid", counted)
    found = plan(wish)
    assert walked <= 200
    assert found.combinations == 22 * 18 * 16 * 17 - 18 * 17
    assert found.count == 200
    assert found.classes[0].for_all_pairs == 22 * 18
    assert found.classes[0].covered_by == (60 if strategy == "pairwise" else 200)
    assert len(found.samples) == 20
    assert not Prompt.objects.exists()
    stored = services.write_prompts(wish).prompts
    assert [c.text for _, c in found.samples] == [prompt.text for prompt in stored][:20]


def test_a_plan_costs_the_same_queries_for_many_values_and_classes(
    django_assert_num_queries: Any,
) -> None:
    dataset = make_dataset(classes=["dog"])
    for words in ("red blue", " ".join(f"colour{n}" for n in range(40))):
        set_axes(dataset, colour=words)
        wish = make_wish(dataset, count=10)
        with django_assert_num_queries(6):
            plan(wish)
        for number in range(10):
            add_class(dataset=dataset, name=f"{words[0]}ird {number}")


def test_the_plan_shows_what_will_be_stored_beside_what_is_there() -> None:
    dataset = make_dataset(classes=["dog"])
    set_axes(dataset, colour="red blue green black white", action="running sitting")
    first = write(dataset, count=4)
    wish = make_wish(dataset, count=5, seed=3)
    shown = {caption.text for _, caption in plan(wish).samples}
    assert not shown & {prompt.text for prompt in first}
    assert shown == {prompt.text for prompt in services.write_prompts(wish).prompts}


def test_a_plan_of_the_whole_grid_covers_all() -> None:
    dataset = make_dataset(classes=["dog"])
    set_axes(dataset, colour="red blue", action="running sitting")
    found = plan(make_wish(dataset, count=50, strategy="grid"))
    assert (found.count, found.combinations) == (4, 4)
    assert found.classes[0].coverage.is_complete
    assert found.classes[0].coverage.values["colour"] == {"red": 2, "blue": 2}


# --- Writing --------------------------------------------------------------------


def test_axes_are_chosen_and_forbidden_pairs_never_meet() -> None:
    dataset = make_dataset(classes=["dog"])
    set_axes(dataset, environment="beach forest", light="sun moon candle", style="oil")
    forbid_values(dataset, {"environment": "beach", "light": "candle"})
    prompts = write(dataset, "environment", axes={"environment": [], "light": ["sun", "candle"]})
    assert {tuple(prompt.slots.values()) for prompt in prompts} == {
        ("beach", "sun"),
        ("forest", "sun"),
        ("forest", "candle"),
    }


def test_a_pair_may_be_forbidden_for_one_class_alone() -> None:
    dataset = make_dataset(classes=["dog", "fish"])
    set_axes(dataset, environment="beach kitchen", light="sun moon")
    forbid_values(dataset, {"environment": "kitchen", "class": "fish"})
    forbid_values(dataset, {"environment": "beach", "light": "moon", "class": "dog"})
    prompts = write(dataset, "environment", axes={"environment": [], "light": []})
    said = {prompt.text for prompt in prompts}
    assert said == {
        "A dog beach sun",
        "A dog kitchen sun",
        "A dog kitchen moon",
        "A fish beach sun",
        "A fish beach moon",
    }


@pytest.mark.parametrize(
    ("axes", "complaint"),
    [
        ({"wether": []}, "no axis 'wether'; its axes: light"),
        ({"light": ["sun", "fog"]}, "'light' has no value 'fog'"),
    ],
)
def test_a_wrong_choice_of_axes_is_told(axes: dict[str, list[str]], complaint: str) -> None:
    dataset = make_dataset()
    set_axes(dataset, light="sun moon")
    with pytest.raises(ValueError, match=complaint):
        write(dataset, axes=axes)


def test_synonyms_take_turns() -> None:
    dataset = make_dataset(classes=[])
    add_class(dataset=dataset, name="dog", synonyms=["hound"])
    set_axes(dataset, environment=" ".join(f"place{n}" for n in range(10)))
    texts = [prompt.text for prompt in write(dataset, "environment", count=10)]
    assert sum("dog" in text for text in texts) == sum("hound" in text for text in texts) == 5
    more = write(dataset, "environment", count=30)
    assert len(more) == 10  # each place by its other name


def test_pairwise_is_stored_with_its_coverage() -> None:
    dataset = make_dataset(classes=["dog"])
    set_axes(dataset, environment="a b c d", style="e f g", colour="h i j")
    label_class = dataset.classes.get()
    wish = make_wish(dataset, "style", 16, strategy="pairwise")
    written = services.write_prompts(wish)
    assert written.coverage[label_class.pk].is_complete
    stored = stored_coverage(wish, label_class)
    assert stored == written.coverage[label_class.pk]
    Prompt.objects.filter(slots__colour="h").delete()
    assert {"colour": "h"} in stored_coverage(wish, label_class).gaps


def test_a_count_makes_the_class_plural() -> None:
    dataset = make_dataset(classes=["box"])
    add_shipped_axis(dataset, "count", ["one", "three"])
    texts = {prompt.text for prompt in write(dataset, axes={"count": []})}
    assert texts == {"One box", "Three boxes"}


# --- Labels ---------------------------------------------------------------------


def test_an_adversarial_prompt_has_the_label_of_what_it_is() -> None:
    dataset = make_dataset(classes=["dog", "car"])
    none = add_none_of_these(dataset)
    dog, car = dataset.classes.filter(is_none_of_these=False)
    prompts = write(dataset, "adversarial", count=31, classes=[dog])
    assert len(prompts) == 31
    for prompt in prompts:
        assert prompt.slots["look"] == "dog"
        assert prompt.label_class == (car if prompt.slots["carrier"] == "car" else none)
        assert prompt.parts["object"].endswith(prompt.slots["carrier"])
        assert set(prompt.parts) == {"object"}
        assert prompt.question.startswith("Is this truly not a dog, but a")
        assert "only looks like a dog" in prompt.label_note
    assert {prompt.label_class for prompt in prompts} == {car, none}
    assert not Prompt.objects.filter(label_class=dog).exists()


def test_without_a_class_for_none_of_these_only_classes_carry() -> None:
    dataset = make_dataset(classes=["dog", "car", "cup"])
    prompts = write(dataset, "adversarial", count=60)
    assert {prompt.slots["carrier"] for prompt in prompts} == {"dog", "car", "cup"}
    assert all(prompt.label_class.name == prompt.slots["carrier"] for prompt in prompts)
    assert all(prompt.label_class.name != prompt.slots["look"] for prompt in prompts)


def test_an_adversarial_prompt_that_could_have_no_label_is_refused() -> None:
    dataset = make_dataset(classes=["dog"])
    with pytest.raises(ValueError, match="needs another label: add a second class, or one for"):
        write(dataset, "adversarial")
    assert not Prompt.objects.exists()


def test_a_template_without_its_carrier_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must contain \{carrier\}"):
        write(make_dataset(), "adversarial", template="A [class]-style thing")


def test_none_of_these_is_never_drawn() -> None:
    dataset = make_dataset(classes=[])
    none = add_none_of_these(dataset)
    assert add_none_of_these(dataset) == none
    with pytest.raises(ValueError, match="has no look of its own"):
        write(dataset)


@pytest.mark.parametrize("way", ["preview", "write"])
def test_the_page_says_why_a_wish_has_no_label(way: str, client: Any) -> None:
    curator = make_user()
    dataset = make_dataset(classes=["dog"], curator=curator)
    client.force_login(curator)
    wish = {
        "technique": "adversarial",
        "classes": [one.pk for one in dataset.classes.all()],
        "count": 5,
        "author": "wordlists",
        "seed": 1,
    }
    send = client.get if way == "preview" else client.post
    address = reverse(f"prompts-{way}", args=[dataset.slug])
    answer = send(address, wish)
    assert answer.status_code == (200 if way == "preview" else 422)
    assert "needs another label" in answer.content.decode()


def test_an_adversarial_template_of_ones_own_may_name_the_carrier() -> None:
    dataset = make_dataset(classes=["dog", "car"])
    (prompt,) = write(
        dataset,
        "adversarial",
        classes=[dataset.classes.get(name="dog")],
        template="A {carrier} dressed as a [class]",
    )
    assert (prompt.text, prompt.label_class.name) == ("A car dressed as a dog", "car")


# --- Instructions for images ----------------------------------------------------


@pytest.mark.parametrize("technique", INSTRUCTED)
def test_every_image_technique_gets_instructions(technique: str) -> None:
    dataset = make_dataset(classes=["dog", "umbrella"])
    prompts = write(dataset, technique, 8)
    assert prompts
    for prompt in prompts:
        assert prompt.slots
        assert prompt.label_class.name in prompt.text
        assert set(prompt.parts) == {"object"}


def test_a_misleading_word_is_never_the_class() -> None:
    dataset = make_dataset(classes=["piano", "car"])
    piano = dataset.classes.get(name="piano")
    words = {p.slots["word"] for p in write(dataset, "typographic", 200, classes=[piano])}
    assert "car" in words
    assert "piano" not in words


def test_a_fusion_of_two_classes_has_the_label_that_was_chosen() -> None:
    dataset = make_dataset(classes=["dog", "cat", "horse"])
    dog, cat, _ = dataset.classes.all()
    alone = write(dataset, "fusion", 9, classes=[dog])
    assert [(p.text, p.label_class) for p in alone] == [("A blend of a dog and another dog", dog)]
    chosen = write(dataset, "fusion", 9, classes=[dog], label=cat)
    assert {p.text for p in chosen} == {
        "A blend of a dog and a cat",
        "A blend of a dog and a horse",
    }
    assert {p.label_class for p in chosen} == {cat}


# --- Lists ----------------------------------------------------------------------


def test_shipped_actions_go_to_the_classes_that_can_do_them() -> None:
    dataset = make_dataset(classes=["dog", "car", "flurbl"])
    add_shipped_axis(dataset, "action", kinds={"flurbl": "plant"})
    values = {v.name: {c.name for c in v.classes.all()} for v in AxisValue.objects.all()}
    assert values["sleeping"] == {"dog"}
    assert values["parked"] == {"car"}
    assert values["in bloom"] == {"flurbl"}
    assert "reading" not in values
    add_class(dataset=dataset, name="cat")
    add_shipped_axis(dataset, "action", ["sleeping"])
    sleeping = AxisValue.objects.get(name="sleeping")
    assert {c.name for c in sleeping.classes.all()} == {"dog", "cat"}


def test_a_shipped_list_leaves_the_own_values_as_they_are() -> None:
    dataset = make_dataset()
    set_axes(dataset, light="torch dusk")
    add_shipped_axis(dataset, "light", ["dusk", "dawn"])
    rows = list(AxisValue.objects.values_list("name", "phrase"))
    assert rows[0] == ("torch", "")
    assert ("dusk", "") in rows
    assert rows[-1] == ("dawn", "at dawn")
    with pytest.raises(ValueError, match="'light' has no value 'laser'"):
        add_shipped_axis(dataset, "light", ["laser"])


@pytest.mark.parametrize("kind", ["csv", "toml"])
def test_axes_travel_from_one_dataset_to_another(kind: str) -> None:
    one, other = make_dataset(classes=["dog", "car"]), make_dataset(classes=["dog", "car"])
    add_shipped_axis(one, "action", starter=True)
    add_shipped_axis(one, "light", starter=True)
    forbid_values(one, {"light": "night", "action": "parked"})
    forbid_values(one, {"light": "night", "class": "dog"})
    text = export_axes(one, kind=kind)
    import_axes(other, text.encode(), kind=kind)
    assert export_axes(other, kind=kind) == text
    assert other.forbidden_pairs.count() == (2 if kind == "toml" else 0)
    import_axes(other, text, kind=kind)
    assert export_axes(other, kind=kind) == text


def test_an_import_adds_or_replaces_and_is_taken_as_a_whole() -> None:
    dataset = make_dataset(classes=["dog"])
    set_axes(dataset, light="sun moon")
    import_axes(dataset, "axis,name,phrase\nlight,moon,by moonlight\nlight,fog,", kind="csv")
    rows = AxisValue.objects.order_by("position").values_list("name", "phrase")
    assert list(rows) == [("moon", "by moonlight"), ("fog", ""), ("sun", "")]
    with pytest.raises(AxisFileError, match="light, lamp: no class is called 'cat'; known: dog"):
        import_axes(
            dataset, "axis,name,classes\nseason,winter,\nlight,lamp,cat\n", kind="csv", replace=True
        )
    assert dataset.axes.count() == 1
    import_axes(dataset, "axis,name\nlight,lamp\n", kind="csv", replace=True)
    assert [value.name for value in AxisValue.objects.all()] == ["lamp"]


def test_exports_are_safe_in_spreadsheets() -> None:
    dataset = make_dataset()
    set_axes(dataset, light="=1+1 @home")
    text = export_axes(dataset, kind="csv")
    assert "'=1+1" in text
    import_axes(dataset, text, kind="csv", replace=True)
    assert [value.name for value in AxisValue.objects.all()] == ["=1+1", "@home"]


# --- Forbidden pairs ------------------------------------------------------------


def test_the_database_refuses_what_is_no_pair() -> None:
    dataset = make_dataset(classes=["dog"])
    set_axes(dataset, light="sun", place="city")
    dog = dataset.classes.get()
    first, second = AxisValue.objects.order_by("pk")
    ForbiddenPair.objects.create(dataset=dataset, first=first, second=second)
    ForbiddenPair.objects.create(dataset=dataset, first=first, second=second, label_class=dog)
    ForbiddenPair.objects.create(dataset=dataset, first=first, label_class=dog)
    for bad in (
        {"first": first},
        {"first": first, "second": first},
        {"first": second, "second": first},
        {"first": first, "second": second},
        {"first": first, "second": second, "label_class": dog},
        {"first": first, "label_class": dog},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            ForbiddenPair.objects.create(dataset=dataset, **bad)


def test_forbidding_twice_changes_nothing_and_nonsense_is_told() -> None:
    dataset, other = make_dataset(classes=["dog"]), make_dataset(classes=["dog"])
    set_axes(dataset, light="sun moon", place="city")
    one = forbid_values(dataset, {"place": "city", "light": "sun"})
    assert forbid_values(dataset, {"light": "sun", "place": "city"}) == one
    assert str(one) == "sun and city"
    for pair, complaint in (
        ({"light": "fog", "place": "city"}, "'light' has no value 'fog'"),
        ({"light": "sun", "class": "cat"}, "No class is called 'cat'"),
        ({"light": "sun"}, "A pair has two"),
        ({"class": "dog"}, "two values of two axes"),
    ):
        with pytest.raises(ValueError, match=complaint):
            forbid_values(dataset, pair)
    with pytest.raises(ValueError, match="'light' has no value"):
        forbid_values(other, {"light": "sun", "place": "city"})
