"""Measure what the pipeline adds to an image: queue, claim, spool, renditions, rows.

    make bench-pipeline                               both databases
    make bench-pipeline ARGS="--memory 10000"         and a worker's memory over 10,000 images
    python -m benchmarks.bench_pipeline --help

The embedded generator draws the same requests in two ways, in turns, on the same machine: bare, in
two processes that only call `draw` one after the other and keep nothing; and by the product, two
real workers (`manage.py work generation`) on a run of its own. Each turn begins when the work is
ordered and ends when the last image is there. The machine may be shared, so both take turns and
the ratio of neighbouring turns counts, not the images per second.

Bar: the product draws at least 0.8 times as many images a second as the bare loop (the median
of all pairs); a worker's memory is flat: its highest peak after the first tenth of the run is
at most 1.1 times the highest within it.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, too

from synthreview.lib.processes import Child, Family  # noqa: E402
from synthreview.lib.servers import (  # noqa: E402
    new_postgres_url,
    new_redis_url,
    start_postgres,
    start_valkey,
)

if TYPE_CHECKING:
    from synthreview.generation.models import Run

WORKERS = 2
RATIO_BAR, MEMORY_BAR = 0.8, 1.1
SAMPLE_S = 0.25
WORDS = [
    f"{thing} {where}"
    for thing in ("A red car", "A dog sleeping", "A white boat", "An umbrella", "A bird", "A house")
    for where in ("on the beach", "in the snow", "in a street", "in a forest")
]


# --- The bare loop --------------------------------------------------------------------


@functools.cache
def _sketch() -> Any:
    from synthreview.generation.generators.sketch import SketchGenerator

    return SketchGenerator()


def draw_bare(request: Any) -> int:
    """Draw one request and keep nothing; return how many images came."""
    return len(_sketch().draw(request, idempotency_key="").images)


# --- The product ------------------------------------------------------------------------


class Site:
    """Real servers and workers in a folder of their own; this process is their web side."""

    def __init__(self, family: Family, folder: Path, database: str) -> None:
        self.family, self.folder = family, folder
        os.environ["SYNTHREVIEW_DATA"] = str(folder / "data")
        os.environ["REDIS_URL"] = new_redis_url()
        os.environ["DATABASE_URL"] = f"sqlite:///{folder / 'db.sqlite3'}"
        os.environ["SYNTHREVIEW_LOG_LEVEL"] = "WARNING"
        os.environ["DJANGO_SETTINGS_MODULE"] = "synthreview.settings"
        os.environ["PYTHONPATH"] = str(ROOT)
        start_valkey(family, url=os.environ["REDIS_URL"], folder=folder / "redis")
        if database == "postgresql":
            os.environ["DATABASE_URL"] = new_postgres_url()
            # As a real server: every commit goes to the disk.
            start_postgres(
                family, url=os.environ["DATABASE_URL"], folder=folder / "postgres", durable=True
            )
        subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), "migrate", "-v0"], check=True, cwd=ROOT
        )
        import django

        django.setup()
        self.workers = [self._worker(number) for number in range(WORKERS)]
        self.dataset, self.prompts = _prompts()

    def _worker(self, number: int) -> Child:
        command = [sys.executable, str(ROOT / "manage.py"), "work", "generation"]
        return self.family.start(f"worker-{number}", command, cwd=ROOT)

    def order(self, count: int, size_px: int, seed: int) -> Run:
        from synthreview.generation.services import orders_of, start_run

        return start_run(
            dataset=self.dataset,
            orders=orders_of(self.prompts),
            count=count,
            generator_alias="sketch",
            size_px=size_px,
            seed=seed,
        )

    def finish(self, run: Run) -> None:
        """Return when the last call of the run is done. Raises RuntimeError where one fails."""
        # Seldom while much is left: who waits must not take of the two cores.
        while left := run.calls.open().count():
            if fallen := self.family.fallen():
                raise RuntimeError(f"{fallen.name} ended: see {fallen.log}")
            time.sleep(min(max(0.02, left * 0.01), 0.5))
        counts = run.counts()
        if counts["images"] != run.image_count:
            raise RuntimeError(f"{counts['images']} of {run.image_count} images came")

    def requests_of(self, run: Run) -> list[Any]:
        """Return what the workers were asked, for the bare loop."""
        from synthreview.generation.jobs import request_of

        calls = run.calls.select_related("run", "prompt__label_class").order_by("pk")
        return [request_of(call) for call in calls]

    def quiet(self) -> None:
        """Return when the workers have no job any more."""
        while any(_children(child.process.pid) for child in self.workers):
            time.sleep(0.02)


def _prompts() -> tuple[Any, list[Any]]:
    from synthreview.catalog import services as catalog
    from synthreview.prompting.models import Prompt, PromptState

    dataset = catalog.create_dataset(name="Pipeline")
    thing = catalog.add_class(dataset=dataset, name="thing")
    made = [
        Prompt.objects.create(
            dataset=dataset,
            label_class=thing,
            text=text,
            technique="plain",
            state=PromptState.APPROVED,
        )
        for text in WORDS
    ]
    return dataset, made


@contextmanager
def a_site(database: str) -> Iterator[Site]:
    folder = Path(tempfile.mkdtemp(prefix="synthreview-pipeline-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    try:
        with Family(folder / "logs") as family:
            yield Site(family, folder, database)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# --- Speed ------------------------------------------------------------------------------


def measure_speed(database: str, rounds: int, images: int, size_px: int) -> bool:
    """Print both speeds in turns; return whether the bar is held."""
    ratios, bare_rates, our_rates = [], [], []
    # Sessions of their own, as the workers have: Linux shares the cores out between sessions.
    with ProcessPoolExecutor(WORKERS, initializer=os.setsid) as pool, a_site(database) as site:

        def bare(requests: list[Any]) -> float:
            began = time.perf_counter()
            # Each process takes the next when it is free, as workers do: a core that others
            # use must not hold up half of the work.
            drawn = sum(pool.map(draw_bare, requests))
            return drawn / (time.perf_counter() - began)

        def ours(seed: int) -> tuple[float, list[Any]]:
            began = time.perf_counter()
            run = site.order(images, size_px, seed)
            site.finish(run)
            rate = images / (time.perf_counter() - began)
            site.quiet()
            return rate, site.requests_of(run)

        _, requests = ours(0)  # textures are made, connections opened
        bare(requests)
        for number in range(1, rounds + 1):
            if number % 2:
                our_rate, requests = ours(number * images)
                bare_rate = bare(requests)
            else:
                bare_rate = bare(requests)
                our_rate, requests = ours(number * images)
            ratios.append(our_rate / bare_rate)
            bare_rates.append(bare_rate)
            our_rates.append(our_rate)
            print(
                f"  pair {number}: bare {bare_rate:.1f}/s, product {our_rate:.1f}/s, "
                f"ratio {ratios[-1]:.3f}",
                flush=True,
            )
    ratio = statistics.median(ratios)
    print(
        f"{database:<11} {size_px} px, {rounds} pairs of {images} images, {WORKERS} processes: "
        f"bare {statistics.median(bare_rates):.1f}/s, product {statistics.median(our_rates):.1f}/s,"
        f" ratio {ratio:.3f} (from {min(ratios):.3f} to {max(ratios):.3f});"
        f" load {os.getloadavg()[0]:.1f}",
        flush=True,
    )
    return ratio >= RATIO_BAR


# --- Memory -----------------------------------------------------------------------------


def measure_memory(database: str, images: int, size_px: int) -> bool:
    """Print a worker's memory, its children's too, over a long run; return whether it is flat."""
    with a_site(database) as site:
        run = site.order(images, size_px, 1)
        samples: list[tuple[int, float]] = []
        ended = threading.Event()

        def watch() -> None:
            from django.db import connection

            from synthreview.generation.models import GeneratedImage

            while not ended.wait(SAMPLE_S):
                done = GeneratedImage.objects.filter(run=run).count()
                each = [_memory_mb(child.process.pid) for child in site.workers]
                samples.append((done, max(each)))
            connection.close()

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            site.finish(run)
        finally:
            ended.set()
            watcher.join()
    tenths = []
    for tenth in range(10):
        inside = [mb for done, mb in samples if tenth <= 10 * done / images < tenth + 1]
        tenths.append(max(inside, default=0.0))
    print(
        f"{database:<11} {images:,} images of {size_px} px: highest memory of a worker with its "
        f"child in each tenth of the run: {' '.join(f'{mb:.0f}' for mb in tenths)} MB",
        flush=True,
    )
    return max(tenths[1:]) <= MEMORY_BAR * tenths[0]


def _memory_mb(pid: int) -> float:
    """Return the proportional set size of a process and of what it forked, in MB.

    Pages that a child shares with its parent are counted once between them.
    """
    total_kb = 0
    for each in [pid, *_children(pid)]:
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:  # it has just ended
            continue
        total_kb += int(
            next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]
        )
    return total_kb / 1024


def _children(pid: int) -> list[int]:
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--images", type=int, default=384, help="of each turn; more than a shift")
    parser.add_argument("--size", type=int, default=512, choices=(256, 512, 768, 1024))
    parser.add_argument("--memory", type=int, default=0, metavar="IMAGES", help="and watch memory")
    parser.add_argument(
        "--memory-size", type=int, default=256, help="their size: small ones, for time"
    )
    options = parser.parse_args()
    held = True
    # One process for each site: Django reads its settings once.
    databases = options.database or ["sqlite", "postgresql"]
    if len(databases) > 1:
        rest = sys.argv[1:]
        command = [sys.executable, "-m", "benchmarks.bench_pipeline", *rest, "--database"]
        return max(
            subprocess.run([*command, name], cwd=ROOT, check=False).returncode for name in databases
        )
    (database,) = databases
    if options.rounds:
        held = measure_speed(database, options.rounds, options.images, options.size)
    if options.memory:
        held = measure_memory(database, options.memory, options.memory_size) and held
    if not held:
        print("A bar was missed.", file=sys.stderr)
    return 0 if held else 1


if __name__ == "__main__":
    sys.exit(main())
