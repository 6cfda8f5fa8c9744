"""Which model put which queue in order: one row for each time, kept.

`models.py` imports this file; the statistics are in `ranking/`, what the rows are used for in
`ranking_jobs.py` and `ranking_services.py`.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from synthreview.catalog.models import Dataset
from synthreview.work.models import OPEN_STATES, DurableWork

AS_IT_WAS = "as it was"  # in a replay: the order in which people really decided


class RankingCause(models.TextChoices):
    """Why the queue was put in order anew."""

    FIRST = "first", "the first images"
    DECISIONS = "decisions", "new decisions"
    IMAGES = "images", "new images"
    SCORER = "scorer", "another scoring model"
    ASKED = "asked", "somebody asked"


class RankingMethod(models.TextChoices):
    """By what it was put in order."""

    CAPTION = "caption", "the lowest score of each caption"
    LEARNED = "learned", "the chance of being bad, learned from decisions"


class Ranking(DurableWork):
    """One time that a dataset's queue was put in order, with the model that did it.

    Made by the planner or a person; ends DONE with its figures. Then it is history: it says by
    what images were ordered from `settled_at` until the next one.

    `decisions` of which `bad` were learned from, `drawn` of them by lot; `waiting` images got a
    place, of which `moved` really changed. `explored` holds the images that were put forward by
    lot; the next ranking leaves there those that somebody decided meanwhile, because they alone
    count as draws. `newest_image` and `last_decision` say how far it has read. `model` has the
    weights by name, `figures` how good it is on decisions that it had not seen.
    """

    QUEUE = "ranking"
    JOB = "synthreview.review.ranking_jobs.rank"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    number = models.PositiveIntegerField()
    cause = models.CharField(max_length=10, choices=RankingCause)
    method = models.CharField(max_length=10, choices=RankingMethod, default=RankingMethod.CAPTION)
    decisions = models.PositiveIntegerField(default=0)
    bad = models.PositiveIntegerField(default=0)
    drawn = models.PositiveIntegerField(default=0)
    waiting = models.PositiveIntegerField(default=0)
    moved = models.PositiveIntegerField(default=0)
    newest_image = models.PositiveBigIntegerField(default=0)
    last_decision = models.PositiveBigIntegerField(default=0)
    scorers = models.JSONField(default=list, blank=True)
    explored = models.JSONField(default=list, blank=True)
    model = models.JSONField(default=dict, blank=True)
    figures = models.JSONField(default=dict, blank=True)
    seconds = models.FloatField(default=0)
    created_at = models.DateTimeField(db_default=Now())

    class Meta(DurableWork.Meta):
        ordering = ["-pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(fields=["dataset", "number"], name="review_ranking_number"),
            # Two planners at once plan once.
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(state__in=OPEN_STATES),
                name="review_ranking_one_open",
            ),
            models.CheckConstraint(
                name="review_ranking_cause_known", condition=Q(cause__in=RankingCause.values)
            ),
            models.CheckConstraint(
                name="review_ranking_method_known", condition=Q(method__in=RankingMethod.values)
            ),
            models.CheckConstraint(
                name="review_ranking_counts_fit",
                condition=Q(bad__lte=F("decisions"), drawn__lte=F("decisions")),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.dataset} ranking {self.number}"

    @property
    def is_learned(self) -> bool:
        return self.method == RankingMethod.LEARNED

    def main_weights(self, count: int = 12) -> list[dict[str, Any]]:
        """Return the largest weights, with their names."""
        found: list[dict[str, Any]] = self.model.get("weights", [])
        return found[:count]


class Replay(DurableWork):
    """One replay of a dataset's decided images: what would the queue have saved you?

    Asked for on the page; ends DONE with `result`, the figures of each policy, or FAILED with the
    reason. A later one does not change it: it was true of the decisions that were there.
    """

    QUEUE = "ranking"
    JOB = "synthreview.review.replay_jobs.replay_dataset"

    dataset = models.ForeignKey(Dataset, on_delete=models.CASCADE, related_name="+")
    seeds = models.PositiveSmallIntegerField(default=3)
    images = models.PositiveIntegerField(default=0)
    bad = models.PositiveIntegerField(default=0)
    result = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(db_default=Now())

    class Meta(DurableWork.Meta):
        ordering = ["-pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.UniqueConstraint(
                fields=["dataset"],
                condition=Q(state__in=OPEN_STATES),
                name="review_replay_one_open",
            ),
            models.CheckConstraint(
                name="review_replay_counts_fit", condition=Q(bad__lte=F("images"))
            ),
        ]

    def __str__(self) -> str:
        return f"replay of {self.dataset}"
