"""Whole prompts that go wrong: put what nobody saw of them aside, together, and take it back.

"12 of 14 of this prompt were rejected: reject the rest?" The rest is not judged: it leaves the
queue unseen, and the certificate counts it as such (docs/certificate.md, "removed unseen").
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.review.cohorts import depart
from synthreview.review.models import (
    DECIDED_STATES,
    AsideKind,
    Decision,
    ImageReview,
    ImageState,
    PutAside,
    ReviewSlot,
    SlotState,
)
from synthreview.trail.acts import Act
from synthreview.trail.services import many, record

SUGGESTED_FROM = 5  # decided images
SUGGESTED_SHARE = 0.75  # of them rejected
SUGGESTED_MOST = 20


class PutAsideError(ValueError):
    """The rest of the prompt cannot be put aside; the message says why."""


@dataclass(frozen=True, slots=True)
class PromptTally:
    """What became of one prompt's images, and how many of them nobody has been handed."""

    prompt: Prompt
    decided: int
    rejected: int
    unseen: int

    @property
    def is_suspicious(self) -> bool:
        """Return whether it is worth asking if the rest should be put aside."""
        return (
            self.unseen > 0
            and self.decided >= SUGGESTED_FROM
            and self.rejected >= SUGGESTED_SHARE * self.decided
        )

    def __str__(self) -> str:
        return f"{self.rejected:,} of {self.decided:,} of this prompt were rejected"


def unseen_images() -> QuerySet[ImageReview]:
    """Return images that nobody has been handed, nor ever said a word about."""
    handed = ReviewSlot.objects.filter(image=OuterRef("image")).exclude(
        state=SlotState.WAITING, handed_at__isnull=True
    )
    return ImageReview.objects.filter(
        ~Exists(handed),
        ~Exists(Decision.objects.filter(image=OuterRef("image"))),
        state=ImageState.PENDING,
    )


def unseen_among(images: Collection[int], dataset: Dataset) -> QuerySet[ImageReview]:
    """Return those of the images that are the dataset's and that nobody saw.

    The dataset is asked of the image: of the review, SQLite would go over all that waits in it.
    """
    return unseen_images().filter(image__in=images, image__dataset=dataset)


def unseen_of(prompt: Prompt) -> QuerySet[ImageReview]:
    """Return the prompt's images that nobody has been handed, nor ever said a word about."""
    return unseen_images().filter(image__prompt=prompt)


def tally_of(prompt: Prompt) -> PromptTally:
    """Return what putting the rest of the prompt aside would mean; two queries."""
    counts = ImageReview.objects.filter(image__prompt=prompt).aggregate(
        rejected=Count("pk", filter=Q(state=ImageState.REJECTED)),
        decided=Count("pk", filter=Q(state__in=DECIDED_STATES)),
    )
    return PromptTally(prompt, counts["decided"], counts["rejected"], unseen_of(prompt).count())


def suspicious_prompts(
    dataset: Dataset, *, among: Collection[int] | None = None
) -> list[PromptTally]:
    """Return prompts of which so much was rejected that the rest may go; the worst first.

    Three queries, two where there are none. `among` looks at these prompts only.
    """
    reviews = ImageReview.objects.filter(dataset=dataset, image__prompt__isnull=False)
    if among is not None:
        reviews = reviews.filter(image__prompt__in=among)
    rows = (
        reviews.order_by()
        .values("image__prompt")
        .annotate(
            decided=Count("pk", filter=Q(state__in=DECIDED_STATES)),
            rejected=Count("pk", filter=Q(state=ImageState.REJECTED)),
            pending=Count("pk", filter=Q(state=ImageState.PENDING)),
        )
        .filter(decided__gte=SUGGESTED_FROM, pending__gt=0)
        .order_by("-rejected", "image__prompt")
    )
    found = [row for row in rows if row["rejected"] >= SUGGESTED_SHARE * row["decided"]]
    worst = {row["image__prompt"]: row for row in found[:SUGGESTED_MOST]}
    if not worst:
        return []
    unseen = unseen_images().filter(image__prompt__in=worst).order_by().values("image__prompt")
    left = dict(unseen.annotate(left=Count("pk")).values_list("image__prompt", "left"))
    prompts = Prompt.objects.in_bulk(worst)
    tallies = [
        PromptTally(prompts[pk], row["decided"], row["rejected"], left.get(pk, 0))
        for pk, row in worst.items()
    ]
    return [tally for tally in tallies if tally.is_suspicious]


@transaction.atomic
def put_aside(*, prompt: Prompt, user: User) -> PutAside:
    """Take what nobody has been handed of the prompt out of the queue, as one event.

    Images that somebody holds, skipped or has said something of stay. Raises PutAsideError
    where nothing is left, or nothing of the prompt was rejected.
    """
    tally = tally_of(prompt)
    if not tally.rejected:
        raise PutAsideError("Nothing of this prompt was rejected: there is no ground for it.")
    event = PutAside.objects.create(
        dataset_id=prompt.dataset_id,
        prompt=prompt,
        decided=tally.decided,
        rejected=tally.rejected,
        created_by=user,
    )
    if not take_out(event, unseen_of(prompt), reason=f"put aside with its prompt: {tally}"):
        raise PutAsideError("Nothing is left of this prompt that nobody has seen.")
    return event


@transaction.atomic
def put_aside_similar(*, image: GeneratedImage, images: Collection[int], user: User) -> PutAside:
    """Take images that are like a rejected one out of the queue, as one event.

    Of `images` those of its dataset that nobody has been handed. Raises PutAsideError where the
    image is not rejected, or nothing is left.
    """
    if not ImageReview.objects.filter(image=image, state=ImageState.REJECTED).exists():
        raise PutAsideError("This image is not rejected: there is no ground for it.")
    event = PutAside.objects.create(
        dataset_id=image.dataset_id, kind=AsideKind.SIMILAR, like=image, created_by=user
    )
    alike = unseen_among(images, image.dataset)
    if not take_out(event, alike, reason=f"like image {image.pk}, which was rejected"):
        raise PutAsideError("Nothing of it is left that nobody has seen.")
    return event


@transaction.atomic
def put_aside_lookalikes(*, dataset: Dataset, images: Collection[int], user: User) -> PutAside:
    """Take images that are all but copies of others out of the queue, as one event.

    Of `images` those of the dataset that nobody has been handed. Raises PutAsideError where
    nothing is left.
    """
    event = PutAside.objects.create(dataset=dataset, kind=AsideKind.LOOKALIKE, created_by=user)
    alike = unseen_among(images, dataset)
    if not take_out(event, alike, reason="all but a copy of an earlier image"):
        raise PutAsideError("Nothing of it is left that nobody has seen.")
    return event


def take_out(event: PutAside, reviews: QuerySet[ImageReview], *, reason: str) -> int:
    """Take the images that nobody is being handed out of the queue; inside a transaction."""
    wanted = dict(reviews.values_list("image", "looks"))
    slots = ReviewSlot.objects.filter(
        image__in=wanted, state=SlotState.WAITING, handed_at__isnull=True
    )
    # Never waits: a look that is being handed out at this moment is seen by somebody.
    locked = list(slots.select_for_update(skip_locked=True).values_list("pk", "image"))
    found = Counter(image for _, image in locked)
    free = {image for image, looks in wanted.items() if found[image] == looks}
    if not free:
        return 0
    depart(free, reason=reason)
    ReviewSlot.objects.filter(pk__in=[pk for pk, image in locked if image in free]).update(
        state=SlotState.REMOVED,
        lottery=None,
        class_lottery=None,
        reviewer=None,
        lease_token=None,
    )
    ImageReview.objects.filter(image__in=free).update(state=ImageState.REMOVED, put_aside=event)
    event.removed = len(free)
    event.save(update_fields=["removed"])
    if event.created_by:  # what a rule finds has no person
        record(Act.ASIDE_PUT, event, after=many(free, reason=reason), by=event.created_by)
    return len(free)


@transaction.atomic
def take_back(event: PutAside) -> int:
    """Return what was put aside to the queue; doing it twice changes nothing."""
    if not PutAside.objects.filter(pk=event.pk, withdrawn_at__isnull=True).update(
        withdrawn_at=Now()
    ):
        return 0
    back = ImageReview.objects.filter(put_aside=event, state=ImageState.REMOVED)
    images = list(back.values_list("image", flat=True))
    ReviewSlot.objects.filter(image__in=images, state=SlotState.REMOVED).update(
        state=SlotState.WAITING
    )
    record(Act.ASIDE_BACK, event, before=many(images))
    return back.update(state=ImageState.PENDING)
