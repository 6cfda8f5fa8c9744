"""Small functions that make rows for tests: each gives one row, ready to use.

Images are real PNG files in the test's own data folder, so that every page that shows them
works. A number counts up, so that each name, caption and picture is different.
"""

from __future__ import annotations

import functools
import io
import itertools
import uuid
from collections.abc import Iterable
from typing import Any

from django.utils import timezone
from PIL import Image

from synthreview.accounts.models import User
from synthreview.catalog import services as catalog
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.permissions import Role
from synthreview.catalog.storage import store_image
from synthreview.generation.models import Call, GeneratedImage, Run
from synthreview.prompting.models import Prompt, PromptState
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.scoring.models import Score, ScorerVersion
from synthreview.work.models import WorkState

_numbers = itertools.count(1)


def make_user(username: str = "", *, is_superuser: bool = False, **fields: Any) -> User:
    """Return a user; their password is their name."""
    username = username or f"person-{next(_numbers)}"
    make = User.objects.create_superuser if is_superuser else User.objects.create_user
    return make(username, password=username, **fields)


def make_dataset(
    name: str = "",
    *,
    classes: Iterable[str] = ("car", "umbrella"),
    **members: Any,
) -> Dataset:
    """Return a dataset with classes, and members by role: `make_dataset(curator=anna)`.

    Several people of one role are given as a list.
    """
    dataset = catalog.create_dataset(name=name or f"Dataset {next(_numbers)}")
    for class_name in classes:
        catalog.add_class(dataset=dataset, name=class_name)
    for role, users in members.items():
        for user in users if isinstance(users, list) else [users]:
            catalog.set_role(dataset=dataset, user=user, role=Role(role))
    return dataset


def make_prompt(label_class: LabelClass, text: str = "", **fields: Any) -> Prompt:
    """Return an approved prompt of the class."""
    return Prompt.objects.create(
        dataset=label_class.dataset,
        label_class=label_class,
        text=text or f"A {label_class.name}, number {next(_numbers)}",
        **{"technique": "plain", "state": PromptState.APPROVED, **fields},
    )


def make_run(dataset: Dataset, **fields: Any) -> Run:
    """Return a run without calls."""
    number = Run.objects.filter(dataset=dataset).count() + 1
    return Run.objects.create(
        dataset=dataset, **{"number": number, "generator": "sketch", "image_count": 1, **fields}
    )


def make_call(run: Run, prompt: Prompt, **fields: Any) -> Call:
    """Return a call of the run that is done; `state=WorkState.READY` gives an open one."""
    return Call.objects.create(run=run, prompt=prompt, **{"state": WorkState.DONE, **fields})


def tiny_png(number: int = 0) -> bytes:
    """Return a PNG of 16 x 16 pixels, another one for each number."""
    buffer = io.BytesIO()
    colour = (number % 256, number // 256 % 256, 128)
    Image.new("RGB", (16, 16), colour).save(buffer, "PNG")
    return buffer.getvalue()


def make_image(
    dataset: Dataset | None = None,
    *,
    label_class: LabelClass | None = None,
    run: Run | None = None,
    prompt: Prompt | None = None,
    **fields: Any,
) -> GeneratedImage:
    """Return a drawn image whose file and renditions are in the store; not yet scored."""
    if label_class is None:
        if prompt is not None:
            label_class = prompt.label_class
        else:
            label_class = (dataset or make_dataset()).classes.first()
    assert label_class is not None
    prompt = prompt or make_prompt(label_class)
    run = run or Run.objects.filter(dataset=label_class.dataset).first()
    run = run or make_run(label_class.dataset)
    data = tiny_png(next(_numbers))
    sha256, decoded = store_image(data)
    return GeneratedImage.objects.create(
        dataset=label_class.dataset,
        run=run,
        label_class=label_class,
        prompt=prompt,
        **{
            "call": make_call(run, prompt),
            "sha256": sha256,
            "media_type": decoded.media_type,
            "byte_count": len(data),
            "width": decoded.width,
            "height": decoded.height,
            "technique": prompt.technique,
            "caption": prompt.text,
            "generator": run.generator,
            "model": run.generator,
            "model_version": "1",
            "seed": 1,
            **fields,
        },
    )


def make_version(**fields: Any) -> ScorerVersion:
    """Return a version of the main scorer, the current one from now on."""
    return ScorerVersion.objects.create(
        **{
            "alias": "clip",
            "name": "Test scorer",
            "model": "test",
            "tag": f"{next(_numbers)}",
            "weights_sha256": "0" * 64,
            "preprocessing": "none",
            "registered_at": timezone.now(),
            **fields,
        }
    )


def make_score(image: GeneratedImage, value: float | None = 0.5, **fields: Any) -> Score:
    """Return a score of the image by the current version; `value=None`: it does not apply."""
    version = fields.pop("version", None) or ScorerVersion.objects.current() or make_version()
    if value is None:
        fields = {"applies": False, "note": f"{version.name} does not apply", **fields}
    else:
        fields = {"similarity": value, "parts": {"object": value}, **fields}
    return Score.objects.create(image=image, version=version, value=value, **fields)


def make_review(
    image: GeneratedImage, state: str = ImageState.PENDING, *, looks: int = 1, **fields: Any
) -> ImageReview:
    """Return the image's place in the queue, with its waiting looks, by its score if it has one."""
    score = fields.pop("score", None) or image.scores.order_by("pk").last()
    review = ImageReview.objects.create(
        image=image, dataset=image.dataset, state=state, score=score, looks=looks, **fields
    )
    if state == ImageState.PENDING:
        for number in range(1, looks + 1):
            ReviewSlot.of(
                image,
                number=number,
                priority=score.value if score and score.value is not None else 0.5,
            ).save()
    return review


def make_decision(
    image: GeneratedImage, reviewer: User, verdict: str = Verdict.APPROVE, **fields: Any
) -> Decision:
    """Return a reviewer's word on the image, its slot decided and its state derived from it."""
    decision = Decision.objects.create(
        image=image,
        dataset=image.dataset,
        reviewer=reviewer,
        verdict=verdict,
        client_token=uuid.uuid4(),
        **fields,
    )
    slot = ReviewSlot.objects.filter(image=image, number=1).first()
    slot = slot or ReviewSlot.of(image, priority=0.5)
    slot.state, slot.reviewer, slot.decision = SlotState.DECIDED, reviewer, decision
    slot.save()
    state = {Verdict.APPROVE: ImageState.APPROVED, Verdict.REJECT: ImageState.REJECTED}
    ImageReview.objects.update_or_create(
        image=image,
        defaults={
            "dataset": image.dataset,
            "state": state.get(verdict, ImageState.PENDING),
            "approvals": int(verdict == Verdict.APPROVE),
            "rejections": int(verdict == Verdict.REJECT),
        },
    )
    return decision


def make_reviewed_image(
    label_class: LabelClass, reviewer: User, verdict: str = Verdict.APPROVE, **fields: Any
) -> GeneratedImage:
    """Return an image that was scored and decided."""
    image = make_image(label_class=label_class, **fields)
    make_score(image)
    make_decision(image, reviewer, verdict)
    return image


make_approved_image = functools.partial(make_reviewed_image, verdict=Verdict.APPROVE)
make_rejected_image = functools.partial(make_reviewed_image, verdict=Verdict.REJECT)
