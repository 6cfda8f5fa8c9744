"""A dataset from a file: made once, brought up to date, or refused in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from synthreview.catalog.dataset_file import read_dataset_file
from synthreview.catalog.models import AxisValue, Dataset, LabelClass
from synthreview.generation.generators.sketch.understanding import understand
from tests.factories import make_user

pytestmark = pytest.mark.django_db
DEMO = Path(settings.BASE_DIR) / "fixtures" / "demo.toml"
SMALL = """
name = "Pets"
slug = "pets"
description = "Cats and dogs."
licence = "cc-by-4.0"

[policy]
target_error = 0.05
reviews_per_image = 2

[[classes]]
name = "cat"
definition = "A small feline."
synonyms = ["kitten"]

[[classes]]
name = "dog"

[[axes]]
name = "action"
values = [
  { name = "sleeping" },
  { name = "barking", phrase = "barking loudly", classes = ["dog"] },
]
"""


def write(folder: Path, text: str = SMALL) -> Path:
    path = folder / "pets.toml"
    path.write_text(text)
    return path


def load(capsys: pytest.CaptureFixture[str], path: Path, **options: Any) -> dict[str, Any]:
    call_command("import_dataset", str(path), as_json=True, **options)
    out, err = capsys.readouterr()
    assert err == ""
    answer: dict[str, Any] = json.loads(out)
    return answer


def test_it_makes_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = load(capsys, write(tmp_path))
    assert answer["dataset"] == "pets"
    assert answer["created"] is True
    dataset = Dataset.objects.get()
    assert (dataset.name, dataset.description) == ("Pets", "Cats and dogs.")
    assert dataset.licence == "cc-by-4.0"
    assert (dataset.policy.target_error, dataset.policy.reviews_per_image) == (0.05, 2)
    assert dataset.policy.confidence == 0.95  # not in the file: the usual
    cat, dog = dataset.classes.all()
    assert (cat.name, cat.definition, cat.synonyms) == ("cat", "A small feline.", ["kitten"])
    barking = AxisValue.objects.get(name="barking")
    assert (barking.phrase, list(barking.classes.all())) == ("barking loudly", [dog])


def test_a_second_run_changes_nothing_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(tmp_path)
    load(capsys, path)
    values = set(AxisValue.objects.values_list("pk", flat=True))
    answer = load(capsys, path)
    assert (answer["created"], answer["changed"]) == (False, [])
    assert set(AxisValue.objects.values_list("pk", flat=True)) == values
    assert {row.guideline_version for row in LabelClass.objects.all()} == {1}
    call_command("import_dataset", str(path))
    assert "nothing changed" in capsys.readouterr().out


def test_a_changed_file_changes_what_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(capsys, write(tmp_path))
    LabelClass.objects.filter(name="dog").update(guideline="Written in the browser.")
    changed = SMALL.replace("A small feline.", "A feline.").replace('{ name = "sleeping" },', "")
    answer = load(capsys, write(tmp_path, changed.replace("0.05", "0.01")))
    assert answer["changed"] == ["policy", "class cat", "axis action"]
    cat, dog = LabelClass.objects.all()
    assert (cat.definition, cat.guideline_version) == ("A feline.", 2)
    assert (dog.guideline, dog.guideline_version) == ("Written in the browser.", 1)
    assert [value.name for value in AxisValue.objects.all()] == ["barking"]


def test_a_class_that_the_file_leaves_out_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load(capsys, write(tmp_path))
    answer = load(capsys, write(tmp_path, 'name="Pets"\nslug="pets"\n[[classes]]\nname="cat"\n'))
    assert answer["left_alone"] == ["dog"]
    assert LabelClass.objects.count() == 2


def test_the_owner_becomes_admin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curator = make_user("anna")
    load(capsys, write(tmp_path), owner="anna")
    assert Dataset.objects.get().memberships.get().user == curator
    assert Dataset.objects.get().memberships.get().role == "admin"
    assert load(capsys, write(tmp_path), owner="anna")["changed"] == []


def test_an_unknown_owner_stops_it(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="no user 'nobody'"):
        call_command("import_dataset", str(write(tmp_path)), owner="nobody")
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("slug =", "slugg =", "slugg: no such key; allowed: name, slug, description, licence"),
        ('slug = "pets"', "", "slug: is missing and must be a text"),
        ('slug = "pets"', 'slug = "My Pets"', "slug: 'My Pets': allowed are a-z"),
        ('"Pets"', "7", "name: must be a text, not 7"),
        ('"Pets"', '" "', "name: is empty"),
        ('"Pets"', '"a\\u0000b"', "name: holds a NUL"),
        ("0.05", "true", "policy.target_error: must be a number, not True"),
        ("0.05", "0.9", "policy.target_error (0.9): Ensure this value is less than or equal"),
        ("target_error", "error", "policy.error: no such key; allowed: target_error"),
        ("= 2", "= 2.5", "policy.reviews_per_image: must be a whole number, not 2.5"),
        ('["kitten"]', '"kitten"', "classes[0].synonyms: must be a list"),
        ('["kitten"]', "[1]", "classes[0].synonyms: must be a list of texts, and 1 is none"),
        ('name = "dog"', 'name = "Cat"', "classes: 'Cat' stands there twice"),
        ('name = "dog"', "target_count = 3", "classes[1].name: is missing"),
        ('name = "dog"', 'name = "dog"\ntarget_count = -1', "classes[1].target_count: below 0"),
        ('"dog"\n', f'"{"d" * 121}"\n', "classes[1].name"),
        ('["dog"]', '["cow"]', "axes[0].values[1].classes: no class is called 'cow'; known: cat"),
        ('"action"', '"class"', "axes[0].name: 'class' has a meaning of its own"),
        ('"action"', '"My axis"', "axes[0].name: 'My axis': allowed are a-z"),
        ('"barking"', '"sleeping"', "axes[0].values: 'sleeping' stands there twice"),
        ("[policy]", "[policy", "not valid TOML"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_in_one_line_that_names_the_key(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    text = SMALL.replace(old, new)
    assert text != SMALL
    path = write(tmp_path, text if "dddd" not in new else text.replace('["dog"]', "[]"))
    with pytest.raises(CommandError) as caught:
        call_command("import_dataset", str(path))
    message = str(caught.value)
    assert words in message
    assert message.startswith(str(path))
    assert "\n" not in message
    assert not Dataset.objects.exists()


@pytest.mark.parametrize(("data", "words"), [(b"\xff\xfe", "UTF-8"), (b"", "name: is missing")])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes, words: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(data)
    with pytest.raises(CommandError, match=words):
        call_command("import_dataset", str(path))


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="No such file"):
        call_command("import_dataset", str(tmp_path / "none.toml"))


def test_another_datasets_name_is_refused(tmp_path: Path) -> None:
    call_command("import_dataset", str(write(tmp_path)), verbosity=0)
    other = write(tmp_path, SMALL.replace('slug = "pets"', 'slug = "other"'))
    with pytest.raises(CommandError, match=r"name \('Pets'\): .* already exists"):
        call_command("import_dataset", str(other))


def test_the_demonstration_is_understood_by_its_generator() -> None:
    spec = read_dataset_file(DEMO)
    assert len(spec.classes) == 12
    count = 0
    for label_class in spec.classes:
        for axis in spec.axes:
            for value in axis.values:
                if value.classes and label_class.name not in value.classes:
                    continue
                phrase = value.phrase or value.name
                before = axis.name == "colour"
                text = f"{phrase} {label_class.name}" if before else f"{label_class.name} {phrase}"
                understood = understand(f"a {text}")
                assert understood.object == label_class.name, text
                assert understood.unknown_words == (), text
                assert getattr(understood, axis.name), text
                count += 1
    assert count > 350


def test_every_class_of_the_demonstration_can_do_something() -> None:
    spec = read_dataset_file(DEMO)
    (actions,) = [axis for axis in spec.axes if axis.name == "action"]
    able = {name for value in actions.values for name in value.classes}
    assert able == {row.name for row in spec.classes}
    for row in spec.classes:
        assert row.given["definition"]
        assert row.given["guideline"]
