"""Each format read by the library that people train with; all offline.

A reader gives (split, class, sha256 of the image's bytes) of every image, sorted.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Found = list[tuple[str, str, str]]


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def class_names(folder: Path) -> dict[int, str]:
    """Return the names of the classes by their number, as the manifest tells them."""
    rows = map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    return {row["label"]: row["class"] for row in rows}


def by_torchvision(folder: Path) -> Found:
    from torchvision.datasets import ImageFolder

    rows = map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    names = {row["file_name"].split("/")[1]: row["class"] for row in rows}
    found: Found = []
    for split in sorted(path.name for path in folder.iterdir() if path.is_dir()):
        opened = ImageFolder(str(folder / split))
        assert all(opened[number][0].size for number in range(len(opened)))
        # A split may lack a class, and torchvision numbers the folders that it finds.
        found += [
            (split, names[opened.classes[label]], sha256(Path(path).read_bytes()))
            for path, label in opened.samples
        ]
    return found


def by_datasets_imagefolder(folder: Path) -> Found:
    import datasets

    opened = datasets.load_dataset("imagefolder", data_dir=str(folder / "data"))
    labelled = opened.class_encode_column("label")
    assert isinstance(next(iter(labelled.values())).features["label"], datasets.ClassLabel)
    found: Found = []
    for split, rows in opened.items():
        assert all(row["image"].size for row in rows)
        for row in rows.cast_column("image", datasets.Image(decode=False)):
            data = row["image"]["bytes"] or Path(row["image"]["path"]).read_bytes()
            assert sha256(data) == row["sha256"]
            found.append((split, row["label"], sha256(data)))
    return found


def by_datasets_parquet(folder: Path) -> Found:
    import datasets

    files = {
        split: [str(path) for path in sorted((folder / "data").glob(f"{split}-*.parquet"))]
        for split in sorted({path.name.split("-")[0] for path in (folder / "data").iterdir()})
    }
    opened = datasets.load_dataset("parquet", data_files=files)
    found: Found = []
    for split, rows in opened.items():
        assert isinstance(rows.features["image"], datasets.Image)
        names = rows.features["label"].names
        assert all(row["image"].size for row in rows)
        for row in rows.cast_column("image", datasets.Image(decode=False)):
            data = row["image"]["bytes"]
            assert sha256(data) == row["sha256"]
            found.append((split, names[row["label"]], sha256(data)))
    return found


def by_webdataset(folder: Path) -> Found:
    import webdataset

    names = class_names(folder)
    index = json.loads((folder / "index.json").read_text())
    found: Found = []
    for shard in index["shardlist"]:
        path = folder / shard["url"]
        assert path.stat().st_size == shard["filesize"]
        samples = list(webdataset.WebDataset(str(path), shardshuffle=False))
        assert len(samples) == shard["nsamples"]
        for sample in samples:
            told = json.loads(sample["json"])
            (kind,) = {"png", "jpg", "webp"} & set(sample)
            assert told["label"] == int(sample["cls"])
            assert told["shard"] == shard["url"]
            found.append((told["split"], names[int(sample["cls"])], sha256(sample[kind])))
        decoded = webdataset.WebDataset(str(path), shardshuffle=False).decode("pil")
        assert all(picture.size for picture, _ in decoded.to_tuple("png;jpg;webp", "cls"))
    return found


def by_pycocotools(folder: Path) -> Found:
    from pycocotools.coco import COCO

    found: Found = []
    for path in sorted((folder / "annotations").glob("*.json")):
        opened = COCO(str(path))
        for image in opened.loadImgs(opened.getImgIds()):
            (annotation,) = opened.loadAnns(opened.getAnnIds(imgIds=[image["id"]]))
            (category,) = opened.loadCats([annotation["category_id"]])
            assert annotation["bbox"] == [0, 0, image["width"], image["height"]]
            data = (folder / "images" / image["file_name"]).read_bytes()
            found.append((path.stem, category["name"], sha256(data)))
    return found


def by_csv(folder: Path) -> Found:
    import pandas

    with (folder / "labels.csv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    table = pandas.read_csv(folder / "labels.csv")
    assert list(table["file_name"]) == [row["file_name"] for row in rows]
    found = [
        (row["split"], row["class"], sha256((folder / row["file_name"]).read_bytes()))
        for row in rows
    ]
    assert [row["sha256"] for row in rows] == [checksum for _, _, checksum in found]
    return found


def by_json(folder: Path) -> Found:
    rows = map(json.loads, (folder / "manifest.jsonl").read_text(encoding="utf-8").splitlines())
    return [
        (row["split"], row["class"], sha256((folder / row["file_name"]).read_bytes()))
        for row in rows
    ]


READERS: dict[str, Callable[[Path], Found]] = {
    "imagefolder": by_torchvision,
    "huggingface": by_datasets_imagefolder,
    "parquet": by_datasets_parquet,
    "webdataset": by_webdataset,
    "coco": by_pycocotools,
    "csv": by_csv,
    "jsonl": by_json,
}
