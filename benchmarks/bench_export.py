"""Measure exports: against `cp -r` of the same files, in memory, and what reviewers feel of them.

    make bench-export                            10,000 images of about 93 kB, three rounds
    make bench-export ARGS="--long"              and the memory of 100,000 images
    python -m benchmarks.bench_export --help

Everything takes turns in one run, because the machine may be shared: read the ratios. Images are
random bytes in the store's own places; no writer decodes them. Each writing is a process of
its own, whose peak memory the system tells. Checksums come from the list, as in the product.

The reviewers' part fills PostgreSQL, lets eight people review without and with an export that a
worker process freezes and writes, and compares their reviews per second.

Bars: WebDataset at most 0.8 times, a stored zip at most 1.2 times `cp -r`; memory flat; reviews per
second at least 0.8 times; 100,000 images in less than 500 MB.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, too

from synthreview.export.writers.base import ClassFacts, ExportEntry, ExportFacts  # noqa: E402
from synthreview.export.writers.formats import writer  # noqa: E402
from synthreview.export.zips import zip_folder  # noqa: E402
from synthreview.lib.blobs import FileBlobs  # noqa: E402

IMAGE_BYTES = 93 * 1024
CLASSES = 10
BARS = {"webdataset": 0.8, "zip": 1.2}
MEASURED = ("cp -r", "webdataset", "zip", "parquet", "imagefolder")
REVIEWERS = 8
CLAIMS_BAR, MEMORY_BAR_MB = 0.8, 500
SEEDED = 60_000
WITHOUT_S = 15.0


# --- Writing --------------------------------------------------------------------------


def make_store(folder: Path, count: int, size: int) -> None:
    """Fill a store with `count` files of random bytes, and write the list of them.

    `plain` has them as well, linked, in a folder for each class: the store's own places are
    thousands of folders, which would make `cp -r` of it slow.
    """
    folder.mkdir(parents=True, exist_ok=True)
    blobs = FileBlobs(folder / "blobs")
    for number in range(CLASSES):
        (folder / f"plain/class-{number}").mkdir(parents=True)
    with (folder / "list.jsonl").open("w") as lines:
        for number in range(count):
            data = os.urandom(size)
            sha256 = hashlib.sha256(data).hexdigest()
            path = blobs.path(sha256)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            os.link(path, folder / f"plain/class-{number % CLASSES}/{number:08d}.jpg")
            lines.write(json.dumps({"sha256": sha256, "bytes": size, "number": number}) + "\n")


def entries(folder: Path) -> Iterator[ExportEntry]:
    blobs = FileBlobs(folder / "blobs")
    with (folder / "list.jsonl").open() as lines:
        for line in lines:
            row = json.loads(line)
            number = row["number"]
            yield ExportEntry(
                source=blobs.path(row["sha256"]),
                sha256=row["sha256"],
                byte_count=row["bytes"],
                media_type="image/jpeg",
                width=512,
                height=512,
                split="train",
                class_name=f"class {number % CLASSES}",
                class_folder=f"class-{number % CLASSES}",
                stem=f"{number:08d}",
                record={
                    "id": number,
                    "prompt": "A class on the beach chasing a bird, in the rain, from above",
                    "technique": "environment",
                    "slots": {"environment": "on the beach", "action": "chasing a bird"},
                    "generator": "sketch",
                    "model": "sketch",
                    "seed": number,
                    "cost_usd": 0.002,
                    "parents": [],
                    "family": f"{number:032x}",
                    "scores": [{"scorer": "CLIP", "value": 0.5}],
                    "decision": "approved",
                    "reviewers": ["reviewer-0123abcd"],
                },
            )


def facts(count: int) -> ExportFacts:
    return ExportFacts(
        title="Bench",
        number=1,
        description="",
        created="2026-11-22",
        classes=tuple(
            ClassFacts(f"class {number}", f"class-{number}") for number in range(CLASSES)
        ),
        splits=("train",),
        counts={f"class {number}": {"train": count // CLASSES} for number in range(CLASSES)},
    )


def write_once(folder: Path, kind: str, count: int) -> None:
    """Do one of MEASURED and print the seconds and the peak memory; in a process of its own."""
    target = folder / "out"
    began = time.perf_counter()
    if kind == "cp -r":
        subprocess.run(["cp", "-r", str(folder / "plain"), str(target)], check=True)
    elif kind == "zip":
        target.mkdir()
        with (target / "out.zip").open("xb") as file:
            for chunk in zip_folder(folder / "plain", "top"):
                file.write(chunk)
    else:
        target.mkdir()
        writer(kind).write(target, entries(folder), facts(count))
    took = time.perf_counter() - began
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"took": took, "peak_mb": peak_mb}))


def measure_writing(folder: Path, kind: str, count: int) -> dict[str, float]:
    shutil.rmtree(folder / "out", ignore_errors=True)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks.bench_export", "--one", kind),
            *("--folder", str(folder), "--images", str(count)),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    shutil.rmtree(folder / "out")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def bench_writing(folder: Path, count: int, rounds: int) -> list[str]:
    """Compare each kind of writing with `cp -r`, in turns; return the bars that were missed."""
    print(f"--- {count:,} images of {IMAGE_BYTES / 1024:.0f} KiB", flush=True)
    make_store(folder, count, IMAGE_BYTES)
    took: dict[str, list[float]] = {kind: [] for kind in MEASURED}
    peaks: dict[str, float] = {}
    for number in range(rounds + 1):
        for kind in MEASURED:
            found = measure_writing(folder, kind, count)
            peaks[kind] = found["peak_mb"]
            if number:  # the first round warms the cache
                took[kind].append(found["took"])
    missed = []
    for kind in MEASURED:
        # Each against the copy of its own round: what else ran then slowed both.
        ratios = [ours / copy for ours, copy in zip(took[kind], took["cp -r"], strict=True)]
        ratio = statistics.median(ratios)
        peak = f"{peaks[kind]:5.0f} MB" if kind != "cp -r" else ""
        print(f"{kind:>12}: {statistics.median(took[kind]):6.2f} s  {ratio:5.2f} x cp -r  {peak}")
        if ratio > BARS.get(kind, ratio):
            missed.append(f"{kind}: {ratio:.2f} x cp -r")
    return missed


def bench_memory(folder: Path, small: int, large: int) -> list[str]:
    """Compare the peaks of a small and a large export; return the bars that were missed."""
    print(f"--- memory: {small:,} and {large:,} images of 4 KiB", flush=True)
    missed = []
    for kind in ("webdataset", "parquet", "imagefolder"):
        peaks = {}
        for count in (small, large):
            place = folder / f"small-{count}"
            if not place.exists():
                make_store(place, count, 4096)
            peaks[count] = measure_writing(place, kind, count)["peak_mb"]
        print(f"{kind:>12}: {peaks[small]:5.0f} MB, {peaks[large]:5.0f} MB")
        if peaks[large] > MEMORY_BAR_MB:
            missed.append(f"{kind}: {peaks[large]:.0f} MB at {large:,} images")
    return missed


# --- With a database ------------------------------------------------------------------

APPROVE = """
import hashlib, os, uuid
from django.conf import settings
from synthreview.accounts.models import User
from synthreview.catalog.storage import blobs
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import Decision, ImageReview, ReviewSlot
from synthreview.scoring.models import Lookalike
count, size = {count}, {size}
user = User.objects.first()
images = list(GeneratedImage.objects.order_by("-pk")[:count])
for image in images:
    data = os.urandom(size)
    image.sha256, image.byte_count = hashlib.sha256(data).hexdigest(), size
    image.generator = "bench"  # what reviewers approve meanwhile has no file
    path = blobs().path(image.sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
# Every image was compared when it came, and is like no other.
Lookalike.objects.bulk_create([
    Lookalike(dataset_id=dataset, image_id=pk, kind="none",
              hash=int.from_bytes(os.urandom(8), "big", signed=True))
    for pk, dataset in GeneratedImage.objects.values_list("pk", "dataset")], batch_size=500)
GeneratedImage.objects.bulk_update(images, ["sha256", "byte_count", "generator"], batch_size=500)
slots = {{slot.image_id: slot for slot in ReviewSlot.objects.filter(image__in=images)}}
decisions = Decision.objects.bulk_create([
    Decision(image=image, dataset_id=image.dataset_id, reviewer=user, verdict="approve",
             client_token=uuid.uuid4()) for image in images], batch_size=500)
for decision in decisions:
    slot = slots[decision.image_id]
    slot.state, slot.decision, slot.reviewer = "decided", decision, user
ReviewSlot.objects.bulk_update(
    slots.values(), ["state", "decision", "reviewer"], batch_size=500)
for start in range(0, len(images), 5000):
    ImageReview.objects.filter(image__in=images[start : start + 5000]).update(
        state="approved", approvals=1)
"""
EXPORT = """
import json, os, resource, shutil, sys, time
from django.conf import settings
from synthreview.catalog.models import Dataset
from synthreview.export.collecting import Selection
from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Export, Package
from synthreview.export.services import Form, folder_of, order_export
from synthreview.export.splits import parse_wish
os.nice(settings.WORKER_NICE["export"])
print("begin", flush=True)
began = time.perf_counter()
export = order_export(
    dataset=Dataset.objects.get(), wish=parse_wish("100"), forms=[Form("webdataset")],
    selection=Selection(generators=("bench",)))
freeze(export.pk)
frozen = time.perf_counter()
package = Package.objects.get(export=export)
write_package(package.pk)
package.refresh_from_db()
export.refresh_from_db()
shutil.rmtree(folder_of(package))
print(json.dumps({
    "state": package.state, "error": export.error + package.error, "images": export.item_count,
    "freeze": frozen - began, "write": time.perf_counter() - frozen,
    "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def start_export(environment: dict[str, str]) -> subprocess.Popen[str]:
    """Start a process that exports once, and return when it begins."""
    process = subprocess.Popen(
        [sys.executable, "-c", f"import django; django.setup()\n{EXPORT}"],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    if process.stdout.readline() != "begin\n":
        raise SystemExit("the export did not begin")
    return process


def when_ended(process: subprocess.Popen[str]) -> threading.Event:
    """Return what is set when the process has ended."""
    over = threading.Event()

    def wait() -> None:
        process.wait()
        over.set()

    threading.Thread(target=wait, daemon=True).start()
    return over


def ended(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    if told["state"] != "done":
        raise SystemExit(f"the export failed: {told['error']}")
    return told


def bench_claims(folder: Path, count: int, rounds: int, queue: int) -> list[str]:
    """Compare reviews per second with and without an export beside them."""
    from benchmarks import bench_review

    print(f"--- {REVIEWERS} reviewers beside an export of {count:,} images", flush=True)
    folder.chmod(0o755)
    rates: dict[bool, list[float]] = {False: [], True: []}
    with (
        bench_review.database_urls("postgresql", "", folder, [queue]) as urls,
        bench_review.open_sites(urls, [queue], folder) as (site,),
    ):
        site.manage(APPROVE.format(count=count, size=IMAGE_BYTES))
        clients = site.clients(REVIEWERS)
        bench_review.together(clients, lambda client: client.begin(bench_review.PRODUCT))
        review_for(clients, 3.0)
        for _ in range(rounds):
            process = start_export(site.environment)
            rates[True].append(review_for(clients, 600.0, when_ended(process)))
            told = ended(process)
            print(
                f"export: frozen in {told['freeze']:.1f} s, written in {told['write']:.1f} s, "
                f"{told['peak_mb']:.0f} MB",
                flush=True,
            )
            rates[False].append(review_for(clients, WITHOUT_S))
    ratio = statistics.median(rates[True]) / statistics.median(rates[False])
    words = {kind: ", ".join(f"{rate:.0f}" for rate in found) for kind, found in rates.items()}
    print(f"reviews per second: {words[False]} without, {words[True]} with: {ratio:.2f} x")
    return [f"reviews during an export: {ratio:.2f} x"] if ratio < CLAIMS_BAR else []


def review_for(clients: list[Any], seconds: float, over: threading.Event | None = None) -> float:
    """Let all clients review for a while; return reviews per second."""
    from benchmarks import bench_review

    end = time.perf_counter() + seconds
    counts: list[int] = []

    def work(client: Any) -> None:
        done = 0
        while time.perf_counter() < end and not (over and over.is_set()):
            client.review(bench_review.PRODUCT)
            done += 1
        counts.append(done)

    took = bench_review.together(clients, work)
    return sum(counts) / took


def bench_whole(folder: Path, count: int) -> list[str]:
    """Freeze and write a large export from the database; return the bars that were missed."""
    from benchmarks import bench_review

    print(f"--- the whole job over {count:,} images of 4 KiB, from SQLite", flush=True)
    with (
        bench_review.database_urls("sqlite", "", folder, [count]) as urls,
        bench_review.open_sites(urls, [count], folder) as (site,),
    ):
        site.manage(APPROVE.format(count=count, size=4096))
        told = ended(start_export(site.environment))
    print(
        f"{told['images']:,} images frozen in {told['freeze']:.0f} s, written in "
        f"{told['write']:.0f} s, {told['peak_mb']:.0f} MB",
        flush=True,
    )
    if told["peak_mb"] > MEMORY_BAR_MB:
        return [f"{count:,} images took {told['peak_mb']:.0f} MB"]
    return []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--parts", default="writing,memory,claims")
    parser.add_argument("--queue", type=int, default=SEEDED, help="images before the reviewers")
    parser.add_argument("--long", action="store_true", help="the whole job over 100,000 as well")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        write_once(options.folder, options.one, options.images)
        return
    missed: list[str] = []
    parts = [part for part in options.parts.split(",") if part] + ["whole"] * options.long
    for part in parts:
        folder = Path(tempfile.mkdtemp(prefix="synthreview-bench-"))
        try:
            if part == "writing":
                missed += bench_writing(folder, options.images, options.rounds)
            elif part == "memory":
                missed += bench_memory(folder, options.images, 10 * options.images)
            elif part == "claims":
                missed += bench_claims(folder, options.images, options.rounds, options.queue)
            elif part == "whole":
                missed += bench_whole(folder, 10 * options.images)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    print("All bars are kept." if not missed else "Missed:\n" + "\n".join(missed))
    sys.exit(bool(missed))


if __name__ == "__main__":
    main()
