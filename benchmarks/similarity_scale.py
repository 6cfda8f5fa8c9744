"""How long "more like this" takes in a dataset of a million images.

    python -m benchmarks.similarity_scale [--images 1000000] [--dimensions 128] [--queries 40]
        [--wait]

Fills a SQLite database with rows (no pictures) and half-precision embeddings, five hundred of each
kind that are 95 % alike. Then the code that the worker runs writes the segments, and the page's own
code is timed: the search cold, right after the start of a process, and warm; the page of any image;
and that of a rejected one, with the preview of "reject all like this". A plain look at everything
is the oracle of what is nearest. Filling takes minutes: `--wait` asks for Enter after it, so that
the machine can be made quiet for the figures alone.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PAGE = 20_000
SHOWN = 60
ALIKE, NOISE = 500, 0.2  # images of one kind, and how far they lie from their middle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--wait", action="store_true", help="for Enter before it measures")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {
            "DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
            "SYNTHREVIEW_DATA": str(folder / "data"),
            "SYNTHREVIEW_ALLOWED_HOSTS": "testserver",
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
            "SYNTHREVIEW_LOG_LEVEL": "ERROR",
        }
        import django

        django.setup()
        measure(asked.images, asked.dimensions, asked.queries, waits=asked.wait)


def measure(images: int, dimensions: int, queries: int, *, waits: bool) -> None:
    """Fill, index, and print what a query takes."""
    from django.core.management import call_command
    from django.test import Client

    from synthreview.accounts.models import User
    from synthreview.generation.models import GeneratedImage
    from synthreview.review.models import ImageReview, ImageState
    from synthreview.scoring import similarity, vector_segments
    from synthreview.scoring.similarity import index_full_segments, most_like

    call_command("migrate", verbosity=0, interactive=False)
    began = time.monotonic()
    dataset, version, vectors = fill(images, dimensions)
    say(f"filled in {time.monotonic() - began:.0f} s")
    began = time.monotonic()
    segments = index_full_segments(dataset.pk, version)
    say(f"{segments} segments of {vector_segments.SEGMENT:,} in {time.monotonic() - began:.0f} s")
    if waits:
        input("Enter to measure: ")
    rng = np.random.default_rng(5)
    wanted = GeneratedImage.objects.in_bulk(rng.integers(1, images + 1, queries).tolist())
    chosen = list(wanted.values())

    def cold() -> None:
        similarity._rests.clear()
        vector_segments._opened.cache_clear()
        most_like(chosen[0], SHOWN)

    say(f"cold: {1000 * timed(cold):.0f} ms, all segments opened and the rest read")
    took = [timed(lambda image=image: most_like(image, SHOWN)) for image in chosen]  # type: ignore[misc]
    told("warm", took)
    client = Client()
    client.force_login(User.objects.create_superuser("admin", password="admin"))
    client.get(f"/images/{chosen[0].pk}/like")
    told("page", [timed(lambda i=i: client.get(f"/images/{i.pk}/like")) for i in chosen])  # type: ignore[misc]
    ImageReview.objects.filter(image__in=chosen).update(state=ImageState.REJECTED)
    told("preview", [timed(lambda i=i: client.get(f"/images/{i.pk}/like")) for i in chosen])  # type: ignore[misc]
    marked = client.get(f"/images/{chosen[0].pk}/like").content.count(b'name="image"')
    say(f"the preview marks {marked} images")
    found = [recall(vectors, image.pk, most_like(image, SHOWN)) for image in chosen[:10]]
    say(f"of the truly nearest {SHOWN}: {np.mean(found):.1%} found")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def told(name: str, took: list[float]) -> None:
    p50, p95 = 1000 * np.quantile(took, [0.5, 0.95])
    say(f"{name}: p50 {p50:.0f} ms, p95 {p95:.0f} ms, longest {1000 * max(took):.0f} ms")


def say(line: str) -> None:
    print(line, flush=True)


def recall(vectors: np.ndarray[Any, Any], image: int, found: list[tuple[int, float]]) -> float:
    """Return what share of the truly nearest is among those found."""
    one = vectors[image - 1].astype(np.float32)
    cosines = np.concatenate(
        [vectors[at : at + PAGE].astype(np.float32) @ one for at in range(0, len(vectors), PAGE)]
    )
    cosines[image - 1] = -2
    nearest = set((np.argsort(-cosines)[:SHOWN] + 1).tolist())
    return len(nearest & {pk for pk, _ in found}) / SHOWN


def fill(images: int, dimensions: int) -> tuple[Any, Any, np.ndarray[Any, Any]]:
    """Return a dataset with rows of `images` images, the scorer, and the vectors."""
    from django.db import connection, transaction
    from django.utils import timezone

    from synthreview.catalog import services as catalog
    from synthreview.generation.models import Run
    from synthreview.scoring.models import ScorerVersion

    dataset = catalog.create_dataset(name="Large")
    car = catalog.add_class(dataset=dataset, name="car")
    run = Run.objects.create(dataset=dataset, number=1, generator="sketch", image_count=images)
    version = ScorerVersion.objects.create(
        alias="clip", name="Drawn", model="m", weights_sha256="0" * 64, preprocessing="none",
        registered_at=timezone.now(),
    )  # fmt: skip
    keys = {"dataset": dataset.pk, "run": run.pk, "class": car.pk, "images": images}
    rng = np.random.default_rng(0)
    vectors = np.empty((images, dimensions), dtype="<f2")
    with transaction.atomic(), connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement, keys)
        middles = rng.normal(size=(-(-images // ALIKE), dimensions))
        for start in range(0, images, PAGE):
            own = middles[np.arange(start, min(start + PAGE, images)) % len(middles)]
            part = own + NOISE * rng.normal(size=own.shape)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
            vectors[start : start + len(part)] = part
            rows = [
                (start + at + 1, version.pk, vector.tobytes())
                for at, vector in enumerate(vectors[start : start + len(part)])
            ]
            cursor.executemany(
                "INSERT INTO scoring_embedding (image_id, version_id, vector) VALUES (%s, %s, %s)",
                rows,
            )
    return dataset, version, vectors


FILL = (
    """WITH RECURSIVE numbers (n) AS (
        SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %(images)s
    )
    INSERT INTO generation_generatedimage (id, dataset_id, run_id, position, label_class_id,
        technique, caption, generator, model, model_version, revised_prompt, facts,
        source_name, sha256, media_type, byte_count, width, height, family, created_at)
    SELECT n, %(dataset)s, %(run)s, 0, %(class)s, 'plain', 'A car', 'sketch', 'sketch', '1', '',
        '{}', '', printf('%%064x', n), 'image/png', 1, 512, 512, printf('%%032x', n),
        '2026-01-01 00:00:00'
    FROM numbers""",
    """INSERT INTO review_imagereview (image_id, dataset_id, state, round, looks, approvals,
        rejections, wants_adjudicator, adjudicated)
    SELECT id, dataset_id, 'pending', 1, 1, 0, 0, 0, '' FROM generation_generatedimage""",
    """INSERT INTO review_reviewslot (image_id, dataset_id, label_class_id, technique, round,
        number, purpose, lane, priority, state, guideline_version, stream)
    SELECT id, dataset_id, label_class_id, technique, 1, 1, 'look', 1, 0.5, 'waiting', 1, 'queue'
    FROM generation_generatedimage""",
)


if __name__ == "__main__":
    main()
