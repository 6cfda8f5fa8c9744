"""Captions that mean nearly the same, found by the scorer's text side; and when to look for them.

Only the scoring worker has a CLIP in memory. It compares in passes that end by themselves, so
that images do not wait for them, and tells the prompting stage what it found.
"""

from __future__ import annotations

import datetime as dt
import logging
import re
import uuid
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Q
from django.db.models.functions import Now

from synthreview.catalog.models import AxisValue
from synthreview.prompting import gate
from synthreview.prompting.authors.base import Caption
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.services import record_meaning_check, take_near_duplicates
from synthreview.scoring.models import (
    CaptionPass,
    CaptionVector,
    ScorerVersion,
    uncompared,
)
from synthreview.scoring.scorers.base import FloatArray, Scorer
from synthreview.scoring.services import PAUSE_S, register, scorer
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

logger = logging.getLogger(__name__)
LEASE_S = 300
SHIFT = 1_000  # captions of one pass; the rest is planned anew, behind what waits
KNOWN = 5_000  # so many of a class's newest captions are compared with


def plan_caption_passes() -> list[CaptionPass]:
    """Plan a pass for every dataset with captions not yet compared; safe to repeat."""
    version = ScorerVersion.objects.current()
    if version is None:
        return []
    passes = CaptionPass.objects.filter(version=version)
    pause = Now() - dt.timedelta(seconds=PAUSE_S)
    planned = set(passes.open().values_list("dataset_id", flat=True))
    planned |= set(
        passes.filter(state=WorkState.FAILED, settled_at__gt=pause).values_list(
            "dataset_id", flat=True
        )
    )
    waiting = set(uncompared(version).order_by().values_list("dataset_id", flat=True).distinct())
    made = []
    for dataset_id in sorted(waiting - planned):
        try:
            with transaction.atomic():
                new = CaptionPass.objects.create(dataset_id=dataset_id, version=version)
                enqueue_on_commit([new])
        except IntegrityError:  # another planner was faster
            continue
        made.append(new)
    return made


def compare(pass_pk: int) -> None:
    """Compare up to SHIFT captions of the pass's dataset with those of their class."""
    token = CaptionPass.objects.claim(pass_pk, lease_s=LEASE_S)
    if token is None:
        return
    work = CaptionPass.objects.select_related("version").get(pk=pass_pk)
    try:
        if register(work.version.alias) != work.version:
            # Another model was configured since: the planner makes a pass for it.
            CaptionPass.objects.settle(
                pass_pk, token, WorkState.CANCELLED, error="Another model is in use now."
            )
            return
        count = _walk(work, token)
        CaptionPass.objects.settle(pass_pk, token, WorkState.DONE, compared_count=count)
    except Exception as error:  # a model can fail in many ways
        logger.exception("Comparing captions broke off in pass %s", pass_pk)
        said = f"{type(error).__name__}: {error}"
        if work.attempts < CaptionPass.MAX_ATTEMPTS:
            CaptionPass.objects.postpone(pass_pk, token, delay_s=5.0 * work.attempts, error=said)
        else:
            CaptionPass.objects.settle(pass_pk, token, WorkState.FAILED, error=said)


def _walk(work: CaptionPass, token: uuid.UUID) -> int:
    rows = uncompared(work.version).filter(dataset=work.dataset_id)
    groups: dict[tuple[int, str], list[Prompt]] = defaultdict(list)
    for prompt in rows.order_by("pk")[:SHIFT]:
        groups[prompt.label_class_id, prompt.technique].append(prompt)
    axes: dict[str, list[str]] = defaultdict(list)
    values = AxisValue.objects.filter(axis__dataset=work.dataset_id)
    for axis, name, phrase in values.values_list("axis__name", "name", "phrase"):
        axes[axis].append(phrase or name)
    for prompts in groups.values():
        _compare(prompts, work.version, axes)
        if not CaptionPass.objects.renew(work.pk, token, lease_s=LEASE_S):
            break
    _tell(work)
    return sum(map(len, groups.values()))


def _compare(prompts: Sequence[Prompt], version: ScorerVersion, axes: dict[str, list[str]]) -> None:
    """Compare new captions of one class and technique with each other and those there already."""
    model = scorer(version.alias)
    words = model.card().words
    known_words = [one for one in prompts if covers(words, one.text)]
    vectors = _embed(model, [one.text for one in known_words])
    pks = {one.pk for one in prompts}
    first = prompts[0]
    old = CaptionVector.objects.filter(
        version=version,
        vector__isnull=False,
        prompt__label_class=first.label_class_id,
        prompt__technique=first.technique,
    ).exclude(Q(prompt__in=pks) | Q(prompt__state=PromptState.RETIRED))
    there = list(
        old.order_by("-prompt").values_list("prompt__text", "prompt__slots", "vector")[:KNOWN]
    )
    found = gate.near_by_meaning(
        [Caption(one.text, one.slots) for one in known_words],
        vectors,
        [Caption(text, slots) for text, slots, _ in there],
        np.array([np.frombuffer(bytes(v or b""), "<f2") for _, _, v in there], np.float32),
        axes=axes,
        threshold=settings.NEAR_MEANING,
    )
    by_pk = dict(zip((one.pk for one in known_words), vectors, strict=True))
    kept = [
        CaptionVector(
            prompt=one,
            version=version,
            text_key=one.text_key,
            vector=by_pk[one.pk].astype("<f2").tobytes() if one.pk in by_pk else None,
        )
        for one in prompts
    ]
    near = {
        one.pk: reason for one, reason in zip(known_words, found, strict=True) if reason is not None
    }
    with transaction.atomic():
        CaptionVector.objects.bulk_create(
            kept,
            update_conflicts=True,
            unique_fields=["prompt", "version"],
            update_fields=["text_key", "vector"],
        )
        take_near_duplicates(near)


def covers(words: frozenset[str], text: str) -> bool:
    """Say whether a model that was trained on these words alone knows all of a text's."""
    return not words or set(re.findall(r"\w+", text.casefold())) <= words


def _embed(model: Scorer, texts: Sequence[str]) -> FloatArray:
    by_text = model.embed_texts(texts)
    if not texts:
        return np.zeros((0, 1), np.float32)
    return np.array([by_text[text] for text in texts], np.float32)


def _tell(work: CaptionPass) -> None:
    counts = CaptionVector.objects.filter(
        version=work.version, prompt__dataset=work.dataset_id
    ).aggregate(
        compared=Count("pk", filter=Q(vector__isnull=False)),
        unknown=Count("pk", filter=Q(vector__isnull=True)),
    )
    record_meaning_check(
        work.dataset_id, model=work.version.name, threshold=settings.NEAR_MEANING, **counts
    )
