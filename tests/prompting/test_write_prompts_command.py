"""`manage.py write_prompts`: axes, strategies and labels."""

from __future__ import annotations

import io
import json
import re
from itertools import combinations
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from synthreview.catalog.models import Dataset
from synthreview.catalog.services import set_axis_values
from synthreview.prompting.covering import stored_coverage
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import WRITTEN
from tests.factories import make_dataset
from tests.prompting.wish import make_wish

pytestmark = pytest.mark.django_db
BAD_ENGLISH = re.compile(r"\ba [aeiou]|\ban [^aeiou]|\s{2}|\s,|[][{}()_]|^[^a]|,$")


@pytest.fixture
def dataset() -> Dataset:
    dataset = make_dataset("Traffic", classes=["car", "umbrella"])
    axes = {
        "environment": ["beach", "forest", "street"],
        "weather": ["rain", "snow", "fog"],
        "style": ["sketch", "oil"],
    }
    for axis, values in axes.items():
        rows = [{"name": name, "phrase": f"with {name}"} for name in values]
        set_axis_values(dataset=dataset, axis_name=axis, values=rows)
    return dataset


def run(*args: str) -> dict[str, Any]:
    out = io.StringIO()
    call_command("write_prompts", "traffic", *args, "--json", stdout=out)
    answer: dict[str, Any] = json.loads(out.getvalue())
    return answer


def test_axes_restrict_what_varies(dataset: Dataset) -> None:
    facts = run("--class", "car", "--axis", "environment=beach, forest", "--axis", "weather")
    assert facts["written"] == 6
    assert facts["pairs"] == {"covered": 6, "total": 6}
    slots = [prompt.slots for prompt in Prompt.objects.all()]
    assert {one["environment"] for one in slots} == {"with beach", "with forest"}
    assert {one["weather"] for one in slots} == {"with rain", "with snow", "with fog"}
    assert not any("style" in one for one in slots)


def test_pairwise_needs_fewer_than_the_grid(dataset: Dataset) -> None:
    axes = ["--axis", "environment", "--axis", "weather", "--axis", "style", "--class", "car"]
    pairwise = run(*axes, "--strategy", "pairwise", "--count", "12")
    assert pairwise["pairs"] == {"covered": 21, "total": 21}
    assert pairwise["written"] == 12
    Prompt.objects.all().delete()
    assert run(*axes, "--strategy", "grid", "--count", "100")["written"] == 18


def test_instructions_are_written_too_and_a_fusion_has_its_label(dataset: Dataset) -> None:
    facts = run(
        *("--technique", "variation", "--technique", "fusion"),
        *("--label", "umbrella", "--class", "car", "--count", "2"),
    )
    assert {one["technique"] for one in facts["prompts"]} == {"variation", "fusion"}
    fusions = Prompt.objects.filter(technique="fusion")
    assert {prompt.label_class.name for prompt in fusions} == {"umbrella"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--axis", "mood"], "no axis 'mood'; its axes: environment, style, weather"),
        (["--axis", "weather=hail"], "has no value 'hail'"),
        (["--label", "zebra"], "no class 'zebra'"),
        (["--strategy", "random"], "invalid choice: 'random'"),
    ],
)
def test_wrong_options_are_explained(dataset: Dataset, options: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*options)
    assert not Prompt.objects.exists()


def test_two_hundred_prompts_come_of_one_class_name() -> None:
    """From a class and no network: all text techniques, three axes, every pair of values."""
    dataset = make_dataset("Traffic", classes=["owl"])
    options = ("--together", "--starter-axes", "--strategy", "pairwise", "--count", "200")
    facts = run(*options, "--seed", "5")
    assert (facts["asked"], facts["written"], facts["dropped"]) == (200, 200, 0)
    texts = {prompt["text"].casefold() for prompt in facts["prompts"]}
    assert len(texts) == 200
    assert [text for text in texts if BAD_ENGLISH.search(text)] == []
    assert {prompt["technique"] for prompt in facts["prompts"]} == set(WRITTEN)
    assert facts["pairs"] == facts["pairs_by_technique"]["style"] == {"covered": 296, "total": 296}
    owl = dataset.classes.get(name="owl")
    covered = stored_coverage(make_wish(dataset, "style"), owl)
    assert set(covered.pairs) == set(combinations(["action", "environment", "style"], 2))
    assert covered.is_complete
    assert Prompt.objects.filter(dataset=dataset).count() == 200


def test_templates_of_ones_own_and_a_set_exclude_each_other(dataset: Dataset) -> None:
    with pytest.raises(CommandError, match="own templates"):
        run("--together", "--template", "A [class]")


def test_several_templates_take_turns(dataset: Dataset) -> None:
    facts = run("--class", "car", "--template", "A [class]", "--template", "One [class] alone")
    assert [prompt["text"] for prompt in facts["prompts"]] == ["A car", "One car alone"]
