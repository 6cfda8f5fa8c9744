"""Entries and facts for tests of writers: small real images, written without a database."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from synthreview.export.writers.base import ClassFacts, ExportEntry, ExportFacts

KINDS = {"image/png": "PNG", "image/jpeg": "JPEG", "image/webp": "WEBP"}
CLASSES = (
    ClassFacts("Auto (car)", "car", "Four wheels."),
    ClassFacts("umbrella", "umbrella"),
)


def facts(**fields: Any) -> ExportFacts:
    return ExportFacts(
        **{
            "title": "Things",
            "number": 1,
            "description": "Some things.",
            "created": "2026-11-22",
            "classes": CLASSES,
            "splits": ("train", "test"),
            "counts": {"Auto (car)": {"train": 2}, "umbrella": {"train": 1, "test": 1}},
            "notices": ("Drawn for demonstration.",),
            "review": {"reviewers": 2, "label error": "not certified"},
            "tables": {
                "technique": {"plain": 3, "style": 1},
                "generator": {"sketch": 4},
                "model": {"sketch 1": 4},
                "colour": {"röd": 2},
            },
            "licence": "CC BY 4.0",
            "findings": {"Tried on real images": "Evaluation 1: they help."},
            "cost": {"images_usd": 0.08, "dataset_usd": 0.1, "generated": 5},
            **fields,
        }
    )


def picture(number: int, media_type: str = "image/png", size: tuple[int, int] = (16, 12)) -> bytes:
    """Return an image of one colour, another one for each number."""
    buffer = io.BytesIO()
    colour = (40 * number % 256, 255 - number % 256, 128)
    Image.new("RGB", size, colour).save(buffer, KINDS[media_type])
    return buffer.getvalue()


def record(number: int) -> dict[str, Any]:
    """Return a history with everything that breaks a careless format."""
    return {
        "id": number,
        "prompt": 'A car, röd, "quoted"\n=1+1',
        "revised_prompt": "",
        "technique": "plain",
        "slots": {"colour": "röd"} if number % 2 else {},
        "prompt_author": "wordlists",
        "generator": "sketch",
        "model": "sketch",
        "model_version": "1",
        "seed": -number,
        "cost_usd": 0.02,
        "parents": [],
        "family": f"family-{number}",
        "source_name": "=cmd",
        "digital_source_type": "trainedAlgorithmicMedia",
        "score": 0.5 if number % 2 else None,
        "scores": [{"scorer": "Test", "value": 0.5}] if number % 2 else [],
        "decision": "approved",
        "approvals": 1,
        "rejections": 0,
        "reviewers": ["reviewer-0123abcd"],
        "decided_at": "2026-11-22T12:00:00+00:00",
        "guideline_version": 1,
    }


def entry(store: Path, number: int, **fields: Any) -> ExportEntry:
    """Return an image of the class car in train, its file in `store`."""
    media_type = fields.get("media_type", "image/png")
    data = picture(number, media_type)
    source = store / f"blob-{number}"
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(data)
    made = ExportEntry(
        source=source,
        sha256=hashlib.sha256(data).hexdigest(),
        byte_count=len(data),
        media_type=media_type,
        width=16,
        height=12,
        split="train",
        class_name="Auto (car)",
        class_folder="car",
        stem=f"{number:08d}",
        record=record(number),
        source_type="trainedAlgorithmicMedia",
    )
    return replace(made, **fields)


def some_entries(store: Path) -> list[ExportEntry]:
    """Return four images of two classes in train and test, of every kind of file."""
    umbrella = {"class_name": "umbrella", "class_folder": "umbrella"}
    return [
        entry(store, 1),
        entry(store, 2, media_type="image/jpeg", **umbrella),
        entry(store, 3, media_type="image/webp"),
        entry(store, 4, split="test", **umbrella),
    ]


def all_files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
