"""Make .venv and install into it what constraints.txt pins, with one line that moves.

Called by make before anything is installed: standard library only.
Usage: python tools/install.py [dependency group …]
"""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOG = VENV / "install.log"
LINE_WIDTH = 78
SPARSE_S = 10.0  # a line this often where no terminal is there to update one in place


class Progress:
    """Says in one line what goes on and for how long; a ticker keeps it alive."""

    def __init__(self) -> None:
        self.doing = "starting"
        self._began = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self) -> Progress:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _tick(self) -> None:
        is_terminal = sys.stdout.isatty()
        while not self._ended.wait(0.25 if is_terminal else SPARSE_S):
            line = f"  {time.monotonic() - self._began:4.0f} s  {self.doing}"[:LINE_WIDTH]
            if is_terminal:
                print(f"\r{line:<{LINE_WIDTH}}", end="", flush=True)
            else:
                print(line, flush=True)
        if is_terminal:
            print(f"\r{'':<{LINE_WIDTH}}\r", end="", flush=True)


def follow_pip(progress: Progress, arguments: list[str]) -> int:
    """Run pip, keep its whole output in the log, and condense it into the progress line."""
    name = ""
    with (
        LOG.open("a") as log,
        subprocess.Popen(
            [VENV / "bin/python", "-m", "pip", "--disable-pip-version-check", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            if bytes_read := re.match(r"Progress (\d+) of (\d+)", line):
                done, total = (int(part) / 1e6 for part in bytes_read.groups())
                progress.doing = f"downloading {name}: {done:.0f} of {total:.0f} MB"
                continue
            log.write(line)
            log.flush()
            if starting := re.match(r"\s*(?:Downloading|Using cached) (\S+)", line):
                name = starting[1].rsplit("/", 1)[-1].split("-")[0]
                progress.doing = f"downloading {name}"
            elif starting := re.match(r"Collecting (\S+)", line):
                progress.doing = f"looking up {starting[1]}"
            elif line.startswith("Installing collected packages"):
                count = line.count(",") + 1
                progress.doing = f"unpacking {count} packages (this takes the longest)"
    return pip.returncode


def main(groups: list[str]) -> int:
    began = time.monotonic()
    print("Installing into .venv (the first time: about two minutes, 5 GB on Linux)", flush=True)
    if not (VENV / "bin/python").exists():
        venv.create(VENV, with_pip=True)
    LOG.unlink(missing_ok=True)
    pin = ["--constraint", str(ROOT / "constraints.txt")]
    with Progress() as progress:
        # --group needs a newer pip than Python 3.11 brings.
        failed = follow_pip(progress, ["install", "--upgrade", "pip", *pin]) or follow_pip(
            progress,
            [
                *("install", "--progress-bar", "raw", *pin, "--editable", str(ROOT)),
                *(part for group in groups for part in ("--group", group)),
            ],
        )
    if failed:
        print("".join(LOG.read_text().splitlines(keepends=True)[-15:]), file=sys.stderr)
        print(f"The installation failed; the whole of pip's output is in {LOG}", file=sys.stderr)
        return 1
    print(f"Installed in {time.monotonic() - began:.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
