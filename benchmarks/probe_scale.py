"""How long the page of a probe takes in a dataset of a hundred thousand images.

    python -m benchmarks.probe_scale [--images 100000] [--captions 4000] [--labels 100] [--pages 5]

Fills a SQLite database with rows (no pictures): images of which nine in ten are decided on, their
calls and captions, one reading of each, and a labelled sample. Then the page is asked for, and what
the sweeper does for the alarm of a floor is timed: after a change, and where nothing changed.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

GROUPS = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--captions", type=int, default=4_000)
    parser.add_argument("--labels", type=int, default=100)
    parser.add_argument("--pages", type=int, default=5)
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
        measure(asked.images, asked.captions, asked.labels, asked.pages)


def measure(images: int, captions: int, labels: int, pages: int) -> None:
    """Fill, and print what the page and the sweeper's step take."""
    from django.core.management import call_command
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from synthreview.accounts.models import User
    from synthreview.overview.probes import watch_floors
    from synthreview.scoring.probe_models import ProbeLabel

    call_command("migrate", verbosity=0, interactive=False)
    began = time.monotonic()
    probe = fill(images, captions, labels)
    say(f"{images:,} images of {captions:,} captions: filled in {time.monotonic() - began:.0f} s")
    client = Client()
    client.force_login(User.objects.create_superuser("admin", password="admin"))
    address = f"/d/large/coverage/probes/{probe}/"
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert client.get(address).status_code == 200
    slow = sorted(queries, key=lambda query: -float(query["time"]))[:3]
    for query in slow:
        say(f"  {float(query['time']):6.3f} s  {query['sql'][:150]}")
    told("page", lambda: client.get(address), pages)

    def changed() -> None:
        ProbeLabel.objects.order_by("-pk").first().delete()  # type: ignore[union-attr]
        watch_floors()

    told("sweeper, after a change", changed, pages)
    told("sweeper, nothing changed", watch_floors, pages)


def told(name: str, work: Callable[[], object], times: int) -> None:
    wall, cpu = [], []
    for _ in range(times):
        began, used = time.perf_counter(), time.process_time()
        work()
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - used)
    say(
        f"{name}: median {1000 * statistics.median(wall):.0f} ms, longest {1000 * max(wall):.0f} "
        f"ms; {1000 * statistics.median(cpu):.0f} ms of CPU"
    )


def say(line: str) -> None:
    print(line, flush=True)


def fill(images: int, captions: int, labels: int) -> int:
    """Return the primary key of a probe of which everything is read."""
    from django.db import connection, transaction
    from django.utils import timezone

    from benchmarks.review_server.seed import multiply
    from synthreview.catalog.services import add_class, create_dataset
    from synthreview.generation.models import Call, GeneratedImage, Run
    from synthreview.prompting.models import Prompt, PromptState
    from synthreview.review.models import ImageReview
    from synthreview.scoring.models import ScorerVersion
    from synthreview.scoring.probe_models import ProbeGroup, ProbeLabel, ProbeReading
    from synthreview.scoring.probing import GroupWish, save_probe

    dataset = create_dataset(name="Large")
    car = add_class(dataset=dataset, name="car")
    version = ScorerVersion.objects.create(
        alias="clip", name="Drawn", model="m", weights_sha256="0" * 64, preprocessing="none",
        registered_at=timezone.now(),
    )  # fmt: skip
    places = ("on the beach", "in the city", "in the forest", "at night")
    probe = save_probe(
        dataset=dataset,
        name="places",
        groups=[GroupWish(place, floor=0.2) for place in places[:GROUPS]],
    )
    groups = list(ProbeGroup.objects.filter(probe=probe))
    first = Prompt.objects.create(
        dataset=dataset, label_class=car, technique="environment", text="A car", text_key="k",
        state=PromptState.APPROVED,
    )  # fmt: skip
    with transaction.atomic():
        # Four in five captions name one of the groups.
        named = " ".join(
            f"WHEN {number} THEN 'A red car {place}, take ' || n"
            for number, place in enumerate(places)
        )
        text = f"CASE n % 5 {named} ELSE 'A car, take ' || n END"
        multiply(first, captions, text_key="'key ' || n", text=text)
        run = Run.objects.create(dataset=dataset, number=1, generator="sketch", image_count=images)
        of_caption = f"{first.pk} + 1 + n % {captions}"
        call = Call(run=run, prompt=first, count=25, seed=1)
        call.save()
        multiply(
            call, images // 25, prompt_id=of_caption,
            idempotency_key="lower(hex(randomblob(16)))",
        )  # fmt: skip
        image = GeneratedImage.objects.create(
            dataset=dataset, run=run, label_class=car, prompt=first, technique="environment",
            caption="A car", generator="sketch", sha256="0" * 64, media_type="image/png",
            byte_count=1, width=512, height=512,
        )  # fmt: skip
        multiply(
            image, images, sha256="'image ' || n", family="lower(hex(randomblob(16)))",
            prompt_id=of_caption,
        )  # fmt: skip
        state = (
            "CASE WHEN n % 10 < 7 THEN 'approved' WHEN n % 10 < 9 THEN 'rejected' "
            "ELSE 'pending' END"
        )
        review = ImageReview.objects.create(image=image, dataset=dataset)
        multiply(review, images, image_id=f"{image.pk} + n", state=state)
        reading = ProbeReading.objects.create(
            probe=probe, version=version, image=image, group=groups[0], lot=2**31 - 1
        )
        multiply(
            reading, images, image_id=f"{image.pk} + n",
            group_id=f"{groups[0].pk} + (n / 3) % {GROUPS}", lot=f"(n * 7919) % {images}",
        )  # fmt: skip
        sample = ProbeReading.objects.order_by("lot")[:labels]
        ProbeLabel.objects.bulk_create(
            ProbeLabel(probe=probe, image_id=row.image_id, group_id=row.group_id) for row in sample
        )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    return probe.pk


if __name__ == "__main__":
    main()
