"""Vectors in files that never change: the nearest of a million, found by looking at every one.

Vectors come by rising key and are cut into segments of a fixed size; a full one is written once
(temporary name, then renamed) and read by memory map, so that any number of processes share it.
What is not in a full segment yet is looked at in memory. Half precision and NumKong's kernels make
an exact look at a million as quick as a hundred search graphs, which take minutes to build, miss
some, and are slow where many are asked for. Knows no Django.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numkong
import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float16]
SEGMENT = 10_000
SUFFIX = ".npy"
OPEN_AT_ONCE = 512


def last_key(folder: Path) -> int:
    """Return the last key that full segments hold; 0 before the first."""
    return max((last for _, last, _ in _segments(folder)), default=0)


def write_segment(folder: Path, keys: Sequence[int], vectors: Vectors) -> Path:
    """Write (N,) rising keys with their (N, D) vectors as one segment. Raises OSError.

    Writing the same one twice, or at once in two processes, leaves one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    width = vectors.shape[1]
    rows = np.empty(len(vectors), dtype=[("key", "<i8"), ("vector", "<f2", (width,))])
    rows["key"], rows["vector"] = keys, vectors
    path = folder / f"{keys[0]}-{keys[-1]}{SUFFIX}"
    draft = folder / f".{path.name}.{os.getpid()}"
    try:
        with draft.open("wb") as file:
            np.save(file, rows)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    return path


def nearest(
    folder: Path,
    vector: Vectors,
    count: int,
    *,
    rest: tuple[npt.NDArray[np.int64], Vectors] | None = None,
) -> list[tuple[int, float]]:
    """Return up to `count` (key, cosine), the nearest first; `rest`: keys and vectors besides."""
    opened = [_opened(str(path), path.stat().st_mtime_ns) for _, _, path in _segments(folder)]
    parts = [(rows["key"], rows["vector"]) for rows in opened]
    if rest is not None and len(rest[0]):
        parts.append(rest)
    if not parts:
        return []
    cosines = np.concatenate([_cosines(vector, vectors) for _, vectors in parts])
    starts = np.cumsum([0, *(len(keys) for keys, _ in parts)])
    best = _largest(cosines, count)
    part = np.searchsorted(starts, best, side="right") - 1
    keys = [int(parts[p][0][at - starts[p]]) for p, at in zip(part, best, strict=True)]
    found = dict(zip(keys, cosines[best].tolist(), strict=True))
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))


def _cosines(one: Vectors, vectors: Vectors) -> npt.NDArray[np.float64]:
    """Return (N,) cosines of (D,) and (N, D) vectors of length 1."""
    return np.asarray(numkong.cdist(one[None], vectors, metric="inner"), dtype=np.float64).ravel()


def _largest(values: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.intp]:
    """Return the places of the largest, in no order."""
    if count >= len(values):
        return np.arange(len(values))
    return np.argpartition(values, -count)[-count:]


def _segments(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield first key, last key and file of each full segment."""
    for path in sorted(folder.glob(f"[0-9]*{SUFFIX}")):
        first, _, last = path.name.removesuffix(SUFFIX).partition("-")
        if first.isdecimal() and last.isdecimal():
            yield int(first), int(last), path


@lru_cache(maxsize=OPEN_AT_ONCE)
def _opened(path: str, mtime: int) -> npt.NDArray[Any]:
    rows: npt.NDArray[Any] = np.load(path, mmap_mode="r")
    return rows
