"""The image folder: opens in the tools that read such folders, and never leaves its place."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthreview.catalog.services import unique_slug
from synthreview.export.writers.base import ExportEntry, ExportFacts, UnsafeNameError
from synthreview.export.writers.card import card_text
from synthreview.export.writers.imagefolder import ImageFolderWriter
from tests.factories import tiny_png

NASTY_NAMES = [
    "../../etc",
    "CON",
    "con",
    "lpt1",
    "🦀",
    "a/b",
    "..",
    ".",
    "",
    "a\0b",
    "NUL.txt",
    " ",
]


def facts(**fields: object) -> ExportFacts:
    return ExportFacts(
        **{
            "title": "Things",
            "number": 1,
            "description": "Some things.",
            "created": "2026-11-22",
            "classes": {"car": "Four wheels.", "umbrella": ""},
            "counts": {"car": {"train": 2}, "umbrella": {"train": 1, "test": 1}},
            "notices": ("Drawn for demonstration.",),
            "review": {"reviewers": 2},
            **fields,
        }  # type: ignore[arg-type]
    )


def entry(store: Path, number: int, **fields: object) -> ExportEntry:
    data = tiny_png(number)
    source = store / f"blob-{number}"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(data)
    made = ExportEntry(
        source=source,
        sha256=hashlib.sha256(data).hexdigest(),
        byte_count=len(data),
        media_type="image/png",
        split="train",
        class_name="car",
        class_folder="car",
        stem=f"{number:08d}",
        history={"caption": 'A car, röd, "quoted"\n', "seed": number},
    )
    return replace(made, **fields)  # type: ignore[arg-type]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def all_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_folder_holds_the_originals_byte_for_byte(tmp_path: Path, folder: Path) -> None:
    entries = [entry(tmp_path, 1), entry(tmp_path, 2, split="test", class_folder="umbrella")]
    ImageFolderWriter().write(folder, entries, facts())
    files = all_files(folder)
    assert set(files) == {
        "README.md",
        "SHA256SUMS",
        "metadata.jsonl",
        "train/car/00000001.png",
        "test/umbrella/00000002.png",
    }
    assert files["train/car/00000001.png"] == tiny_png(1)
    first, second = (json.loads(line) for line in files["metadata.jsonl"].splitlines())
    assert first["file_name"] == "train/car/00000001.png"
    assert (first["label"], first["split"], first["seed"]) == ("car", "train", 1)
    assert first["caption"] == 'A car, röd, "quoted"\n'
    assert second["sha256"] == hashlib.sha256(tiny_png(2)).hexdigest()


def test_every_file_has_its_checksum(tmp_path: Path, folder: Path) -> None:
    ImageFolderWriter().write(folder, [entry(tmp_path, 1), entry(tmp_path, 2)], facts())
    files = all_files(folder)
    lines = files.pop("SHA256SUMS").decode().splitlines()
    assert lines == [f"{hashlib.sha256(files[name]).hexdigest()}  {name}" for name in files]


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="this system has no sha256sum")
def test_the_usual_tool_checks_a_copy(tmp_path: Path, folder: Path) -> None:
    ImageFolderWriter().write(folder, [entry(tmp_path, 1), entry(tmp_path, 2)], facts())
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 0
    (folder / "train/car/00000001.png").unlink()
    (folder / "train/car/00000001.png").write_bytes(b"changed")
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode != 0


@pytest.mark.slow
def test_the_folder_opens_with_torchvision(tmp_path: Path, folder: Path) -> None:
    torchvision_datasets = pytest.importorskip("torchvision.datasets")
    entries = [
        entry(tmp_path, 1),
        entry(tmp_path, 2, class_folder="umbrella"),
        entry(tmp_path, 3),
    ]
    ImageFolderWriter().write(folder, entries, facts())
    opened = torchvision_datasets.ImageFolder(folder / "train")
    assert opened.classes == ["car", "umbrella"]
    assert [label for _, label in opened] == [0, 0, 1]
    assert opened[0][0].size == (16, 16)


def test_the_same_entries_give_the_same_bytes(tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        ImageFolderWriter().write(tmp_path / name, [entry(tmp_path, 1)], facts())
        written.append(all_files(tmp_path / name))
    assert written[0] == written[1]


def test_a_store_on_another_disk_is_copied(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    ImageFolderWriter().write(folder, [entry(tmp_path, 1)], facts())
    assert (folder / "train/car/00000001.png").read_bytes() == tiny_png(1)


def test_a_missing_or_damaged_original_breaks_the_writing_off(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(OSError, match="damaged in the store"):
        ImageFolderWriter().write(folder, [entry(tmp_path, 1, byte_count=3)], facts())
    gone = entry(tmp_path, 2, source=tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        ImageFolderWriter().write(folder, [gone], facts())


# --- Names -------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["split", "class_folder", "stem"])
@pytest.mark.parametrize(
    "name", ["../../etc", "..", "", "a/b", "a\\b", "a\0", "é", "a\n", "x" * 81]
)
def test_no_name_leads_out_of_the_folder(
    tmp_path: Path, folder: Path, part: str, name: str
) -> None:
    with pytest.raises(UnsafeNameError, match="no plain name"):
        ImageFolderWriter().write(folder, [entry(tmp_path, 1, **{part: name})], facts())
    assert set(all_files(folder)) <= {"metadata.jsonl"}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.one_of(st.sampled_from(NASTY_NAMES), st.text(max_size=120)))
def test_any_class_name_becomes_a_safe_folder(tmp_path: Path, name: str) -> None:
    slug = unique_slug(name, taken=())
    assert slug.upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
    with tempfile.TemporaryDirectory(dir=tmp_path) as target:
        made = entry(tmp_path, 1, class_folder=slug, class_name=name)
        ImageFolderWriter().write(Path(target), [made], facts())
        (written,) = Path(target).rglob("*.png")
        assert written == Path(target) / "train" / slug / "00000001.png"


# --- The card -------------------------------------------------------------------------


def test_the_card_counts_the_images_and_says_what_made_them() -> None:
    text = card_text(facts())
    assert "| class | test | train | all |" in text
    assert "| umbrella | 1 | 1 | 2 |" in text
    assert "4 images, frozen on 2026-11-22" in text
    assert "> Drawn for demonstration." in text
    assert "- **car**: Four wheels." in text
    assert "- **umbrella**: no definition given" in text


def test_no_name_breaks_the_cards_structure() -> None:
    text = card_text(
        facts(
            title="Evil\n---\n# x",
            classes={"a|b\n| c |": "<script>"},
            counts={"a|b\n| c |": {"train": 1}},
        )
    )
    assert text.count("\n---\n") == 1
    assert "<script>" not in text
    assert r"| a\|b \| c \| | 1 | 1 |" in text
