"""The worker side of probes: compare the images' embeddings with the words of each group.

The images were looked at when they were scored; only the words need the model now.
"""

from __future__ import annotations

import logging
import uuid

import numpy as np
from django.db import transaction
from django.db.models import F

from synthreview.scoring.caption_jobs import covers
from synthreview.scoring.probe_models import ProbeGroup, ProbePass, ProbeReading
from synthreview.scoring.probe_shares import lots
from synthreview.scoring.probing import unread
from synthreview.scoring.scorers.base import FloatArray, Scorer
from synthreview.scoring.services import register, scorer
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 300
PAGE = 1_000


def read(pass_pk: int) -> None:
    """Read every image of the pass's probe that was not read yet; ends by itself."""
    token = ProbePass.objects.claim(pass_pk, lease_s=LEASE_S)
    if token is None:
        return
    work = ProbePass.objects.select_related("version", "probe").get(pk=pass_pk)
    try:
        if register(work.version.alias) != work.version:
            # Another model was configured since: the planner makes a pass for it.
            ProbePass.objects.settle(
                pass_pk, token, WorkState.CANCELLED, error="Another model is in use now."
            )
        elif (unknown := _walk(work, token)) is not None:
            ProbePass.objects.settle(pass_pk, token, WorkState.DONE, unknown_words=unknown)
    except Exception as error:  # a model can fail in many ways; what is read stays
        logger.exception("Reading a probe broke off in pass %s", pass_pk)
        said = f"{type(error).__name__}: {error}"
        if work.attempts < ProbePass.MAX_ATTEMPTS:
            ProbePass.objects.postpone(pass_pk, token, delay_s=5.0 * work.attempts, error=said)
        else:
            ProbePass.objects.settle(pass_pk, token, WorkState.FAILED, error=said)


def _walk(work: ProbePass, token: uuid.UUID) -> list[str] | None:
    """Return the words that the model does not know; None where the lease was lost."""
    groups = list(work.probe.groups.all())
    model = scorer(work.version.alias)
    words = model.card().words
    unknown = [text for group in groups for text in group.words if not covers(words, text)]
    if unknown:
        return unknown
    vectors = group_vectors(model, groups)
    after = 0
    while page := list(
        unread(work.probe, work.version)
        .filter(pk__gt=after)
        .order_by("pk")
        .values_list("pk", "image", "vector")[:PAGE]
    ):
        after = page[-1][0]
        rows = _readings(work, groups, vectors, page)
        with transaction.atomic():
            # A change of the probe waits for this, or this for the change.
            if not ProbePass.objects.renew(work.pk, token, lease_s=LEASE_S):
                return None
            ProbeReading.objects.bulk_create(rows, ignore_conflicts=True)
            ProbePass.objects.held(work.pk, token).update(read_count=F("read_count") + len(rows))
    return []


def group_vectors(model: Scorer, groups: list[ProbeGroup]) -> FloatArray:
    """Return (G, D) unit vectors, each the mean over the group's wordings.

    Source: CLIP (Radford et al. 2021), section 3.1.4.
    """
    by_text = model.embed_texts([text for group in groups for text in group.words])
    means = np.stack([np.mean([by_text[text] for text in one.words], axis=0) for one in groups])
    units: FloatArray = means / np.linalg.norm(means, axis=1, keepdims=True)
    return units


def _readings(
    work: ProbePass,
    groups: list[ProbeGroup],
    vectors: FloatArray,
    page: list[tuple[int, int, bytes | memoryview]],
) -> list[ProbeReading]:
    images = np.array([image for _, image, _ in page], dtype=np.int64)
    stacked = np.frombuffer(b"".join(bytes(vector) for *_, vector in page), dtype="<f2")
    cosines = stacked.reshape(len(page), -1).astype(np.float32) @ vectors.T
    nearest = cosines.argmax(axis=1)
    return [
        ProbeReading(
            probe=work.probe, version=work.version, image_id=image, group=groups[at], lot=lot
        )
        for image, at, lot in zip(
            images.tolist(), nearest, lots(images, work.probe_id).tolist(), strict=True
        )
    ]
