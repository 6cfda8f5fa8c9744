"""Verbs of evaluation: start one, stop it, say what it would take, hand out what it found.

Loads neither scikit-learn nor torch: the web process runs this, workers run jobs.py.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Sum
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, ReferenceImage, ReferenceUse
from synthreview.evaluation.learners.base import Learner
from synthreview.evaluation.models import MOST_SEEDS, Evaluation, Trial
from synthreview.evaluation.reporting import card_sentence
from synthreview.generation.models import GeneratedImage
from synthreview.lib.adapters import load_adapter
from synthreview.review.models import ImageReview
from synthreview.scoring.models import ScorerVersion
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import enqueue_on_commit

DEFAULT_SEEDS = 3
LEAST_TEST = 10
# Seconds on two cores of 2026, where no earlier evaluation says better.
LOOK_S = 0.05
TRIAL_S = {"probe": 1.0, "network": 40.0}


class CannotStartError(ValueError):
    """The evaluation cannot be started; the message says what is missing, in plain words."""


@functools.cache
def learner(alias: str) -> Learner:
    """Return the learner of that name. Raises UnknownAdapterError."""
    loaded: Learner = load_adapter(settings.LEARNERS, alias, "learner")
    return loaded


@dataclass(frozen=True, slots=True)
class Outlook:
    """What an evaluation would have before it: images by their part, arms, and the time.

    `obstacle` says why none can be started; empty where it can.
    """

    test: int
    test_classes: int
    real: int
    approved: int
    drawn: int
    techniques: tuple[str, ...]
    obstacle: str

    @property
    def arms(self) -> int:
        """Return how many arms there are at most."""
        real, ours = bool(self.real), bool(self.approved)
        without = len(self.techniques) if len(self.techniques) > 1 else 0
        return real + ours + (real and ours) + without + bool(self.drawn)

    def seconds(self, learners: Sequence[str], seeds: int) -> float:
        """Return about how long it takes, from what earlier evaluations took."""
        took: dict[str, float] = {
            row["learner"]: row["seconds"] / row["trials"]
            for row in Trial.objects.filter(learner__in=learners)
            .values("learner")
            .annotate(seconds=Sum("seconds"), trials=Count("pk"))
        }
        each = sum(took.get(name, TRIAL_S.get(name, 60.0)) for name in learners)
        return LOOK_S * (3 * self.test + self.real) + self.arms * seeds * each


def outlook(dataset: Dataset) -> Outlook:
    """Return what an evaluation would have before it; a few counting queries."""
    references = ReferenceImage.objects.filter(dataset=dataset)
    counts = dict(references.order_by().values_list("use").annotate(Count("pk")))
    test = references.filter(use=ReferenceUse.TEST)
    test_classes = test.aggregate(found=Count("label_class", distinct=True))["found"]
    approved = ImageReview.objects.approved().filter(dataset=dataset)
    techniques = approved.order_by().values_list("image__technique", flat=True).distinct()
    drawn = GeneratedImage.objects.filter(dataset=dataset).count()
    return Outlook(
        test=counts.get(ReferenceUse.TEST, 0),
        test_classes=test_classes,
        real=counts.get(ReferenceUse.TRAIN, 0),
        approved=approved.count(),
        drawn=drawn,
        techniques=tuple(sorted(techniques)),
        obstacle=_obstacle(counts, test_classes, drawn),
    )


def _obstacle(counts: dict[str, int], test_classes: int, drawn: int) -> str:
    test = counts.get(ReferenceUse.TEST, 0)
    if test < LEAST_TEST or test_classes < 2:
        return (
            f"It takes {LEAST_TEST} real test images or more, of two classes at least; there are "
            f"{test}, of {test_classes}."
        )
    if not counts.get(ReferenceUse.TRAIN) and not drawn:
        return "There is nothing to train on yet: no real training images, and none drawn."
    return ""


@transaction.atomic
def start_evaluation(
    *,
    dataset: Dataset,
    learners: Sequence[str] = ("probe",),
    seeds: int = DEFAULT_SEEDS,
    with_unreviewed: bool = True,
    created_by: User | None = None,
) -> Evaluation:
    """Put an evaluation on record; a worker does it when its turn comes.

    Raises CannotStartError.
    """
    if not 1 <= seeds <= MOST_SEEDS:
        raise CannotStartError(f"{seeds} seeds: choose 1 to {MOST_SEEDS}.")
    chosen = list(dict.fromkeys(learners))
    if unknown := [name for name in chosen if name not in settings.LEARNERS]:
        known = ", ".join(settings.LEARNERS)
        raise CannotStartError(f"No learner is called {unknown[0]!r}; known: {known}.")
    if not chosen:
        raise CannotStartError("Choose at least one way to train.")
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    if obstacle := outlook(dataset).obstacle:
        raise CannotStartError(obstacle)
    last = Evaluation.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
    try:
        with transaction.atomic():
            new = Evaluation.objects.create(
                dataset=dataset,
                number=last + 1,
                learners=chosen,
                seeds=list(range(seeds)),
                with_unreviewed=with_unreviewed,
                created_by=created_by,
            )
    except IntegrityError as error:
        raise CannotStartError("One evaluation of this dataset is under way already.") from error
    enqueue_on_commit([new])
    asked = facts(new, "learners", "seeds", "with_unreviewed")
    record(Act.EVALUATION_STARTED, new, after=asked, by=created_by)
    return new


@transaction.atomic
def stop_evaluation(evaluation: Evaluation) -> bool:
    """Stop it; its worker notices within seconds. False where it had ended already."""
    stopped = Evaluation.objects.filter(pk=evaluation.pk, state__in=OPEN_STATES).update(
        state=WorkState.CANCELLED,
        lease_token=None,
        lease_expires_at=None,
        settled_at=Now(),
        error="",
    )
    if stopped:
        record(Act.EVALUATION_STOPPED, evaluation)
    return bool(stopped)


def card_line(evaluation: Evaluation) -> str:
    """Return the sentence for the dataset's card; empty where the evaluation has no result."""
    if evaluation.settled_at is None or not evaluation.result:
        return ""
    day = evaluation.settled_at.date().isoformat()
    return card_sentence(evaluation.result, evaluation.number, day)


def report_of(evaluation: Evaluation) -> dict[str, Any]:
    """Return the report as it leaves the house: figures and counts, no person, no path."""
    settled = evaluation.settled_at
    return {
        "dataset": evaluation.dataset.slug,
        "evaluation": evaluation.number,
        "state": evaluation.state,
        "error": evaluation.error,
        "phase": evaluation.phase,
        "done": evaluation.done_count,
        "of": evaluation.total_count,
        "settled_at": settled.isoformat() if settled else None,
        "learners": evaluation.learners,
        "seeds": evaluation.seeds,
        "scorer": str(evaluation.version) if evaluation.version else None,
        "counts": evaluation.counts,
        "result": evaluation.result,
        "card": card_line(evaluation),
    }


def scorer_notice(version: ScorerVersion | None) -> str:
    """Say what must be known of the embeddings that the linear probe reads; often nothing."""
    if version is None or not version.applies_to:
        return ""
    return (
        f"{version.name} knows only the drawn demonstration world: what its embeddings say of "
        "real photographs is worth little. Set SYNTHREVIEW_CLIP to a real CLIP."
    )
