"""Verbs of diversity: have it measured, plan it as images come, hand out what was found.

Loads no torch: a worker runs diversity_jobs.py.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.evaluation.models import Diversity
from synthreview.evaluation.services import CannotStartError
from synthreview.generation.models import GeneratedImage
from synthreview.scoring.models import Embedding, ScorerVersion
from synthreview.trail.acts import Act
from synthreview.trail.services import record
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

LEAST_NEW = 50  # images, before it is measured again by itself
NEW_SHARE = 0.1
PAUSE = dt.timedelta(minutes=5)


@transaction.atomic
def start_diversity(
    *, dataset: Dataset, threshold: float | None = None, created_by: User | None = None
) -> Diversity:
    """Put a look on record; a worker does it when its turn comes. Raises CannotStartError."""
    chosen = settings.SAME_COMPOSITION if threshold is None else threshold
    if not 0.5 <= chosen < 1:
        raise CannotStartError(f"{chosen:g} is no threshold: choose 0.5 or more, below 1.")
    version = ScorerVersion.objects.current()
    known = Embedding.objects.filter(version=version, image__dataset=dataset)
    if not known.exists():
        raise CannotStartError("No image of this dataset has been looked at by the scorer yet.")
    new = _start(dataset.pk, chosen, created_by)
    if new is None:
        raise CannotStartError("It is being measured already.")
    record(Act.DIVERSITY_ASKED, new, after={"threshold": chosen}, by=created_by)
    return new


def _start(dataset_id: int, threshold: float, created_by: User | None = None) -> Diversity | None:
    images = GeneratedImage.objects.filter(dataset=dataset_id).count()
    try:
        with transaction.atomic():
            new = Diversity.objects.create(
                dataset_id=dataset_id,
                threshold=threshold,
                image_count=images,
                created_by=created_by,
            )
            enqueue_on_commit([new])
    except IntegrityError:  # one is open
        return None
    return new


def plan_diversity() -> list[Diversity]:
    """Plan a look for every dataset that grew by a tenth, and 50 images, since its last one.

    Safe to repeat. A person's own threshold is kept.
    """
    version = ScorerVersion.objects.current()
    if version is None:
        return []
    counts = GeneratedImage.objects.order_by().values_list("dataset").annotate(Count("pk"))
    pause = Now() - PAUSE
    busy = set(Diversity.objects.open().values_list("dataset", flat=True))
    busy |= set(
        Diversity.objects.filter(state=WorkState.FAILED, settled_at__gt=pause).values_list(
            "dataset", flat=True
        )
    )
    last = {
        look.dataset_id: look
        for look in Diversity.objects.filter(state=WorkState.DONE).defer("result").order_by("pk")
    }
    made = []
    for dataset_id, count in counts:
        before = last.get(dataset_id)
        seen = before.image_count if before else 0
        if dataset_id in busy or count - seen < max(LEAST_NEW, NEW_SHARE * seen):
            continue
        if not Embedding.objects.filter(version=version, image__dataset=dataset_id).exists():
            continue
        threshold = before.threshold if before else settings.SAME_COMPOSITION
        if new := _start(dataset_id, threshold):
            made.append(new)
    return made


def newest_diversity(dataset: Dataset) -> Diversity | None:
    """Return the last look that has a result."""
    rows = Diversity.objects.filter(dataset=dataset, state=WorkState.DONE)
    return rows.select_related("version", "dataset").order_by("-pk").first()


def open_or_failed(dataset: Dataset) -> Diversity | None:
    """Return the newest look where it has no result: it is under way, or it failed."""
    newest = Diversity.objects.filter(dataset=dataset).order_by("-pk").first()
    return None if newest is None or newest.state == WorkState.DONE else newest


def proposals_of(dataset: Dataset, classes: set[int] | None = None) -> list[str]:
    """Return the guard's sentences, of these classes alone where they are given; one small query.

    Each says of a class that more of the same adds little, and what to do instead.
    """
    rows = Diversity.objects.filter(dataset=dataset, state=WorkState.DONE).order_by("-pk")
    found = rows.values_list("proposals", flat=True).first() or []
    return [one["words"] for one in found if classes is None or one["class_id"] in classes]


def report_of(look: Diversity) -> dict[str, Any]:
    """Return a look as it leaves the house."""
    return {
        "dataset": look.dataset.slug,
        "state": look.state,
        "error": look.error,
        "scorer": str(look.version) if look.version else None,
        "threshold": look.threshold,
        "images": look.image_count,
        "settled_at": look.settled_at.isoformat() if look.settled_at else None,
        "classes": look.result.get("classes", []),
        "proposals": [one["words"] for one in look.proposals],
    }
