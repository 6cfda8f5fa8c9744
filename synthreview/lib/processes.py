"""Child processes that live and die together. Imports nothing outside the standard library.

Each child leads its own process group, so that ending it ends what it forked. A keeper,
one small shell, waits at the other end of a pipe: when this process ends in any way,
`kill -9` and a closed terminal included, the pipe closes and the keeper ends every group.
That works alike on Linux and macOS, and reaches grandchildren, which PR_SET_PDEATHSIG
does not.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

GRACE_S = 8.0
KEEPER = """
groups=
while read -r word group; do
  case "$word" in
    keep) groups="$groups -$group" ;;
    rest) exit 0 ;;
  esac
done
[ -n "$groups" ] || exit 0
kill -s TERM -- $groups; sleep 5; kill -s KILL -- $groups
"""


@dataclass(frozen=True)
class Child:
    """A started process. It `outlives` the others where they need it until their end."""

    name: str
    log: Path
    process: subprocess.Popen[bytes]
    stop_signal: signal.Signals
    outlives: bool

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None


class Family:
    """Children that are started one by one, watched together, and all ended at the end."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.children: list[Child] = []
        self._keeper: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.logs.mkdir(parents=True, exist_ok=True)
        self._keeper = subprocess.Popen(
            ["/bin/sh", "-c", KEEPER],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # out of the terminal's reach
            cwd="/",
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.stop()
        except BaseException:  # a second Ctrl+C: no more waiting
            self.stop(grace_s=0)
            raise

    def start(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
        stdin: str = "",
        stop_signal: signal.Signals = signal.SIGTERM,
        outlives: bool = False,
    ) -> Child:
        """Start one child; what it prints goes to `<logs>/<name>.log`, begun anew.

        Args:
            env: its whole environment; ours where None.
            user: the system user to run as; only root may name one.
            stdin: text it reads, instead of nothing.
            outlives: end it only when the others have ended.
        Raises:
            OSError: the command cannot be started.
        """
        assert self._keeper is not None, "use `with Family(...)`"
        log = self.logs / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env,
                cwd=cwd,
                user=user,
                group=_group_of(user),
                extra_groups=[] if user else None,
                start_new_session=True,
            )
        self._tell_keeper(f"keep {process.pid}")
        with contextlib.suppress(BrokenPipeError):  # it ended at once: the log says why
            _feed(process, stdin)
        child = Child(name, log, process, stop_signal, outlives)
        self.children.append(child)
        return child

    def fallen(self) -> Child | None:
        """Return a child that ended by itself, if one did."""
        return next((child for child in self.children if not child.is_alive), None)

    def stop(self, *, grace_s: float = GRACE_S) -> None:
        """End every child: asked first, killed after `grace_s`. May be called twice."""
        for outlives in (False, True):
            _end([child for child in self.children if child.outlives == outlives], grace_s)
        self.children.clear()
        if self._keeper is not None:
            self._tell_keeper("rest")
            assert self._keeper.stdin is not None
            self._keeper.stdin.close()
            self._keeper.wait()
            self._keeper = None

    def _tell_keeper(self, line: str) -> None:
        assert self._keeper is not None
        assert self._keeper.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # somebody killed the keeper
            self._keeper.stdin.write(f"{line}\n".encode())
            self._keeper.stdin.flush()


def _feed(process: subprocess.Popen[bytes], text: str) -> None:
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(text.encode())


def _group_of(user: str | None) -> int | None:
    if user is None:
        return None
    return pwd.getpwnam(user).pw_gid


def _end(children: list[Child], grace_s: float) -> None:
    """Ask the leaders to end, so that a job can finish; then kill what is left of each group."""
    for child in children:
        if child.is_alive:
            child.process.send_signal(child.stop_signal)
    deadline = time.monotonic() + grace_s
    while time.monotonic() < deadline and any(child.is_alive for child in children):
        time.sleep(0.05)
    for child in children:
        # ESRCH: nothing is left. EPERM: macOS says so of a group of which only a zombie is left.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()
