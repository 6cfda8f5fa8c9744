"""Measure a review: the decision is posted, the next card comes back.

    make bench-review                       sizes 1,000 and 100,000, both databases
    make bench-review ARGS="--long"         and 1,000,000
    python -m benchmarks.bench_review --sizes 1000000 --databases sqlite --keep var/review.json
    python -m benchmarks.bench_review --keep var/review.json --report

Each size has its own database and its own server: gunicorn with two processes of four threads, as
the product runs. Everything that the product does for the request is in it: session, user,
permission, decision, claim, the card with its renditions' addresses. Beside it, on the same server
and in turns with it, runs the barest view that does one update and one indexed claim with the
same sessions, signing in and CSRF (benchmarks/review_server/bare.py). All sizes take turns as
turns as well, because the machine may be shared: read the ratios, not the milliseconds.

With --keep it can be done in pieces: each adds to the file, a later figure of the same database,
size and number of people stands in the place of the earlier, and the table is of all of them.
Between two pieces growth is that of the ratio to the bare view, marked ~.

Bars: at most 2.5 times the bare view's median at each size, at most 1.3 times from the smallest
size to the largest, at most 8 queries, no image in two hands.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a file, too

from benchmarks.review_server import SLUG  # noqa: E402
from synthreview.lib.processes import Family  # noqa: E402
from synthreview.lib.servers import (  # noqa: E402
    free_port,
    new_postgres_url,
    start_postgres,
    wait_until,
)

PEOPLE = 32
ROUNDS = 6
REVIEWS = 96  # of each round, by all clients together
SETTINGS = "benchmarks.review_server.settings"
BARE, PRODUCT = "bare", "product"
RATIO_BAR, GROWTH_BAR, QUERIES_BAR = 2.5, 1.3, 8


@dataclass
class Client:
    """One reviewer's browser: a connection, cookies, and the card that lies open."""

    port: int
    session: str
    number: int
    token: dict[str, str] = field(default_factory=dict)
    images: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        self.csrf = "a" * 32
        self.cookies = f"sessionid={self.session}; csrftoken={self.csrf}"

    def send(self, method: str, path: str, body: str = "", **headers: str) -> tuple[str, float]:
        """Return the answer's text and the milliseconds that it took."""
        sent = {
            "Cookie": self.cookies,
            "X-CSRFToken": self.csrf,
            "HX-Request": "true",
            "Content-Type": "application/x-www-form-urlencoded",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        began = time.perf_counter()
        self.connection.request(method, path, body, sent)
        response = self.connection.getresponse()
        text = response.read().decode()
        took = (time.perf_counter() - began) * 1000
        self.queries = response.headers.get("X-Queries", "")
        if response.status != 200:
            raise SystemExit(f"{method} {path}: {response.status}\n{text[:2000]}")
        return text, took

    def begin(self, kind: str) -> None:
        """Get the first card."""
        if kind == PRODUCT:
            self._keep(kind, self.send("GET", f"/d/{SLUG}/review/")[0])
        else:
            self.token[kind] = "00000000-0000-0000-0000-000000000000"
            self._keep(kind, self.send("POST", *self._post(kind))[0])

    def review(self, kind: str, **headers: str) -> float:
        """Decide the open card, get the next; return the milliseconds."""
        text, took = self.send("POST", *self._post(kind), **headers)
        self._keep(kind, text)
        return took

    def _post(self, kind: str) -> tuple[str, str]:
        path = f"/d/{SLUG}/review/decide" if kind == PRODUCT else "/bare/decide"
        return path, urlencode({"token": self.token[kind], "verdict": "approve", "seconds": "1.2"})

    def _keep(self, kind: str, text: str) -> None:
        token = re.search(r'data-token="([0-9a-f-]+)"', text)
        image = re.search(r'src="[^"]*?(\d+)/view', text)
        if token is None or image is None:
            raise SystemExit(f"{kind}: no card in the answer:\n{text[:2000]}")
        self.token[kind] = token[1]
        if kind == PRODUCT:
            self.images.append(image[1])


@dataclass
class Site:
    """One size: its database, its server and what was measured on it."""

    size: int
    port: int
    environment: dict[str, str]
    sessions: list[str]
    took: dict[tuple[str, int], list[float]] = field(default_factory=dict)
    spent: dict[tuple[str, int], float] = field(default_factory=dict)

    def figures(self, people: int) -> dict[str, Any]:
        return {
            kind: {"ms": self.took[kind, people], "seconds": self.spent[kind, people]}
            for kind in (PRODUCT, BARE)
        }

    def clients(self, count: int) -> list[Client]:
        return [Client(self.port, self.sessions[one], one) for one in range(count)]

    def manage(self, code: str) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"import django; django.setup()\n{code}"],
            cwd=ROOT,
            env=self.environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        return done.stdout

    def reset(self) -> None:
        """Put everything back into the queue, where the size is too small for all rounds."""
        self.manage(
            "from django.db import connection as c\n"
            "from synthreview.review.models import *\n"
            "ReviewSlot.objects.update(state='waiting', decision=None, reviewer=None,"
            " lease_token=None, lease_expires_at=None, handed_at=None)\n"
            "ImageReview.objects.update(state='pending', approvals=0, rejections=0)\n"
            "Decision.objects.all().delete()\n"
            "q = c.cursor()\n"
            "q.execute(\"UPDATE bare_task SET state='waiting', lease_token=NULL\")\n"
            "q.execute('VACUUM ANALYZE' if c.vendor == 'postgresql' else 'ANALYZE')"
        )


def together(clients: list[Client], work: Callable[[Client], None]) -> float:
    """Let all clients work at once; return the seconds."""
    failed: list[BaseException] = []

    def one(client: Client) -> None:
        try:
            work(client)
        except BaseException as error:  # noqa: BLE001 - raised again below
            failed.append(error)

    threads = [threading.Thread(target=one, args=[client]) for client in clients]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return time.perf_counter() - began


def block(site: Site, clients: list[Client], kind: str, reviews: int, *, is_kept: bool) -> None:
    """Let the clients review for a while, and keep what it took."""
    took: list[float] = []

    def work(client: Client) -> None:
        took.extend([client.review(kind) for _ in range(max(1, reviews // len(clients)))])

    spent = together(clients, work)
    if is_kept:
        site.took.setdefault((kind, len(clients)), []).extend(took)
        site.spent[kind, len(clients)] = site.spent.get((kind, len(clients)), 0) + spent


def measure(sites: list[Site], people: int, rounds: int) -> None:
    """Measure product and bare view in turns, on each size in turns."""
    clients = {}
    for site in sites:
        if site.size < 4 * rounds * REVIEWS:
            site.reset()
        clients[site.size] = site.clients(people)
        for kind in (BARE, PRODUCT):
            together(clients[site.size], lambda client, kind=kind: client.begin(kind))
    for number in range(rounds + 1):
        for site in sites:
            for kind in (PRODUCT, BARE) if number % 2 else (BARE, PRODUCT):
                block(site, clients[site.size], kind, REVIEWS, is_kept=number > 0)
    for site in sites:
        for client in clients[site.size]:
            client.connection.close()


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Kept:
    """What was measured, by database, size and people; in a file, if there is one."""

    path: Path | None
    pieces: dict[str, dict[str, Any]] = field(default_factory=dict)
    run: str = field(default_factory=lambda: time.strftime("%Y-%m-%d %H:%M:%S"))

    def __post_init__(self) -> None:
        if self.path and self.path.exists():
            self.pieces = json.loads(self.path.read_text())

    def add(self, vendor: str, sites: list[Site], people: int) -> None:
        for site in sites:
            self.pieces[f"{vendor} {people:>3} {site.size:>8}"] = {
                "database": vendor,
                "people": people,
                "size": site.size,
                "run": self.run,
                "load": os.getloadavg()[0],
                **site.figures(people),
            }
        self._write()

    def add_checks(self, vendor: str, missed: list[str]) -> None:
        """Keep what the counts of queries and the rush found wrong: nothing, or in words."""
        self.pieces[f"{vendor} checks {self.run}"] = {"checks": vendor, "missed": missed}
        self._write()

    def _write(self) -> None:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.pieces))

    def report(self) -> list[str]:
        """Print the tables; return the bars that were missed."""
        missed = [line for piece in self.pieces.values() for line in piece.get("missed", [])]
        rows = [piece for _, piece in sorted(self.pieces.items()) if "size" in piece]
        first: dict[str, Any] = {}
        for row in rows:
            if row["database"] != first.get("database"):
                print(HEAD.format(row["database"]))
            if (row["database"], row["people"]) != (first.get("database"), first.get("people")):
                first = row
            missed += _print_row(row, first)
        return missed


HEAD = (
    f"\n--- {{}}\n{'images':>10} {'people':>7}   {'p50':>7} {'p95':>7} {'p99':>7} {'per s':>7}   "
    f"{'bare p50':>8} {'p95':>7} {'p99':>7} {'per s':>7}   {'p50 ratio':>9} {'growth':>7} "
    f"{'load':>6}"
)


def _print_row(row: dict[str, Any], first: dict[str, Any]) -> list[str]:
    """Print what one size took, beside the smallest of the same; return the bars it missed."""
    ours, bare = (statistics.median(row[kind]["ms"]) for kind in (PRODUCT, BARE))
    of_first, bare_of_first = (statistics.median(first[kind]["ms"]) for kind in (PRODUCT, BARE))
    ratio, growth, mark = ours / bare, ours / of_first, ""
    if row["run"] != first["run"]:  # the machine was another: only ratios compare
        growth, mark = ratio / (of_first / bare_of_first), "~"
    cells = [
        " ".join(f"{quantile(row[kind]['ms'], share):7.1f}" for share in (0.5, 0.95, 0.99))
        + f" {len(row[kind]['ms']) / row[kind]['seconds']:7.0f}"
        for kind in (PRODUCT, BARE)
    ]
    print(
        f"{row['size']:>10,} {row['people']:>7}   {cells[0]}    {cells[1]}   {ratio:>9.2f} "
        f"{mark + format(growth, '.2f'):>7} {row['load']:>6.1f}"
    )
    what = f"{row['database']}: {row['size']:,} images, {row['people']} people"
    missed = [f"{what}: {ratio:.2f} × bare"] if ratio > RATIO_BAR else []
    return missed + ([f"{what}: grew {growth:.2f} ×"] if growth > GROWTH_BAR else [])


def count_queries(sites: list[Site]) -> list[str]:
    missed = []
    for site in sites:
        (client,) = site.clients(1)
        for kind in (BARE, PRODUCT):
            client.begin(kind)
            counts = []
            for _ in range(12):
                client.review(kind, X_Count_Queries="1")
                counts.append(int(client.queries))
            print(f"{site.size:>10,} images, {kind}: {max(counts)} queries at most")
            if kind == PRODUCT and max(counts) > QUERIES_BAR:
                missed.append(f"{site.size:,} images: {max(counts)} queries")
    return missed


def rush(site: Site, reviews: int) -> list[str]:
    """Let everybody review at once, and look for an image in two hands."""
    site.reset()
    clients = site.clients(PEOPLE)
    together(clients, lambda client: client.begin(PRODUCT))
    each = reviews // PEOPLE

    def work(client: Client) -> None:
        for _ in range(each):
            client.review(PRODUCT)

    spent = together(clients, work)
    handed = Counter(image for client in clients for image in client.images)
    double = sum(count > 1 for count in handed.values())
    decided, distinct = map(
        int,
        site.manage(
            "from synthreview.review.models import Decision as D\n"
            "print(D.objects.count(), D.objects.values('image').distinct().count())"
        ).split(),
    )
    print(
        f"{site.size:>10,} images, {PEOPLE} people, {each * PEOPLE:,} reviews in {spent:.0f} s: "
        f"{double} images in two hands, {decided:,} decisions on {distinct:,} images"
    )
    sound = not double and decided == distinct == each * PEOPLE
    return [] if sound else ["double assignments"]


@contextmanager
def database_urls(vendor: str, url: str, folder: Path, sizes: list[int]) -> Iterator[list[str]]:
    """Give one empty database for each size."""
    if vendor == "sqlite":
        yield [f"sqlite:///{folder / f'{size}.sqlite3'}" for size in sizes]
        return
    with Family(folder / "logs") as family:
        if not url:
            url = new_postgres_url()
            start_postgres(family, url=url, folder=folder / "postgresql", durable=True)
        yield [new_database(url, f"bench_{size}") for size in sizes]


def new_database(url: str, name: str) -> str:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {name}")
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def seed(size: int, people: int, environment: dict[str, str]) -> str:
    """Fill the database; return the sessions of those who review there, as JSON."""
    began = time.perf_counter()
    seeded = subprocess.run(
        [sys.executable, "-m", "benchmarks.review_server.seed", str(size), str(people)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    print(f"{size:>10,} images written in {time.perf_counter() - began:.0f} s", flush=True)
    return seeded.stdout


@contextmanager
def open_sites(
    urls: list[str], sizes: list[int], folder: Path, *, people: int = PEOPLE
) -> Iterator[list[Site]]:
    """Fill each database, unless its folder says that it was, and start its server."""
    with Family(folder / "web-logs") as family:
        sites = []
        for size, url in zip(sizes, urls, strict=True):
            data = folder / f"data-{size}"
            environment = {
                **os.environ,
                "SYNTHREVIEW_DATA": str(data),
                "DATABASE_URL": url,
                "DJANGO_SETTINGS_MODULE": SETTINGS,
            }
            sessions = data / "sessions.json"
            if not sessions.exists():
                sessions.write_text(seed(size, people, environment))
            port = free_port()
            web = family.start(
                f"web-{size}",
                [
                    *(sys.executable, "-m", "gunicorn", "synthreview.wsgi"),
                    *("--no-control-socket", "--bind", f"127.0.0.1:{port}", "--keep-alive", "60"),
                    *("--worker-class", "gthread", "--workers", "2", "--threads", "4"),
                ],
                env=environment,
                cwd=ROOT,
            )
            sites.append(Site(size, port, environment, json.loads(sessions.read_text())))
            wait_until(lambda port=port: answers(port), web)
        yield sites


def answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--sizes", default="1000,100000")
    parser.add_argument("--long", action="store_true", help="a million images as well")
    parser.add_argument("--people", default="1,8,32")
    parser.add_argument("--databases", default="sqlite,postgresql")
    parser.add_argument("--postgresql", default="", help="a server's URL; else one is started")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--rush", type=int, default=10_000, help="reviews at once; 0 leaves it out")
    parser.add_argument("--keep", type=Path, help="add what is measured to this file")
    parser.add_argument("--report", action="store_true", help="only print what the file holds")
    options = parser.parse_args()
    kept = Kept(options.keep)
    if not options.report:
        run(options, kept)
    missed = kept.report()
    print("\nAll bars are kept." if not missed else "\nMissed:\n" + "\n".join(missed))
    sys.exit(bool(missed))


def run(options: argparse.Namespace, kept: Kept) -> None:
    """Measure what was asked for."""
    sizes = [int(size) for size in options.sizes.split(",")] + [1_000_000] * options.long
    counts = [int(count) for count in options.people.split(",")]
    for vendor in options.databases.split(","):
        folder = Path(tempfile.mkdtemp(prefix="synthreview-bench-"))
        folder.chmod(0o755)
        print(f"\n--- {vendor}", flush=True)
        try:
            with (
                database_urls(vendor, options.postgresql, folder, sizes) as urls,
                open_sites(urls, sizes, folder) as sites,
            ):
                found = count_queries(sites)
                for people in counts:
                    measure(sites, people, options.rounds)
                    kept.add(vendor, sites, people)
                if options.rush:
                    fitting = next((site for site in sites if site.size > options.rush), None)
                    found += rush(fitting, options.rush) if fitting else []
            kept.add_checks(vendor, [f"{vendor}: {one}" for one in found])
        finally:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
