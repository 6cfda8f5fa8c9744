"""Two hosts of their own networks, and what befalls them: `make test-hosts` (root, Linux).

    python -m tests.faults.hosts [--json FILE] [--calls 60]

Each host is a network namespace with a web server, workers and a sweeper, a disk of its own and
one cable to the servers that all share: PostgreSQL, Valkey, a storage that speaks S3, and a paid
service. First the browser does the main job through a proxy that sends each connection to the
other host in turn. Then, with paid calls under way, one fault after the other (FAULTS, below).
After each the oracle reads what is left, and the seconds from the repair until every host serves,
and until rest, are told. A scene that fails is told too, and the next one runs.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime as dt
import itertools
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from synthreview.lib.processes import Child, Family
from synthreview.lib.servers import (
    free_port,
    new_postgres_url,
    new_redis_url,
    start_postgres,
    start_valkey,
)
from tests.faults.services import KEYED, PLAIN, adapters
from tests.servers_fake.images_client import ROOT, ImagesServer
from tests.servers_fake.s3_server import S3Server

WEB_PORT = 8000
LEASE_S = 6.0
FAULT_S = 12.0
WORKERS = {1: ("generation", "scoring"), 2: ("generation", "export")}
REST_S = 180.0
DISK = "size=160m"  # of each host
HOUR_S = 3600
POISONED = "claimed, nothing prepared"
# An hour ahead or behind, as every program of a host sees it: loaded before the C library.
SKEW = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long skew(void) { const char *s = getenv("SKEW_S"); return s ? atol(s) : 0; }
int clock_gettime(clockid_t which, struct timespec *at) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int code = real(which, at);
  if (!code && (which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE)) at->tv_sec += skew();
  return code;
}
time_t time(time_t *at) {
  struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
  if (at) *at = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval *restrict at, void *restrict zone) {
  struct timespec now; clock_gettime(CLOCK_REALTIME, &now);
  at->tv_sec = now.tv_sec; at->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""


# --- Cables -----------------------------------------------------------------------------


class Forwarder:
    """Listens at an address and carries each connection to one of several places in turn."""

    def __init__(self, address: tuple[str, int], places: list[tuple[str, int]]) -> None:
        self.places = itertools.cycle(places)
        self.count = len(places)
        self.listener = socket.create_server(address)
        self.address = address
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=[near], daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        for _ in range(self.count):
            with contextlib.suppress(OSError):
                far = socket.create_connection(next(self.places), timeout=2)
                far.settimeout(None)
                pump = threading.Thread(target=_pump, args=[far, near], daemon=True)
                pump.start()
                _pump(near, far)
                return
        near.close()

    def close(self) -> None:
        self.listener.close()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for one in (source, target):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


def run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def ip(*words: str) -> None:
    run("ip", *words)


@dataclass
class Host:
    """One namespace: `here` is our end of its cable, `there` its own."""

    number: int
    family: Family
    folder: Path
    variables: dict[str, str]
    ports: tuple[int, ...]
    children: dict[str, Child] = field(default_factory=dict)
    started: int = 0
    sweepers: int = 1
    skew: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"synthreview{self.number}"

    @property
    def here(self) -> str:
        return f"10.77.{self.number}.1"

    @property
    def there(self) -> str:
        return f"10.77.{self.number}.2"

    @property
    def cable(self) -> str:
        return f"srcable{self.number}"

    @contextmanager
    def connected(self) -> Iterator[Host]:
        """Have the namespace and its cable, and everything that we serve at its near end."""
        subprocess.run(["ip", "netns", "del", self.name], check=False, capture_output=True)
        ip("netns", "add", self.name)
        self.folder.mkdir()
        run("mount", "-t", "tmpfs", "-o", DISK, "tmpfs", str(self.folder))
        forwarders = []
        try:
            ip("link", "add", self.cable, "type", "veth", "peer", "name", "uplink")
            ip("link", "set", "uplink", "netns", self.name)
            ip("addr", "add", f"{self.here}/30", "dev", self.cable)
            ip("link", "set", self.cable, "up")
            for words in (
                ("addr", "add", f"{self.there}/30", "dev", "uplink"),
                ("link", "set", "uplink", "up"),
                ("link", "set", "lo", "up"),
            ):
                ip("-n", self.name, *words)
            forwarders = [
                Forwarder((self.here, port), [("127.0.0.1", port)]) for port in self.ports
            ]
            yield self
        finally:
            for forwarder in forwarders:
                forwarder.close()
            ip("netns", "del", self.name)
            run("umount", "--lazy", str(self.folder))

    def environment(self) -> dict[str, str]:
        own = {
            name: value.replace("127.0.0.1", self.here) for name, value in self.variables.items()
        }
        return os.environ | own | {
            "SYNTHREVIEW_DATA": str(self.folder),
            "SYNTHREVIEW_ALLOWED_HOSTS": f"127.0.0.1,{self.there}",
            **self.skew,
        }  # fmt: skip

    def wanted(self) -> dict[str, list[str]]:
        manage = [sys.executable, str(ROOT / "manage.py")]
        gunicorn = [
            *(sys.executable, "-m", "gunicorn", "synthreview.wsgi", "--no-control-socket"),
            *("--bind", f"{self.there}:{WEB_PORT}", "--worker-class", "gthread", "--threads", "4"),
        ]
        workers = {queue: [*manage, "work", queue] for queue in WORKERS[self.number]}
        sweepers = {f"sweeper{one}": [*manage, "sweep"] for one in range(self.sweepers)}
        return {"web": gunicorn, **sweepers, **workers}

    def keep_up(self) -> None:
        """Start what has ended, as a supervisor does."""
        for name, command in self.wanted().items():
            child = self.children.get(name)
            if child is not None and child.is_alive:
                continue
            self.started += 1
            self.children[name] = self.family.start(
                f"{self.name}-{name}-{self.started}",
                ["ip", "netns", "exec", self.name, *command],
                env=self.environment(),
                cwd=ROOT,
            )

    def back_to_normal(self) -> None:
        """Let its clock be right, and one sweeper run."""
        self.sweepers = 1
        if self.skew:
            self.skew = {}
            self.kill()
        for name in set(self.children) - set(self.wanted()):
            child = self.children.pop(name)
            os.killpg(child.process.pid, signal.SIGKILL)
            child.process.wait()

    def kill(self) -> None:
        """Let everything on it end at once, as when the power fails."""
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
        for child in self.children.values():
            child.process.wait()
        self.children.clear()

    @property
    def ballast(self) -> Path:
        return self.folder / "ballast"

    def fill_disk(self) -> None:
        with contextlib.suppress(OSError), self.ballast.open("wb", buffering=0) as file:
            while file.write(bytes(65536)):
                pass

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.there}:{WEB_PORT}/readyz", timeout=3) as it:
                return bool(it.status == 200)
        except OSError:
            return False


# --- The installation -------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """What one fault did: seconds from its repair to readiness and to rest, the oracle's count.

    `found` is of this scene alone. `others_served`: the host that was spared answered meanwhile.
    """

    name: str
    ready_s: float
    rest_s: float
    others_served: bool | None
    found: dict[str, Any]


@dataclass
class Installation:
    """Everything that runs. Faults are its methods; `scene` brings it to rest after one."""

    family: Family
    folder: Path
    redis_url: str
    postgres_url: str
    postgres: Child
    redis: Child
    store: S3Server
    services: dict[str, ImagesServer]
    hosts: list[Host]
    scenes: list[Scene] = field(default_factory=list)

    def keep_up(self, *, without: Host | None = None) -> None:
        for host in self.hosts:
            if host is not without:
                host.keep_up()

    def until_ready(self, within_s: float = 180) -> None:
        deadline = time.monotonic() + within_s
        while not all(host.is_ready() for host in self.hosts):
            assert time.monotonic() < deadline, "the hosts do not become ready"
            self.keep_up()
            time.sleep(0.5)

    def scene(self, name: str, calls: int, fault: Callable[[list[Any]], Host | None]) -> None:
        """Order paid calls, let the fault happen in the middle, and bring all to rest."""
        from synthreview.generation.models import Call
        from synthreview.work.models import OPEN_STATES, WorkState
        from tests.faults.site import Site

        site = Site(self.family, self.folder / "here", self.services, lease_s=LEASE_S)
        for server in self.services.values():
            server.always({"do": "late", "seconds": 0.3})
        before = asdict(self._ask(site.judge))
        runs = [site.order(alias, calls) for alias in self.services]
        done = Call.objects.filter(run__in=runs, state=WorkState.DONE)
        self._wait(lambda: done.count() > 3)
        untouched = fault(runs)
        others_served = untouched.is_ready() if untouched else None
        began = time.monotonic()
        self.repair()
        ready_s = 0.0
        while not ready_s or self._ask(Call.objects.filter(state__in=OPEN_STATES).exists):
            taken_s = time.monotonic() - began
            assert taken_s < REST_S, f"{name}: no rest after {REST_S:.0f} s"
            self.keep_up()
            if not ready_s and all(host.is_ready() for host in self.hosts):
                ready_s = time.monotonic() - began
            self._ask(site.resume)
            time.sleep(0.3)
        rest_s = time.monotonic() - began
        self._wait(lambda: all(not list(h.folder.glob("spool/[!.]*.json")) for h in self.hosts))
        found = _since(before, asdict(self._ask(site.judge)))
        self._look_at_operations()
        for host in self.hosts:
            host.back_to_normal()
        scene = Scene(name, round(ready_s, 1), round(rest_s, 1), others_served, found)
        self.scenes.append(scene)
        print(scene, flush=True)

    def _look_at_operations(self) -> None:
        """See that the operations page shows every piece of work that came to nothing."""
        from synthreview.overview import operations
        from synthreview.work.models import WorkState
        from synthreview.work.services import work_models

        ended = [WorkState.FAILED, WorkState.UNKNOWN]
        wanted = {
            (model._meta.label_lower, pk)
            for model in work_models()
            for pk in model._default_manager.filter(state__in=ended).values_list("pk", flat=True)
        }
        rows = self._ask(operations.stuck)
        shown = {(row.kind, row.pk) for row in rows if row.state != "overdue"}
        assert shown == wanted, f"shown {shown}, came to nothing {wanted}"

    def _wait(self, is_so: Callable[[], bool], within_s: float = 120) -> None:
        deadline = time.monotonic() + within_s
        while not self._ask(is_so):
            assert time.monotonic() < deadline, "it did not come about"
            self.keep_up()
            time.sleep(0.3)

    def _ask(self, question: Callable[[], Any]) -> Any:
        """Ask the database, which may be away for a while."""
        from django.db import InterfaceError, OperationalError, connection
        from redis.exceptions import RedisError

        deadline = time.monotonic() + 60
        while True:
            try:
                return question()
            except (OperationalError, InterfaceError, RedisError):
                connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    # --- Faults -------------------------------------------------------------------------

    def repair(self) -> None:
        for host in self.hosts:
            ip("link", "set", host.cable, "up")
            host.ballast.unlink(missing_ok=True)
        self.store.is_down = False
        if not self.postgres.is_alive:
            self.postgres = start_postgres(
                self.family,
                url=self.postgres_url,
                folder=self.folder / "postgresql",
                durable=True,
            )
        if not self.redis.is_alive:
            shutil.rmtree(self.folder / "redis", ignore_errors=True)
            self.redis = start_valkey(self.family, url=self.redis_url, folder=self.folder / "redis")
        self.keep_up()

    def pull_cable(self, runs: list[Any]) -> Host:
        ip("link", "set", self.hosts[1].cable, "down")
        time.sleep(FAULT_S)
        return self.hosts[0]

    def kill_host(self, runs: list[Any]) -> Host:
        self.hosts[1].kill()
        time.sleep(FAULT_S / 2)
        return self.hosts[0]

    def restart_postgres(self, runs: list[Any]) -> None:
        """Restart it as an administrator does: what is under way is rolled back."""
        self._stop_postgres(signal.SIGINT)

    def crash_postgres(self, runs: list[Any]) -> None:
        """Stop it at once, without waiting for anything: as when its host fails."""
        self._stop_postgres(signal.SIGQUIT)

    def _stop_postgres(self, how: signal.Signals) -> None:
        self.postgres.process.send_signal(how)
        self.postgres.process.wait()
        time.sleep(2)

    def empty_redis(self, runs: list[Any]) -> None:
        """Kill it; what comes back is empty."""
        os.killpg(self.redis.process.pid, signal.SIGKILL)
        self.redis.process.wait()
        time.sleep(FAULT_S)

    def take_store_away(self, runs: list[Any]) -> None:
        self.store.is_down = True
        time.sleep(FAULT_S)

    def fill_a_disk(self, runs: list[Any]) -> Host:
        self.hosts[1].fill_disk()
        time.sleep(FAULT_S)
        return self.hosts[0]

    def set_clock(self, seconds: int) -> Host:
        """Start a host anew, whose clock is wrong."""
        host = self.hosts[1]
        host.kill()
        host.skew = {"LD_PRELOAD": str(skewed_clock(self.folder)), "SKEW_S": str(seconds)}
        return self.hosts[0]

    def set_clock_forward(self, runs: list[Any]) -> Host:
        return self.set_clock(HOUR_S)

    def set_clock_back(self, runs: list[Any]) -> Host:
        return self.set_clock(-HOUR_S)

    def start_sweepers(self, runs: list[Any]) -> None:
        """Let two sweepers run on each host, and take what they go by away from under them."""
        from tests.faults.site import flush_redis

        for host in self.hosts:
            host.sweepers = 2
        self.keep_up()
        for _ in range(3):
            flush_redis()
            time.sleep(FAULT_S / 6)

    def poison(self, runs: list[Any]) -> None:
        """Let one call kill each worker that claims it."""
        from tests.faults import points

        last = self._ask(lambda: runs[0].calls.order_by("-pk").first())
        points.plan(self.folder / "plans", last.pk, POISONED, "worker", again=True)


def _since(before: dict[str, Any], total: dict[str, Any]) -> dict[str, Any]:
    """Return what came into the books, which go on over all scenes."""
    calls = Counter(total["calls"]) - Counter(before["calls"])
    numbers = {name: total[name] - before[name] for name in total if name != "calls"}
    return {"calls": dict(calls), **numbers}


def skewed_clock(folder: Path) -> Path:
    """Return a library that moves the clock by SKEW_S for whoever loads it; takes a C compiler."""
    library = folder / "skew.so"
    source = library.with_suffix(".c")
    source.write_text(SKEW)
    run("cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl")
    return library


@contextmanager
def installation(folder: Path) -> Iterator[Installation]:
    """Start the shared servers and both hosts; Django in this process is one more of them."""
    with ExitStack() as stack:
        family = stack.enter_context(Family(folder / "logs"))
        postgres_url, redis_url = new_postgres_url(), new_redis_url()
        postgres = start_postgres(
            family, url=postgres_url, folder=folder / "postgresql", durable=True
        )
        redis = start_valkey(family, url=redis_url, folder=folder / "redis")
        store = stack.enter_context(S3Server("images"))
        services = {
            PLAIN: stack.enter_context(ImagesServer("http")),
            KEYED: stack.enter_context(ImagesServer("http", idempotency_header="idempotency-key")),
        }
        variables = {
            "DJANGO_SETTINGS_MODULE": "tests.faults.settings",
            "DATABASE_URL": postgres_url,
            "REDIS_URL": redis_url,
            "SYNTHREVIEW_STORAGE": "s3://images/all",
            "SYNTHREVIEW_STORAGE_ENDPOINT": store.url,
            "SYNTHREVIEW_STORAGE_REGION": "eu",
            "SYNTHREVIEW_SECRET_KEY": secrets.token_urlsafe(48),
            "SYNTHREVIEW_LOG_LEVEL": "WARNING",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "FAULTS_GENERATORS": json.dumps(adapters(services)),
            "FAULTS_FOLDER": str(folder / "plans"),
            "FAULTS_LEASE_S": str(LEASE_S),
            "PYTHONPATH": str(ROOT),
        }
        os.environ |= variables | {"SYNTHREVIEW_DATA": str(folder / "here")}
        ports = tuple(
            int(urlsplit(url).port or 0)
            for url in (
                postgres_url, redis_url, store.url, *(s.base_url for s in services.values())
            )
        )  # fmt: skip
        hosts = [
            stack.enter_context(
                Host(number, family, folder / f"host{number}", variables, ports).connected()
            )
            for number in WORKERS
        ]
        stack.callback(lambda: [host.kill() for host in hosts])
        yield Installation(
            family, folder, redis_url, postgres_url, postgres, redis, store, services, hosts
        )


# --- The main job -----------------------------------------------------------------------


def do_main_job(site: Installation) -> float:
    """Do the main job in a browser; every connection goes to the other host in turn."""
    from playwright.sync_api import sync_playwright

    from tests.browser.test_main_job import main_job
    from tests.prepare import BROWSER_ARGUMENTS, system_browser

    port = free_port()
    places = [(host.there, WEB_PORT) for host in site.hosts]
    proxy = Forwarder(("127.0.0.1", port), places)
    began = time.monotonic()
    try:
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=system_browser(), args=list(BROWSER_ARGUMENTS)
            )
            page = browser.new_page(base_url=f"http://127.0.0.1:{port}", reduced_motion="reduce")
            page.set_default_timeout(120_000)
            main_job(page)
            browser.close()
    finally:
        proxy.close()
    return time.monotonic() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--calls", type=int, default=25, help="calls of each service, each scene")
    parser.add_argument(
        "--only", default="", help="methods of faults, with commas between; main: the main job"
    )
    options = parser.parse_args()
    os.environ.setdefault("SYNTHREVIEW_DATA", tempfile.mkdtemp(prefix="synthreview-hosts-"))
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    folder = Path(tempfile.mkdtemp(prefix="synthreview-hosts-"))
    folder.chmod(0o755)
    os.environ |= {"FAULTS_GENERATORS": "{}", "DJANGO_SETTINGS_MODULE": "tests.faults.settings"}
    only = set(filter(None, options.only.split(",")))
    try:
        run_all(folder, only, options.calls, options.json)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


def run_all(folder: Path, only: set[str], calls: int, figures: Path | None) -> None:
    with installation(folder) as site:
        import django

        django.setup()
        from django.core.management import call_command

        from tests.factories import make_user

        call_command("migrate", verbosity=0)
        site.keep_up()
        site.until_ready()
        told: dict[str, Any] = {}
        failed: list[str] = []
        if not only or "main" in only:
            make_user("demo", is_superuser=True)
            told["main_job_s"] = round(do_main_job(site), 1)
            print(f"the main job on two hosts: {told['main_job_s']} s", flush=True)
            keep(figures, told)
        for name, fault in FAULTS.items():
            if not only or fault in only:
                try:
                    site.scene(name, calls, getattr(site, fault))
                except AssertionError as error:
                    failed.append(name)
                    print(f"{name} FAILED: {error}", flush=True)
                site.repair()
                site.until_ready()
                keep(figures, told | {"scenes": {one.name: asdict(one) for one in site.scenes}})
        if failed:
            raise SystemExit(f"Failed: {', '.join(failed)}")


FAULTS = {
    "a host's cable is pulled": "pull_cable",
    "a host is killed and comes back": "kill_host",
    "PostgreSQL restarts (fast)": "restart_postgres",
    "PostgreSQL restarts (immediate)": "crash_postgres",
    "Redis comes back empty": "empty_redis",
    "the storage is away": "take_store_away",
    "a host's disk is full": "fill_a_disk",
    "a host's clock is an hour ahead": "set_clock_forward",
    "a host's clock is an hour behind": "set_clock_back",
    "four sweepers, Redis emptied thrice": "start_sweepers",
    "a call kills each worker": "poison",
}


def keep(path: Path | None, told: dict[str, Any]) -> None:
    """Write the figures; those of other scenes in the file, of an earlier run, stay."""
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    known = json.loads(path.read_text()) if path.exists() else {}
    scenes = known.get("scenes", {}) | told.get("scenes", {})
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    facts = {
        "lease_s": LEASE_S,
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "machine": machine,
    }
    path.write_text(json.dumps(known | told | facts | {"scenes": scenes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
