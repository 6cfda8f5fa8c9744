"""Images that somebody already has: taken byte for byte, once, and never half."""

from __future__ import annotations

import json
import os
import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as project
from django.core.management import CommandError, call_command

from synthreview.catalog import storage
from synthreview.catalog.image_folders import Report
from synthreview.catalog.models import Dataset
from synthreview.generation import importing
from synthreview.generation.models import GeneratedImage, Run
from tests.factories import make_dataset, tiny_png

pytestmark = pytest.mark.django_db
PHOTOS = Path(project.BASE_DIR) / "fixtures" / "photos"


@pytest.fixture
def pets() -> Dataset:
    dataset = make_dataset("Pets", classes=["cat", "big dog"])
    dataset.classes.filter(name="cat").update(synonyms=["Kitten"])
    return dataset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    for name, number in {"cat/a.png": 1, "cat/deep/b.PNG": 2, "big-dog/c.png": 3}.items():
        put(root / name, tiny_png(number))
    return root


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def bring_in(
    capsys: pytest.CaptureFixture[str], folder: Path, *, dataset: str = "pets", **options: Any
) -> dict[str, Any]:
    capsys.readouterr()
    call_command("import_images", dataset, str(folder), as_json=True, **options)
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


def counts(answer: dict[str, Any]) -> tuple[int, int, int, int]:
    return tuple(answer[key] for key in ("imported", "already_there", "ignored", "refused"))  # type: ignore[return-value]


def test_each_subfolder_is_a_class(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert counts(bring_in(capsys, folder)) == (3, 0, 0, 0)
    rows = {image.source_name: image for image in GeneratedImage.objects.all()}
    assert {name: row.label_class.name for name, row in rows.items()} == {
        "cat/a.png": "cat",
        "cat/deep/b.PNG": "cat",
        "big-dog/c.png": "big dog",
    }
    row = rows["cat/a.png"]
    assert storage.blobs().read(row.sha256) == tiny_png(1)
    assert storage.blobs().exists(row.sha256, "view")
    assert (row.generator, row.technique, row.call, row.prompt) == ("import", "plain", None, None)
    assert row.family == uuid.uuid5(storage.FAMILIES, row.sha256)
    run = Run.objects.get()
    assert (run.generator, run.image_count, run.number) == ("import", 3, 1)


def test_running_it_twice_brings_in_nothing_twice(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bring_in(capsys, folder)
    answer = bring_in(capsys, folder)
    assert counts(answer) == (0, 3, 0, 0)
    assert answer["run"] is None
    assert Run.objects.count() == 1
    put(folder / "cat" / "new.png", tiny_png(9))
    assert counts(bring_in(capsys, folder)) == (1, 3, 0, 0)


def test_a_copy_within_the_folder_is_there_already(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / "cat" / "copy.png", tiny_png(1))
    assert counts(bring_in(capsys, folder)) == (3, 1, 0, 0)


def test_one_image_under_two_classes_is_named(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / "cat" / "z.png", tiny_png(3))
    answer = bring_in(capsys, folder)
    assert counts(answer) == (3, 0, 0, 1)
    assert answer["refusals"] == [
        {"where": "cat/z.png", "why": "the same image is there already, as 'big dog'"}
    ]


def test_bad_files_are_named_and_the_rest_comes_in(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / "cat" / "broken.png", tiny_png(5)[:50])
    put(folder / "cat" / "drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    put(folder / "cat" / "empty.jpg", b"")
    answer = bring_in(capsys, folder)
    assert counts(answer) == (3, 0, 0, 3)
    assert {entry["where"] for entry in answer["refusals"]} == {
        "cat/broken.png",
        "cat/drawing.png",
        "cat/empty.jpg",
    }
    assert all(entry["why"] for entry in answer["refusals"])


def test_other_files_are_ignored_and_counted(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("notes.txt", "cat/.DS_Store", "cat/labels.json", "cat/.hidden/x.png", "loose.png"):
        put(folder / name, tiny_png(7))
    assert counts(bring_in(capsys, folder)) == (3, 0, 5, 0)


def test_links_that_leave_the_folder_are_refused(
    pets: Dataset, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outside = put(tmp_path / "outside" / "secret.png", tiny_png(20))
    (folder / "cat" / "out.png").symlink_to(outside)
    (folder / "cat" / "dir").symlink_to(outside.parent)
    (folder / "cat" / "loop").symlink_to(folder)
    (folder / "cat" / "gone.png").symlink_to(folder / "nothing.png")
    (folder / "cat" / "in.png").symlink_to(folder / "cat" / "a.png")
    answer = bring_in(capsys, folder)
    assert counts(answer) == (3, 1, 0, 4)
    assert {entry["where"] for entry in answer["refusals"]} == {
        "cat/out.png", "cat/dir", "cat/loop", "cat/gone.png",
    }  # fmt: skip


@pytest.mark.parametrize("name", ["CAT", "Kitten", "Big Dog", "big-dog", "BIG-DOG"])
def test_a_class_is_known_by_name_slug_and_synonym(
    pets: Dataset, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "in" / name / "a.png", tiny_png(1))
    assert bring_in(capsys, tmp_path / "in")["imported"] == 1


def test_an_unknown_subfolder_stops_it_before_anything_comes_in(
    pets: Dataset, folder: Path
) -> None:
    put(folder / "cow" / "a.png", tiny_png(8))
    with pytest.raises(CommandError) as caught:
        call_command("import_images", "pets", str(folder))
    assert str(caught.value) == (
        "No class is called 'cow'; Pets has: big dog, cat. Rename it, or let --create-classes "
        "make it"
    )
    assert not GeneratedImage.objects.exists()


def test_it_can_make_the_classes(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(folder / "../mine/Sea cow" / "a.png", tiny_png(8))
    answer = bring_in(capsys, folder, create_classes=True)
    assert answer["new_classes"] == ["Sea cow"]
    assert pets.classes.filter(name="Sea cow").exists()


# --- By a CSV ---------------------------------------------------------------------------


def test_a_csv_says_class_caption_technique_and_generator(
    pets: Dataset, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = put(
        tmp_path / "t.csv",
        "\ufeffFile; CLASS ;Caption;technique;Generator\r\n"
        'cat/a.png;kitten;"A cat; in\nthe snow";Environment;midjourney\r\n'
        "big-dog/c.png;cat;;;\r\n".encode(),
    )
    assert counts(bring_in(capsys, folder, captions=str(table))) == (2, 0, 0, 0)
    first = GeneratedImage.objects.get(source_name="cat/a.png")
    assert (first.caption, first.technique, first.generator) == (
        "A cat; in\nthe snow",
        "environment",
        "midjourney",
    )
    second = GeneratedImage.objects.get(source_name="big-dog/c.png")
    assert (second.label_class.name, second.caption, second.generator) == ("cat", "", "import")


def test_bad_lines_are_refused_by_their_number(
    pets: Dataset, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "secret.png", tiny_png(30))
    (folder / "out.png").symlink_to(tmp_path / "secret.png")
    lines = [
        "file,class,technique",
        "cat/a.png,cat,",
        "../secret.png,cat,",
        "/etc/passwd,cat,",
        "C:\\x.png,cat,",
        "cat/../../secret.png,cat,",
        "none.png,cat,",
        ",cat,",
        "cat/deep/b.PNG,,",
        "cat/deep/b.PNG,cat,magic",
        "out.png,cat,",
        "cat,cat,",
        "big-dog/c.png,big dog,style",
    ]
    table = put(tmp_path / "t.csv", "\n".join(lines).encode())
    answer = bring_in(capsys, folder, captions=str(table))
    assert counts(answer) == (2, 0, 0, 10)
    assert [entry["where"] for entry in answer["refusals"]] == [f"line {n}" for n in range(3, 13)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("file,label\nx,y\n", "no column 'class'"),
        ("", "no column 'class'"),
        ("file,class\ncat/a.png,cow\n", "No class is called 'cow'"),
    ],
)
def test_a_wrong_table_stops_it_before_anything_comes_in(
    pets: Dataset, folder: Path, tmp_path: Path, text: str, words: str
) -> None:
    table = put(tmp_path / "t.csv", text.encode())
    with pytest.raises(CommandError, match=words):
        call_command("import_images", "pets", str(folder), captions=str(table))
    assert not GeneratedImage.objects.exists()


# --- Faults -------------------------------------------------------------------------------


def test_broken_off_it_goes_on_where_it_was(
    pets: Dataset,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(importing, "BATCH", 1)
    whole = storage.store_image
    done: list[bytes] = []

    def full(data: bytes) -> Any:
        if len(done) == 2:
            raise OSError(28, "No space left on device")
        done.append(data)
        return whole(data)

    monkeypatch.setattr(importing, "store_image", full)
    with pytest.raises(CommandError, match="broke off after 2 images: No space left"):
        call_command("import_images", "pets", str(folder))
    assert GeneratedImage.objects.count() == Run.objects.get().image_count == 2
    monkeypatch.setattr(importing, "store_image", whole)
    assert counts(bring_in(capsys, folder)) == (1, 2, 0, 0)


def test_an_import_beside_this_one_does_no_harm(
    pets: Dataset,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = importing._record

    def overtaken(run: Run, images: list[GeneratedImage], report: Report) -> None:
        monkeypatch.setattr(importing, "_record", whole)
        call_command("import_images", "pets", str(folder / "../one"), verbosity=0)
        whole(run, images, report)

    put(folder / "../one/cat/a.png", tiny_png(1))
    monkeypatch.setattr(importing, "_record", overtaken)
    assert counts(bring_in(capsys, folder)) == (2, 1, 0, 0)
    assert GeneratedImage.objects.count() == 3


def test_a_name_that_is_no_text_is_kept_readable(
    pets: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        put(Path(os.fsdecode(os.fsencode(folder) + b"/cat/\xff\xfe.png")), tiny_png(40))
    except OSError:
        pytest.skip("this file system takes only text")
    assert bring_in(capsys, folder)["imported"] == 4
    assert GeneratedImage.objects.filter(source_name="cat/\ufffd\ufffd.png").exists()


def test_real_photographs_come_in(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_dataset("Real", classes=["cup", "flower", "house"])
    answer = bring_in(capsys, PHOTOS, dataset="real")
    assert counts(answer) == (7, 0, 1, 0)
    kinds = set(GeneratedImage.objects.values_list("media_type", flat=True))
    assert kinds == {"image/png", "image/jpeg", "image/webp"}
    for image in GeneratedImage.objects.all():
        assert storage.blobs().read(image.sha256) == (PHOTOS / image.source_name).read_bytes()


def test_batches_bound_the_rows_in_memory(
    pets: Dataset,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    django_assert_max_num_queries: Any,
) -> None:
    monkeypatch.setattr(importing, "BATCH", 10)
    for number in range(100, 125):
        put(folder / "cat" / f"{number}.png", tiny_png(number))
    with django_assert_max_num_queries(45):
        assert bring_in(capsys, folder)["imported"] == 28
    shutil.rmtree(folder)
