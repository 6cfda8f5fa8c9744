"""The scorer's embeddings of every picture that takes part; what is missing is made and kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from synthreview.catalog.models import Dataset
from synthreview.evaluation.models import PictureEmbedding
from synthreview.evaluation.pictures import View, picture
from synthreview.scoring.models import Embedding, ScorerVersion
from synthreview.scoring.scorers.base import Scorer, ScoreRequest, ScorerError

BATCH = 32
DECODERS = 2
LOOKED_UP = 500
WORDS = "a picture"  # a scorer wants some to compare with; only the embedding is kept
Vectors = dict[tuple[str, str], npt.NDArray[np.float32]]
Pictures = Sequence[tuple[str, View]]


@runtime_checkable
class ReadsWords(Protocol):
    """A scorer that gives words a place in the same space."""

    def embed_texts(self, texts: Sequence[str]) -> dict[str, npt.NDArray[np.float32]]:
        """Return one (D,) vector of length 1 for each text."""
        ...


def kept_vectors(
    wanted: Pictures, dataset: Dataset, version: ScorerVersion, on_page: Callable[[], object]
) -> Vectors:
    """Return (checksum, view) → vector, of those that scoring or an earlier evaluation left."""
    keys = {(sha256, view.key) for sha256, view in wanted}
    found: Vectors = {}
    rows = Embedding.objects.filter(version=version, image__dataset=dataset)
    for sha256, vector in rows.values_list("image__sha256", "vector").iterator(chunk_size=2_000):
        if (sha256, View().key) in keys:
            found[sha256, View().key] = _numbers(vector)
    on_page()
    missing = sorted({sha256 for sha256, key in keys if (sha256, key) not in found})
    for start in range(0, len(missing), LOOKED_UP):
        kept = PictureEmbedding.objects.filter(
            version=version, sha256__in=missing[start : start + LOOKED_UP]
        )
        for sha256, key, vector in kept.values_list("sha256", "view", "vector"):
            if (sha256, key) in keys:
                found[sha256, key] = _numbers(vector)
        on_page()
    return found


def embed(
    wanted: Pictures, scorer: Scorer, version: ScorerVersion, on_batch: Callable[[int], object]
) -> Vectors:
    """Make and keep the vectors; `on_batch` is told how many each batch held.

    Raises ScorerError, OSError, BadImageError.
    """
    made: Vectors = {}
    with ThreadPoolExecutor(DECODERS) as pool:  # Pillow decodes outside Python's lock
        for start in range(0, len(wanted), BATCH):
            batch = wanted[start : start + BATCH]
            shown = pool.map(lambda pair: picture(*pair), batch)
            requests = [
                ScoreRequest(
                    image=pixels, caption=WORDS, parts={}, class_texts=(WORDS,), class_index=None
                )
                for pixels in shown
            ]
            rows = []
            for (sha256, view), result in zip(batch, scorer.score(requests), strict=True):
                if result.embedding is None:
                    raise ScorerError("The main scorer gives no embeddings to train a probe on.")
                vector = result.embedding.astype("<f2").tobytes()
                made[sha256, view.key] = _numbers(vector)
                rows.append(
                    PictureEmbedding(sha256=sha256, version=version, view=view.key, vector=vector)
                )
            PictureEmbedding.objects.bulk_create(rows, ignore_conflicts=True)
            on_batch(len(batch))
    return made


def _numbers(vector: bytes | memoryview) -> npt.NDArray[np.float32]:
    return np.frombuffer(bytes(vector), dtype="<f2").astype(np.float32)
