"""What a curator asks of a reviewer: which classes, how many a day, and what they may know."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.permissions import Action, actions_of
from synthreview.review.models import FINAL_VERDICTS, SAYABLE, Decision


@dataclass(frozen=True, slots=True)
class Assignment:
    """A reviewer's share of the work; `classes` empty means all of them.

    `done_today` is counted only where there is a limit.
    """

    classes: tuple[int, ...] = ()
    daily_limit: int | None = None
    done_today: int = 0

    @property
    def is_done_today(self) -> bool:
        return self.daily_limit is not None and self.done_today >= self.daily_limit

    def includes(self, label_class: int) -> bool:
        return not self.classes or label_class in self.classes


def assignment_of(*, dataset: Dataset, reviewer: User) -> Assignment:
    """Return what was asked of this person here.

    No query where the dataset came with their membership, and one where a limit is set.
    """
    membership = dataset.membership_of(reviewer)
    if membership is None:  # a superuser needs none
        return Assignment()
    limit = membership.daily_limit
    done = decided_today(dataset, reviewer).count() if limit is not None else 0
    return Assignment(membership.class_ids, limit, done)


def decided_today(dataset: Dataset, reviewer: User) -> QuerySet[Decision]:
    """Return what the person said since midnight and did not take back."""
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    return Decision.objects.filter(
        dataset=dataset,
        reviewer=reviewer,
        verdict__in=SAYABLE,
        superseded_by__isnull=True,
        created_at__gte=midnight,
    )


def judges_blindly(reviewer: User, dataset: Dataset) -> bool:
    """Return whether this person may be asked of an image that others judged: alone, then.

    Curators, and who only looks, see what was said.
    """
    policy = dataset.policy
    allowed = actions_of(reviewer, dataset)
    asks_several = policy.reviews_per_image > 1 or policy.gold_share > 0
    return asks_several and Action.REVIEW in allowed and Action.CURATE not in allowed


def may_see_verdicts(reviewer: User, dataset: Dataset, images: Collection[int]) -> set[int]:
    """Return those of `images` of whose verdicts this person may know.

    Who judges blindly sees an image's verdicts once their own stands; a query for them alone.
    """
    if not judges_blindly(reviewer, dataset):
        return set(images)
    own = Decision.objects.filter(reviewer=reviewer, image__in=images, superseded_by__isnull=True)
    return set(own.filter(verdict__in=FINAL_VERDICTS).values_list("image", flat=True))
