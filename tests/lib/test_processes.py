"""Children live and die together, however the end comes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from synthreview.lib.processes import Family

# A child that forks a grandchild, says both numbers, and lives long.
FORKING = """
import os, sys, time
grandchild = os.fork()
if grandchild:
    print(os.getpid(), grandchild, flush=True)
time.sleep(600)
"""
# A parent with one such child; what it is told on the command line comes next.
# Shells start background jobs with SIGINT ignored, and nohup ignores SIGHUP: children inherit that.
PARENT = f"""
import signal, sys, time
from pathlib import Path
from synthreview.lib.processes import Family
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)
with Family(Path(sys.argv[1])) as family:
    family.start("forking", [sys.executable, "-c", {FORKING!r}])
    time.sleep(600)
"""


def eventually(is_so: Callable[[], object], timeout_s: float = 10) -> bool:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def is_gone(pid: int) -> bool:
    """Say whether the process has ended; one that nobody has waited for yet counts."""
    state = subprocess.run(
        ["ps", "-o", "state=", "-p", str(pid)], check=False, capture_output=True, text=True
    ).stdout.strip()
    return state in {"", "Z"}


def pids_in(log: Path) -> list[int]:
    assert eventually(lambda: log.exists() and log.read_text().strip())
    return [int(word) for word in log.read_text().split()]


def test_its_end_ends_children_and_grandchildren(tmp_path: Path) -> None:
    with Family(tmp_path) as family:
        family.start("forking", [sys.executable, "-c", FORKING])
        pids = pids_in(tmp_path / "forking.log")
        assert not any(map(is_gone, pids))
    assert len(pids) == 2
    assert eventually(lambda: all(map(is_gone, pids)))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_nobody_outlives_a_parent_that_ends_without_a_word(
    tmp_path: Path, number: signal.Signals
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, tmp_path], stderr=subprocess.DEVNULL
    ) as parent:
        pids = pids_in(tmp_path / "forking.log")
        os.kill(parent.pid, number)
    assert eventually(lambda: all(map(is_gone, pids)))


def test_who_ignores_the_question_is_killed(tmp_path: Path) -> None:
    deaf = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with Family(tmp_path) as family:
        child = family.start("deaf", ["/bin/sh", "-c", deaf])
        assert eventually(lambda: child.log.read_text())
        family.stop(grace_s=0.3)
    assert child.process.returncode == -signal.SIGKILL


def test_a_server_outlives_those_who_need_it(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    say = (
        "trap 'sleep {pause}; echo {name} >> {ended}; exit' TERM; echo ready; "
        "while :; do sleep 0.02; done"
    )
    with Family(tmp_path) as family:
        for name, pause, outlives in (("server", 0, True), ("client", 0.3, False)):
            script = say.format(pause=pause, name=name, ended=ended)
            child = family.start(name, ["/bin/sh", "-c", script], outlives=outlives)
            assert eventually(child.log.read_text)
    assert ended.read_text().split() == ["client", "server"]


def test_fallen_names_the_child_that_ended_and_its_log_says_why(tmp_path: Path) -> None:
    with Family(tmp_path) as family:
        family.start("steady", ["sleep", "600"])
        assert family.fallen() is None
        family.start("frail", ["/bin/sh", "-c", "echo no space left; exit 3"])
        assert eventually(family.fallen)
        fallen = family.fallen()
        assert fallen is not None
        assert (fallen.name, fallen.process.returncode) == ("frail", 3)
        assert fallen.log.read_text() == "no space left\n"


def test_stdin_reaches_the_child_and_ends(tmp_path: Path) -> None:
    with Family(tmp_path) as family:
        child = family.start("reader", ["cat"], stdin="port 1\n")
        assert child.process.wait(timeout=5) == 0
        assert child.log.read_text() == "port 1\n"
