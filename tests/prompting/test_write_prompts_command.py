"""`manage.py write_prompts`: axes, strategies and labels."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from synthreview.catalog.models import Dataset
from synthreview.catalog.services import set_axis_values
from synthreview.prompting.models import Prompt
from tests.factories import make_dataset

pytestmark = pytest.mark.django_db


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
