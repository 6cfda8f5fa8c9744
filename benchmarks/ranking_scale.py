"""How long a dataset's queue takes to be put in order, and whether reviewers feel it.

    python -m benchmarks.ranking_scale [--images 1000000] [--decisions 10000] [--dimensions 128]
        [--wait]

Starts a PostgreSQL of its own that flushes every commit, fills it with rows (no pictures), and runs
the job that the worker runs: for images that have all just come, with the first decisions, and
after 500 more. Beside it another process times a reviewer's claim over and over. Filling takes
minutes: `--wait` asks for Enter after it, so that the machine can be made quiet for the figures
alone.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

CONTEXT = get_context("fork")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--decisions", type=int, default=10_000)
    parser.add_argument("--dimensions", type=int, default=128)
    parser.add_argument("--wait", action="store_true", help="for Enter before it measures")
    asked = parser.parse_args()
    from synthreview.lib.processes import Family
    from synthreview.lib.servers import new_postgres_url, start_postgres

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL may run as another user
        url = new_postgres_url()
        os.environ |= {
            "DATABASE_URL": url,
            "SYNTHREVIEW_DATA": str(folder / "data"),
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
        }
        with Family(folder / "logs") as family:
            start_postgres(family, url=url, folder=folder / "postgresql", durable=True)
            import django

            django.setup()
            measure(asked.images, asked.decisions, asked.dimensions, waits=asked.wait)


def measure(images: int, decisions: int, dimensions: int, *, waits: bool) -> None:
    """Fill the database, rank twice, and print what it took."""
    from django.core.management import call_command

    from synthreview.review.ranking_jobs import rank
    from synthreview.review.ranking_models import Ranking, RankingCause

    call_command("migrate", verbosity=0, interactive=False)
    began = time.monotonic()
    dataset, reviewer = fill(images, dimensions)
    say(f"filled in {time.monotonic() - began:.0f} s")
    if waits:
        input("Enter to measure: ")
    for number, decided in enumerate((0, decisions, 500), start=1):
        decide(dataset.pk, reviewer.pk, decided, seed=number)
        ranking = Ranking.objects.create(dataset=dataset, number=number, cause=RankingCause.ASKED)
        with Claims(dataset, reviewer) as claims, learning() as took:
            rank(ranking.pk)
        ranking.refresh_from_db()
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        say(
            f"ranking {number}: {ranking.state}, {ranking.get_method_display()}, in "
            f"{ranking.seconds:.1f} s, {ranking.waiting:,} wait, {ranking.moved:,} moved, "
            f"{sum(took):.1f} s of it learning from {ranking.decisions:,} decisions "
            f"({ranking.bad:,} bad), peak {memory:.1f} GiB; {claims.told()} {ranking.error}"
        )


def say(line: str) -> None:
    print(line, flush=True)


@contextmanager
def learning() -> Iterator[list[float]]:
    """Note how many seconds the model takes, of all that a ranking does."""
    from synthreview.review.ranking.model import Ranker

    took: list[float] = []
    fit = Ranker.fit

    def timed(ranker: Ranker, *args: Any, **options: Any) -> Any:
        began = time.monotonic()
        found = fit(ranker, *args, **options)
        took.append(time.monotonic() - began)
        return found

    with patch.object(Ranker, "fit", timed):
        yield took


class Claims:
    """A reviewer who asks for a card and gives it back, over and over, and how long each took.

    In a process of its own, as the web's is: a thread would wait for what Python computes here.
    """

    def __init__(self, dataset: Any, reviewer: Any) -> None:
        from django.db import connections

        self._took: list[float] = []
        self._ours, theirs = CONTEXT.Pipe()
        connections.close_all()  # the fork opens its own
        self._process = CONTEXT.Process(target=_claim, args=(dataset, reviewer, theirs))

    def __enter__(self) -> Claims:
        self._process.start()
        return self

    def __exit__(self, *args: object) -> None:
        self._ours.send("over")
        self._took = self._ours.recv()
        self._process.join()

    def told(self) -> str:
        """Say how long the claims took."""
        p50, p99 = np.quantile(self._took, [0.5, 0.99]) * 1000
        return (
            f"{len(self._took):,} claims beside it: p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
            f"longest {max(self._took) * 1000:.0f} ms"
        )


def _claim(dataset: Any, reviewer: Any, asked: Connection) -> None:
    from synthreview.review import queue

    took = []
    while not asked.poll(0.05):
        began = time.monotonic()
        queue.claim_next(dataset=dataset, reviewer=reviewer)
        took.append(time.monotonic() - began)
        queue.release(dataset=dataset, reviewer=reviewer)
    asked.send(took)


# --- Rows -------------------------------------------------------------------------


def fill(images: int, dimensions: int) -> tuple[Any, Any]:
    """Make a dataset of 12 classes, 2,000 prompts and `images` scored images that wait."""
    from django.db import connection

    from synthreview.accounts.models import User
    from synthreview.catalog import services as catalog
    from synthreview.generation.models import Run
    from synthreview.prompting.models import Prompt, PromptState
    from synthreview.scoring.models import ScorerVersion

    reviewer = User.objects.create_superuser("reviewer", password="reviewer")
    dataset = catalog.create_dataset(name="Large")
    classes = [catalog.add_class(dataset=dataset, name=f"class {n}") for n in range(12)]
    colours = ("red", "blue", "green", "yellow")
    places = ("on the beach", "in the city", "in the forest")
    Prompt.objects.bulk_create(
        Prompt(
            dataset=dataset,
            label_class=classes[n % 12],
            technique="environment",
            text=f"A {colours[n % 4]} class {n % 12} {places[n % 3]}, take {n}",
            text_key=f"key {n}",
            slots={"colour": colours[n % 4], "environment": places[n % 3]},
            state=PromptState.APPROVED,
        )
        for n in range(2_000)
    )
    first_prompt = Prompt.objects.order_by("pk").values_list("pk", flat=True)[0]
    run = Run.objects.create(dataset=dataset, number=1, generator="sketch", image_count=images)
    from django.utils import timezone

    version = ScorerVersion.objects.create(
        alias="clip", name="Drawn", model="m", weights_sha256="0" * 64, preprocessing="none",
        registered_at=timezone.now(),
    )  # fmt: skip
    keys = {
        "dataset": dataset.pk, "run": run.pk, "prompt": first_prompt, "class": classes[0].pk,
        "version": version.pk, "images": images,
    }  # fmt: skip
    with connection.cursor() as cursor:
        for statement in FILL:
            cursor.execute(statement, keys)
    _fill_embeddings(version.pk, images, dimensions)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    dataset.refresh_from_db()
    return dataset, reviewer


FILL = (
    """INSERT INTO generation_generatedimage (id, dataset_id, run_id, position, label_class_id,
        prompt_id, technique, caption, generator, model, model_version, revised_prompt, facts,
        source_name, sha256, media_type, byte_count, width, height, family, created_at)
    SELECT n, %(dataset)s, %(run)s, 0, %(class)s + n %% 2000 %% 12, %(prompt)s + n %% 2000,
        'environment', '', 'sketch', 'sketch', '1', '', '{}', '', md5(n::text) || md5(n::text),
        'image/png', 1, 512, 512, gen_random_uuid(), now()
    FROM generate_series(1, %(images)s) AS n""",
    """INSERT INTO scoring_score (image_id, version_id, applies, note, value, similarity, match,
        parts, class_probability, class_margin, created_at)
    SELECT n, %(version)s, true, '', random(), random(), random(),
        jsonb_build_object('object', random(), 'colour', random(), 'environment', random()),
        random(), random(), now()
    FROM generate_series(1, %(images)s) AS n""",
    """INSERT INTO review_imagereview (image_id, dataset_id, state, score_id, round, looks,
        approvals, rejections, wants_adjudicator, adjudicated)
    SELECT image_id, %(dataset)s, 'pending', id, 1, 1, 0, 0, false, '' FROM scoring_score""",
    """INSERT INTO review_reviewslot (image_id, dataset_id, label_class_id, technique, prompt_id,
        round, number, purpose, lane, priority, state, guideline_version, stream)
    SELECT image.id, image.dataset_id, image.label_class_id, image.technique, image.prompt_id,
        1, 1, 'look', 1, score.value, 'waiting', 1, 'queue'
    FROM generation_generatedimage AS image JOIN scoring_score AS score
    ON score.image_id = image.id""",
)


def _fill_embeddings(version: int, images: int, dimensions: int) -> None:
    from django.db import connection

    rng = np.random.default_rng(0)
    connection.ensure_connection()
    with (
        connection.connection.cursor() as cursor,
        cursor.copy(
            "COPY scoring_embedding (image_id, version_id, vector) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(["int8", "int8", "bytea"])
        for start in range(1, images + 1, 10_000):
            count = min(10_000, images + 1 - start)
            vectors = rng.normal(size=(count, dimensions)).astype("<f2")
            for offset, vector in enumerate(vectors):
                copy.write_row((start + offset, version, vector.tobytes()))


def decide(dataset: int, reviewer: int, count: int, *, seed: int) -> None:
    """Have `count` images that wait decided, those of a low score more often bad."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT setseed(%s)", [seed / 10])
        cursor.execute(
            # Drawn first and judged then: PostgreSQL would take one random number for both.
            """WITH drawn AS MATERIALIZED (
                SELECT slot.id, slot.image_id, score.value
                FROM review_reviewslot AS slot JOIN scoring_score AS score USING (image_id)
                WHERE slot.state = 'waiting' ORDER BY random() LIMIT %(count)s
            ), chosen AS (
                SELECT id, image_id, gen_random_uuid() AS token,
                    CASE WHEN random() < 0.4 - 0.35 * value THEN 'reject' ELSE 'approve' END
                    AS verdict
                FROM drawn
            ), said AS (
                INSERT INTO review_decision (image_id, dataset_id, reviewer_id, verdict, reasons,
                    wrong_slots, note, stream, purpose, surface, round, seconds,
                    guideline_version, client_token)
                SELECT image_id, %(dataset)s, %(reviewer)s, verdict, '[]', '[]', '', 'queue',
                    'look', 'focus', 1, 1, 1, token FROM chosen
            ), settled AS (
                UPDATE review_imagereview AS review
                SET state = CASE verdict WHEN 'reject' THEN 'rejected' ELSE 'approved' END
                FROM chosen WHERE review.image_id = chosen.image_id
            )
            UPDATE review_reviewslot AS slot SET state = 'decided', decision_id = token,
                reviewer_id = %(reviewer)s, handed_at = now()
            FROM chosen WHERE slot.id = chosen.id""",
            {"count": count, "dataset": dataset, "reviewer": reviewer},
        )


if __name__ == "__main__":
    sys.exit(main())
