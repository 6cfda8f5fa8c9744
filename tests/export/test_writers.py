"""What every format has in common: its manifest, its checksums, and names that stay inside."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from synthreview.catalog.services import unique_slug
from synthreview.export.writers.base import ClassFacts, UnsafeNameError
from synthreview.export.writers.card import card_text
from synthreview.export.writers.formats import FORMATS, writer
from synthreview.export.writers.imagefolder import LAYOUT, ImageFolderWriter
from synthreview.export.writers.tar import END, header, member_size, padding
from synthreview.lib.adapters import UnknownAdapterError
from tests.export.entries import all_files, entry, facts, picture, record, some_entries

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
every_format = pytest.mark.parametrize("name", list(FORMATS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "export"
    folder.mkdir()
    return folder


def manifest(folder: Path) -> list[dict[str, object]]:
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def unpacked(folder: Path) -> Path:
    """Unpack shards where they lie, as docs/exporting.md says."""
    for shard in folder.glob("*.tar"):
        with tarfile.open(shard) as archive:
            archive.extractall(folder, filter="data")
    return folder


@every_format
def test_the_manifest_tells_every_images_history(tmp_path: Path, folder: Path, name: str) -> None:
    entries = some_entries(tmp_path)
    writer(name).write(folder, entries, facts())
    rows = manifest(folder)
    assert len(rows) == len(entries)
    for row, one in zip(rows, entries, strict=True):
        assert row.items() >= one.record.items()
        assert row["sha256"] == one.sha256
        assert (row["split"], row["class"]) == (one.split, one.class_name)
        assert row["label"] == ["car", "umbrella"].index(one.class_folder)
        assert (row["width"], row["height"], row["bytes"]) == (16, 12, one.byte_count)


@every_format
def test_every_file_and_every_image_has_its_checksum(
    tmp_path: Path, folder: Path, name: str
) -> None:
    entries = some_entries(tmp_path)
    writer(name).write(folder, entries, facts())
    files = all_files(unpacked(folder))
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    checksums = {path: sha256 for sha256, path in (line.split("  ") for line in lines)}
    assert list(checksums) == sorted(checksums)
    assert set(checksums.values()) >= {one.sha256 for one in entries}
    inside = {path for path in checksums if path.startswith("images/")} - set(files)
    assert bool(inside) == (name == "parquet")
    for path in set(checksums) - inside:
        assert hashlib.sha256(files[path]).hexdigest() == checksums[path], path
    containers = (".tar", ".parquet", ".cls", ".json", "SHA256SUMS")
    assert {path for path in set(files) - set(checksums) if not path.endswith(containers)} == set()


@every_format
def test_the_same_entries_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    written = []
    for number in ("one", "two"):
        (tmp_path / number).mkdir()
        writer(name).write(tmp_path / number, some_entries(tmp_path), facts())
        written.append(all_files(tmp_path / number))
    assert written[0] == written[1]


@every_format
def test_a_missing_or_damaged_original_breaks_the_writing_off(
    tmp_path: Path, folder: Path, name: str
) -> None:
    with pytest.raises(OSError, match="damaged in the store"):
        writer(name).write(folder, [entry(tmp_path, 1, byte_count=3)], facts())
    shutil.rmtree(folder)
    folder.mkdir()
    gone = entry(tmp_path, 2, source=tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        writer(name).write(folder, [gone], facts())


PLACES = [
    (name, part)
    for name in FORMATS
    for part in ("split", "class_folder", "stem")
    if (name, part) != ("webdataset", "class_folder")  # shards have no folders
]


@pytest.mark.parametrize(("name", "part"), PLACES)
@pytest.mark.parametrize("bad", ["../../etc", "..", "", "a/b", "a\\b", "a\0", "é", "a\n", "x" * 81])
def test_no_name_leads_out_of_the_folder(
    tmp_path: Path, folder: Path, name: str, part: str, bad: str
) -> None:
    made = entry(tmp_path, 1, **{part: bad})
    deep = folder / "two" / "down"  # what leads out by two is still in sight
    deep.mkdir(parents=True)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(UnsafeNameError, match="no plain name"):
        writer(name).write(deep, [made], facts())
    new = set(tmp_path.rglob("*")) - before
    assert new
    assert all(path.is_relative_to(deep) for path in new)
    assert not [path for path in new if path.suffix == ".png"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(name=st.one_of(st.sampled_from(NASTY_NAMES), st.text(max_size=120)))
def test_any_class_name_becomes_a_safe_folder(tmp_path: Path, name: str) -> None:
    slug = unique_slug(name, taken=())
    assert slug.upper() not in {"CON", "PRN", "AUX", "NUL", "COM1", "LPT1"}
    with tempfile.TemporaryDirectory(dir=tmp_path) as target:
        made = entry(tmp_path, 1, class_folder=slug)
        ImageFolderWriter().write(Path(target), [made], facts())
        (written,) = Path(target).rglob("*.png")
        assert written == Path(target) / "train" / slug / "00000001.png"


def test_an_unknown_format_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownAdapterError, match="'tfrecord'; known: coco, csv, "):
        writer("tfrecord")


# --- Image folder -------------------------------------------------------------------


def test_the_folder_holds_the_originals_byte_for_byte(tmp_path: Path, folder: Path) -> None:
    ImageFolderWriter().write(folder, some_entries(tmp_path), facts())
    files = all_files(folder)
    assert set(files) == {
        "DATASHEET.md",
        "README.md",
        "SHA256SUMS",
        "coverage.svg",
        "croissant.json",
        "manifest.jsonl",
        "provenance.json",
        "train/car/00000001.png",
        "train/umbrella/00000002.jpg",
        "train/car/00000003.webp",
        "test/umbrella/00000004.png",
    }
    assert files["train/car/00000001.png"] == picture(1)


@pytest.mark.skipif(not shutil.which("sha256sum"), reason="this system has no sha256sum")
def test_the_usual_tool_checks_a_copy(tmp_path: Path, folder: Path) -> None:
    ImageFolderWriter().write(folder, some_entries(tmp_path), facts())
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode == 0
    (folder / "train/car/00000001.png").unlink()
    (folder / "train/car/00000001.png").write_bytes(b"changed")
    assert subprocess.run(check, cwd=folder, capture_output=True, check=False).returncode != 0


def test_a_store_on_another_disk_is_copied(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(source: Path, target: Path) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    ImageFolderWriter().write(folder, [entry(tmp_path, 1)], facts())
    assert (folder / "train/car/00000001.png").read_bytes() == picture(1)


# --- Tar ----------------------------------------------------------------------------


@settings(deadline=None)
@given(
    name=st.text("abcdefghij0123456789-_.", min_size=1, max_size=99),
    size=st.integers(0, 8**11 - 1),
)
def test_headers_are_those_of_tarfile(name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    ours = tarfile.TarInfo.frombuf(header(name, size), "ascii", "strict")
    assert (ours.name, ours.size, ours.mode, ours.mtime, ours.uid) == (name, size, 0o644, 0, 0)
    assert ours.isreg()
    assert header(name, size) == info.tobuf(tarfile.USTAR_FORMAT)
    assert member_size(size) == len(header(name, size)) + size + len(padding(size))


@pytest.mark.parametrize(("name", "size"), [("", 1), ("x" * 100, 1), ("x", 8**11), ("x", -1)])
def test_what_fits_into_no_header_is_refused(name: str, size: int) -> None:
    with pytest.raises(ValueError, match="does not fit"):
        header(name, size)


def test_an_archive_ends_with_two_empty_blocks() -> None:
    assert bytes(1024) == END


# --- CSV ----------------------------------------------------------------------------


def test_no_cell_of_the_table_is_a_formula(tmp_path: Path, folder: Path) -> None:
    nasty = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\nx", "plain", "a=b"]
    entries = [
        entry(tmp_path, number, record={**record(number), "prompt": text})
        for number, text in enumerate(nasty)
    ]
    writer("csv").write(folder, entries, facts())
    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["prompt"] for row in rows] == [f"'{text}" for text in nasty[:7]] + nasty[7:]
    for row in rows:
        for name, cell in row.items():
            assert not cell.startswith(("=", "+", "@", "\t", "\r", "\n")), name
            assert not cell.startswith("-") or name == "seed"
    assert rows[3]["seed"] == "-3"  # a number, not text
    assert [row["prompt"] for row in manifest(folder)] == nasty


# --- The card -----------------------------------------------------------------------


def test_the_card_counts_the_images_and_says_what_made_them() -> None:
    text = card_text(facts(), LAYOUT)
    assert "| class | train | test | all |" in text
    assert "| umbrella | 1 | 1 | 2 |" in text
    assert "4 images, frozen on 2026-11-22" in text
    assert "> Drawn for demonstration." in text
    assert "0. **Auto (car)**: Four wheels." in text
    assert "1. **umbrella**: no definition given" in text
    assert "    path: train/**" in text


@pytest.mark.parametrize(
    ("count", "category"),
    [(1, "n<1K"), (999, "n<1K"), (1_000, "1K<n<10K"), (99_999, "10K<n<100K"), (10**7, "n>10M")],
)
def test_the_hub_is_told_the_size(count: int, category: str) -> None:
    text = card_text(facts(counts={"car": {"train": count}}), LAYOUT)
    assert f"size_categories:\n- {category}\n" in text


def test_no_name_breaks_the_cards_structure() -> None:
    text = card_text(
        facts(
            title="Evil\n---\n# x",
            classes=(ClassFacts("a|b\n| c |", "a-b", "<script>"),),
            counts={"a|b\n| c |": {"train": 1}},
        ),
        LAYOUT,
    )
    assert text.count("\n---\n") == 1
    assert "<script>" not in text
    assert r"| a\|b \| c \| | 1 | 0 | 1 |" in text
