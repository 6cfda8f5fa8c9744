"""Good and bad examples: decided images that stand beside a class's guideline while people judge.

A curator chooses them on the page of an image. Their verdicts are told to everybody, so that an
example is no known answer, and none of an image that still waits for a look.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Q

from synthreview.accounts.models import User
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import (
    DECIDED_STATES,
    GoldImage,
    GuidelineExample,
    ImageReview,
    ImageState,
)
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record

MOST = 8  # of a class: more than that nobody takes in at a glance


class ExampleError(ValueError):
    """The image cannot be an example; the message says why, in plain words."""


@transaction.atomic
def make_example(*, image: GeneratedImage, user: User, note: str = "") -> GuidelineExample:
    """Put a decided image beside its class's guideline, or change its note.

    Approved it is a good example, rejected a bad one. Raises ExampleError where it is neither,
    is a known answer, or the class has enough.
    """
    review = ImageReview.objects.filter(image=image, state__in=DECIDED_STATES).first()
    if review is None:
        raise ExampleError("Only an image that is approved or rejected can be an example.")
    if GoldImage.objects.filter(image=image, is_retired=False).exists():
        raise ExampleError("It is a known answer, and everybody would see it: retire it first.")
    of_class = GuidelineExample.objects.filter(label_class=image.label_class_id)
    if of_class.exclude(image=image).count() >= MOST:
        raise ExampleError(f"{image.label_class} has {MOST} examples: take one away first.")
    example, _ = GuidelineExample.objects.update_or_create(
        image=image,
        defaults={
            "label_class_id": image.label_class_id,
            "is_good": review.state == ImageState.APPROVED,
            "note": " ".join(note.split())[:120],
            "chosen_by": user,
        },
    )
    shown = facts(example, "is_good", "note")
    record(Act.EXAMPLE_SET, image, dataset=image.dataset_id, after=shown, by=user)
    return example


@transaction.atomic
def remove_example(*, image: GeneratedImage, user: User) -> bool:
    """Take an image away from the guideline; False where it was no example."""
    count, _ = GuidelineExample.objects.filter(image=image).delete()
    if count:
        record(Act.EXAMPLE_REMOVED, image, dataset=image.dataset_id, by=user)
    return bool(count)


def examples_for(label_class: int, *, beside: int | None = None) -> list[GuidelineExample]:
    """Return a class's examples, the good ones first; without the image that is judged.

    One whose image is decided otherwise by now, or asked again, is left out for as long.
    """
    standing = Q(is_good=True, image__review__state=ImageState.APPROVED) | Q(
        is_good=False, image__review__state=ImageState.REJECTED
    )
    found = GuidelineExample.objects.filter(standing, label_class=label_class)
    if beside is not None:
        found = found.exclude(image=beside)
    return list(found.order_by("-is_good", "pk"))
