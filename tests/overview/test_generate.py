"""`generate` and `write_prompts`: an answer for scripts, one line for faults, nothing half-done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from synthreview.catalog.models import Dataset
from synthreview.catalog.services import set_axis_values
from synthreview.generation.models import Call, GeneratedImage, Run
from synthreview.generation.services import generator
from synthreview.lib.outcomes import RefusedError, TransientError
from synthreview.prompting.models import Prompt
from synthreview.spending.models import Budget
from tests.factories import make_dataset, make_image, make_prompt
from tests.generation.fakes import ScriptedGenerator, scripted

pytestmark = pytest.mark.django_db


@pytest.fixture
def fake(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings) as own:
        yield own


@pytest.fixture
def world() -> Iterator[Dataset]:
    generator.cache_clear()
    dataset = make_dataset("World", classes=["car", "umbrella"])
    colours = [{"name": name} for name in ("red", "blue", "green")]
    set_axis_values(dataset=dataset, axis_name="colour", values=colours)
    yield dataset
    generator.cache_clear()


def answer(capsys: pytest.CaptureFixture[str], command: str, *args: str) -> dict[str, Any]:
    capsys.readouterr()
    call_command(command, *args, "--json")
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    facts: dict[str, Any] = json.loads(out)
    return facts


def test_it_draws_to_the_end_without_a_worker(
    world: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    make_prompt(world.classes.get(name="car"), "A red car")
    make_prompt(world.classes.get(name="umbrella"), "A blue umbrella")
    args = ("world", "--count", "6", "--size", "256", "--seed", "5", "--wait")
    facts = answer(capsys, "generate", *args, "--option", "fault_rate=0")
    assert (facts["run"], facts["asked"], facts["images"], facts["reasons"]) == (1, 6, 6, {})
    assert facts["calls"]["done"] == 2
    assert Run.objects.get().options == {"fault_rate": 0}
    assert GeneratedImage.objects.filter(label_class__name="car").count() == 3


def test_without_wait_it_only_orders(world: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    make_prompt(world.classes.get(name="car"), "A red car")
    facts = answer(capsys, "generate", "world", "--count", "2")
    assert (facts["images"], facts["calls"]["ready"]) == (0, 1)


def test_failed_calls_end_it_with_code_1_and_their_reasons(
    world: Dataset, fake: type[ScriptedGenerator], capsys: pytest.CaptureFixture[str]
) -> None:
    Budget.objects.create(dataset=world, limit_micro_usd=9_000_000)
    for _ in range(3):
        make_prompt(world.classes.get(name="car"))
    fake.script[:] = [
        RefusedError("Not allowed:\nviolence."),
        RefusedError("Not allowed: violence"),
    ]
    with pytest.raises(CommandError) as caught:
        call_command(
            "generate", "world", "--count", "3", "--generator", "scripted", "--wait", "--json"
        )
    said = str(caught.value)
    assert said == "2 calls of run 1 came to nothing: 2 times: Not allowed: violence."
    facts = json.loads(capsys.readouterr().out)
    assert (facts["images"], facts["reasons"]) == (1, {"Not allowed: violence": 2})


def test_it_waits_for_what_was_put_off(
    world: Dataset, fake: type[ScriptedGenerator], capsys: pytest.CaptureFixture[str]
) -> None:
    Budget.objects.create(dataset=world, limit_micro_usd=9_000_000)
    make_prompt(world.classes.get(name="car"))
    error = TransientError("busy")
    error.retry_after_s = 0.3  # type: ignore[attr-defined]
    fake.script[:] = [error]
    facts = answer(capsys, "generate", "world", "--count", "1", "--generator", "scripted", "--wait")
    assert facts["images"] == 1


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nowhere", "--count", "1"], "There is no dataset 'nowhere'; there are: world."),
        (["world", "--count", "1"], "There is no approved prompt"),
        (["world", "--count", "0"], "choose between 1 and"),
        (["world", "--count", "1", "--class", "cow"], "no class 'cow'; it has: car, umbrella."),
        (["world", "--count", "1", "--generator", "x"], "No generator is called 'x'; known:"),
        (["world", "--count", "1", "--size", "99"], "draws no 99 px"),
        (["world", "--count", "1", "--seed", "-1"], "choose 0 or above"),
        (["world", "--count", "1", "--option", "x"], "write key=value"),
        (["world", "--count", "many"], "invalid int value"),
        (["world"], "required: --count"),
    ],
)
def test_what_cannot_be_is_said_in_one_line_and_leaves_nothing(
    world: Dataset, args: list[str], words: str
) -> None:
    if words.startswith(("choose b", "draws", "No gen")) or "99" in args:
        make_prompt(world.classes.get(name="car"))
    with pytest.raises(CommandError) as caught:
        call_command("generate", *args)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Run.objects.exists()
    assert not Call.objects.exists()


def test_a_first_run_writes_its_captions(
    world: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("world", "--count", "4", "--size", "256", "--first-run", "--wait")
    facts = answer(capsys, "generate", *args)
    assert facts["images"] == 4
    assert {prompt.state for prompt in Prompt.objects.all()} == {"approved"}
    again = answer(capsys, "generate", *args)
    assert (again["run"], again["state"]) == (None, "has images")
    assert Run.objects.count() == 1


def test_a_first_run_that_cannot_start_leaves_no_captions(world: Dataset) -> None:
    with pytest.raises(CommandError, match="99 px"):
        call_command("generate", "world", "--count", "4", "--size", "99", "--first-run")
    assert not Prompt.objects.exists()


def test_a_first_run_leaves_images_alone(
    world: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    make_image(world)
    assert answer(capsys, "generate", "world", "--count", "4", "--first-run")["run"] is None


# --- write_prompts ------------------------------------------------------------------------


def test_captions_are_written_and_wait_for_approval(
    world: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ("world", "--count", "4", "--template", "A {colour} [class]")
    facts = answer(capsys, "write_prompts", *args)
    assert (facts["asked"], facts["written"], facts["approved"]) == (4, 4, 0)
    assert {prompt.state for prompt in Prompt.objects.all()} == {"draft"}
    assert {row["class"] for row in facts["prompts"]} == {"car", "umbrella"}
    more = answer(capsys, "write_prompts", *args)
    assert more["written"] == 2  # of six in all: none twice
    assert Prompt.objects.count() == 6


def test_captions_can_be_approved_at_once_for_some_classes(
    world: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = answer(
        capsys, "write_prompts", "world", "--class", "CAR", "--count", "2", "--approve",
        "--technique", "plain", "--technique", "style", "--template", "A {colour} [class]",
    )  # fmt: skip
    assert facts["written"] == 4
    rows = Prompt.objects.all()
    assert {(row.label_class.name, row.state) for row in rows} == {("car", "approved")}
    assert {row.technique for row in rows} == {"plain", "style"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--template", "A car"], "class"),
        (["--template", "A [class] {weather}"], "weather"),
        (["--author", "nobody"], "No author is called 'nobody'; known: "),
        (["--count", "0"], "choose between 1 and"),
        (["--technique", "magic"], "invalid choice: 'magic'"),
    ],
)
def test_prompts_that_cannot_be_written_leave_nothing(
    world: Dataset, args: list[str], words: str
) -> None:
    with pytest.raises(CommandError) as caught:
        call_command("write_prompts", "world", *args)
    assert words in str(caught.value)
    assert not Prompt.objects.exists()
