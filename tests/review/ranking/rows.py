"""Many images in a queue at once, as rows without files: the ranking reads no picture."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import numpy as np

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.scoring.models import Embedding, Score, ScorerVersion
from tests.factories import make_prompt, make_run, make_version


def make_prompts(dataset: Dataset, count: int) -> list[Prompt]:
    """Return prompts of the dataset's classes in turn, with a place and a colour."""
    classes = list(dataset.classes.all())
    before = Prompt.objects.filter(dataset=dataset).count()
    colours, places = ("red", "blue", "green"), ("on the beach", "in the city")
    found = []
    for n in range(count):
        label_class, colour, place = classes[n % len(classes)], colours[n % 3], places[n % 2]
        found.append(
            make_prompt(
                label_class,
                f"A {colour} {label_class.name} {place}, take {before + n}",
                slots={"colour": colour, "environment": place},
            )
        )
    return found


def make_queue(
    dataset: Dataset,
    scores: Sequence[float | None],
    *,
    prompts: Sequence[Prompt] = (),
    version: ScorerVersion | None = None,
    generator: str = "sketch",
    vectors: np.ndarray | None = None,
) -> list[GeneratedImage]:
    """Return scored images that wait, of the prompts in turn; None: no score applies."""
    prompts = list(prompts) or make_prompts(dataset, 4)
    version = version or ScorerVersion.objects.current() or make_version()
    run = make_run(dataset)
    images = GeneratedImage.objects.bulk_create(
        GeneratedImage(
            dataset=dataset,
            run=run,
            label_class_id=prompts[n % len(prompts)].label_class_id,
            prompt=prompts[n % len(prompts)],
            technique=prompts[n % len(prompts)].technique,
            caption=prompts[n % len(prompts)].text,
            generator=generator,
            sha256=uuid.uuid4().hex * 2,
            media_type="image/png",
            byte_count=1,
            width=16,
            height=16,
        )
        for n in range(len(scores))
    )
    rows = Score.objects.bulk_create(
        Score(
            image=image,
            version=version,
            applies=value is not None,
            value=value,
            similarity=value,
            parts={} if value is None else {"object": value},
        )
        for image, value in zip(images, scores, strict=True)
    )
    if vectors is not None:
        Embedding.objects.bulk_create(
            Embedding(image=image, version=version, vector=vector.astype("<f2").tobytes())
            for image, vector in zip(images, vectors, strict=True)
        )
    ImageReview.objects.bulk_create(
        ImageReview(image=row.image, dataset=dataset, score=row if row.applies else None)
        for row in rows
    )
    ReviewSlot.objects.bulk_create(
        ReviewSlot.of(row.image, priority=0.5 if row.value is None else row.value) for row in rows
    )
    return images


def decide(images: Sequence[GeneratedImage], reviewer: User, bad: Sequence[bool]) -> None:
    """Have the reviewer decide the images, bad ones rejected."""
    for image, is_bad in zip(images, bad, strict=True):
        decision = Decision.objects.create(
            image=image,
            dataset_id=image.dataset_id,
            reviewer=reviewer,
            verdict=Verdict.REJECT if is_bad else Verdict.APPROVE,
        )
        ReviewSlot.objects.filter(image=image).update(
            state=SlotState.DECIDED, decision=decision, reviewer=reviewer
        )
        ImageReview.objects.filter(image=image).update(
            state=ImageState.REJECTED if is_bad else ImageState.APPROVED
        )


def order_of(dataset: Dataset) -> list[int]:
    """Return the images that wait, in the order of the queue."""
    waiting = ReviewSlot.objects.filter(dataset=dataset, state=SlotState.WAITING)
    return list(waiting.order_by("lane", "priority", "pk").values_list("image", flat=True))
