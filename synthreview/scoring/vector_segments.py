"""Vectors in files that never change, each with its own search graph: the nearest of a million.

Vectors come by rising key and are cut into segments of a fixed size; a full one is written once
(temporary name, then renamed) and read by memory map, so that any number of processes share it.
What is not in a full segment yet is searched plainly, which is exact and quick while it is small.
The graphs are usearch's HNSW (Malkov and Yashunin 2018), in half precision. Knows no Django.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float16]
SEGMENT = 10_000
SUFFIX = ".usearch"
OPEN_AT_ONCE = 512


def last_key(folder: Path) -> int:
    """Return the last key that full segments hold; 0 before the first."""
    return max((last for _, last, _ in _segments(folder)), default=0)


def write_segment(folder: Path, keys: Sequence[int], vectors: Vectors) -> Path:
    """Write (N,) rising keys with their (N, D) vectors as one segment. Raises OSError.

    Writing the same one twice, or at once in two processes, leaves one.
    """
    from usearch.index import Index

    folder.mkdir(parents=True, exist_ok=True)
    index = Index(ndim=vectors.shape[1], metric="cos", dtype="f16")
    index.add(np.asarray(keys, dtype=np.uint64), vectors, threads=1)
    path = folder / f"{keys[0]}-{keys[-1]}{SUFFIX}"
    draft = folder / f".{path.name}.{os.getpid()}"
    try:
        index.save(str(draft))
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
    found: dict[int, float] = {}
    for _, _, path in _segments(folder):
        matches = _opened(str(path), path.stat().st_mtime_ns).search(vector, count, threads=1)
        for key, distance in zip(matches.keys.tolist(), matches.distances.tolist(), strict=True):
            found[key] = 1 - distance
    if rest is not None and len(rest[0]):
        cosines = rest[1].astype(np.float32) @ vector.astype(np.float32)
        best = np.argsort(-cosines, kind="stable")[:count]
        found |= dict(zip(rest[0][best].tolist(), cosines[best].tolist(), strict=True))
    return sorted(found.items(), key=lambda item: (-item[1], item[0]))[:count]


def _segments(folder: Path) -> Iterator[tuple[int, int, Path]]:
    """Yield first key, last key and file of each full segment."""
    for path in sorted(folder.glob(f"[0-9]*{SUFFIX}")):
        first, _, last = path.name.removesuffix(SUFFIX).partition("-")
        if first.isdecimal() and last.isdecimal():
            yield int(first), int(last), path


@lru_cache(maxsize=OPEN_AT_ONCE)
def _opened(path: str, mtime: int) -> Any:
    from usearch.index import Index

    return Index.restore(path, view=True)
