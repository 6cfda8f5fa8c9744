"""Verbs of scoring: register the model, plan passes, rank."""

from __future__ import annotations

import datetime as dt
import functools

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Exists, Max, OuterRef, Q
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.lib.adapters import load_adapter
from synthreview.lib.images import RENDITIONS_TITLE
from synthreview.scoring.models import (
    MAIN_SCORER,
    QUESTIONS,
    Misreading,
    Score,
    ScorerVersion,
    ScoringPass,
    unscored,
)
from synthreview.scoring.scorers.base import Scorer
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

RECENT = 5_000
PAUSE_S = 300


@functools.cache
def scorer(alias: str = MAIN_SCORER) -> Scorer:
    """Return the scorer of that name; its model is loaded on first use. Workers only."""
    loaded: Scorer = load_adapter(settings.SCORERS, alias, "scorer")
    return loaded


@functools.cache
def register(alias: str = MAIN_SCORER) -> ScorerVersion:
    """Load the scorer and put its version on record as the current one. Raises ScorerError."""
    card = scorer(alias).card()
    # From what it reads a picture is part of what it is: another copy gives other scores.
    source = f"; from {RENDITIONS_TITLE}" if card.side_px else ""
    version, _ = ScorerVersion.objects.update_or_create(
        alias=alias,
        model=card.model,
        tag=card.tag,
        weights_sha256=card.weights_sha256,
        preprocessing=f"{card.preprocessing}{source}"[:200],
        defaults={
            "name": card.name,
            "applies_to": sorted(card.applies_to),
            "registered_at": timezone.now(),
        },
    )
    return version


def load_scorers() -> None:
    """Load and register every scorer when its worker starts."""
    for alias in settings.SCORERS:
        register(alias)


def plan_scoring(*, recent_only: bool = False, dataset: Dataset | None = None) -> list[ScoringPass]:
    """Plan a pass for every dataset and judge with unscored images and none planned.

    Safe to repeat. `recent_only` looks at the newest images alone: cheap enough for every second.
    Where the last pass failed, the next one waits a while; naming the `dataset` plans it at once.
    The main scorer's passes come first, because images wait for them to come into the queue.
    """
    return [
        new
        for version in ScorerVersion.objects.in_use()
        if version.alias != QUESTIONS  # paid for: questioning.py asks about what the policy says
        for new in _plan_for(version, recent_only=recent_only, dataset=dataset)
    ]


def _plan_for(
    version: ScorerVersion, *, recent_only: bool, dataset: Dataset | None
) -> list[ScoringPass]:
    images = unscored(version)
    if dataset is not None:
        images = images.filter(dataset=dataset)
    if recent_only:
        newest = GeneratedImage.objects.aggregate(newest=Max("pk"))["newest"] or 0
        images = images.filter(pk__gt=newest - RECENT)
    waiting = set(images.order_by().values_list("dataset_id", flat=True).distinct())
    passes = ScoringPass.objects.filter(version=version)
    planned = set(passes.open().values_list("dataset_id", flat=True))
    if dataset is None:
        pause = Now() - dt.timedelta(seconds=PAUSE_S)
        failed = passes.filter(state=WorkState.FAILED, settled_at__gt=pause)
        planned |= set(failed.values_list("dataset_id", flat=True))
    return [new for dataset_id in sorted(waiting - planned) if (new := _plan(dataset_id, version))]


def _plan(dataset_id: int, version: ScorerVersion) -> ScoringPass | None:
    try:
        with transaction.atomic():
            new = ScoringPass.objects.create(dataset_id=dataset_id, version=version)
            enqueue_on_commit([new])
    except IntegrityError:  # another planner was faster
        return None
    return new


def main_score(image: GeneratedImage) -> Score | None:
    """Return the score that counts for the image: that of the model in force."""
    version = ScorerVersion.objects.in_force(image.dataset_id)
    return Score.objects.filter(image=image, version=version).select_related("version").first()


def misreading_of(image: GeneratedImage) -> Misreading | None:
    """Return what the current model took the image for before and after its word was put on."""
    version = ScorerVersion.objects.current()
    return Misreading.objects.filter(image=image, version=version).select_related("version").first()


def fooled(is_fooled: bool) -> Exists:
    """Return the condition of images whose word fooled the current model, or did not."""
    version = ScorerVersion.objects.current()
    rows = Misreading.objects.filter(image=OuterRef("pk"), version=version, is_fooled=is_fooled)
    return Exists(rows)


def rank_within_class(score: Score) -> tuple[int, int] | None:
    """Return (rank, of how many) within the image's class, 1 = lowest; None without a value."""
    return _rank(score, image__label_class=score.image.label_class_id)


def rank_within_caption(score: Score) -> tuple[int, int] | None:
    """Return the same among the images of its prompt; None without one."""
    prompt = score.image.prompt_id
    return None if prompt is None else _rank(score, image__prompt=prompt)


def _rank(score: Score, **among: int) -> tuple[int, int] | None:
    if score.value is None:
        return None
    counts = Score.objects.filter(version=score.version, applies=True, **among).aggregate(
        lower=Count("pk", filter=Q(value__lt=score.value)), all=Count("pk")
    )
    return counts["lower"] + 1, counts["all"]


def scoring_notice(dataset: Dataset) -> str:
    """Say, in one sentence, what a person must know of this dataset's scores; often nothing."""
    version = ScorerVersion.objects.current()
    if version is None:
        return "No scoring worker has started yet, so images wait for their scores."
    if not version.applies_to:
        return ""
    foreign = GeneratedImage.objects.filter(dataset=dataset).exclude(
        generator__in=version.applies_to
    )
    if not foreign.exists():
        return ""
    return (
        f"{version.name} knows only the drawn demonstration world. It does not apply to this "
        "dataset's other images: they come in random order. Set SYNTHREVIEW_CLIP to a real CLIP, "
        "for example ViT-B-32/datacomp_xl_s13b_b90k, to have them scored."
    )
