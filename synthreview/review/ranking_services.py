"""Verbs of the ranking: plan when a queue is put in order anew, and say by what it is ordered.

Loads no scikit-learn: the web process and the sweeper run this, workers run ranking_jobs.py.
"""

from __future__ import annotations

import datetime as dt

from django.db import IntegrityError, transaction
from django.db.models import Exists, Max, OuterRef
from django.utils import timezone

from synthreview.catalog.models import Dataset
from synthreview.review.models import (
    FINAL_VERDICTS,
    Decision,
    ImageReview,
    ImageState,
    Purpose,
)
from synthreview.review.ranking.schedule import next_model_at
from synthreview.review.ranking_models import Ranking, RankingCause, Replay
from synthreview.scoring.models import MAIN_SCORER, ScorerVersion, ScoringPass
from synthreview.trail.acts import Act
from synthreview.trail.services import record
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

# Between two rankings there is so many times the time that the last one took: a large queue that
# keeps growing must not keep a worker busy with nothing else.
REST_AFTER = {RankingCause.DECISIONS: 2, RankingCause.IMAGES: 10, RankingCause.SCORER: 1}
LEAST_REST_S = {RankingCause.DECISIONS: 2, RankingCause.IMAGES: 10, RankingCause.SCORER: 10}
PAUSE_AFTER_FAILURE_S = 300


def plan_rankings() -> list[Ranking]:
    """Plan a ranking for every dataset whose queue is due; safe to repeat, and twice at once."""
    waiting = ImageReview.objects.filter(dataset=OuterRef("pk"), state=ImageState.PENDING)
    datasets = Dataset.objects.filter(Exists(waiting))
    return [
        new
        for dataset in datasets.order_by("pk")
        if (cause := due_because(dataset)) and (new := _plan(dataset, cause))
    ]


def ask_for_ranking(dataset: Dataset) -> Ranking | None:
    """Plan a ranking now; None where one is planned already."""
    planned = _plan(dataset, RankingCause.ASKED)
    if planned:
        record(Act.RANKING_ASKED, planned)
    return planned


def _plan(dataset: Dataset, cause: RankingCause) -> Ranking | None:
    try:
        with transaction.atomic():
            last = Ranking.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"]
            new = Ranking.objects.create(dataset=dataset, number=(last or 0) + 1, cause=cause)
            enqueue_on_commit([new])
    except IntegrityError:  # one is open, or another planner was faster
        return None
    return new


def ask_for_replay(dataset: Dataset) -> Replay | None:
    """Plan a replay of the dataset's decisions; None where one is planned already."""
    try:
        with transaction.atomic():
            new = Replay.objects.create(dataset=dataset)
            record(Act.REPLAY_ASKED, new)
            enqueue_on_commit([new])
    except IntegrityError:
        return None
    return new


def due_because(dataset: Dataset) -> RankingCause | None:
    """Return why the dataset's queue should be put in order anew; None where it should not."""
    newest = Ranking.objects.filter(dataset=dataset).order_by("-pk").first()
    if newest is None:
        return RankingCause.FIRST
    if newest.state in (WorkState.READY, WorkState.RUNNING):
        return None
    if newest.state != WorkState.DONE:
        pause = dt.timedelta(seconds=PAUSE_AFTER_FAILURE_S)
        is_over = newest.settled_at is None or newest.settled_at + pause < timezone.now()
        return RankingCause(newest.cause) if is_over else None
    cause = _what_is_new(dataset, newest)
    return cause if cause and _has_rested(newest, cause) else None


def _what_is_new(dataset: Dataset, last: Ranking) -> RankingCause | None:
    version = ScorerVersion.objects.current()
    if version and version.pk not in last.scorers:
        if not ScoringPass.objects.open().filter(dataset=dataset, version=version).exists():
            return RankingCause.SCORER
        return None  # half of the images have no score by it yet
    needed = next_model_at(last.decisions) - last.decisions
    decisions = Decision.objects.filter(
        dataset=dataset, pk__gt=last.last_decision, verdict__in=FINAL_VERDICTS
    ).exclude(purpose=Purpose.GOLD)  # those teach nothing new
    if decisions.order_by()[:needed].count() >= needed:
        return RankingCause.DECISIONS
    images = ImageReview.objects.filter(
        dataset=dataset, image__gt=last.newest_image, state=ImageState.PENDING
    )
    return RankingCause.IMAGES if images.exists() else None


def _has_rested(last: Ranking, cause: RankingCause) -> bool:
    rest = max(LEAST_REST_S[cause], REST_AFTER[cause] * last.seconds)
    assert last.settled_at is not None
    return last.settled_at + dt.timedelta(seconds=rest) < timezone.now()


def current_ranking(dataset: Dataset) -> Ranking | None:
    """Return by what the dataset's queue is ordered now; None before the first."""
    done = Ranking.objects.filter(dataset=dataset, state=WorkState.DONE)
    return done.order_by("-pk").first()


def scorers_in_use(dataset: Dataset) -> list[ScorerVersion]:
    """Return the version in force of every scorer, the one that orders the queue first.

    Also of those that are configured no more: what they said still tells something.
    """
    aliases = ScorerVersion.objects.order_by().values_list("alias", flat=True).distinct()
    order = sorted(aliases, key=lambda alias: (alias != MAIN_SCORER, alias))
    found = [ScorerVersion.objects.in_force(dataset.pk, alias) for alias in order]
    return [version for version in found if version is not None]
