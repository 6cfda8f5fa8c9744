"""A scorer without a model: an image's score is how red it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from synthreview.scoring.scorers.base import FloatArray, ScorerCard, ScoreRequest, ScoreResult
from synthreview.scoring.services import register, scorer


class RedScorer:
    """Knows the images of `knows`; `before` is called with each batch, and may raise."""

    knows: frozenset[str] = frozenset({"sketch"})
    tag = "1"
    side_px = 0
    words: frozenset[str] = frozenset()
    before: Callable[[Sequence[ScoreRequest]], object] = staticmethod(lambda requests: None)
    batches: list[int] = []
    requests: list[ScoreRequest] = []

    def card(self) -> ScorerCard:
        return ScorerCard(
            name="Red", model="red", tag=self.tag, weights_sha256="f" * 64, preprocessing="none",
            applies_to=self.knows, words=self.words, side_px=self.side_px,
        )  # fmt: skip

    def prepare(self, image: Image.Image) -> None:
        """Nothing is prepared."""

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        self.before(requests)
        self.batches.append(len(requests))
        self.requests.extend(requests)
        return [self._score(request) for request in requests]

    def _score(self, request: ScoreRequest) -> ScoreResult:
        red = np.asarray(request.image)[0, 0, 0] / 255
        chances = np.full(len(request.class_texts), 1 / len(request.class_texts), np.float32)
        return ScoreResult(
            similarity=red,
            match=red,
            parts=dict.fromkeys(request.parts, red),
            class_probabilities=chances,
            class_margin=None if request.class_index is None else 0.0,
            value=red,
            embedding=np.array([1, 0], np.float16),
        )

    def embed_texts(self, texts: Iterable[str]) -> dict[str, FloatArray]:
        """Texts are near by how often each letter stands in them."""
        return {text: _vector(text) for text in texts}

    def health(self) -> list[str]:
        return []


def _vector(text: str) -> FloatArray:
    """Return a unit vector of the letters in the text, how often each stands there."""
    letters = np.zeros(26, np.float32)
    for sign in text.casefold():
        if "a" <= sign <= "z":
            letters[ord(sign) - ord("a")] += 1
    return letters / np.linalg.norm(letters)


fakes: dict[str, type[RedScorer]] = {}


def build() -> RedScorer:
    """What the setting names; gives an instance of the test's own class."""
    return fakes["own"]()


@contextmanager
def red_scorer(settings: Any) -> Iterator[type[RedScorer]]:
    """Put a fresh fake in place of CLIP."""

    class Own(RedScorer):
        batches: list[int] = []
        requests: list[ScoreRequest] = []

    fakes["own"] = Own
    settings.SCORERS = {"clip": {"BACKEND": "tests.scoring.fakes.build"}}
    for cached in (scorer, register):
        cached.cache_clear()
    yield Own
    for cached in (scorer, register):
        cached.cache_clear()
