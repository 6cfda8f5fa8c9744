"""Where reviewers disagree: the image goes to an adjudicator, whose word stands.

The adjudicator sees both verdicts and their reasons and no names, and is nobody who judged the
image before. Such a look is made when it is handed out and deleted when it is given back, so that
none waits in the queue. On high-risk datasets images that reviewers agree are good come here too.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import or_

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.review.claims import Claim
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    Purpose,
    ReviewSlot,
    SlotState,
)
from synthreview.review.reasons import REASONS

NUMBER = 0
OFFERED = 8  # others may take one of them in the same moment


@dataclass(frozen=True, slots=True)
class BlindLook:
    """What one unnamed reviewer said of an image."""

    name: str
    verdict: str
    reasons: list[str]
    note: str


def claim(*, dataset: Dataset, adjudicator: User, classes: Sequence[int] = ()) -> Claim | None:
    """Lease the next image that waits for an adjudicator; None where none is for this one.

    What someone skipped comes last.
    """
    for image in waiting(dataset=dataset, adjudicator=adjudicator, classes=classes)[:OFFERED]:
        if found := _lease(dataset, adjudicator, image):
            return found
    return None


def waiting(
    *, dataset: Dataset, adjudicator: User, classes: Sequence[int] = ()
) -> QuerySet[ImageReview, int]:
    """Return the images that wait for somebody like this one; oldest first, skipped last."""
    slots = ReviewSlot.objects.filter(image=OuterRef("image"), round=OuterRef("round"))
    settling = slots.filter(purpose=Purpose.ADJUDICATION)
    taken = settling.filter(state__in=[SlotState.LEASED, SlotState.DECIDED])
    own = slots.filter(reviewer=adjudicator, purpose=Purpose.LOOK).exclude(state=SlotState.WAITING)
    found = disputed(dataset).filter(~Exists(taken), ~Exists(own))
    if classes:
        found = found.filter(image__label_class__in=classes)
    skipped = settling.filter(state=SlotState.SKIPPED)
    by_me = settling.filter(state=SlotState.SKIPPED, reviewer=adjudicator)
    return (
        found.annotate(skipped=Exists(skipped), mine=Exists(by_me))
        .order_by("mine", "skipped", "pk")
        .values_list("image", flat=True)
    )


def disputed(dataset: Dataset) -> QuerySet[ImageReview]:
    """Return the images that wait for an adjudicator."""
    return ImageReview.objects.filter(dataset=dataset, state=ImageState.DISPUTED)


def _lease(dataset: Dataset, adjudicator: User, image: int) -> Claim | None:
    """Make the adjudication of the image this person's, or take up one that was skipped."""
    token = uuid.uuid4()
    lease = {
        "state": SlotState.LEASED,
        "reviewer": adjudicator,
        "lease_token": token,
        "lease_expires_at": Now() + dt.timedelta(minutes=dataset.policy.lease_minutes),
        "decision": None,
    }
    review = ImageReview.objects.select_related("image__label_class").get(image=image)
    number = {"image": image, "round": review.round, "number": NUMBER}
    try:
        with transaction.atomic():
            skipped = ReviewSlot.objects.filter(
                **number, purpose=Purpose.ADJUDICATION, state=SlotState.SKIPPED
            )
            if skipped.update(**lease):
                slot = ReviewSlot.objects.get(lease_token=token)
            else:
                slot = ReviewSlot.of(
                    review.image,
                    round=review.round,
                    number=NUMBER,
                    purpose=Purpose.ADJUDICATION,
                    priority=0,
                    guideline_version=review.image.label_class.guideline_version,
                    handed_at=Now(),
                    **lease,
                )
                slot.save(force_insert=True)
    except IntegrityError:  # somebody else was handed it in this moment
        return None
    return Claim(slot.pk, image, token)


def looks_of(image: GeneratedImage) -> list[BlindLook]:
    """Return what the reviewers of the present round said, in an order that tells no names."""
    decisions = Decision.objects.filter(
        slot_of__image=image,
        slot_of__round=F("image__review__round"),
        slot_of__purpose=Purpose.LOOK,
        slot_of__state=SlotState.DECIDED,
    ).order_by("client_token")
    return [
        BlindLook(
            name=f"Reviewer {chr(ord('A') + number)}",
            verdict=decision.verdict,
            reasons=[REASONS.get(code, code) for code in decision.reasons],
            note=decision.note,
        )
        for number, decision in enumerate(decisions)
    ]


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many images wait for an adjudicator; `stuck` of them nobody may settle."""

    waiting: int
    stuck: int


def backlog(dataset: Dataset, adjudicators: Sequence[User]) -> Backlog:
    """Return how many wait, and how many every adjudicator has judged before; two queries."""
    rows = disputed(dataset)
    judged = ReviewSlot.objects.filter(
        image=OuterRef("image"), round=OuterRef("round"), purpose=Purpose.LOOK
    ).exclude(state=SlotState.WAITING)
    free = [Q(~Exists(judged.filter(reviewer=person))) for person in adjudicators]
    may = rows.filter(reduce(or_, free)).count() if free else 0
    total = rows.count()
    return Backlog(total, total - may)
