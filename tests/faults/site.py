"""A site of real processes on the test's database: workers, fakes, and who looks after them."""

from __future__ import annotations

import contextlib
import datetime as dt
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import django_rq
import redis
from django.conf import settings
from django.db import connection
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.generation.models import Call, GeneratedImage, Run, service_of
from synthreview.generation.services import orders_of, start_run
from synthreview.lib.processes import Child, Family
from synthreview.spending.gates import gate_of, open_gate
from synthreview.spending.models import Budget
from synthreview.spending.services import tidy_spool
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import sweep
from tests.factories import make_dataset, make_prompt
from tests.faults import oracle, points
from tests.faults.services import KEYED, PLAIN, SIZE_PX, adapters
from tests.servers_fake.images_client import ROOT, ImagesServer

__all__ = ["KEYED", "PLAIN", "Judgement", "Site", "adapters", "flush_redis", "until"]
SWEEP_EVERY_S = 0.2
LONGEST_PAUSE_S = 1.0  # a gate that is shut for longer is opened, as a person would


@dataclass(frozen=True)
class Judgement:
    """What the oracle found to be sound: calls by their end, images, charges."""

    calls: dict[str, int]
    images: int
    charges: int
    charged_unknown: int
    double_charges: int


@dataclass
class Site:
    """Everything that runs, and its one order: bring it to rest, then ask the oracle.

    `rests_s` are the seconds from each fault to rest.
    """

    family: Family
    folder: Path
    servers: dict[str, ImagesServer]
    lease_s: float
    worker_count: int = 2
    workers: list[Child] = field(default_factory=list)
    sweeper: Child | None = None
    started: int = 0
    rests_s: list[float] = field(default_factory=list)

    # --- Processes ----------------------------------------------------------------------

    @property
    def plans(self) -> Path:
        return self.folder / "plans"

    def environment(self) -> dict[str, str]:
        return os.environ | {
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "DATABASE_URL": database_url(),
            "SYNTHREVIEW_DATA": str(self.folder),
            "SYNTHREVIEW_LOG_LEVEL": "WARNING",
            "FAULTS_GENERATORS": json.dumps(adapters(self.servers)),
            "FAULTS_FOLDER": str(self.plans),
            "FAULTS_LEASE_S": str(self.lease_s),
            "PYTHONPATH": str(ROOT),
        }

    def start(self, name: str, *command: str, before: tuple[str, ...] = ()) -> Child:
        self.started += 1
        return self.family.start(
            f"{name}-{self.started}",
            [*before, sys.executable, str(ROOT / "manage.py"), *command],
            env=self.environment(),
            cwd=ROOT,
        )

    def keep_up(self) -> None:
        """Start what has ended, as a supervisor does."""
        self.workers = [child for child in self.workers if child.is_alive]
        while len(self.workers) < self.worker_count:
            self.workers.append(self.start("worker", "work", "generation"))
        if self.sweeper is not None and not self.sweeper.is_alive:
            self.sweeper = self.start("sweeper", "sweep")

    def start_sweeper(self) -> None:
        """Run the product's own sweeper too, at its own pace."""
        self.sweeper = self.start("sweeper", "sweep")

    def stop_sweeper(self) -> None:
        if self.sweeper is not None:
            kill_group(self.sweeper)
        self.sweeper = None

    def stop(self) -> None:
        """End the workers, so that nothing holds a file any more."""
        for child in self.workers:
            kill_group(child)
        self.workers = []

    def fall_silent(self) -> None:
        """Return once no worker has a job any more: emptying the tables would wait for it."""
        until(lambda: not any(children_of(child.process.pid) for child in self.workers))

    @contextlib.contextmanager
    def held_still(self) -> Iterator[None]:
        """Let no worker see what is ordered until all is planned."""
        self.keep_up()
        for child in self.workers:
            os.killpg(child.process.pid, signal.SIGSTOP)
        yield
        for child in self.workers:
            os.killpg(child.process.pid, signal.SIGCONT)

    # --- Work ---------------------------------------------------------------------------

    def order(self, alias: str, calls: int, *, prompts: list[str] | None = None) -> Run:
        """Start a run of so many calls of two images each."""
        dataset = make_dataset()
        Budget.objects.create(dataset=dataset, limit_micro_usd=100_000_000)
        car = dataset.classes.get(name="car")
        texts = prompts or [""] * calls
        return start_run(
            dataset=dataset,
            orders=orders_of([make_prompt(car, text) for text in texts]),
            count=2 * calls,
            generator_alias=alias,
            size_px=SIZE_PX,
            seed=1 + 1_000 * Run.objects.count(),  # no run finds its files written by another
        )

    def come_to_rest(self, *, within_s: float = 300) -> float:
        """Sweep, and start again what has ended, until no call is open; return the seconds.

        A gate that stays shut is opened: a person pressed Resume now.
        """
        began = time.monotonic()
        while Call.objects.filter(state__in=OPEN_STATES).exists():
            if time.monotonic() - began > within_s:
                raise AssertionError(oracle.sentence(oracle.open_calls()))
            self.keep_up()
            self.resume()
            sweep()
            time.sleep(SWEEP_EVERY_S)
        taken_s = time.monotonic() - began
        self.rests_s.append(taken_s)
        return taken_s

    def resume(self) -> None:
        for alias in self.servers:
            gate = gate_of(service_of(alias))
            if gate is None:
                continue
            if gate.needs_person or seconds_until(gate.closed_until) > LONGEST_PAUSE_S:
                open_gate(service_of(alias), dataset=0)
                waiting = Call.objects.filter(state=WorkState.READY, run__generator=alias)
                waiting.update(due_at=Now())

    def judge(self) -> Judgement:
        """Ask the oracle: nothing is wrong, in the books of any service."""
        tidy_spool()
        if Call.objects.filter(state__in=OPEN_STATES).exists():
            self.come_to_rest()
        ledger = [entry for server in self.servers.values() for entry in server.ledger]
        assert not oracle.open_calls()
        assert not oracle.everything(ledger), oracle.sentence(oracle.everything(ledger))
        states = Counter(Call.objects.values_list("state", flat=True))
        keys = {entry["key"] for entry in ledger}
        unknown = Call.objects.filter(state=WorkState.UNKNOWN)
        return Judgement(
            calls=dict(states),
            images=GeneratedImage.objects.count(),
            charges=len(ledger),
            charged_unknown=sum(call.spool_key in keys for call in unknown),
            double_charges=oracle.double_charges(ledger),
        )

    def forget(self) -> None:
        """Let the services forget, so that the next scene has books of its own."""
        for server in self.servers.values():
            server.reset()

    # --- Faults -------------------------------------------------------------------------

    def plan(self, call: Call, point: str, victim: str) -> None:
        points.plan(self.plans, call.pk, point, victim)

    def deliver(self, call: Call, number: int) -> None:
        """Put the call's key into its queue once more, under a name of its own."""
        django_rq.get_queue(call.QUEUE).enqueue_call(
            call.JOB, args=(call.pk,), job_id=f"again-{call.pk}-{number}"
        )

    def fill_disk(self, part: str) -> None:
        """Let there be no room for files with `part` in their path."""
        self.plans.mkdir(parents=True, exist_ok=True)
        (self.plans / "full").write_text(part)

    def make_room(self) -> None:
        (self.plans / "full").unlink()

    def kill_at_random(self, chance: random.Random) -> str:
        """Kill a worker, the child that works for it, both at once, or the sweeper."""
        victims = ["worker", "child", "group"] + (["sweeper"] if self.sweeper else [])
        victim = chance.choice(victims)
        worker = chance.choice(self.workers)
        if victim == "sweeper":
            assert self.sweeper is not None
            kill_group(self.sweeper)
        elif victim == "group":
            kill_group(worker)
        elif victim == "child" and (children := children_of(worker.process.pid)):
            os.kill(chance.choice(children), signal.SIGKILL)
        else:
            victim = "worker"
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()
        return victim


def seconds_until(moment: dt.datetime | None) -> float:
    return 0.0 if moment is None else (moment - timezone.now()).total_seconds()


def kill_group(child: Child) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.process.pid, signal.SIGKILL)
    child.process.wait()


def children_of(pid: int) -> list[int]:
    """Return the processes that `pid` has forked (Linux; elsewhere none are found)."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split()]


def database_url() -> str:
    """Return the address of the database that this test uses."""
    found = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{found['NAME']}"
    server = urlsplit(os.environ["DATABASE_URL"])
    return server._replace(path=f"/{found['NAME']}").geturl()


def flush_redis() -> None:
    """Empty this run's database in Redis, as FLUSHALL does on a server of its own."""
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.flushdb()


def until(is_so: Callable[[], bool], *, within_s: float = 120) -> None:
    """Return once `is_so`; AssertionError where it does not come about."""
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)
