"""Images with known answers, mixed in unmarked to measure those who review.

A curator chooses them among images whose verdict an adjudicator or a curator gave. Each person is
handed each of them once at most, and only if they never had it before. What they say counts for
their own error rates; the image's state and the certificate's draw never hear of it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable

from django.db import IntegrityError, transaction
from django.db.models import Exists, ExpressionWrapper, F, IntegerField, OuterRef, Q, QuerySet
from django.db.models.functions import Mod, Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.permissions import Role
from synthreview.generation.models import GeneratedImage
from synthreview.review.claims import Claim, Pool
from synthreview.review.models import (
    FINAL_VERDICTS,
    Decision,
    GoldImage,
    ImageReview,
    ImageState,
    Purpose,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.trail.acts import Act
from synthreview.trail.services import many, record

OFFERED = 4
ANSWER = {ImageState.APPROVED: Verdict.APPROVE, ImageState.REJECTED: Verdict.REJECT}


class GoldError(ValueError):
    """The image cannot be a known answer; the message says why, in plain words."""


# --- The curator's choice -----------------------------------------------------------


def candidates(dataset: Dataset) -> QuerySet[ImageReview]:
    """Return decided images whose verdict an adjudicator, curator or admin gave, newest first."""
    curators = dataset.memberships.filter(role__in=[Role.CURATOR, Role.ADMIN]).values("user")
    by_curator = Decision.objects.filter(
        image=OuterRef("image"),
        slot_of__round=OuterRef("round"),
        slot_of__state=SlotState.DECIDED,
        purpose=Purpose.LOOK,
        reviewer__in=curators,
    )
    return (
        ImageReview.objects.filter(dataset=dataset, state__in=ANSWER)
        .filter(~Q(adjudicated="") | Exists(by_curator))
        .exclude(image__gold__is_retired=False)
        .exclude(image__example__isnull=False)  # everybody sees what it is
        .order_by("-pk")
    )


@transaction.atomic
def choose(*, dataset: Dataset, images: Iterable[int], user: User) -> int:
    """Make decided images known answers, by their present verdict; returns how many.

    One that was retired comes back. Raises GoldError where one of them has no such verdict.
    """
    wanted = set(images)
    states = dict(candidates(dataset).filter(image__in=wanted).values_list("image", "state"))
    if wanted - set(states):
        raise GoldError(
            "A known answer is one that an adjudicator or a curator gave: choose among those."
        )
    for image, state in states.items():
        GoldImage.objects.update_or_create(
            image_id=image,
            defaults={
                "dataset": dataset,
                "verdict": ANSWER[ImageState(state)],
                "is_retired": False,
                "chosen_by": user,
            },
        )
    if states:
        record(Act.GOLD_CHOSEN, dataset, dataset=dataset.pk, after=many(states), by=user)
    return len(states)


@transaction.atomic
def retire(*, dataset: Dataset, images: Iterable[int]) -> int:
    """Show known answers to nobody from now on; what was said of them stays on record."""
    known = GoldImage.objects.filter(dataset=dataset, image__in=list(images), is_retired=False)
    keys = list(known.values_list("image", flat=True))
    if keys:
        record(Act.GOLD_RETIRED, dataset, dataset=dataset.pk, after=many(keys))
    return GoldImage.objects.filter(image__in=keys).update(is_retired=True)


# --- Among the cards ------------------------------------------------------------------


def claim(pool: Pool) -> Claim | None:
    """Lease a known answer that this person never had; None where there is none."""
    for image in list(unseen(pool)[:OFFERED]):
        if found := _lease(pool, image, batch=None):
            return found
    return None


def claim_into(pool: Pool, batch: uuid.UUID, count: int) -> int:
    """Lease up to `count` known answers for a page of cards; returns how many there were."""
    images = list(unseen(pool)[:count])
    return sum(_lease(pool, image, batch=batch) is not None for image in images)


def unseen(pool: Pool) -> QuerySet[GeneratedImage]:
    """Return the pool's known answers that this person never had, in an order of their own."""
    had = ReviewSlot.objects.filter(image=OuterRef("pk"), reviewer=pool.reviewer)
    found = GeneratedImage.objects.filter(
        ~Exists(had.exclude(state=SlotState.WAITING)),
        gold__dataset=pool.dataset,
        gold__is_retired=False,
    )
    if pool.label_class is not None:
        found = found.filter(label_class=pool.label_class, technique=pool.technique)
    elif pool.classes:
        found = found.filter(label_class__in=pool.classes)
    # The same each time it is asked, so that the browser can load it ahead, and another one for
    # each person, so that they do not meet them in one order.
    own = ExpressionWrapper(
        Mod(F("pk") * (2 * (pool.reviewer.pk % 50_000) + 1) * 7_919, 1_000_003),
        output_field=IntegerField(),
    )
    return found.select_related("label_class", "review").annotate(own=own).order_by("own", "pk")


def _lease(pool: Pool, image: GeneratedImage, *, batch: uuid.UUID | None) -> Claim | None:
    token = uuid.uuid4()
    slot = ReviewSlot.of(
        image,
        round=image.review.round,
        number=0,
        purpose=Purpose.GOLD,
        priority=0,
        state=SlotState.LEASED,
        reviewer=pool.reviewer,
        lease_token=token,
        lease_expires_at=Now() + dt.timedelta(minutes=pool.dataset.policy.lease_minutes),
        batch=batch,
        guideline_version=image.label_class.guideline_version,
        handed_at=Now(),
    )
    try:
        with transaction.atomic():
            slot.save(force_insert=True)
    except IntegrityError:  # another tab of theirs took it in this moment
        return None
    return Claim(slot.pk, image.pk, token)


def answers(dataset: Dataset) -> QuerySet[Decision]:
    """Return what reviewers said of known answers and let stand, oldest first."""
    return (
        Decision.objects.filter(
            dataset=dataset,
            purpose=Purpose.GOLD,
            verdict__in=FINAL_VERDICTS,
            slot_of__isnull=False,
        )
        .select_related("image__gold")
        .order_by("pk")
    )
