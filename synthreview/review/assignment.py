"""What a curator asks of a reviewer: which classes they judge, and how many images a day."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import QuerySet
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.review.models import SAYABLE, Decision


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
