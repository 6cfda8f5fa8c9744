"""The named points of a paid call, and what makes a worker end or starve there.

A worker under test loads this before its first job (`WORKER_PRELOAD`). The test puts a plan
for a call into a file; the worker that comes to the plan's point removes the file and is killed
with SIGKILL: only the child that does the call, or the worker with it. Nothing in the product
knows of this.
"""

from __future__ import annotations

import json
import os
import pkgutil
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Point:
    """A place in the code: the `nth` call in one job of `target`, `after` it or before it.

    `ends` is what becomes of a call killed there, with and without an idempotency key.
    """

    target: str
    after: bool = False
    nth: int = 1
    only: str = ""  # among calls with this text in their first arguments
    ends: tuple[str, str] = ("done", "done")


JOBS, SPENDING = "synthreview.generation.jobs", "synthreview.spending"
UNKNOWN = ("unknown", "done")
POINTS = {
    "before its claim": Point(f"{SPENDING}.performing.gates.claim"),
    "claimed, nothing prepared": Point(f"{JOBS}._prepare"),
    "prepared, not yet sent": Point(f"{JOBS}._prepare", after=True),
    "on record as sent, no byte left": Point("synthreview.lib.web.exchange", ends=UNKNOWN),
    "bytes left, answer not read": Point("synthreview.lib.web._read", ends=UNKNOWN),
    "answer read, nothing kept": Point("synthreview.lib.web.exchange", after=True, ends=UNKNOWN),
    "an original written, without its name": Point(
        "pathlib.Path.replace", only="/blobs/original/", ends=UNKNOWN
    ),
    "half of the originals kept": Point(
        "pathlib.Path.replace", only="/blobs/original/", nth=2, ends=UNKNOWN
    ),
    "all originals kept, no spool": Point(f"{SPENDING}.performing.spool.write", ends=UNKNOWN),
    "spool written, without its name": Point("pathlib.Path.replace", only="/spool/", ends=UNKNOWN),
    "spooled": Point(f"{SPENDING}.performing.spool.write", after=True),
    "a rendition written, without its name": Point("pathlib.Path.replace", only="/blobs/thumb/"),
    "half of the renditions written": Point("pathlib.Path.replace", only="/blobs/thumb/", nth=2),
    "settled, no rows": Point(f"{SPENDING}.performing._settle", after=True),
    "rows written, not committed": Point(f"{JOBS}.GeneratedImage.objects.bulk_create", after=True),
    "committed, spool still there": Point(f"{SPENDING}.performing.spool.clear"),
    "spool removed": Point(f"{SPENDING}.performing.spool.clear", after=True),
}
VICTIMS = ("child", "worker")


class Plans:
    """What this process has in store for the call that it works on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.call_pk = 0
        self.seen: Counter[str] = Counter()

    def begin(self, call_pk: int) -> None:
        self.call_pk = call_pk
        self.seen.clear()

    def arrive(self, name: str, point: Point, first_arguments: str) -> None:
        """End this process if its call is to be killed here."""
        path = self.folder / f"{self.call_pk}.json"
        if not self.call_pk or point.only not in first_arguments:
            return
        self.seen[name] += 1
        if self.seen[name] < point.nth:
            return
        try:
            plan = json.loads(path.read_text())
        except FileNotFoundError:
            return
        if plan["point"] != name:
            return
        if not plan["again"]:
            path.unlink()
        if plan["victim"] == "worker":
            os.kill(os.getppid(), signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)

    def is_full(self, path: Path) -> bool:
        """Say whether the disk has no room for a file at `path`."""
        full = self.folder / "full"
        return full.exists() and full.read_text() in str(path)


def plan(folder: Path, call_pk: int, point: str, victim: str, *, again: bool = False) -> None:
    """Let the worker of this call be killed at the point, once; `again`: each time."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / f".{call_pk}"
    draft.write_text(json.dumps({"point": point, "victim": victim, "again": again}))
    draft.replace(folder / f"{call_pk}.json")


def load() -> None:
    """Load the generators as a worker does, then lie in wait at every point."""
    from synthreview.generation import jobs, services

    services.load_generators()
    jobs.LEASE_S = float(os.environ["FAULTS_LEASE_S"])  # type: ignore[assignment]
    plans = Plans(Path(os.environ["FAULTS_FOLDER"]))
    for name, point in POINTS.items():
        _lie_in_wait(plans, name, point)
    _let_disk_fill(plans)
    draw_call = jobs.draw_call

    def watched(call_pk: int) -> None:
        plans.begin(call_pk)
        draw_call(call_pk)
        plans.begin(0)

    jobs.draw_call = watched


def _lie_in_wait(plans: Plans, name: str, point: Point) -> None:
    owner_path, _, attribute = point.target.rpartition(".")
    owner = pkgutil.resolve_name(owner_path)
    original: Callable[..., Any] = getattr(owner, attribute)

    def passing(*arguments: Any, **named: Any) -> Any:
        if not point.after:
            plans.arrive(name, point, str(arguments[:1]))
        given = original(*arguments, **named)
        if point.after:
            plans.arrive(name, point, str(arguments[:1]))
        return given

    setattr(owner, attribute, passing)


def _let_disk_fill(plans: Plans) -> None:
    """Let the kernel refuse a file's bytes half-way while the test says that the disk is full.

    RLIMIT_FSIZE needs no rights and no disk of its own; the write fails with EFBIG, an OSError as
    ENOSPC is, after its first bytes.
    """
    from synthreview.lib import blobs

    write = blobs.write_together
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    def short_of_room(files: Iterable[tuple[Path, bytes]]) -> None:
        files = list(files)
        sizes = [len(data) for path, data in files if plans.is_full(path)]
        resource.setrlimit(resource.RLIMIT_FSIZE, (min(sizes) // 2 if sizes else hard, hard))
        try:
            write(files)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))

    blobs.write_together = short_of_room
