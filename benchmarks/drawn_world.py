"""Write a replay file of the drawn world: its captions, its faults, its scores, and what is bad.

    python -m benchmarks.drawn_world --out FOLDER [--images 8000] [--captions 800] [--seed 1]

The captions are written by the product's own author for the demonstration's classes, the pictures
drawn by the embedded generator and judged by the embedded CLIP. `bad` is what the generator really
drew, which only benchmarks and tests may know. Writes `drawn.csv` and `drawn.npy`, the embeddings.
"""

from __future__ import annotations

import argparse
import csv
import io
import multiprocessing
import os
import random
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

TECHNIQUES = ("plain", "environment", "style")
SCORES = ("score", "score_similarity", "score_match", "score_class_probability", "score_margin")
PARTS = ("object", "environment", "style", "colour")
BATCH = 64


@dataclass(frozen=True, slots=True)
class Caption:
    """One prompt as the scorer and the replay need it."""

    text: str
    label_class: str
    technique: str
    slots: dict[str, str]
    parts: dict[str, str]


def write_captions(count: int, seed: int) -> list[Caption]:
    """Have the product write `count` captions for the demonstration's classes."""
    from django.core.management import call_command

    from synthreview.prompting.models import Prompt

    call_command("migrate", verbosity=0, interactive=False)
    call_command("import_dataset", "fixtures/demo.toml", verbosity=0)
    for technique in TECHNIQUES:
        call_command(
            "write_prompts",
            "drawn-world",
            techniques=[technique],
            count=-(-count // len(TECHNIQUES)),
            seed=seed,
            approve=True,
            verbosity=0,
            stdout=io.StringIO(),
        )
    prompts = Prompt.objects.select_related("label_class").order_by("pk")
    return [
        Caption(p.text, p.label_class.name, p.technique, dict(p.slots), dict(p.parts))
        for p in prompts
    ]


def draw(job: tuple[str, int, int]) -> tuple[bytes, str | None]:
    """Draw one picture as the product does; return its file and what went wrong with it."""
    from synthreview.generation.generators.base import DrawRequest
    from synthreview.generation.generators.sketch import SketchGenerator

    text, seed, size_px = job
    request = DrawRequest(prompt=text, size_px=size_px, count=1, seed=seed)
    [image] = SketchGenerator().draw(request, idempotency_key="").images
    return image.data, image.private["fault"]


def rows(
    captions: list[Caption], images: int, seed: int, size_px: int, workers: int
) -> Iterator[tuple[dict[str, Any], np.ndarray[Any, Any]]]:
    """Yield the lines of the file with their embeddings, in random order of captions."""
    from synthreview.scoring.scorers.base import ScoreRequest
    from synthreview.scoring.scorers.clip import ClipScorer

    rng = random.Random(f"drawn-world/{seed}")
    chosen = [captions[i % len(captions)] for i in range(images)]
    jobs = [(caption.text, rng.randrange(2**31 - 1), size_px) for caption in chosen]
    classes = sorted({caption.label_class for caption in captions})
    scorer = ClipScorer("", threads=1, batch_size=BATCH)
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        drawn = pool.imap(draw, jobs, chunksize=16)
        for start in range(0, images, BATCH):
            part = chosen[start : start + BATCH]
            files = [next(drawn) for _ in part]
            results = scorer.score(
                [
                    ScoreRequest(
                        image=Image.open(io.BytesIO(data)).convert("RGB"),
                        caption=caption.text,
                        parts=caption.parts,
                        class_texts=classes,
                        class_index=classes.index(caption.label_class),
                    )
                    for caption, (data, _) in zip(part, files, strict=True)
                ]
            )
            for i, (caption, (_, fault), found) in enumerate(
                zip(part, files, results, strict=True), start
            ):
                line = {
                    "image": f"drawn-{i:06}",
                    "group": caption.text,
                    "label_class": caption.label_class,
                    "technique": caption.technique,
                    "generator": "sketch",
                    "score": found.value,
                    "score_similarity": found.similarity,
                    "score_match": found.match,
                    "score_class_probability": found.class_probabilities[
                        classes.index(caption.label_class)
                    ],
                    "score_margin": found.class_margin,
                    **{f"score_part_{name}": found.parts.get(name, "") for name in PARTS},
                    **{
                        f"axis_{name}": caption.slots.get(name, "")
                        for name in ("colour", "action", "environment", "style")
                    },
                    "bad": int(fault is not None),
                    "fault": fault or "",
                }
                yield line, found.embedding


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--images", type=int, default=8_000)
    parser.add_argument("--captions", type=int, default=800)
    parser.add_argument("--size", type=int, default=256, help="pixels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "SYNTHREVIEW_DATA": folder,
            "DATABASE_URL": f"sqlite:///{folder}/db.sqlite3",
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
        }
        import django

        django.setup()
        captions = write_captions(asked.captions, asked.seed)
    asked.out.mkdir(parents=True, exist_ok=True)
    vectors = []
    with (asked.out / "drawn.csv").open("w", newline="") as file:
        writer = None
        for line, vector in rows(captions, asked.images, asked.seed, asked.size, asked.workers):
            writer = writer or csv.DictWriter(file, list(line))
            if not vectors:
                writer.writeheader()
            writer.writerow(line)
            vectors.append(vector)
            if len(vectors) % 500 == 0:
                print(f"{len(vectors)} of {asked.images}", file=sys.stderr, flush=True)
    np.save(asked.out / "drawn.npy", np.stack(vectors))


if __name__ == "__main__":
    main()
