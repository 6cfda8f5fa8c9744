"""What every scorer is: one small contract, and the errors it may raise.

Adapters live beside this file, one file each. They know nothing of Django and
read no setting. torch is imported inside them only, and they are loaded in
workers only: the web process never imports torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image

FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ScorerCard:
    """The identity of a scorer; stored with every score, so that it can be told apart.

    `applies_to` names the generators whose images this scorer knows; empty = any.
    `parts` names the slots it can judge alone; empty = any.
    `words` are those it was trained on; empty = a language as a whole.
    `side_px`: it sees no more of a picture than so many pixels of the shorter side, so that a
    smaller copy will do; 0 = it wants the original.
    """

    name: str
    model: str
    tag: str
    weights_sha256: str
    preprocessing: str
    applies_to: frozenset[str] = frozenset()
    parts: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    side_px: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """One image to judge: a decoded RGB picture, its caption, and the caption's parts.

    `parts` maps a slot ("object", "environment", "style", "colour") to the words
    for it alone ("a car", "on a beach", "a pencil sketch", "red").
    `class_texts` is the name of each class of the dataset, in one fixed order.
    `prepared` is what the same scorer's `prepare` made of the image, if that was done ahead.
    """

    image: Image.Image
    caption: str
    parts: Mapping[str, str]
    class_texts: Sequence[str]
    class_index: int | None
    prepared: Any = None


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """What one scorer says of one image.

    similarity: cosine of image and caption, -1..1; None where the judge has no such thing.
    match: chance that image and caption match, 0..1; None where the model is not
        trained to say so (a softmax CLIP has no bias, so its cosine is no chance).
    parts: the same number as `value`'s kind per slot (match where known, else cosine).
    class_probabilities: (C,) over the class texts, or empty; class_margin: the own class's less
        the best other's, None without an own class.
    value: the one number that orders the queue, low = doubtful: the smallest part's
        match where the model has one, else the caption's cosine.
    embedding: (D,) float16, length 1; None where the judge has none.
    """

    similarity: float | None
    match: float | None
    parts: Mapping[str, float]
    class_probabilities: FloatArray
    class_margin: float | None
    value: float
    embedding: npt.NDArray[np.float16] | None


class Scorer(Protocol):
    """A judge of images. Instances are built from the `SCORERS` setting."""

    def card(self) -> ScorerCard:
        """Return the identity; loads the model on first use. Raises ScorerError."""
        ...

    def prepare(self, image: Image.Image) -> Any:
        """Return what `score` reads of a picture, for `ScoreRequest.prepared`; None = nothing.

        Called in threads while another batch is judged, so that nobody waits for it.
        """
        ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """Score a batch, in order. Raises ScorerError."""
        ...

    def embed_texts(self, texts: Iterable[str]) -> dict[str, FloatArray]:
        """Return one (D,) unit vector for each different text. Raises ScorerError."""
        ...

    def health(self) -> list[str]:
        """Return what is wrong, one plain sentence each; empty when all is well."""
        ...


class ScorerError(Exception):
    """The scorer cannot work; the message names the value and the known ones."""
