"""What all tests share: real servers of the test run's own, its folder, and a browser.

The first process of a run starts Valkey, and PostgreSQL with `--database postgresql`;
xdist's workers inherit the addresses, and each takes its own database in both.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_client

from synthreview.lib.processes import Family
from synthreview.lib.servers import (
    new_postgres_url,
    new_redis_url,
    start_postgres,
    start_valkey,
)
from tests.migrated import copy_sqlite, postgres_template
from tests.prepare import BROWSER_ARGUMENTS, system_browser

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from playwright.sync_api import Browser, ConsoleMessage, Page, Request, Route

RUN_FOLDER = "SYNTHREVIEW_TEST_RUN_FOLDER"
FAMILY = pytest.StashKey[Family]()
DATABASE_FIXTURES = {"db", "transactional_db", "django_db_setup", "live_server"}


# --- Servers ------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--database",
        choices=("sqlite", "postgresql"),
        default="sqlite",
        help="sqlite: all tests; postgresql: those that use the database, without a browser "
        "(TEST_DATABASE_URL names a server, else one is started)",
    )
    parser.addoption(
        "--long-faults",
        type=Path,
        help="run tests/faults in its long form, too, and write its figures to this file",
    )


@pytest.hookimpl(tryfirst=True)  # before pytest-django reads the settings
def pytest_configure(config: pytest.Config) -> None:
    worker = getattr(config, "workerinput", {}).get("workerid")
    if worker is None:
        start_servers(config)
    run_folder = Path(os.environ[RUN_FOLDER])
    data = run_folder / (worker or "main")
    (data / "static").mkdir(parents=True)  # WhiteNoise warns where there is none
    os.environ["SYNTHREVIEW_DATA"] = str(data)
    for name in ("SYNTHREVIEW_CLIP", "SYNTHREVIEW_DIFFUSERS", "SYNTHREVIEW_DALLE_MINI"):
        os.environ.pop(name, None)
    os.environ["HF_HUB_OFFLINE"] = "1"  # tests make their models
    if config.getoption("database") == "sqlite":
        os.environ["DATABASE_URL"] = f"sqlite:///{data / 'db.sqlite3'}"
    if worker is not None:
        number = int(worker.removeprefix("gw")) + 1
        os.environ["REDIS_URL"] = re.sub(r"/\d+$", f"/{number}", os.environ["REDIS_URL"])
    load_settings()
    if worker is None and config.getoption("numprocesses", None):
        # The workers must not read the settings before they come to this function.
        del os.environ["DJANGO_SETTINGS_MODULE"]


def load_settings() -> None:
    """Read the settings from the environment as it is now; pytest-django does the rest."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "synthreview.settings"
    from django.conf import settings

    assert settings.DATABASES


def start_servers(config: pytest.Config) -> None:
    folder = Path(tempfile.mkdtemp(prefix="synthreview-tests-"))
    folder.chmod(0o755)  # PostgreSQL may run as another user
    os.environ[RUN_FOLDER] = str(folder)
    family = Family(folder / "logs")
    config.stash[FAMILY] = family
    family.__enter__()
    os.environ["REDIS_URL"] = new_redis_url()
    start_valkey(family, url=os.environ["REDIS_URL"], folder=folder / "redis", durable=False)
    if config.getoption("database") == "postgresql":
        url = os.environ.get("TEST_DATABASE_URL")
        if not url:
            url = new_postgres_url()
            start_postgres(family, url=url, folder=folder / "postgresql")
        os.environ["DATABASE_URL"] = url


def pytest_unconfigure(config: pytest.Config) -> None:
    if FAMILY in config.stash:
        config.stash[FAMILY].stop()
        shutil.rmtree(os.environ[RUN_FOLDER], ignore_errors=True)


def pytest_report_header(config: pytest.Config) -> str:
    return f"database: {config.getoption('database')}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL leave out what never meets it; the run on SQLite holds everything."""
    if config.getoption("database") == "sqlite":
        return
    chosen, others = [], []
    for item in items:
        uses_database = item.get_closest_marker("django_db") is not None or bool(
            DATABASE_FIXTURES.intersection(getattr(item, "fixturenames", ()))
        )
        is_for_browser = item.get_closest_marker("browser") is not None
        (chosen if uses_database and not is_for_browser else others).append(item)
    config.hook.pytest_deselected(items=others)
    items[:] = chosen


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings: None) -> None:
    """Start from a migrated copy. SQLite's is a file: in memory it knows no second process."""
    from django.conf import settings

    database = settings.DATABASES["default"]
    test = database.setdefault("TEST", {})
    if database["ENGINE"].endswith("sqlite3"):
        test["NAME"] = str(settings.DATA_DIR / "test.sqlite3")
        copy_sqlite(Path(test["NAME"]))
    else:
        test["TEMPLATE"] = postgres_template(os.environ["DATABASE_URL"])


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_keepdb: bool) -> bool:
    """Take SQLite's copy for what it is; it goes with the run's folder."""
    return django_db_keepdb or os.environ["DATABASE_URL"].startswith("sqlite")


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> None:
    """Let tests with transactions empty their tables, which the trail's triggers refuse."""
    from django.db import connection

    from synthreview.trail import guard

    operations = type(connection.ops)  # of every connection: tests make some anew
    flush = operations.execute_sql_flush

    def flush_past_the_guard(self: Any, statements: list[str]) -> None:
        guard.remove(self.connection, "trail_entry")
        flush(self, statements)
        guard.install(self.connection, "trail_entry")

    operations.execute_sql_flush = flush_past_the_guard


# --- Each test ----------------------------------------------------------------


@pytest.fixture(autouse=True)
def own_data_folder(settings: Any, tmp_path: Path) -> Path:
    """Give each test a data folder of its own, and passwords that are quick to check."""
    data = tmp_path / "data"
    settings.DATA_DIR = data
    for name in ("BLOBS", "SPOOL", "EXPORTS"):
        setattr(settings, f"{name}_DIR", data / name.lower())
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ACCOUNT_RATE_LIMITS = settings.RATE_LIMITS = {}  # tests of the limits set them
    settings.WHITENOISE_AUTOREFRESH = True  # else each new client walks over all static files
    return data


@pytest.fixture(autouse=True)
def fresh_memory() -> None:
    """Forget what the process remembers of rows that the test before took back."""
    from synthreview.scoring import lookalikes, similarity

    lookalikes._indexes.clear()
    similarity._rests.clear()


@pytest.fixture
def redis_url() -> str:
    """Return the address of this worker's own, now empty, database in Redis.

    The queues of django-rq lie there in every test; ask for this where their content matters.
    """
    url = os.environ["REDIS_URL"]
    with redis_client.Redis.from_url(url) as client:
        client.flushdb()
    return url


@pytest.fixture
def redis(redis_url: str) -> Iterator[redis_client.Redis]:
    """Return a client of `redis_url`."""
    with redis_client.Redis.from_url(redis_url) as client:
        yield client


# --- Browser ------------------------------------------------------------------

# A page that asks again every second is left while it asks: htmx calls its cut request an error.
# The same holds for a preview that a newer one replaces.
CUT_SHORT = r"^console: htmx:(afterRequest|sendAbort)\b"
# Where the browser itself says that it cut a request, it may reach htmx as a failed one.
CUT_BY_LEAVING = r"^console: htmx:sendError\b"


@dataclass
class Problems:
    """What went wrong in the pages of one test, apart from what it allows."""

    found: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=lambda: [CUT_SHORT])

    def add(self, problem: str) -> None:
        self.found.append(problem)

    def allow(self, pattern: str) -> None:
        """Expect problems that match this regular expression (a 404 that the test asks for)."""
        self.allowed.append(pattern)

    def unexpected(self) -> list[str]:
        return [
            problem
            for problem in self.found
            if not any(re.search(pattern, problem) for pattern in self.allowed)
        ]


@dataclass(frozen=True)
class LiveSite:
    """The site, served from a thread of the test, with the test's database."""

    url: str

    def sign_in(self, page: Page, user: AbstractBaseUser) -> None:
        """Give the page's browser a session of this user, without the form."""
        from django.conf import settings
        from django.test import Client

        client = Client()
        client.force_login(user)
        session = client.cookies[settings.SESSION_COOKIE_NAME].value
        page.context.add_cookies(
            [{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": self.url}]
        )


@pytest.fixture
def live_site(live_server: Any) -> LiveSite:
    return LiveSite(live_server.url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    # Playwright runs an event loop in this thread, which Django takes for an async view.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=system_browser(), args=list(BROWSER_ARGUMENTS)
        )
        yield browser
        browser.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture
def page_problems() -> Problems:
    """Return what `page` collects; `.allow(pattern)` what the test provokes on purpose."""
    return Problems()


@pytest.fixture
def page(browser: Browser, live_site: LiveSite, page_problems: Problems) -> Iterator[Page]:
    """Return a page on the site; paths are relative to it, as in `page.goto("/")`.

    At the test's end there must have been no error in the console, no uncaught exception, no
    violation of the content security policy and no request to anywhere else.
    """
    context = browser.new_context(
        base_url=live_site.url, viewport={"width": 1280, "height": 800}, reduced_motion="reduce"
    )
    context.set_default_timeout(10_000)

    def keep_inside(route: Route) -> None:
        if route.request.url.startswith(f"{live_site.url}/"):
            route.continue_()
        else:
            page_problems.add(f"request to elsewhere: {route.request.url}")
            route.abort()

    def note_errors(message: ConsoleMessage) -> None:
        if message.type == "error":
            page_problems.add(f"console: {message.text} ({message.location.get('url', '')})")

    def note_failure(request: Request) -> None:
        if request.failure and "ERR_ABORTED" in request.failure:
            page_problems.allow(CUT_BY_LEAVING)

    context.route(re.compile("^(?!data:|blob:)"), keep_inside)
    context.expose_function("reportViolation", lambda text: page_problems.add(f"CSP: {text}"))
    context.add_init_script(
        "document.addEventListener('securitypolicyviolation', (event) => "
        "window.reportViolation(`${event.violatedDirective} ${event.blockedURI}`))"
    )
    context.on("console", note_errors)
    context.on("requestfailed", note_failure)
    context.on("weberror", lambda error: page_problems.add(f"exception: {error.error}"))
    yield context.new_page()
    context.close()
    assert page_problems.unexpected() == []
