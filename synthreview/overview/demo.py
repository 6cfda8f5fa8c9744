"""The demonstration: the whole product on one machine, in one folder, until Ctrl+C.

`prepare` gives the environment in which everything runs, and `run` keeps it running.
Everything that it writes lies in the demonstration's folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import TextIO

from django.conf import settings
from django.core.management import call_command

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.lib.processes import Child, Family
from synthreview.lib.servers import (
    ServerError,
    free_port,
    is_port_free,
    new_redis_url,
    start_valkey,
    wait_until,
)
from synthreview.work.services import work_models

USERNAME = "demo"
DATASET = settings.BASE_DIR / "fixtures" / "demo.toml"
FIRST_RUN_COUNT = 60
LOCK = "demo.lock"  # held while the demonstration runs; its presence marks such a folder
IN_DEMO = "SYNTHREVIEW_DEMO"
# What an operator may have set for another installation must not reach the demonstration.
FOREIGN = (
    "DATABASE_URL",
    "DATABASE_URL_FILE",
    "SYNTHREVIEW_ALLOWED_HOSTS",
    "SYNTHREVIEW_DEBUG",
    "SYNTHREVIEW_HTTPS",
    "SYNTHREVIEW_SECRET_KEY",
    "SYNTHREVIEW_SECRET_KEY_FILE",
    "SYNTHREVIEW_SERVE_MEDIA",
    "SYNTHREVIEW_STORAGE",
    "SYNTHREVIEW_TRUSTED_ORIGINS",
)
SPARSE_S = 5.0  # a line this often where no terminal is there to update one in place


class DemoError(Exception):
    """The demonstration cannot start or go on; the message is for its user."""


class EndAskedError(BaseException):
    """Ctrl+C, or its like from outside. No command that we call may take it for its own."""


# --- The folder ---------------------------------------------------------------


def environment(folder: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of every process of the demonstration."""
    own = {name: value for name, value in inherited.items() if name not in FOREIGN}
    return own | {
        IN_DEMO: "1",
        "SYNTHREVIEW_DATA": str(folder),
        "REDIS_URL": new_redis_url(),
        "PYTHONUNBUFFERED": "1",
    }


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[TextIO]:
    """Hold the folder for one demonstration; what is written to the lock says where it runs.

    Raises:
        DemoError: another one runs in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK).open("a+") as lock:
        lock.seek(0)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = lock.read().strip() or str(folder)
            raise DemoError(f"The demonstration runs already: {where}") from None
        lock.truncate(0)
        yield lock


def password_of(folder: Path) -> str:
    """Return the demonstration's password: SYNTHREVIEW_DEMO_PASSWORD, the kept one, a new one."""
    kept = folder / "password"
    password = os.environ.get("SYNTHREVIEW_DEMO_PASSWORD", "")
    if not password and kept.exists():
        password = kept.read_text().strip()
    password = password or secrets.token_urlsafe(9)
    kept.touch(mode=0o600)
    kept.chmod(0o600)
    kept.write_text(password + "\n")
    return password


# --- The data -----------------------------------------------------------------


def load_data(password: str) -> None:
    """Bring the database up to date and see to it that user and dataset are there."""
    call_command("migrate", verbosity=0, interactive=False)
    user = User.objects.filter(username=USERNAME).first()
    if user is None:
        User.objects.create_superuser(USERNAME, password=password)
    elif not user.check_password(password):
        user.set_password(password)
        user.save()
    if not Dataset.objects.exists():
        call_command("import_dataset", DATASET, owner=USERNAME, verbosity=0)


def start_first_run() -> None:
    """Have the first images drawn, so that there is something to see and to review."""
    dataset = Dataset.objects.order_by("pk").first()
    if dataset is not None and not GeneratedImage.objects.exists():
        call_command("generate", dataset.slug, count=FIRST_RUN_COUNT, first_run=True, verbosity=0)


def open_work() -> int:
    """Return how many pieces of work are not at their end."""
    return sum(model._default_manager.open().count() for model in work_models())


# --- The processes ------------------------------------------------------------


def run(folder: Path, port: int, say: Callable[[str], None]) -> None:
    """Start everything, say where it is, and keep it running until Ctrl+C.

    Raises:
        DemoError: the port is taken, a part does not start, or one ends by itself.
    """
    listen_for_the_end()
    address = f"http://127.0.0.1:{port}/"
    with locked(folder) as lock:
        if not is_port_free(port):
            raise DemoError(
                f"Port {port} is taken. Choose another one, for example: "
                f"PORT={free_port()} make demo"
            )
        print(address, file=lock, flush=True)
        say("Starting …")
        try:
            with Family(folder / "logs") as family:
                password = start(family, folder, port)
                say(f"\n  SynthReview is at  {address}")
                say(f"  Sign in as         {USERNAME}")
                say(f"  with the password  {password}")
                say(f"\n  Ctrl+C ends it; its data stays in {folder}\n")
                start_first_run()
                watch(family)
        except EndAskedError as asked:
            if isinstance(asked.__context__, DemoError):  # it came while all was being ended
                raise asked.__context__ from None
            say("\nStopped. `make demo` goes on where it was, `make demo-reset` clears the data.")
        except ServerError as error:
            raise DemoError(str(error)) from error


def listen_for_the_end() -> None:
    """Treat an end from outside and a closed terminal like Ctrl+C."""

    def ask(number: int, frame: FrameType | None) -> None:
        raise EndAskedError

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # nohup sets SIGHUP to be ignored, and means it.
        if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, ask)


def start(family: Family, folder: Path, port: int) -> str:
    """Start every process and return, once the first page is there, the password."""
    start_valkey(family, url=settings.REDIS_URL, folder=folder / "redis")
    settings.STATIC_ROOT.mkdir(exist_ok=True)  # empty: WhiteNoise warns where there is none
    password = password_of(folder)
    load_data(password)
    web = family.start(
        "web",
        [
            *(sys.executable, "-m", "gunicorn", "synthreview.wsgi", "--no-control-socket"),
            *("--bind", f"127.0.0.1:{port}", "--graceful-timeout", "3"),
            *("--worker-class", "gthread", "--workers", "2", "--threads", "4"),
        ],
        cwd=settings.BASE_DIR,
    )
    # Word lists need no worker.
    writers = {"prompting": ("work", "prompting")} if len(settings.AUTHORS) > 1 else {}
    for name, command in {
        **writers,
        "generation": ("work", "generation"),
        "scoring": ("work", "scoring"),
        "ranking": ("work", "ranking"),
        "export": ("work", "export"),
        "evaluation": ("work", "evaluation"),
        "sweeper": ("sweep",),
    }.items():
        family.start(name, [sys.executable, "manage.py", *command], cwd=settings.BASE_DIR)
    wait_until(lambda: first_page_is_there(port), web)
    return password


def first_page_is_there(port: int) -> bool:
    """Say whether the web server answers.

    Raises:
        ServerError: it does, with a fault of its own.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/")
        status = connection.getresponse().status
    except OSError:
        return False
    finally:
        connection.close()
    if status >= 500:
        raise ServerError(f"the first page answers {status}: see {settings.DATA_DIR}/logs/web.log")
    return True


def watch(family: Family) -> None:
    """Show how images arrive until a process ends by itself.

    Raises:
        DemoError: that one; the message names it and its log.
    """
    progress = Progress(sys.stdout)
    while True:
        fallen = family.fallen()
        if fallen is not None:
            progress.close()
            raise DemoError(how_it_ended(fallen))
        progress.show(images=GeneratedImage.objects.count(), waiting=open_work())
        time.sleep(0.5)


def how_it_ended(child: Child) -> str:
    code = child.process.returncode
    how = f"by {signal.Signals(-code).name}" if code < 0 else f"with code {code}"
    return f"{child.name} ended {how}, so everything was stopped. Its log: {child.log}"


class Progress:
    """One line about the images: updated in place, or sparse where there is no terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._in_place = stream.isatty()
        self._last = ""
        self._next_at = 0.0

    def show(self, *, images: int, waiting: int) -> None:
        line = f"{images} images are drawn"
        line += f", {waiting} pieces of work wait" if waiting else "; nothing waits"
        if line == self._last or (not self._in_place and time.monotonic() < self._next_at):
            return
        self._last, self._next_at = line, time.monotonic() + SPARSE_S
        if self._in_place:
            self._stream.write(f"\r\x1b[K{line}")
        else:
            self._stream.write(f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        if self._in_place:
            self._stream.write("\n")
            self._stream.flush()
