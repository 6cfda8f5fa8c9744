"""Importing prompts: the whole file or nothing of it, in bounded memory; and exporting them."""

from __future__ import annotations

import io
import json
import random
import string
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from synthreview.catalog.models import Dataset
from synthreview.prompting import importing
from synthreview.prompting.importing import (
    PromptExistsError,
    RefusedImportError,
    add_prompt,
    check_file,
    export_prompts,
    import_prompts,
)
from synthreview.prompting.models import Prompt
from synthreview.prompting.prompt_files import PromptFileError, PromptSpec
from synthreview.prompting.staging import Stage
from synthreview.prompting.uploads import drop_expired
from tests.factories import make_dataset, make_prompt, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset("Traffic", classes=["car", "umbrella"])


def file_of(folder: Path, *lines: str, name: str = "prompts.csv") -> Path:
    path = folder / name
    path.write_text("".join(line + "\n" for line in lines))
    return path


def test_a_file_is_imported_with_all_its_fields(dataset: Dataset, tmp_path: Path) -> None:
    anna = make_user("anna")
    path = file_of(
        tmp_path,
        "text,class,technique,slot:environment,state,author",
        "A car on the beach,CAR,environment,on the beach,approved,dora",
        "An umbrella,umbrella,,,,",
    )
    report = import_prompts(dataset=dataset, path=path, created_by=anna)
    assert (report.prompts, report.stored, report.already_there) == (2, 2, 0)
    first, second = Prompt.objects.order_by("pk")
    assert (first.label_class.name, first.technique, first.state) == (
        "car",
        "environment",
        "approved",
    )
    assert first.slots == {"environment": "on the beach"}
    assert (first.author, first.created_by, first.text_key) == ("dora", anna, "a car on the beach")
    assert (second.technique, second.state, second.author) == ("plain", "draft", "imported")


def test_what_is_there_already_is_counted_and_left_as_it_is(
    dataset: Dataset, tmp_path: Path
) -> None:
    car = dataset.classes.get(name="car")
    there = make_prompt(car, "A car.", state="retired")
    path = file_of(tmp_path, "text,class,state", "a  CAR,car,approved", "A red car,car,approved")
    for stored, already in ((1, 1), (0, 2)):
        report = import_prompts(dataset=dataset, path=path)
        assert (report.stored, report.already_there) == (stored, already)
    there.refresh_from_db()
    assert (there.text, there.state) == ("A car.", "retired")


def test_the_longest_captions_find_their_place_in_the_index(
    dataset: Dataset, tmp_path: Path
) -> None:
    """PostgreSQL's index takes 2,704 bytes in a row; random letters do not shrink."""
    letters = random.Random(1).choices(string.ascii_letters, k=3_999)
    path = file_of(tmp_path, "text,class", f"{''.join(letters)}a,car", f"{''.join(letters)}b,car")
    for stored, already in ((2, 0), (0, 2)):
        report = import_prompts(dataset=dataset, path=path)
        assert (report.stored, report.already_there) == (stored, already)
    car = dataset.classes.get(name="car")
    spec = PromptSpec("".join(letters) + "A", "car")
    with pytest.raises(PromptExistsError):
        add_prompt(dataset=dataset, prompt=spec, label_class=car)


def test_one_bad_line_refuses_the_whole_file(dataset: Dataset, tmp_path: Path) -> None:
    lines = [f"Car {number},car" for number in range(600)]
    path = file_of(tmp_path, "text,class", *lines, "A zebra,zebra", "car 7.,car", ",car")
    with pytest.raises(RefusedImportError, match="3 lines are bad") as caught:
        import_prompts(dataset=dataset, path=path, create_classes=False)
    assert [(bad.line, bad.reason) for bad in caught.value.report.bad] == [
        (602, "no class is called 'zebra'"),
        (603, "the same prompt as in line 9"),
        (604, "the text is empty"),
    ]
    assert not Prompt.objects.exists()
    assert dataset.classes.count() == 2


def test_the_same_text_of_another_class_or_technique_is_another_prompt(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = file_of(tmp_path, "text,class,technique", "It,car,", "It,umbrella,", "It,car,style")
    assert import_prompts(dataset=dataset, path=path).stored == 3


def test_three_equal_lines_all_name_the_first(dataset: Dataset, tmp_path: Path) -> None:
    path = file_of(tmp_path, "text,class", "A,car", "B,car", "A,car", "a.,CAR", "B,car")
    report = check_file(dataset=dataset, path=path)
    assert [(bad.line, bad.reason[-6:]) for bad in report.bad] == [
        (4, "line 2"),
        (5, "line 2"),
        (6, "line 3"),
    ]
    assert (report.prompts, report.bad_count) == (2, 3)


def test_classes_are_made_where_that_is_wished(dataset: Dataset, tmp_path: Path) -> None:
    path = file_of(tmp_path, "text,class", "A zebra,Zebra", "A zebra in snow,zebra", "A car,car")
    report = check_file(dataset=dataset, path=path, create_classes=True)
    assert (report.new_classes, report.by_class) == (["Zebra"], {"Zebra": 2, "car": 1})
    assert not dataset.classes.filter(name="Zebra").exists()
    import_prompts(dataset=dataset, path=path, create_classes=True)
    assert Prompt.objects.filter(label_class__name="Zebra").count() == 2


def test_too_many_new_classes_mean_a_wrong_column(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "MAX_NEW_CLASSES", 2)
    path = file_of(tmp_path, "text,class", "A,a", "B,b", "C,c")
    with pytest.raises(PromptFileError, match="is the right column chosen"):
        import_prompts(dataset=dataset, path=path, create_classes=True)
    assert dataset.classes.count() == 2


def test_synonyms_and_slugs_name_a_class_too(dataset: Dataset, tmp_path: Path) -> None:
    dataset.classes.filter(name="car").update(synonyms=["automobile"])
    path = file_of(tmp_path, "text,class", "A,Automobile", "B,car")
    assert check_file(dataset=dataset, path=path).by_class == {"car": 2}


def test_a_failure_at_the_very_end_leaves_nothing(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, "text,class", *(f"Zebra {number},zebra" for number in range(1200)))
    store = Stage.store

    def failing(*args: Any, **kwargs: Any) -> int:
        assert store(*args, **kwargs) == 1200
        raise PromptFileError("the disk is gone")

    monkeypatch.setattr(Stage, "store", failing)
    with pytest.raises(PromptFileError):
        import_prompts(dataset=dataset, path=path, create_classes=True)
    assert not Prompt.objects.exists()
    assert dataset.classes.count() == 2


def test_a_file_that_changes_between_the_two_readings_is_refused(
    dataset: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = file_of(tmp_path, "text,class", "A car,car")
    checked = importing._checked

    def then_changed(*args: Any) -> Any:
        report = checked(*args)
        with path.open("a") as file:
            file.write(",car\n")
        return report

    monkeypatch.setattr(importing, "_checked", then_changed)
    with pytest.raises(PromptFileError, match="was changed"):
        import_prompts(dataset=dataset, path=path)
    assert not Prompt.objects.exists()


def test_a_file_without_prompts_or_with_too_many_is_refused(
    dataset: Dataset, tmp_path: Path
) -> None:
    with pytest.raises(PromptFileError, match="holds no prompt"):
        import_prompts(dataset=dataset, path=file_of(tmp_path, "text,class"))
    path = file_of(tmp_path, "text,class", "A,car", "B,car", "C,car")
    with pytest.raises(PromptFileError, match="more than 2 prompts"):
        import_prompts(dataset=dataset, path=path, max_lines=2)
    with pytest.raises(PromptFileError, match="cannot be read"):
        import_prompts(dataset=dataset, path=tmp_path / "none.csv")


def test_only_the_first_thousand_bad_lines_are_kept_in_order(
    dataset: Dataset, tmp_path: Path
) -> None:
    path = file_of(tmp_path, "text,class", *(f"A {number % 900},zebra" for number in range(1500)))
    report = check_file(dataset=dataset, path=path)
    assert (report.bad_count, len(report.bad), report.bad[-1].line) == (1500, 1000, 1001)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_file(dataset: Dataset, tmp_path: Path) -> None:
    """Checked here at 8,000 lines; benchmarks/bench_prompt_import.py measures 100,000."""

    def peak_of(number: int) -> int:
        lines = (f"A car on street {n} in the rain,car,plain" for n in range(number))
        path = file_of(tmp_path, "text,class,technique", *lines)
        tracemalloc.start()
        report = import_prompts(dataset=dataset, path=path)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert report.stored + report.already_there == number
        return peak

    peak_of(10)  # what is loaded once
    small, large = peak_of(1_000), peak_of(8_000)
    assert large < small + 7_000 * 128, "more than a digest, a line number and a place in order"
    assert large < 15_000_000
    assert Prompt.objects.count() == 8_000


# --- One prompt -----------------------------------------------------------------


def test_one_prompt_is_added_once(dataset: Dataset) -> None:
    car = dataset.classes.get(name="car")
    spec = PromptSpec("A car", "car")
    assert add_prompt(dataset=dataset, prompt=spec, label_class=car).pk
    with pytest.raises(PromptExistsError):
        add_prompt(dataset=dataset, prompt=PromptSpec("a CAR.", "car"), label_class=car)
    assert Prompt.objects.count() == 1


# --- Export ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_an_export_is_imported_the_same_elsewhere(
    dataset: Dataset, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "PAGE", 2)
    car = dataset.classes.get(name="car")
    make_prompt(car, "=HYPERLINK(A1)", slots={"style": "-flat"}, state="draft")
    make_prompt(car, 'A "car"', technique="style", author="dora", template="A [class]")
    make_prompt(car, "A car in the rain", slots={"weather": "in the rain"}, state="retired")
    path = tmp_path / f"prompts.{kind}"
    path.write_text("".join(export_prompts(dataset=dataset, kind=kind)))
    other = make_dataset(classes=["car"])
    assert import_prompts(dataset=other, path=path).stored == 3
    fields = ("text", "technique", "slots", "state", "author", "template")
    mine, theirs = (
        list(Prompt.objects.filter(dataset=one).order_by("pk").values(*fields))
        for one in (dataset, other)
    )
    assert mine == theirs


def test_many_kinds_of_slots_become_one_column(dataset: Dataset) -> None:
    car = dataset.classes.get(name="car")
    make_prompt(car, "A", slots={f"slot-{number}": "x" for number in range(60)})
    header = next(export_prompts(dataset=dataset, kind="csv"))
    assert header.rstrip() == '"text","class","technique","state","author","template","slots"'


def test_an_export_is_filtered(dataset: Dataset) -> None:
    for name in ("car", "umbrella"):
        make_prompt(dataset.classes.get(name=name), name)
    lines = export_prompts(dataset=dataset, kind="jsonl", filters={"label_class__name": "umbrella"})
    assert [json.loads(line)["text"] for line in lines if line.strip()] == ["umbrella"]


# --- Commands -------------------------------------------------------------------


def run(*args: Any, **options: Any) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command(*map(str, args), stdout=out, stderr=err, **options)
    return out.getvalue(), err.getvalue()


def test_the_command_imports_with_a_mapping(dataset: Dataset, tmp_path: Path) -> None:
    path = file_of(tmp_path, "words,colour,note", "A red car,red,x", "A blue car,blue,y")
    args = ("import_prompts", "traffic", path, "--map", "words=text")
    args = (*args, "--map", "colour=slot:colour", "--class", "car", "--state", "approved")
    out, err = run(*args, "--dry-run")
    assert out == "2 prompts can be imported.\n"
    assert "Left out: note" in err
    assert not Prompt.objects.exists()
    facts = json.loads(run(*args, "--json")[0])
    assert (facts["stored"], facts["already_there"], facts["bad"]) == (2, 0, [])
    assert Prompt.objects.approved().filter(slots__colour="red").count() == 1


def test_the_command_lists_bad_lines_and_fails(dataset: Dataset, tmp_path: Path) -> None:
    path = file_of(tmp_path, "text,class", *(f"A {number},zebra" for number in range(25)))
    out, err = io.StringIO(), io.StringIO()
    with pytest.raises(CommandError, match="25 lines are bad, so nothing was imported"):
        call_command("import_prompts", "traffic", str(path), stdout=out, stderr=err)
    assert "line 2: no class is called 'zebra'" in err.getvalue()
    assert "… and 5 more" in err.getvalue()
    assert out.getvalue() == ""
    with pytest.raises(CommandError):
        call_command("import_prompts", "traffic", str(path), "--json", stdout=out, stderr=err)
    assert json.loads(out.getvalue())["bad_count"] == 25


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--map", "text"], "write COLUMN=FIELD"),
        (["--map", "nope=text"], "no column 'nope'"),
        (["--map", "class=text", "--map", "text=text"], "Two columns"),
        (["--format", "jsonl"], "are no JSONL"),
    ],
)
def test_the_command_explains_wrong_options(
    dataset: Dataset, tmp_path: Path, options: list[str], message: str
) -> None:
    path = file_of(tmp_path, "text,class", "A car,car")
    with pytest.raises(CommandError, match=message):
        run("import_prompts", "traffic", path, *options)


def test_the_command_exports_to_a_new_file_or_to_standard_output(
    dataset: Dataset, tmp_path: Path
) -> None:
    make_prompt(dataset.classes.get(name="car"), "A car")
    make_prompt(dataset.classes.get(name="umbrella"), "An umbrella", state="draft")
    path = tmp_path / "prompts.jsonl"
    facts = json.loads(run("export_prompts", "traffic", "--out", path, "--json")[0])
    assert (facts["prompts"], facts["format"]) == (2, "jsonl")
    assert len(path.read_text().splitlines()) == 2
    assert list(tmp_path.glob(".*")) == []
    with pytest.raises(CommandError, match="there already"):
        run("export_prompts", "traffic", "--out", path)
    out, _ = run("export_prompts", "traffic", "--out", "-", "--format", "tsv", "--state", "draft")
    assert out.splitlines() == [
        "text\tclass\ttechnique\tstate\tauthor\ttemplate",
        "An umbrella\tumbrella\tplain\tdraft\tperson\t",
    ]
    out, _ = run("export_prompts", "traffic", "--out", "-", "--class", "car")
    assert '"A car","car"' in out
    with pytest.raises(CommandError, match="choose one"):
        run("export_prompts", "traffic", "--out", "-", "--json")
    with pytest.raises(CommandError, match="cannot be written"):
        run("export_prompts", "traffic", "--out", tmp_path / "no" / "folder.csv")


def test_nothing_is_to_be_dropped_where_nobody_uploaded() -> None:
    assert drop_expired() == 0
