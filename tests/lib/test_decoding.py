"""Decoding in a child: the same answers, and limits that hold whatever the file does."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from synthreview.lib import decoding
from synthreview.lib.decoding import prepare
from synthreview.lib.images import RENDITIONS_PX, BadImageError, decode, rendition
from tests.lib.test_images import encoded, plain, png_that_claims

SLEEP = "import time; time.sleep(60)"
BURN = (
    "import synthreview.lib.decoding as d; d.CPU_S = 0; d.confine()\n"
    "d.answer_to = lambda data: [b'' for _ in iter(int, 1)]; d.serve()"
)
EAT = "import synthreview.lib.decoding as d; d.confine(); bytearray(d.MEMORY_BYTES); print(1)"


def test_it_gives_what_decoding_here_gives() -> None:
    data = plain("JPEG")
    prepared, decoded = prepare(data), decode(data)
    assert (prepared.media_type, prepared.width, prepared.height) == ("image/jpeg", 40, 20)
    assert prepared.renditions == {
        name: rendition(decoded.pixels, size_px) for name, size_px in RENDITIONS_PX.items()
    }


def test_it_refuses_with_the_same_words() -> None:
    for data in (b"", b"%PDF-1.7", png_that_claims(14_000, 14_000), plain()[:60]):
        with pytest.raises(BadImageError) as here:
            decode(data)
        with pytest.raises(BadImageError) as there:
            prepare(data)
        assert str(there.value) == str(here.value)


def test_the_largest_picture_that_is_taken_fits_into_the_memory() -> None:
    data = encoded(Image.new("RGBA", (8_000, 5_000), (1, 2, 3, 4)), compress_level=1)
    assert prepare(data, timeout_s=600).width == 8_000


def child_that_runs(monkeypatch: pytest.MonkeyPatch, *commands: list[str]) -> None:
    """Have the next children run these commands instead, and then the true one."""
    left = list(commands)
    start = decoding._Child._start
    popen = decoding.subprocess.Popen

    def begin() -> Any:
        if not left:
            return start()
        pipe = decoding.subprocess.PIPE
        return popen(left.pop(0), stdin=pipe, stdout=pipe)

    monkeypatch.setattr(decoding, "_pool", decoding._Pool())
    monkeypatch.setattr(decoding._Child, "_start", staticmethod(begin))


def test_a_file_that_takes_too_long_is_refused_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child_that_runs(monkeypatch, [sys.executable, "-c", SLEEP])
    began = time.monotonic()
    with pytest.raises(BadImageError, match="longer than"):
        prepare(plain(), timeout_s=0.2)
    assert time.monotonic() - began < 30
    assert prepare(plain()).width == 40
    decoding._pool.end()


def test_a_file_that_keeps_the_processor_busy_is_refused_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child_that_runs(monkeypatch, [sys.executable, "-c", BURN])
    with pytest.raises(BadImageError, match="longer than"):
        prepare(plain())
    assert prepare(plain()).width == 40
    decoding._pool.end()


def test_a_file_that_kills_its_decoder_is_refused_and_the_next_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    child_that_runs(monkeypatch, ["sh", "-c", "kill -SEGV $$"])
    with pytest.raises(BadImageError, match="gave up"):
        prepare(plain())
    assert prepare(plain()).width == 40
    decoding._pool.end()


def test_a_child_that_ended_by_itself_is_replaced_unseen() -> None:
    assert prepare(plain()).width == 40
    process = decoding._pool.free[-1]._process
    assert process
    process.kill()
    process.wait()
    assert prepare(plain()).width == 40


@pytest.mark.skipif("sys.platform != 'linux'", reason="macOS sets no limit to memory")
def test_the_child_has_no_more_memory_than_it_should() -> None:
    done = decoding.subprocess.run(
        [sys.executable, "-c", EAT], capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "MemoryError" in done.stderr


def test_many_threads_share_few_children() -> None:
    with ThreadPoolExecutor(12) as pool:
        widths = list(
            pool.map(lambda n: prepare(encoded(Image.new("RGB", (n, 9)))).width, range(1, 25))
        )
    assert widths == list(range(1, 25))
    assert len(decoding._pool.free) == decoding.AT_ONCE


def test_a_fork_speaks_to_children_of_its_own() -> None:
    prepare(plain())
    before = decoding._pool
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:  # pragma: no cover - the other process
        try:
            is_own = prepare(plain()).width == 40 and decoding._pool is not before
            decoding._pool.end()
            os.write(writer, b"1" if is_own else b"0")
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reader, 1) == b"1"
    os.close(reader)
    os.close(writer)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["PNG", "JPEG", "WEBP"]),
    cuts=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=8)), max_size=6),
    tail=st.binary(max_size=40),
)
def test_whatever_is_done_to_a_file_it_is_taken_or_refused(
    kind: str, cuts: list[tuple[int, bytes]], tail: bytes
) -> None:
    data = bytearray(plain(kind))
    for at, patch in cuts:
        data[at : at + len(patch)] = patch
    with contextlib.suppress(BadImageError):  # anything else is a fault of ours
        assert prepare(bytes(data) + tail).width > 0
