"""More like this: the images of a dataset that look most like one of them, by CLIP's eye.

Full segments are written by the scoring worker after a pass; what came since is read from the
rows and kept by the process, so that each query reads only what is new. Loads no torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from django.conf import settings
from django.db.models import QuerySet

from synthreview.generation.models import GeneratedImage
from synthreview.scoring.models import Embedding, ScorerVersion
from synthreview.scoring.vector_segments import SEGMENT, Vectors, last_key, nearest, write_segment

KEPT = 8  # datasets whose newest vectors a process keeps in memory
# On PostgreSQL a row may be committed after one with a higher number: leave so many to settle.
UNSETTLED = 500

Rest = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Vectors]  # rows, images, vectors
_rests: OrderedDict[tuple[int, int], Rest] = OrderedDict()


def index_full_segments(
    dataset_id: int, version: ScorerVersion, *, goes_on: Callable[[], bool] = lambda: True
) -> int:
    """Write every segment that is full; returns how many. Safe to repeat.

    A segment takes seconds; `goes_on` is asked after each.
    """
    folder = _folder(dataset_id, version.pk)
    written = 0
    while True:
        rows = _rows(dataset_id, version.pk, after=last_key(folder))
        page = list(rows.values_list("pk", "vector")[: SEGMENT + UNSETTLED])
        if len(page) < SEGMENT + UNSETTLED:
            return written
        page = page[:SEGMENT]
        write_segment(folder, [pk for pk, _ in page], _stacked([bytes(v) for _, v in page]))
        written += 1
        if not goes_on():
            return written


def most_like(
    image: GeneratedImage, count: int, *, at_least: float = -1.0, besides: int = 0
) -> list[tuple[int, float]]:
    """Return up to `count` (image, cosine) of the same dataset, the most like it first.

    Itself is left out, and whose cosine is below `at_least`, but for the first `besides`. Empty
    where no scorer has an embedding of it. A handful of queries.
    """
    version = ScorerVersion.objects.in_force(image.dataset_id)
    own = Embedding.objects.filter(image=image, version=version).values_list("vector", flat=True)
    if version is None or not (vector := own.first()):
        return []
    folder = _folder(image.dataset_id, version.pk)
    rows, images, vectors = _rest_of(image.dataset_id, version.pk, last_key(folder))
    found = nearest(
        folder, np.frombuffer(bytes(vector), dtype="<f2"), count + 1, rest=(rows, vectors)
    )
    found = [one for at, one in enumerate(found) if one[1] >= at_least or at <= besides]
    known = dict(zip(rows.tolist(), images.tolist(), strict=True))
    missing = [row for row, _ in found if row not in known]
    known |= dict(Embedding.objects.filter(pk__in=missing).values_list("pk", "image"))
    like = [(known[row], cosine) for row, cosine in found if row in known]
    return [(pk, cosine) for pk, cosine in like if pk != image.pk][:count]


def _folder(dataset_id: int, version_id: int) -> Path:
    return Path(settings.DATA_DIR) / "similar" / str(dataset_id) / str(version_id)


def _rows(dataset_id: int, version_id: int, *, after: int) -> QuerySet[Embedding]:
    found = Embedding.objects.filter(image__dataset=dataset_id, version=version_id, pk__gt=after)
    return found.order_by("pk")


def _rest_of(dataset_id: int, version_id: int, indexed: int) -> Rest:
    """Return what no full segment holds; only what is new is read."""
    key = (dataset_id, version_id)
    rows, images, vectors = _rests.pop(key, (_none(), _none(), np.zeros((0, 0), np.float16)))
    is_fresh = rows > indexed
    rows, images, vectors = rows[is_fresh], images[is_fresh], vectors[is_fresh]
    settled = int(rows[-UNSETTLED]) if len(rows) > UNSETTLED else indexed
    kept = rows <= settled
    page = list(_rows(dataset_id, version_id, after=settled).values_list("pk", "image", "vector"))
    if not page:
        rows, images, vectors = rows[kept], images[kept], vectors[kept]
    else:
        new = _stacked([bytes(vector) for *_, vector in page])
        rows = np.concatenate((rows[kept], np.array([pk for pk, *_ in page], dtype=np.int64)))
        images = np.concatenate((images[kept], np.array([i for _, i, _ in page], dtype=np.int64)))
        vectors = np.concatenate((vectors[kept], new)) if kept.any() else new
    _rests[key] = rows, images, vectors
    while len(_rests) > KEPT:
        _rests.popitem(last=False)
    return rows, images, vectors


def _none() -> npt.NDArray[np.int64]:
    return np.zeros(0, dtype=np.int64)


def _stacked(vectors: list[bytes]) -> Vectors:
    joined = np.frombuffer(b"".join(vectors), dtype="<f2")
    return joined.reshape(len(vectors), -1)
