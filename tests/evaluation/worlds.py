"""Worlds of colours for tests: a class is a colour, and a scorer sees nothing but colours."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage, ReferenceUse
from synthreview.catalog.references import add_reference
from synthreview.catalog.storage import store_image
from synthreview.generation.models import GeneratedImage
from synthreview.scoring.scorers.base import ScoreRequest, ScoreResult
from synthreview.scoring.services import register, scorer
from tests.factories import make_decision, make_image
from tests.scoring import fakes

COLOURS = ((200, 60, 60), (60, 60, 200))
_numbers = itertools.count(1)


class ColourScorer(fakes.RedScorer):
    """A picture's place is its mean colour."""

    knows: frozenset[str] = frozenset()

    def _score(self, request: ScoreRequest) -> ScoreResult:
        colour = np.asarray(request.image, dtype=np.float64).mean(axis=(0, 1)) / 255 - 0.5
        vector = np.append(colour, 0.3)
        return ScoreResult(
            similarity=0.5,
            match=0.5,
            parts={},
            class_probabilities=np.full(len(request.class_texts), 1.0, np.float32),
            class_margin=None,
            value=0.5,
            embedding=(vector / np.linalg.norm(vector)).astype(np.float16),
        )


@contextmanager
def colour_scorer(settings: Any) -> Iterator[type[ColourScorer]]:
    """Put a fresh scorer of colours in place of CLIP."""

    class Own(ColourScorer):
        batches: list[int] = []
        requests: list[ScoreRequest] = []

    fakes.fakes["own"] = Own
    settings.SCORERS = {"clip": {"BACKEND": "tests.scoring.fakes.build"}}
    for cached in (scorer, register):
        cached.cache_clear()
    yield Own
    for cached in (scorer, register):
        cached.cache_clear()


def colour_png(colour: Sequence[int]) -> bytes:
    """Return a plain picture about this colour, another one each time."""
    number = next(_numbers)
    rng = np.random.default_rng(number)
    near = np.clip(np.array(colour) + rng.integers(-25, 26, 3), 0, 255)
    image = Image.new("RGB", (24, 24), tuple(int(one) for one in near))
    image.putpixel((number % 24, number // 24 % 24), (number % 256, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def add_real(dataset: Dataset, use: str, each: int) -> list[ReferenceImage]:
    """Bring in so many real images of each class, each in its class's colour."""
    found = []
    for label_class, colour in zip(dataset.classes.all(), COLOURS, strict=True):
        for _ in range(each):
            row = add_reference(
                dataset=dataset,
                label_class=label_class,
                use=use,
                data=colour_png(colour),
                name="",
            )
            assert row is not None
            found.append(row)
    return found


def add_drawn(
    label_class: LabelClass, colour: Sequence[int], count: int, *, approver: User | None = None,
    **fields: Any,
) -> list[GeneratedImage]:  # fmt: skip
    """Make images of a class in a colour; approved where somebody approves them."""
    rows = []
    for _ in range(count):
        sha256, _decoded = store_image(colour_png(colour))
        image = make_image(label_class=label_class, sha256=sha256, seed=next(_numbers), **fields)
        if approver is not None:
            make_decision(image, approver)
        rows.append(image)
    return rows


def fill(
    dataset: Dataset, approver: User, *, test: int = 20, real: int = 4, drawn: int = 8
) -> None:
    """Fill a dataset of two classes: real images, approved ones, and wrong ones not approved."""
    add_real(dataset, ReferenceUse.TEST, test)
    if real:
        add_real(dataset, ReferenceUse.TRAIN, real)
    for number, label_class in enumerate(dataset.classes.all()):
        add_drawn(label_class, COLOURS[number], drawn, approver=approver)
        add_drawn(label_class, COLOURS[number], drawn, approver=approver, technique="style")
        add_drawn(label_class, COLOURS[1 - number], 3 * drawn)  # the other class's colour
