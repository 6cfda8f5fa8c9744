"""COCO's JSON for classification: images and a category for each, one file per split.

COCO knows objects in boxes; a class of the whole image is one box around all of it, which
readers of detections open too. Written as it comes: only four numbers of an image are kept.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from synthreview.export.writers.base import ExportEntry, ExportFacts, Layout, plain
from synthreview.export.writers.bundle import Bundle, place
from synthreview.lib.licences import licence_of

FOLDER = "annotations"
LAYOUT = Layout(
    contents=(
        ("images/SPLIT/CLASS/FILE", "the images"),
        (f"{FOLDER}/SPLIT.json", "COCO: categories, images, one annotation for each image"),
    ),
    loading="""\
from pycocotools.coco import COCO
train = COCO("annotations/train.json")  # file names are those below images/""",
    pattern="images/{split}/**",
)


class CocoWriter:
    """Category ids are the numbers of the classes plus one: COCO begins with 1."""

    def write(self, folder: Path, entries: Iterable[ExportEntry], facts: ExportFacts) -> None:
        (folder / FOLDER).mkdir()
        with Bundle(folder, facts) as bundle:
            for split, of_split in groupby(entries, key=lambda entry: plain(entry.split)):
                name = f"{FOLDER}/{split}.json"
                _write_split(folder, name, of_split, bundle)
                bundle.add_file(name)
            bundle.finish(LAYOUT)


def _write_split(folder: Path, name: str, entries: Iterator[ExportEntry], bundle: Bundle) -> None:
    facts = bundle.facts
    info = {
        "description": f"{facts.title}, export {facts.number}",
        "date_created": facts.created,
        "version": str(facts.number),
    }
    licence = licence_of(facts.licence)
    licences = [{"id": 1, "name": licence.name, "url": licence.url}] if licence else []
    categories = [
        {"id": number, "name": row.name, "supercategory": ""}
        for number, row in enumerate(facts.classes, start=1)
    ]
    numbers = array("q")  # category, width, height of each image
    with (folder / name).open("w", encoding="utf-8", newline="\n") as file:
        file.write(f'{{"info":{_text(info)},\n"licenses":{_text(licences)},\n')
        file.write(f'"categories":{_text(categories)},\n')
        file.write('"images":[')
        for number, entry in enumerate(entries, start=1):
            place(entry, folder / f"images/{entry.place}")
            bundle.add(entry, f"images/{entry.place}")
            numbers.extend((bundle.label(entry) + 1, entry.width, entry.height))
            row = {
                "id": number,
                "file_name": entry.place,
                "width": entry.width,
                "height": entry.height,
                **({"license": 1} if licence else {}),
            }
            file.write((",\n" if number > 1 else "\n") + _text(row))
        file.write('],\n"annotations":[')
        for number in range(1, len(numbers) // 3 + 1):
            category, width, height = numbers[3 * number - 3 : 3 * number]
            annotation = {
                "id": number,
                "image_id": number,
                "category_id": category,
                "bbox": [0, 0, width, height],
                "area": width * height,
                "iscrowd": 0,
            }
            file.write((",\n" if number > 1 else "\n") + _text(annotation))
        file.write("]}\n")


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
