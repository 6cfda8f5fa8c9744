"""Load: many people review at full speed while images are generated, scored and exported.

    make bench-load                        12 people, 20,000 images, 60 s, PostgreSQL
    make bench-load ARGS="--long"          50 people, 1,000,000 images, 600 s
    python -m benchmarks.bench_load --help

In pieces, where the machine is free for minutes only: `--folder F --long --seconds 0` fills the
database, and `--folder F --long --seconds 180` measures on it, as often as you like.

The reviewers' dataset has its own database server, gunicorn with two processes of four threads, and
nobody waits between two decisions. Beside them a second dataset is drawn by the sketch generator,
scored by the embedded CLIP and exported, over and over, by the product's own workers and sweeper.

Pass: no error, no image in two hands, every accepted decision is a row, and something was
generated, scored and exported meanwhile. p50, p95 and p99 are what a person waits for a card.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, too

from benchmarks.bench_review import (  # noqa: E402
    PRODUCT,
    Client,
    Site,
    new_database,
    open_sites,
    quantile,
)
from synthreview.lib.processes import Family  # noqa: E402
from synthreview.lib.servers import (  # noqa: E402
    new_postgres_url,
    new_redis_url,
    start_postgres,
    start_valkey,
)

WORKERS = ("generation", "generation", "scoring", "export")
BUSY = f"busy {time.time():.0f}"  # each run's own
BEGIN = f"""
from django.apps import apps
from django.core.management.color import no_style
from django.db import connection
from synthreview.accounts.models import User
from synthreview.catalog.services import add_class, create_dataset
from synthreview.generation.services import orders_of, start_run
from synthreview.prompting.models import Prompt
from synthreview.scoring.models import ScorerVersion
from synthreview.scoring.services import register
models = [model for model in apps.get_models() if model._meta.managed]
with connection.cursor() as cursor:  # the rows that the queue was filled with named their own keys
    for statement in connection.ops.sequence_reset_sql(no_style(), models):
        cursor.execute(statement)
seeded = ScorerVersion.objects.filter(model="bench").first()
if seeded:  # its scores count as the model's own: the images that it scored have no files
    model = register()
    names = "name", "model", "tag", "weights_sha256", "preprocessing", "applies_to"
    known = {{{{name: getattr(model, name) for name in names}}}}
    model.delete()
    ScorerVersion.objects.filter(pk=seeded.pk).update(**known)
with connection.cursor() as cursor:  # as if each had been compared when it came
    cursor.execute(
        "INSERT INTO scoring_lookalike (dataset_id, image_id, kind)"
        " SELECT dataset_id, id, 'none' FROM generation_generatedimage"
        " WHERE id NOT IN"  # hashed once
        " (SELECT image_id FROM scoring_lookalike WHERE image_id IS NOT NULL)"
    )
user = User.objects.create_user({BUSY!r})
dataset = create_dataset(name={BUSY!r}, created_by=user)
prompts = [
    Prompt.objects.create(
        dataset=dataset, label_class=add_class(dataset=dataset, name=name), text=f"A {{{{name}}}}",
        text_key=name, technique="plain", state="approved",
    )
    for name in ("car", "dog", "umbrella")
]
run = start_run(
    dataset=dataset, orders=orders_of(prompts), count={{images}}, generator_alias="sketch",
    size_px=256, seed=1,
)
"""
EXPORT = f"""
import time
from synthreview.catalog.models import Dataset
from synthreview.export.services import order_export
from synthreview.export.splits import parse_wish
from synthreview.review.models import Decision, ImageReview, ReviewSlot
from synthreview.export.models import Export
dataset = Dataset.objects.get(name={BUSY!r})
end = time.monotonic() + {{seconds}}
while time.monotonic() < end:
    for slot in ReviewSlot.objects.filter(dataset=dataset, state="waiting")[:200]:
        decision = Decision.objects.create(
            image_id=slot.image_id, dataset=dataset, reviewer=dataset.memberships.first().user,
            verdict="approve",
        )
        ReviewSlot.objects.filter(pk=slot.pk).update(
            state="decided", decision=decision, reviewer=decision.reviewer, lease_token=None
        )
        ImageReview.objects.filter(image=slot.image_id).update(state="approved", approvals=1)
    open_ones = Export.objects.filter(dataset=dataset, state__in=["ready", "running"])
    if ImageReview.objects.approved().filter(dataset=dataset).exists() and not open_ones.exists():
        order_export(dataset=dataset, wish=parse_wish("80/10/10"))
    time.sleep(2)
"""
COUNT = f"""
import json
from django.db import connection
from synthreview.export.models import Export, Package
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import Decision
from synthreview.scoring.models import Score
from synthreview.work.services import work_models
ours = Decision.objects.exclude(dataset__name__startswith="busy ")
with connection.cursor() as cursor:
    cursor.execute("SELECT pg_database_size(current_database())")
    size = cursor.fetchone()[0]
print(json.dumps({{{{
    "decisions": ours.count(),
    "decided_images": ours.values("image").distinct().count(),
    "generated": GeneratedImage.objects.filter(dataset__name={BUSY!r}).count(),
    "scored": Score.objects.filter(image__dataset__name={BUSY!r}).count(),
    "packages": Package.objects.filter(export__dataset__name={BUSY!r}, state="done").count(),
    "failed": sum(m.objects.filter(state__in=["failed", "unknown"]).count() for m in work_models()),
    "images": ours.model._meta.get_field("image").related_model.objects.count(),
    "overdue": sum(m.objects.overdue().count() for m in work_models()),
    "bytes": size,
}}}}))
"""


@dataclass
class Reviewer:
    """One person who never waits; errors are kept, and the next try begins anew."""

    client: Client
    took: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    accepted: int = 0

    def work(self, end: float) -> None:
        is_open = False
        while time.monotonic() < end:
            try:
                if not is_open:
                    self.client.begin(PRODUCT)
                    is_open = True
                    continue
                self.took.append(self.client.review(PRODUCT))
                self.accepted += 1
            except (SystemExit, OSError, http.client.HTTPException) as error:
                self.errors.append(str(error)[:300])
                is_open = False
                self.client.connection.close()


def rush(site: Site, people: int, seconds: float) -> list[Reviewer]:
    """Let everybody review at once for so long."""
    reviewers = [Reviewer(client) for client in site.clients(people)]
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=one.work, args=[end]) for one in reviewers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return reviewers


def count(site: Site) -> dict[str, int]:
    return dict(json.loads(site.manage(COUNT.format()).splitlines()[-1]))


def report(
    site: Site, reviewers: list[Reviewer], seconds: float, before: dict[str, int]
) -> list[str]:
    """Print what was measured; return which promises were broken."""
    found = count(site)
    for name in ("decisions", "decided_images", "failed"):
        found[name] -= before[name]
    took = sorted(one for reviewer in reviewers for one in reviewer.took)
    errors = [error for reviewer in reviewers for error in reviewer.errors]
    accepted = sum(reviewer.accepted for reviewer in reviewers)
    handed = Counter(image for reviewer in reviewers for image in set(reviewer.client.images))
    double = sum(count > 1 for count in handed.values())
    lost = accepted - found["decisions"]
    print(f"{len(reviewers)} people, {site.size:,} images, {seconds:.0f} s")
    print(f"reviews            {accepted:,} ({accepted / seconds:.0f} a second)")
    for share in (0.5, 0.95, 0.99):
        print(f"p{share * 100:<3.0f}               {quantile(took, share):.0f} ms")
    print(f"errors             {len(errors)}")
    print(f"in two hands       {double}")
    print(f"lost decisions     {lost}")
    print(f"decided twice      {found['decisions'] - found['decided_images']}")
    for name in ("generated", "scored", "packages", "failed", "overdue"):
        print(f"{name:<18} {found[name]:,}")
    print(f"bytes per image    {found['bytes'] / found['images']:,.0f} in the database, all tables")
    print(f"load               {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    missed = [f"error: {error}" for error in errors[:5]]
    missed += [f"{double} images in two hands"] * bool(double)
    missed += [f"{lost} decisions differ from the accepted posts"] * bool(lost)
    missed += [f"nothing was {name}" for name in ("generated", "scored") if not found[name]]
    missed += ["nothing was exported"] * (not found["packages"])
    missed += [f"{found['failed']} pieces of work failed"] * bool(found["failed"])
    return missed


def database_url(family: Family, url: str, folder: Path, size: int) -> str:
    """Return the address of a database of so many images, on a server that runs."""
    if not url:
        kept = folder / "url"
        if not kept.exists():
            kept.touch(mode=0o600)
            kept.write_text(new_postgres_url())
        url = kept.read_text()
        start_postgres(family, url=url, folder=folder / "postgresql", durable=True)
    name = f"bench_{size}"
    if (folder / f"data-{size}" / "sessions.json").exists():
        return urlsplit(url)._replace(path=f"/{name}").geturl()
    return new_database(url, name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--people", type=int, default=12)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--drawn", type=int, default=3000, help="images to be generated beside it")
    parser.add_argument("--long", action="store_true", help="50 people, 1,000,000 images, 600 s")
    parser.add_argument("--postgresql", default="", help="a server's URL; else one is started")
    parser.add_argument("--folder", type=Path, help="keep the database here, and go on with it")
    arguments = sys.argv[1:]
    if "--long" in arguments:  # what else is said counts
        arguments = [
            "--people=50",
            "--images=1000000",
            "--seconds=600",
            "--drawn=60000",
            *arguments,
        ]
    options = parser.parse_args(arguments)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="synthreview-load-"))
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)
    missed: list[str] = []
    try:
        with ExitStack() as stack:
            family = stack.enter_context(Family(folder / "logs"))
            os.environ["REDIS_URL"] = url = new_redis_url()
            start_valkey(family, url=url, folder=folder / "redis")
            database = database_url(family, options.postgresql, folder, options.images)
            (site,) = stack.enter_context(
                open_sites([database], [options.images], folder, people=options.people)
            )
            if not options.seconds:
                return
            before = count(site)
            site.manage(BEGIN.format(images=options.drawn))
            manage = [sys.executable, str(ROOT / "manage.py")]
            for number, queue in enumerate(WORKERS):
                family.start(
                    f"{queue}-{number}", [*manage, "work", queue], env=site.environment, cwd=ROOT
                )
            family.start("sweeper", [*manage, "sweep"], env=site.environment, cwd=ROOT)
            code = f"import django; django.setup()\n{EXPORT.format(seconds=options.seconds)}"
            family.start("exports", [sys.executable, "-c", code], env=site.environment, cwd=ROOT)
            reviewers = rush(site, options.people, options.seconds)
            missed = report(site, reviewers, options.seconds, before)
    finally:
        if not (options.folder or os.environ.get("KEEP")):
            shutil.rmtree(folder, ignore_errors=True)
    print("\nEvery promise is kept." if not missed else "\nMissed:\n" + "\n".join(missed))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
