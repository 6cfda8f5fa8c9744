"""A child process that is talked to in lines of JSON, and ended when it takes too long.

Standard library only.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[4]
TAIL_CHARS = 400


class Talk:
    """One child of ours; it ends with us, because it then reads the end of its input."""

    def __init__(self, module: str) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the child
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=PROJECT,
            env={**os.environ, "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"},
        )
        self._messages: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def say(self, message: Mapping[str, Any]) -> None:
        """Write one line; what becomes of it is heard."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def heard(self, timeout_s: float) -> Iterator[dict[str, Any]]:
        """Give what the child says, for that long altogether.

        Raises TimeoutError, and EOFError with its last words where it ended.
        """
        ends_at = time.monotonic() + timeout_s
        while True:
            try:
                message = self._messages.get(timeout=max(0, ends_at - time.monotonic()))
            except queue.Empty:
                raise TimeoutError from None
            if message is None:
                raise EOFError(self._last_words())
            yield message

    def close(self) -> None:
        """End the child, whatever it does. May be called twice."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(BrokenPipeError):
                pipe.close()
        self._log.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # closed by us
            for line in self._process.stdout:
                with contextlib.suppress(json.JSONDecodeError):
                    self._messages.put(json.loads(line))
        self._messages.put(None)

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        ended = f"killed by signal {-code}" if code < 0 else f"exit status {code}"
        return f"{ended}; {lines[-1][-TAIL_CHARS:]}" if lines else ended
