"""The figures of the long forms, and the report that is made of them.

    python -m tests.faults.figures PAGE.md FILE.json …        one host: the page's first part
    python -m tests.faults.figures PAGE.md --hosts FILE.json  two hosts: its second

Each leaves the other's part as it is.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.faults.site import Judgement


@dataclass
class Scene:
    """One fault: its kind and name, how long the site took to come to rest, what was found."""

    kind: str
    name: str
    rest_s: float
    found: dict[str, Any]
    kills: int = 0


@dataclass
class Figures:
    """All scenes of one database."""

    database: str
    scenes: list[Scene] = field(default_factory=list)
    lease_s: float = 0

    def add(self, kind: str, name: str, rest_s: float, found: Judgement, *, kills: int = 0) -> None:
        self.scenes.append(Scene(kind, name, rest_s, asdict(found), kills))

    def write(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        at = dt.datetime.now(dt.UTC).date().isoformat()
        machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
        told = asdict(self) | {"date": at, "machine": machine, "load": os.getloadavg()[1]}
        path.write_text(json.dumps(told, indent=1))


PAGE = """# What the fault suite found

Written by `make test-faults`; the rules that it tests are in [durable work](work.md).

Run on {date} ({machine}).
Real workers (`manage.py work generation`), the real sweeper, and a paid service in a process of its
own, which keeps its own ledger of charges and answers late, breaks off
and lies as it is told. Processes are killed with SIGKILL. After each scene the site is swept until
no call is open, and the oracle (`tests/faults/oracle.py`) compares rows, files, budgets and the
service's ledger. **{kills} kills, {double} double charges.**

{table}

A *scene* is one fault, or a mixture of them, over one run. *Rest* is the time from the fault until
no call was open. It contains the lease of a killed worker, here {lease_s:g} s (in the product
300 s, and that long it takes there), and the product's own waiting between tries. *Declared
unknown* are calls without proof of their outcome: a person sees and decides them, and nothing sends
them again. Some of them had been charged, as the ledger tells; every other charge is in our books
once.

## Where workers were killed

At each point once with the child that does the call and once with the worker, each without and with
an idempotency key. With a key every one of these calls ends done, and is charged once.

{points}

## What the service answered

{answers}

## What is not shown here

- A power cut. What is paid for is flushed to the disk before it counts (files, SQLite's record
  of *sent* and of the end); no machine was switched off to see it.
- Faults of the service's own books: one that charges for an answer of HTTP 500, or twice for one
  key, does so without our knowing.
"""


HOSTS = """## On two hosts

Written by `make test-hosts`, on {date} ({machine}). Two network namespaces, each with
a web server, workers, a sweeper, a disk and one cable of its own, share PostgreSQL (fsync on),
Valkey, a storage that speaks S3 and a paid service. The browser's main job (a class, prompts, 24
images drawn and scored, reviewed by keyboard, exported), its connections going to either host in
turn, took {main_job_s} s. Then paid calls were ordered, and in their midst:

{table}

Seconds count from the repair: the cable is in again, the server runs, the clock is wrong. A lease
is {lease_s:g} s here and 300 s in the product; a supervisor starts again what has ended. After each
the oracle is asked as above, and the operations page must show each piece of work that came to
nothing, and nothing else. The clocks are those that a host's programs see; leases go by the
database's.
"""
HOSTS_COLUMNS = (
    "fault",
    "every host serves again",
    "no call is open",
    "the other host served",
    "done",
    "failed",
    "unknown (of them charged)",
    "double charges",
)


def with_hosts(page: str, told: Mapping[str, Any]) -> str:
    """Return the page with these figures of two hosts in its second part."""
    lines = [
        f"| {' | '.join(HOSTS_COLUMNS)} |",
        "|---" * len(HOSTS_COLUMNS) + "|",
        *(_hosts_row(name, scene) for name, scene in told["scenes"].items()),
    ]
    table = "\n".join(lines)
    return f"{_first_part(page)}\n{HOSTS.format(**told, table=table)}"


def _hosts_row(name: str, scene: Mapping[str, Any]) -> str:
    served = {True: "yes", False: "**no**", None: "both hit"}[scene["others_served"]]
    found = scene["found"]
    done, failed, unknown = (found["calls"].get(one, 0) for one in ("done", "failed", "unknown"))
    return (
        f"| {name} | {scene['ready_s']} s | {scene['rest_s']} s | {served} | {done} | {failed} "
        f"| {unknown} ({found['charged_unknown']}) | {found['double_charges']} |"
    )


def _first_part(page: str) -> str:
    return page.partition(HOSTS.splitlines()[0])[0].rstrip() + "\n"


def _second_part(page: str) -> str:
    _, title, rest = page.partition(HOSTS.splitlines()[0])
    return f"\n{title}{rest}" if title else ""


def report(runs: Sequence[Mapping[str, Any]]) -> str:
    """Return the page of the long form's figures."""
    scenes = [scene for run in runs for scene in run["scenes"]]
    return PAGE.format(
        date=runs[0]["date"],
        machine=runs[0]["machine"],
        lease_s=runs[0]["lease_s"],
        kills=sum(scene["kills"] for scene in scenes),
        double=sum(scene["found"]["double_charges"] for scene in scenes),
        table="\n".join(_table(runs)),
        points="\n".join(_points()),
        answers="\n".join(_answers()),
    )


COLUMNS = (
    "database",
    "fault",
    "scenes",
    "kills",
    "calls",
    "images",
    "done",
    "declared unknown (of them charged)",
    "double charges",
    "rest, median (longest)",
)
KINDS = {
    "point": "killed at a named point",
    "random": "killed at a random moment",
    "answer": "the service misbehaves",
    "delivery": "each key delivered ten times",
    "redis": "Redis emptied under way",
    "disk": "the disk is full",
}


def _table(runs: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    for run in runs:
        for kind, words in KINDS.items():
            scenes = [scene for scene in run["scenes"] if scene["kind"] == kind]
            if scenes:
                lines.append(_row(run["database"], words, scenes))
        lines.append(_row(run["database"], "**all**", run["scenes"]))
    return lines


def _row(database: str, words: str, scenes: Sequence[Mapping[str, Any]]) -> str:
    def total(name: str) -> int:
        return sum(scene["found"][name] for scene in scenes)

    def ended(state: str) -> int:
        return sum(scene["found"]["calls"].get(state, 0) for scene in scenes)

    rests = [scene["rest_s"] for scene in scenes]
    calls = sum(sum(scene["found"]["calls"].values()) for scene in scenes)
    return (
        f"| {database} | {words} | {len(scenes)} | {sum(scene['kills'] for scene in scenes)} "
        f"| {calls} | {total('images')} | {ended('done')} "
        f"| {ended('unknown')} ({total('charged_unknown')}) | {total('double_charges')} "
        f"| {statistics.median(rests):.1f} s ({max(rests):.1f} s) |"
    )


def _points() -> list[str]:
    from tests.faults.points import POINTS

    return [
        "| point | ends, without a key |",
        "|---|---|",
        *(f"| {name} | {point.ends[0]} |" for name, point in POINTS.items()),
    ]


def _answers() -> list[str]:
    from tests.faults.answers import ANSWERS

    return [
        "| answer | ends, without a key | with a key |",
        "|---|---|---|",
        *(f"| {name} | {plain} | {keyed} |" for name, (_, plain, keyed) in ANSWERS.items()),
    ]


def main(page: Path, *names: str) -> None:
    old = page.read_text() if page.exists() else ""
    told = [json.loads(Path(name).read_text()) for name in names if name != "--hosts"]
    new = with_hosts(old, told[0]) if "--hosts" in names else report(told) + _second_part(old)
    page.write_text(new)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
