"""The worker side of scoring: walk over what has no score, batch by batch."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import F
from PIL import Image

from synthreview.catalog.models import LabelClass
from synthreview.catalog.storage import blobs
from synthreview.generation.models import GeneratedImage
from synthreview.lib.images import BadImageError, decode, smallest_rendition
from synthreview.scoring.misreading import misreadings
from synthreview.scoring.models import (
    UNREADABLE,
    Embedding,
    Misreading,
    Score,
    ScorerVersion,
    ScoringPass,
    unscored,
)
from synthreview.scoring.scorers.base import Scorer, ScoreRequest, ScoreResult
from synthreview.scoring.services import register, scorer
from synthreview.scoring.similarity import index_full_segments
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 300
BATCH = 32
DECODERS = 2


def score(pass_pk: int, on_batch: Callable[[int], object] | None = None) -> None:
    """Score every image of the pass's dataset that has no score by the loaded model yet.

    `on_batch` is told how many images each batch held.
    """
    token = ScoringPass.objects.claim(pass_pk, lease_s=LEASE_S)
    if token is None:
        return
    work = ScoringPass.objects.select_related("version").get(pk=pass_pk)
    try:
        if register(work.version.alias) != work.version:
            # Another model was configured since: the planner makes a pass for it.
            ScoringPass.objects.settle(
                pass_pk, token, WorkState.CANCELLED, error="Another model is in use now."
            )
        elif _walk(work, token, on_batch):
            index_full_segments(
                work.dataset_id,
                work.version,
                goes_on=lambda: ScoringPass.objects.renew(pass_pk, token, lease_s=LEASE_S),
            )
            ScoringPass.objects.settle(pass_pk, token, WorkState.DONE)
    except Exception as error:  # a model can fail in many ways; what is scored stays
        logger.exception("Scoring pass %s broke off", pass_pk)
        said = f"{type(error).__name__}: {error}"
        if work.attempts < ScoringPass.MAX_ATTEMPTS:
            ScoringPass.objects.postpone(pass_pk, token, delay_s=5.0 * work.attempts, error=said)
        else:
            ScoringPass.objects.settle(pass_pk, token, WorkState.FAILED, error=said)


def _walk(
    work: ScoringPass, token: uuid.UUID, on_batch: Callable[[int], object] | None = None
) -> bool:
    """Score in order of primary key; False where the lease was lost."""
    class_names = list(
        LabelClass.objects.filter(dataset=work.dataset_id)
        .order_by("position", "pk")
        .values_list("pk", "name")
    )
    with ThreadPoolExecutor(DECODERS) as pool:
        ahead = _open(pool, work, after=0)
        while ahead.images:
            batch, ahead = ahead, _open(pool, work, after=ahead.images[-1].pk)
            score_images(batch.images, work.version, class_names, pictures=batch.pictures())
            if not ScoringPass.objects.renew(work.pk, token, lease_s=LEASE_S):
                return False
            ScoringPass.objects.held(work.pk, token).update(
                scored_count=F("scored_count") + len(batch.images)
            )
            if on_batch:
                on_batch(len(batch.images))
    return True


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture, and what the scorer made of it ahead."""

    pixels: Image.Image
    prepared: Any


@dataclass(frozen=True, slots=True)
class _Batch:
    """Images whose files are being decoded while the batch before them is judged."""

    images: list[GeneratedImage]
    pixels: dict[int, Future[Picture | str]]

    def pictures(self) -> dict[int, Picture | str]:
        """Return image to its picture, or why there is none; waits for them."""
        return {pk: future.result() for pk, future in self.pixels.items()}


def _open(pool: ThreadPoolExecutor, work: ScoringPass, *, after: int) -> _Batch:
    """Return the next images without a score, and begin to decode those that the model knows."""
    rows = unscored(work.version).filter(dataset=work.dataset_id, pk__gt=after)
    images = list(rows.select_related("label_class", "prompt__label_class").order_by("pk")[:BATCH])
    known = [image for image in images if work.version.applies(image)]
    judge = scorer(work.version.alias)
    # Pillow decodes and resizes outside Python's lock, beside the forward pass.
    return _Batch(images, {image.pk: pool.submit(_picture, image, judge) for image in known})


def score_images(
    images: Sequence[GeneratedImage],
    version: ScorerVersion,
    class_names: Sequence[tuple[int, str]],
    *,
    pictures: Mapping[int, Picture | str],
) -> None:
    """Score a batch and commit it; images that the scorer does not know get a row saying so.

    `pictures` holds the picture, or why there is none, of every image that it knows.
    """
    known = [image for image in images if version.applies(image)]
    foreign = f"{version.name} does not apply (SYNTHREVIEW_CLIP names a CLIP that does)"[:300]
    rows = [
        Score(image=image, version=version, applies=False, note=foreign)
        for image in images
        if not version.applies(image)
    ]
    class_index = {pk: index for index, (pk, _) in enumerate(class_names)}
    readable = [
        (image, picture) for image in known if isinstance(picture := pictures[image.pk], Picture)
    ]
    rows += [
        Score(image=image, version=version, applies=False, note=fault[:300])
        for image in known
        if isinstance(fault := pictures[image.pk], str)
    ]
    results = (
        scorer(version.alias).score(
            [
                ScoreRequest(
                    image=picture.pixels,
                    caption=image.caption or image.parts["object"],
                    parts=image.parts,
                    class_texts=[name for _, name in class_names],
                    class_index=class_index.get(image.label_class_id),
                    prepared=picture.prepared,
                )
                for image, picture in readable
            ]
        )
        if readable
        else []
    )
    embeddings = []
    for (image, _), result in zip(readable, results, strict=True):
        rows.append(_row(image, version, class_index.get(image.label_class_id), result))
        if result.embedding is not None:
            vector = result.embedding.astype("<f2").tobytes()
            embeddings.append(Embedding(image=image, version=version, vector=vector))
    misread = misreadings(images, version, [name for _, name in class_names])
    with transaction.atomic():  # short, so that reviewers never wait for it
        Misreading.objects.bulk_create(misread, ignore_conflicts=True)
        Score.objects.bulk_create(rows, ignore_conflicts=True)
        Embedding.objects.bulk_create(embeddings, ignore_conflicts=True)


def _picture(image: GeneratedImage, judge: Scorer) -> Picture | str:
    try:
        pixels = read_picture(image, judge.card().side_px)
    except BadImageError as error:
        return f"{UNREADABLE}: {error}"
    except FileNotFoundError:
        return "The file is missing from the store."
    return Picture(pixels, judge.prepare(pixels))


def read_picture(image: GeneratedImage, side_px: int) -> Image.Image:
    """Return the image for a judge that sees `side_px` of the shorter side, 0 = the original.

    From its smallest rendition that has so many, which takes a tenth of the time of a large PNG.
    Raises BadImageError, FileNotFoundError.
    """
    store = blobs()
    name = side_px and smallest_rendition(image.width, image.height, side_px)
    if name and store.exists(image.sha256) and store.exists(image.sha256, name):
        return decode(store.read(image.sha256, name), least_px=side_px).pixels
    return decode(store.read(image.sha256), least_px=side_px).pixels


def _row(
    image: GeneratedImage, version: ScorerVersion, own_class: int | None, result: ScoreResult
) -> Score:
    return Score(
        image=image,
        version=version,
        value=result.value,
        similarity=result.similarity,
        match=result.match,
        parts={slot: round(float(value), 5) for slot, value in result.parts.items()},
        class_probability=(
            None
            if own_class is None or not len(result.class_probabilities)
            else float(result.class_probabilities[own_class])
        ),
        class_margin=result.class_margin,
    )
