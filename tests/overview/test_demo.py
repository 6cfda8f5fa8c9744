"""`make demo`: the real command with its real processes."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.conf import settings
from django.core.management import CommandError, call_command

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.lib.servers import free_port
from synthreview.overview import demo

START_S = 180  # the first start applies every migration


class Demo:
    """One `manage.py demo` in a process of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.folder = folder
        self.output = folder.with_name("output")
        # As a terminal would start it: nothing of this test run's own servers.
        own = ("SYNTHREVIEW", "DATABASE_URL", "REDIS_URL", "DJANGO", "PYTEST", "COV")
        environment = {n: v for n, v in os.environ.items() if not n.startswith(own)}
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo", "--data", folder, "--port", str(port)],
                cwd=settings.BASE_DIR,
                env=environment | {"SYNTHREVIEW_DATA": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def said(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> Demo:
        wait_for(lambda: "with the password" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()
        return self

    def get(self, path: str) -> tuple[int, str]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def images(self) -> int:
        with closing(sqlite3.connect(self.folder / "db.sqlite3", timeout=20)) as database:
            return int(
                database.execute("SELECT count(*) FROM generation_generatedimage").fetchone()[0]
            )

    def family(self) -> dict[int, str]:
        """Return the command of every process below the demonstration's, by its number."""
        listing = subprocess.run(
            ["ps", "-A", "-ww", "-o", "pid=,ppid=,args="],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        rows = [line.split(None, 2) for line in listing.splitlines()]
        found: dict[int, str] = {}
        parents = {self.process.pid}
        while parents:
            born = {int(row[0]): row[-1] for row in rows if int(row[1]) in parents}
            found |= born
            parents = set(born)
        return found

    def interrupt(self) -> int:
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=30)


def wait_for(is_so: Callable[[], object], timeout_s: float = START_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.05)


def is_alive(pid: int) -> bool:
    state = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], check=False, capture_output=True, text=True
    ).stdout.strip()
    return state not in {"", "Z"}


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Demo]]:
    """Return what starts the demonstration, always in the same folder."""
    started: list[Demo] = []

    def start_one() -> Demo:
        started.append(Demo(tmp_path / "demo", free_port()))
        return started[-1]

    yield start_one
    for one in started:
        if one.process.poll() is None:
            one.process.kill()  # the keeper ends its children
            one.process.wait()


@pytest.mark.slow
def test_images_arrive_ctrl_c_ends_everything_and_the_next_start_keeps_them(
    start: Callable[[], Demo],
) -> None:
    first = start().wait_until_ready()
    assert f"http://127.0.0.1:{first.port}/" in first.said()
    assert first.get("/")[0] in {200, 302}
    family = first.family()
    for part in (
        "valkey-server",
        "gunicorn",
        "work generation",
        "work scoring",
        "work ranking",
        "sweep",
    ):
        assert any(part in command for command in family.values()), part
    wait_for(first.images)
    wait_for(lambda: re.search(r"[1-9]\d* images are drawn", first.said()))
    assert first.interrupt() == 0
    assert first.said().rstrip().endswith("clears the data.")
    wait_for(lambda: not any(map(is_alive, family)), timeout_s=5)
    images = first.images()
    assert images

    password = (first.folder / "password").read_text().strip()
    assert stat.S_IMODE((first.folder / "password").stat().st_mode) == 0o600
    assert password in first.said()

    second = start().wait_until_ready()
    assert password in second.said()
    assert second.images() >= images
    assert second.interrupt() == 0


@pytest.mark.slow
def test_the_death_of_one_part_ends_everything_and_is_named(start: Callable[[], Demo]) -> None:
    running = start().wait_until_ready()
    family = running.family()
    [sweeper] = [pid for pid, command in family.items() if "manage.py sweep" in command]
    os.kill(sweeper, signal.SIGKILL)
    assert running.process.wait(timeout=30) == 1
    last_line = running.said().rstrip().splitlines()[-1]
    assert "sweeper ended by SIGKILL" in last_line
    assert str(running.folder / "logs" / "sweeper.log") in last_line
    wait_for(lambda: not any(map(is_alive, family)), timeout_s=5)


def test_a_taken_port_gets_one_line_that_names_the_way_out(
    start: Callable[[], Demo], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setattr(f"{__name__}.free_port", lambda: port)
        refused = start()
        assert refused.process.wait(timeout=START_S) == 1
    assert re.fullmatch(
        rf"CommandError: Port {port} is taken. .*PORT=\d+ make demo\n", refused.said()
    )


def test_it_runs_once_in_a_folder(tmp_path: Path) -> None:
    with demo.locked(tmp_path) as lock:
        print("http://127.0.0.1:8123/", file=lock, flush=True)
        with pytest.raises(demo.DemoError, match=r"runs already: http://127\.0\.0\.1:8123/"):
            demo.locked(tmp_path).__enter__()


def test_the_password_is_the_given_one_the_kept_one_or_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = demo.password_of(tmp_path)
    assert len(new) >= 12
    assert demo.password_of(tmp_path) == new
    monkeypatch.setenv("SYNTHREVIEW_DEMO_PASSWORD", "open sesame")
    assert demo.password_of(tmp_path) == "open sesame"
    monkeypatch.delenv("SYNTHREVIEW_DEMO_PASSWORD")
    assert demo.password_of(tmp_path) == "open sesame"


def test_another_installations_environment_does_not_reach_it(tmp_path: Path) -> None:
    foreign = {
        "DATABASE_URL": "postgresql://team",
        "REDIS_URL": "redis://team",
        "SYNTHREVIEW_DATA": "/srv/team",
        "SYNTHREVIEW_HTTPS": "1",
        "PATH": "/bin",
    }
    own = demo.environment(tmp_path, foreign)
    assert "DATABASE_URL" not in own
    assert "SYNTHREVIEW_HTTPS" not in own
    assert own["SYNTHREVIEW_DATA"] == str(tmp_path)
    assert "team" not in own["REDIS_URL"]
    assert own["PATH"] == "/bin"


@pytest.mark.django_db
def test_the_data_is_loaded_once_and_the_password_follows(tmp_path: Path) -> None:
    demo.load_data("first password")
    dataset = Dataset.objects.get()
    dataset.name = "Renamed by its user"
    dataset.save()
    demo.load_data("second password")
    assert [row.name for row in Dataset.objects.all()] == ["Renamed by its user"]
    user = User.objects.get()
    assert user.username == demo.USERNAME
    assert user.is_superuser
    assert user.check_password("second password")
    assert dataset.memberships.filter(user=user).exists()


# --- demo_reset ---------------------------------------------------------------


@pytest.fixture
def demo_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    with demo.locked(folder):
        (folder / "db.sqlite3").touch()
    return folder


@pytest.mark.parametrize("answer", ["y", "yes", "Y"])
def test_reset_clears_after_a_yes(
    demo_folder: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    call_command("demo_reset", data=demo_folder, yes=False)
    assert not demo_folder.exists()


@pytest.mark.parametrize("answer", ["", "n", "what?"])
def test_reset_keeps_everything_without_a_yes(
    demo_folder: Path, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    with pytest.raises(CommandError, match="Nothing was deleted"):
        call_command("demo_reset", data=demo_folder, yes=False)
    assert (demo_folder / "db.sqlite3").exists()


def test_reset_does_not_ask_with_yes(demo_folder: Path) -> None:
    call_command("demo_reset", data=demo_folder, yes=True)
    assert not demo_folder.exists()


def test_reset_refuses_while_the_demo_runs(demo_folder: Path) -> None:
    with demo.locked(demo_folder), pytest.raises(CommandError, match="Stop it first"):
        call_command("demo_reset", data=demo_folder, yes=True)
    assert (demo_folder / "db.sqlite3").exists()


def test_reset_leaves_a_folder_that_is_no_demonstration(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").touch()
    call_command("demo_reset", data=tmp_path, yes=True)
    assert (tmp_path / "thesis.txt").exists()
