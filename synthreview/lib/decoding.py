"""Decodes what people upload in a child process: little memory, little time, nothing else to reach.

A decoder is C code that reads bytes from strangers. Here a bomb takes the child's memory, a loop
the child's time, and a crash the child; the file is refused with a reason and the next one gets a
new child. The child lives on between files, so that ten thousand cost no ten thousand starts; it
ends by itself when it was idle for a while or its parent is gone. It sends back renditions, never
pixels.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO

from synthreview.lib.images import RENDITIONS_PX, BadImageError, decode, rendition

MEMORY_BYTES = 1_500_000_000  # 40 megapixels with transparency, twice, and Pillow itself
CPU_S = 10  # of a processor, for one file
TIMEOUT_S = 60.0  # in all: a machine may be busy
IDLE_S = 60.0
AT_ONCE = max(2, min(8, os.cpu_count() or 2))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a file says of itself, and its renditions (JPEG bytes by name)."""

    media_type: str
    width: int
    height: int
    renditions: dict[str, bytes]


def prepare(data: bytes, *, timeout_s: float = TIMEOUT_S) -> Prepared:
    """Decode an upload in a child and return its renditions. Raises BadImageError."""
    with _borrowed() as child:
        return child.prepare(data, timeout_s)


# --- The parent's side --------------------------------------------------------------------


class _Child:
    """One decoding process, started when it is first needed and again when it has ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self, data: bytes, timeout_s: float) -> Prepared:
        # An idle child may end at the very moment in which it is asked: once more, then.
        for is_last in (False, True):
            is_new = self._process is None
            process = self._process = self._process or self._start()
            try:
                return self._ask(process, data, timeout_s)
            except TimeoutError:
                self.end()
                raise BadImageError(f"it takes longer than {timeout_s:.0f} s to decode") from None
            except (EOFError, BrokenPipeError) as error:
                if self.end() == -signal.SIGXCPU:
                    raise BadImageError(f"it takes longer than {CPU_S} s to decode") from error
                if is_new or is_last:
                    raise BadImageError("it cannot be decoded: the decoder gave up") from error
        raise AssertionError  # the second try returns or raises

    @staticmethod
    def _start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "synthreview.lib.decoding"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": os.pathsep.join(sys.path)},
        )

    def _ask(self, process: subprocess.Popen[bytes], data: bytes, timeout_s: float) -> Prepared:
        assert process.stdin
        assert process.stdout
        process.stdin.write(struct.pack(">I", len(data)))
        process.stdin.write(data)
        process.stdin.flush()
        until = time.monotonic() + timeout_s
        answer = json.loads(_read_part(process.stdout, until))
        if "refused" in answer:
            raise BadImageError(answer["refused"])
        return Prepared(
            answer["media_type"],
            answer["width"],
            answer["height"],
            {name: _read_part(process.stdout, until) for name in answer["renditions"]},
        )

    def end(self) -> int | None:
        """End the process and return how it ended; a signal is negative."""
        process, self._process = self._process, None
        if process is None:
            return None
        with suppress(subprocess.TimeoutExpired):  # if it has ended, by itself is how
            process.wait(0.05)
        process.kill()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not sent yet is of no use
                assert pipe
                pipe.close()
        return process.wait()


def _read_part(pipe: IO[bytes], until: float) -> bytes:
    """Return one part of the answer. Raises EOFError, TimeoutError."""
    (size,) = struct.unpack(">I", _read(pipe, 4, until))
    return _read(pipe, size, until)


def _read(pipe: IO[bytes], size: int, until: float) -> bytes:
    parts = bytearray()
    while len(parts) < size:
        ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise TimeoutError
        part = os.read(pipe.fileno(), size - len(parts))
        if not part:
            raise EOFError
        parts += part
    return bytes(parts)


class _Pool:
    """Up to AT_ONCE children of this process; a fork makes its own."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.free: list[_Child] = [_Child() for _ in range(AT_ONCE)]
        self.places = threading.Semaphore(AT_ONCE)

    def end(self) -> None:
        if self.pid == os.getpid():
            for child in self.free:
                child.end()


_pool = _Pool()
atexit.register(lambda: _pool.end())


@contextmanager
def _borrowed() -> Iterator[_Child]:
    global _pool
    if _pool.pid != os.getpid():  # the parent's pipes are not ours to speak into
        _pool = _Pool()
    pool = _pool
    with pool.places:
        child = pool.free.pop()  # the one that was used last: it is warm
        try:
            yield child
        finally:
            pool.free.append(child)


# --- The child's side ---------------------------------------------------------------------


def answer_to(data: bytes) -> list[bytes]:
    """Return the parts of the answer: what it is, as JSON, and the renditions in their order."""
    try:
        decoded = decode(data)
        renditions = [rendition(decoded.pixels, size_px) for size_px in RENDITIONS_PX.values()]
    except BadImageError as error:
        return [json.dumps({"refused": str(error)}).encode()]
    except MemoryError:
        return [b'{"refused": "it takes too much memory to decode"}']
    facts = {
        "media_type": decoded.media_type,
        "width": decoded.width,
        "height": decoded.height,
        "renditions": list(RENDITIONS_PX),
    }
    return [json.dumps(facts).encode(), *renditions]


def confine() -> None:
    """Take from this process what decoding does not need; what a system lacks is left out."""
    import resource

    for limit, value in (
        ("RLIMIT_AS", MEMORY_BYTES),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),  # it writes no file
        ("RLIMIT_NOFILE", 16),
    ):
        with suppress(AttributeError, OSError, ValueError):
            resource.setrlimit(getattr(resource, limit), (value, value))
    os.nice(5)  # pages come first


def allow_time() -> None:
    """Give the next file its seconds of processor; beyond them the system ends this process."""
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF)
    spent = int(used.ru_utime + used.ru_stime) + 1
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (spent + CPU_S, most))


def serve() -> None:
    """Answer files until stdin ends or nothing came for a while."""
    confine()
    source, target = sys.stdin.buffer, sys.stdout.buffer
    with suppress(EOFError, TimeoutError, BrokenPipeError):
        while True:
            (size,) = struct.unpack(">I", _read(source, 4, time.monotonic() + IDLE_S))
            data = _read(source, size, time.monotonic() + IDLE_S)
            allow_time()
            for part in answer_to(data):
                target.write(struct.pack(">I", len(part)) + part)
            target.flush()


if __name__ == "__main__":
    serve()
