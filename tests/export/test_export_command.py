"""`export`: what is approved, complete under its name or not there."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from PIL import Image

from synthreview.catalog.models import Dataset
from synthreview.export.models import Export
from synthreview.export.services import folder_of
from tests.export.frozen import package_of
from tests.factories import make_dataset, make_decision, make_image, make_review, make_user

pytestmark = pytest.mark.django_db


@pytest.fixture
def approved() -> Dataset:
    dataset = make_dataset("World")
    reviewer = make_user()
    for _ in range(4):
        image = make_image(dataset)
        make_review(image)
        make_decision(image, reviewer)
    return dataset


def export(capsys: pytest.CaptureFixture[str], target: Path, *args: str) -> dict[str, Any]:
    capsys.readouterr()
    call_command("export", "world", "--out", str(target), "--json", *args)
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("is_there", [False, True])
def test_it_writes_a_new_or_empty_folder(
    approved: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_there: bool
) -> None:
    target = tmp_path / "out"
    if is_there:
        target.mkdir()
    facts = export(capsys, target, "--split", "50/50")
    assert (facts["export"], facts["images"], facts["path"]) == (1, 4, str(target))
    assert sum(facts["splits"].values()) == 4
    assert set(facts["splits"]) == {"train", "validation"}
    assert len([name for name in tree(target) if name.endswith(".png")]) == 4
    assert tree(target) == tree(folder_of(package_of(Export.objects.get())))
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_it_writes_the_format_and_the_images_as_wished(
    approved: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    facts = export(capsys, tmp_path / "out", "--format", "csv", "--images", "webp-16px-q50")
    assert facts["format"] == "csv"
    names = [name for name in tree(tmp_path / "out") if name.startswith("images/")]
    assert len(names) == 4
    for name in names:
        with Image.open(tmp_path / "out" / name) as image:
            assert (image.format, image.size) == ("WEBP", (16, 16))


def test_it_writes_a_zip(
    approved: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "out.zip"
    export(capsys, target)
    with zipfile.ZipFile(target) as archive:
        assert archive.testzip() is None
        assert len([name for name in archive.namelist() if name.endswith(".png")]) == 4


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--out", "{}/full"], "no new or empty folder"),
        (["--out", "{}/a.zip"], "is there already"),
        (["--out", "{}/none/x"], "is no folder: make it first"),
        (["--out", "{}/x", "--split", "a/b"], "80/10/10"),
        (["--out", "{}/x", "--split=-1/2"], "80/10/10"),
        (["--out", "{}/x", "--format", "tfrecord"], "known: coco, csv, huggingface"),
        (["--out", "{}/x", "--images", "gif"], "choose jpeg, png, webp, or the originals"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_frozen(
    approved: Dataset, tmp_path: Path, args: list[str], words: str
) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    (tmp_path / "a.zip").touch()
    with pytest.raises(CommandError, match=words):
        call_command("export", "world", *[arg.format(tmp_path) for arg in args])
    assert not Export.objects.exists()


def test_nothing_approved_is_said(tmp_path: Path) -> None:
    make_dataset("World")
    with pytest.raises(CommandError, match="No image is approved yet"):
        call_command("export", "world", "--out", str(tmp_path / "x"))


@pytest.mark.parametrize("name", ["out", "out.zip"])
def test_a_full_disk_at_the_target_leaves_nothing_there(
    approved: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def full(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "target"
    target.mkdir()
    monkeypatch.setattr(shutil, "copytree", full)
    monkeypatch.setattr("synthreview.export.management.commands.export.zip_of", full)
    with pytest.raises(CommandError, match=r"is written, but not to .*No space left"):
        call_command("export", "world", "--out", str(target / name))
    assert list(target.iterdir()) == []
