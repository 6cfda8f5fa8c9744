"""Two hosts of their own networks, and what befalls them: `make test-hosts` (root, Linux).

    python -m tests.faults.hosts [--json FILE] [--calls 60]

Each host is a network namespace with a web server, workers and a sweeper, its own data folder and
one cable to the servers that all share: PostgreSQL, Valkey, a storage that speaks S3, and a paid
service that lies. First the browser does the main job through a proxy that sends each connection
to the other host in turn. Then, with paid calls under way, a cable is pulled, a host is killed,
PostgreSQL is stopped at once, Redis comes back empty, the storage is away. After each the oracle
reads what is left, and the seconds from the repair to rest are told.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
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


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


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

    def environment(self) -> dict[str, str]:
        own = {
            name: value.replace("127.0.0.1", self.here) for name, value in self.variables.items()
        }
        return os.environ | own | {
            "SYNTHREVIEW_DATA": str(self.folder),
            "SYNTHREVIEW_ALLOWED_HOSTS": f"127.0.0.1,{self.there}",
        }  # fmt: skip

    def wanted(self) -> dict[str, list[str]]:
        manage = [sys.executable, str(ROOT / "manage.py")]
        gunicorn = [
            *(sys.executable, "-m", "gunicorn", "synthreview.wsgi", "--no-control-socket"),
            *("--bind", f"{self.there}:{WEB_PORT}", "--worker-class", "gthread", "--threads", "4"),
        ]
        workers = {queue: [*manage, "work", queue] for queue in WORKERS[self.number]}
        return {"web": gunicorn, "sweeper": [*manage, "sweep"], **workers}

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

    def kill(self) -> None:
        """Let everything on it end at once, as when the power fails."""
        for child in self.children.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.process.pid, signal.SIGKILL)
        for child in self.children.values():
            child.process.wait()
        self.children.clear()

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{self.there}:{WEB_PORT}/readyz", timeout=3) as it:
                return bool(it.status == 200)
        except OSError:
            return False


# --- The installation -------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    """What one fault did: seconds from its repair to rest, and what the oracle found."""

    name: str
    rest_s: float
    others_served: bool
    found: dict[str, Any]


@dataclass
class Installation:
    """Everything that runs. Faults are its methods; `scene` brings it to rest after one."""

    family: Family
    folder: Path
    redis_url: str
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

    def scene(self, name: str, calls: int, fault: Callable[[], Host | None]) -> None:
        """Order paid calls, let the fault happen in the middle, and bring all to rest."""
        from synthreview.generation.models import Call
        from synthreview.work.models import OPEN_STATES, WorkState
        from tests.faults.site import Site

        site = Site(self.family, self.folder / "here", self.services, lease_s=LEASE_S)
        for server in self.services.values():
            server.always({"do": "late", "seconds": 0.3})
        runs = [site.order(alias, calls) for alias in self.services]
        self._wait(lambda: Call.objects.filter(run__in=runs, state=WorkState.DONE).count() > 3)
        untouched = fault()
        others_served = untouched is None or untouched.is_ready()
        began = time.monotonic()
        self.repair()
        while self._ask(lambda: Call.objects.filter(state__in=OPEN_STATES).exists()):
            assert time.monotonic() - began < REST_S, f"{name}: no rest after {REST_S:.0f} s"
            self.keep_up()
            self._ask(site.resume)
            time.sleep(0.3)
        rest_s = time.monotonic() - began
        self._wait(lambda: all(not list(h.folder.glob("spool/[!.]*.json")) for h in self.hosts))
        found = self._ask(lambda: site.judge())
        self.scenes.append(Scene(name, round(rest_s, 1), others_served, asdict(found)))
        print(f"{name}: at rest after {rest_s:.1f} s; {found}", flush=True)

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
        self.store.is_down = False
        if not self.postgres.is_alive:
            self.postgres = self._again("postgresql", self.postgres, "postgres")
        if not self.redis.is_alive:
            shutil.rmtree(self.folder / "redis", ignore_errors=True)
            self.redis = start_valkey(self.family, url=self.redis_url, folder=self.folder / "redis")
        self.keep_up()

    def _again(self, name: str, child: Child, user: str) -> Child:
        command = [str(part) for part in child.process.args]  # type: ignore[union-attr]
        return self.family.start(name, command, cwd=Path("/"), user=user, outlives=True)

    def pull_cable(self) -> Host:
        ip("link", "set", self.hosts[1].cable, "down")
        time.sleep(FAULT_S)
        return self.hosts[0]

    def kill_host(self) -> Host:
        self.hosts[1].kill()
        time.sleep(FAULT_S / 2)
        return self.hosts[0]

    def stop_postgres(self) -> None:
        """Stop it at once, without waiting for anything: as when its host fails."""
        self.postgres.process.send_signal(signal.SIGQUIT)
        self.postgres.process.wait()
        time.sleep(2)

    def stop_redis(self) -> None:
        """Kill it; what comes back is empty."""
        os.killpg(self.redis.process.pid, signal.SIGKILL)
        self.redis.process.wait()
        time.sleep(FAULT_S)

    def take_store_away(self) -> None:
        self.store.is_down = True
        time.sleep(FAULT_S)


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
        yield Installation(family, folder, redis_url, postgres, redis, store, services, hosts)


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
    parser.add_argument("--calls", type=int, default=60, help="calls of each service, each scene")
    parser.add_argument("--only", default="", help="scenes, with commas between; main is the first")
    options = parser.parse_args()
    os.environ.setdefault("SYNTHREVIEW_DATA", tempfile.mkdtemp(prefix="synthreview-hosts-"))
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    folder = Path(tempfile.mkdtemp(prefix="synthreview-hosts-"))
    folder.chmod(0o755)
    os.environ |= {"FAULTS_GENERATORS": "{}", "DJANGO_SETTINGS_MODULE": "tests.faults.settings"}
    only = set(filter(None, options.only.split(",")))
    try:
        run(folder, only, options.calls, options.json)
    finally:
        if not os.environ.get("KEEP"):
            shutil.rmtree(folder, ignore_errors=True)


def run(folder: Path, only: set[str], calls: int, figures: Path | None) -> None:
    with installation(folder) as site:
        import django

        django.setup()
        from django.core.management import call_command

        from tests.factories import make_user

        call_command("migrate", verbosity=0)
        site.keep_up()
        site.until_ready()
        told: dict[str, Any] = {}
        if not only or "main" in only:
            make_user("demo", is_superuser=True)
            told["main_job_s"] = round(do_main_job(site), 1)
            print(f"the main job on two hosts: {told['main_job_s']} s", flush=True)
        faults: dict[str, Callable[[], Host | None]] = {
            "cable": site.pull_cable,
            "host": site.kill_host,
            "postgresql": site.stop_postgres,
            "redis": site.stop_redis,
            "storage": site.take_store_away,
        }
        for name, fault in faults.items():
            if not only or name in only:
                site.scene(name, calls, fault)
                for server in site.services.values():
                    server.reset()
                _forget()
        told["scenes"] = [asdict(scene) for scene in site.scenes]
        if figures:
            figures.parent.mkdir(parents=True, exist_ok=True)
            figures.write_text(json.dumps(told, indent=1) + "\n")


def _forget() -> None:
    """Let each scene have books of its own."""
    from synthreview.generation.models import Call, CallInput, GeneratedImage, ImageTruth
    from synthreview.review.models import ImageReview, ReviewSlot
    from synthreview.scoring.models import Embedding, Score

    for model in (ReviewSlot, ImageReview, Embedding, Score, ImageTruth, CallInput):
        model.objects.all().delete()
    GeneratedImage.objects.all().delete()
    Call.objects.all().delete()


if __name__ == "__main__":
    main()
