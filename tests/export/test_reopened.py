"""Every format is reopened by what people train with, offline, and is what the database says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from synthreview.catalog.models import Dataset
from synthreview.export import services
from synthreview.export.writers.formats import FORMATS
from synthreview.export.writers.parquet import ParquetWriter
from synthreview.export.writers.webdataset import WebDatasetWriter
from tests.export.entries import CLASSES, entry, facts, some_entries
from tests.export.frozen import written
from tests.export.readers import READERS, by_datasets_parquet, by_webdataset
from tests.factories import make_approved_image, make_dataset, make_user

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    # webdataset leaves the files that it reads to the garbage collector.
    "ignore::ResourceWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no library reach for the network, and each keep its cache to itself."""
    import datasets
    import huggingface_hub.constants

    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("a reader reached for the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


@pytest.fixture
def dataset(db: None) -> Dataset:
    """Nine approved images of three classes; one class's name is no plain word."""
    reviewer = make_user("rita")
    dataset = make_dataset("Things", classes=["Zebra, grey", "car", "Ärmel / sleeve"])
    for label_class in dataset.classes.all():
        for _ in range(3):
            make_approved_image(label_class, reviewer)
    return dataset


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FORMATS))
def test_counts_labels_and_checksums_are_those_of_the_database(dataset: Dataset, name: str) -> None:
    package = written(dataset, services.Form(name), "60/40")
    rows = package.export.items.values_list("split", "class_name", "image__sha256")
    assert len(rows) == 9
    assert sorted(READERS[name](services.folder_of(package))) == sorted(rows)


@pytest.mark.slow
@pytest.mark.parametrize("name", list(FORMATS))
def test_images_encoded_anew_are_read_like_the_originals(dataset: Dataset, name: str) -> None:
    package = written(dataset, services.Form(name, "jpeg-16px-q80"), "60/40")
    folder = services.folder_of(package)
    lines = (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    originals = package.export.items.values_list("image__sha256", flat=True)
    assert sorted(row["original"]["sha256"] for row in rows) == sorted(originals)
    told = [(row["split"], row["class"], row["sha256"]) for row in rows]
    assert sorted(READERS[name](folder)) == sorted(told)


@pytest.mark.slow
def test_labels_have_one_number_in_every_format(dataset: Dataset) -> None:
    from torchvision.datasets import ImageFolder

    package = written(dataset, services.Form("imagefolder"), "100")
    folder = services.folder_of(package)
    numbers = ImageFolder(str(folder / "train")).class_to_idx
    for line in (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        assert row["label"] == numbers[row["file_name"].split("/")[1]]


# --- Shards -------------------------------------------------------------------------


def test_shards_end_at_their_count_and_their_size(tmp_path: Path) -> None:
    entries = [entry(tmp_path, number) for number in range(1, 8)]
    for number, (writer, shards) in enumerate(
        [
            (WebDatasetWriter(shard_count=3), [3, 3, 1]),
            (WebDatasetWriter(shard_bytes=6_000), [2, 2, 2, 1]),
            (WebDatasetWriter(shard_bytes=1), [1] * 7),
        ]
    ):
        folder = tmp_path / str(number)
        folder.mkdir()
        writer.write(folder, entries, facts())
        index = json.loads((folder / "index.json").read_text())["shardlist"]
        assert [shard["nsamples"] for shard in index] == shards
        assert [shard["url"] for shard in index] == [
            f"train-{place:06d}.tar" for place in range(len(shards))
        ]
        assert len(by_webdataset(folder)) == 7


def test_a_writer_may_be_used_again(tmp_path: Path) -> None:
    writer = WebDatasetWriter(shard_count=2)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        writer.write(tmp_path / name, some_entries(tmp_path), facts())
        index = json.loads((tmp_path / name / "index.json").read_text())["shardlist"]
        assert [shard["url"] for shard in index] == [
            "train-000000.tar",
            "train-000001.tar",
            "test-000000.tar",
        ]


def test_tables_end_at_their_size_and_tell_their_number(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    ParquetWriter(shard_bytes=1).write(tmp_path / "out", some_entries(tmp_path), facts())
    names = sorted(path.name for path in (tmp_path / "out" / "data").iterdir())
    assert names == ["test-00000-of-00001.parquet", "train-00000-of-00001.parquet"]


def test_groups_of_rows_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("synthreview.export.writers.parquet.GROUP_ROWS", 2)
    (tmp_path / "out").mkdir()
    entries = [entry(tmp_path, number) for number in range(1, 6)]
    ParquetWriter(shard_bytes=100).write(tmp_path / "out", entries, facts())
    files = sorted((tmp_path / "out" / "data").iterdir())
    assert [path.name for path in files] == [
        f"train-{number:05d}-of-00003.parquet" for number in range(3)
    ]
    assert [pq.ParquetFile(path).metadata.num_row_groups for path in files] == [1, 1, 1]
    assert len(by_datasets_parquet(tmp_path / "out")) == 5


def test_a_table_holds_the_history_as_columns(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    entries = [replace(one, split="train") for one in some_entries(tmp_path)]
    ParquetWriter().write(tmp_path / "out", entries, facts())
    (path,) = (tmp_path / "out" / "data").iterdir()
    table = pq.read_table(path)
    first, second = table.to_pylist()[:2]
    assert (first["prompt"], first["seed"]) == ('A car, röd, "quoted"\n=1+1', -1)
    assert json.loads(first["slots"]) == {"colour": "röd"}
    assert (first["score"], second["score"]) == (0.5, None)
    assert json.loads(first["reviewers"]) == ["reviewer-0123abcd"]
    hub = json.loads(table.schema.metadata[b"huggingface"])
    assert hub["info"]["features"]["label"]["names"] == [row.name for row in CLASSES]
    images = {pq.ParquetFile(path).metadata.row_group(0).column(0).compression}
    assert images == {"UNCOMPRESSED"}
