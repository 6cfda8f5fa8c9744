"""Worlds of colours for tests: a class is a colour, and a scorer sees nothing but colours."""

from __future__ import annotations

import io
import itertools
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage, ReferenceUse
from synthreview.catalog.storage import FAMILIES, blobs
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.scoring.scorers.base import ScoreRequest, ScoreResult
from synthreview.scoring.services import register, scorer
from tests.factories import make_prompt, make_run
from tests.scoring import fakes

COLOURS = ((200, 60, 60), (60, 60, 200))
SIDE_PX = 24
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
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), tuple(int(one) for one in near))
    image.putpixel((number % SIDE_PX, number // SIDE_PX % SIDE_PX), (number % 256, 0, 0))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def add_real(dataset: Dataset, use: str, each: int) -> list[ReferenceImage]:
    """Bring in so many real images of each class, each in its class's colour."""
    return ReferenceImage.objects.bulk_create(
        ReferenceImage(
            dataset=dataset,
            label_class=label_class,
            use=use,
            family=uuid.uuid5(FAMILIES, facts["sha256"]),
            **facts,
        )
        for label_class, colour in zip(dataset.classes.all(), COLOURS, strict=True)
        for facts in stored(colour, each)
    )


def stored(colour: Sequence[int], count: int) -> Iterator[dict[str, Any]]:
    """Store so many pictures of a colour, without renditions; yield what rows say of each."""
    for _ in range(count):
        data = colour_png(colour)
        yield {
            "sha256": blobs().put(data), "media_type": "image/png", "byte_count": len(data),
            "width": SIDE_PX, "height": SIDE_PX,
        }  # fmt: skip


def add_drawn(
    label_class: LabelClass, colour: Sequence[int], count: int, *, approver: User | None = None,
    technique: str = "plain", **fields: Any,
) -> list[GeneratedImage]:  # fmt: skip
    """Make images of a class in a colour; approved where somebody approves them."""
    prompt = make_prompt(label_class, technique=technique)
    run = make_run(label_class.dataset)
    rows = GeneratedImage.objects.bulk_create(
        GeneratedImage(
            dataset=label_class.dataset,
            label_class=label_class,
            run=run,
            prompt=prompt,
            technique=technique,
            caption=prompt.text,
            generator=run.generator,
            model=run.generator,
            seed=next(_numbers),
            **facts,
            **fields,
        )
        for facts in stored(colour, count)
    )
    if approver is not None:
        approve(rows, approver)
    return rows


def approve(images: Sequence[GeneratedImage], approver: User) -> None:
    """Have one person approve all of them."""
    decisions = Decision.objects.bulk_create(
        Decision(
            image=image,
            dataset_id=image.dataset_id,
            reviewer=approver,
            verdict=Verdict.APPROVE,
            client_token=uuid.uuid4(),
        )
        for image in images
    )
    ReviewSlot.objects.bulk_create(
        ReviewSlot.of(
            image, priority=0.5, state=SlotState.DECIDED, reviewer=approver, decision=decision
        )
        for image, decision in zip(images, decisions, strict=True)
    )
    ImageReview.objects.bulk_create(
        ImageReview(
            image=image, dataset_id=image.dataset_id, state=ImageState.APPROVED, approvals=1
        )
        for image in images
    )


def fill(
    dataset: Dataset, approver: User, *, test: int = 10, real: int = 4, drawn: int = 4
) -> None:
    """Fill a dataset of two classes: real images, approved ones, and wrong ones not approved."""
    add_real(dataset, ReferenceUse.TEST, test)
    if real:
        add_real(dataset, ReferenceUse.TRAIN, real)
    for number, label_class in enumerate(dataset.classes.all()):
        add_drawn(label_class, COLOURS[number], drawn, approver=approver)
        add_drawn(label_class, COLOURS[number], drawn, approver=approver, technique="style")
        add_drawn(label_class, COLOURS[1 - number], 4 * drawn)  # the other class's colour
