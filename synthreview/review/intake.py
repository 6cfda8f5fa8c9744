"""Into the queue: scored images come in, places change, and changed guidelines ask anew.

Writes are small batches that never wait for a row which somebody else holds, so that reviewers
do not feel them. Handing out is queue.py's.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from django.db import connection, transaction
from django.db.models import Exists, F, Max, OuterRef, Q, Value
from django.db.models.functions import Greatest

from synthreview.catalog.models import Dataset, QualityPolicy
from synthreview.generation.models import GeneratedImage
from synthreview.review import claims
from synthreview.review.cohorts import depart
from synthreview.review.models import (
    ImageReview,
    ImageState,
    Purpose,
    ReviewSlot,
    Verdict,
)
from synthreview.scoring.models import Score, ScorerVersion, ScoringPass
from synthreview.work.models import WorkState

Row = TypeVar("Row")
RECENT = 5_000
BATCH = 200
PAUSE_S = 0.01  # SQLite has one writer: between two batches the reviewers write


def _batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    # PostgreSQL has many writers and needs no pause; but a claim steps over the rows of a batch,
    # so one that held a whole small queue would show it empty for a moment.
    has_one_writer = connection.vendor == "sqlite"
    for start in range(0, len(rows), BATCH):
        if start and has_one_writer:
            time.sleep(PAUSE_S)
        yield rows[start : start + BATCH]


# --- New images -----------------------------------------------------------------


def admit(*, recent_only: bool = False) -> int:
    """Put every image with a current score, and no place in the queue yet, into the queue.

    Safe to repeat and to run twice at once. Returns how many came in.
    """
    version = ScorerVersion.objects.current()
    if version is None:
        return 0
    scores = Score.objects.filter(version=version).filter(
        ~Exists(ImageReview.objects.filter(image=OuterRef("image")))
    )
    if recent_only:
        newest = Score.objects.aggregate(newest=Max("pk"))["newest"] or 0
        scores = scores.filter(pk__gt=newest - RECENT)
    admitted = 0
    while batch := list(scores.select_related("image").order_by("pk")[:BATCH]):
        admitted += _admit_batch(batch)
        time.sleep(PAUSE_S)
    return admitted


def _admit_batch(scores: Sequence[Score]) -> int:
    policies = {
        policy.dataset_id: policy
        for policy in QualityPolicy.objects.filter(
            dataset__in={score.image.dataset_id for score in scores}
        )
    }
    reviews, slots = [], []
    for score in scores:
        image = score.image
        policy = policies.get(image.dataset_id) or QualityPolicy()
        wanted = policy.reviews_per_image
        reviews.append(
            ImageReview(
                image=image,
                dataset_id=image.dataset_id,
                score=score if score.applies else None,
                looks=wanted,
                wants_adjudicator=policy.is_high_risk,
            )
        )
        slots += [
            ReviewSlot.of(image, number=number, priority=priority(image, score))
            for number in range(1, wanted + 1)
        ]
    with transaction.atomic():
        ImageReview.objects.bulk_create(reviews, ignore_conflicts=True)
        ReviewSlot.objects.bulk_create(slots, ignore_conflicts=True)
    return len(reviews)


def priority(image: GeneratedImage, score: Score) -> float:
    """Return the place in the queue, lowest first: the score, or a fixed random number.

    Nothing is ordered by a score that does not apply.
    """
    if score.applies and score.value is not None:
        return score.value
    return _chance(f"{image.pk}:{image.sha256}")


def _chance(key: str) -> float:
    """Return a number in 0..1 that is always the same for `key` and tells nothing about it."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48


# --- Other places -----------------------------------------------------------------


def set_priorities(priorities: Mapping[int, float], *, explore: float = 0.0) -> int:
    """Give images that wait a new place: image → priority, lowest first.

    Committed in small batches, in the order given; a look that somebody is being handed at this
    moment keeps its place. `explore` (0..1) of the images, always the same ones, chosen blindly,
    get a place drawn from all the places given: what is learned from decisions needs some that
    no opinion chose. Returns how many looks moved.
    """
    places = sorted(priorities.values())
    moved = 0
    for batch in _batches(list(priorities.items())):
        wanted = {
            image: places[int(_chance(f"place:{image}") * len(places))]
            if _chance(f"explore:{image}") < explore
            else place
            for image, place in batch
        }
        moved += _move(wanted)
    return moved


# The database's own words, because 200 rows get 200 values, and a locked row is left out.
_MOVE_POSTGRESQL = """
    UPDATE review_reviewslot AS slot SET priority = wanted.place
    FROM unnest(%(images)s::bigint[], %(places)s::float8[]) AS wanted (image, place)
    WHERE slot.image_id = wanted.image AND slot.priority <> wanted.place AND slot.id IN (
        SELECT id FROM review_reviewslot
        WHERE image_id = ANY(%(images)s::bigint[]) AND state IN ('waiting', 'skipped')
        FOR UPDATE SKIP LOCKED
    )
"""
_MOVE_SQLITE = """
    UPDATE review_reviewslot SET priority = wanted.value
    FROM json_each(%(wanted)s) AS wanted
    WHERE image_id = CAST(wanted.key AS INTEGER) AND state IN ('waiting', 'skipped')
    AND priority <> wanted.value
"""


def _move(wanted: Mapping[int, float]) -> int:
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                _MOVE_POSTGRESQL, {"images": list(wanted), "places": list(wanted.values())}
            )
        else:
            cursor.execute(_MOVE_SQLITE, {"wanted": json.dumps(wanted)})
        return int(cursor.rowcount)


def reorder() -> int:
    """Give undecided images the place that the current model's score says; returns how many.

    Not before it has gone over a whole dataset: its scores and the old one's do not compare.
    """
    version = ScorerVersion.objects.current()
    passes = ScoringPass.objects.filter(version=version)
    covered = passes.filter(state=WorkState.DONE).values("dataset")
    at_work = passes.open().exclude(dataset__in=covered).values("dataset")
    stale = (
        Score.objects.filter(version=version, applies=True, image__review__state=ImageState.PENDING)
        .filter(~Q(image__review__score=F("pk")) | Q(image__review__score__isnull=True))
        .exclude(image__dataset__in=at_work)
        .order_by("pk")
        .only("image", "value")
    )
    moved = 0
    last_pk = 0
    while batch := list(stale.filter(pk__gt=last_pk)[:BATCH]):
        _move({score.image_id: score.value for score in batch if score.value is not None})
        with transaction.atomic():
            for score in batch:
                ImageReview.objects.filter(image=score.image_id).update(score=score)
        moved += len(batch)
        last_pk = batch[-1].pk
        time.sleep(PAUSE_S)
    return moved


def ask_for_more_looks() -> int:
    """Bring what came before its dataset was high-risk up to what such a dataset asks.

    More looks by other people, and an adjudicator's word, also for what was approved already;
    every decision stands. Returns how many images that were. Pages and exports see at once that
    such an image is not approved.
    """
    asked = 0
    for policy in QualityPolicy.objects.filter(is_high_risk=True):
        while count := _ask_for_more(policy):
            asked += count
            time.sleep(PAUSE_S)
    return asked


@transaction.atomic
def _ask_for_more(policy: QualityPolicy) -> int:
    wanted = policy.reviews_per_image
    lacking = (
        ImageReview.objects.filter(Q(looks__lt=wanted) | Q(wants_adjudicator=False))
        .filter(dataset=policy.dataset_id)
        .exclude(state=ImageState.REMOVED)
        .select_for_update(of=("self",))
        .select_related("image")
        .order_by("pk")
    )
    reviews = list(lacking[:BATCH])
    images = [review.image_id for review in reviews]
    if not images:
        return 0
    places = dict(
        ReviewSlot.objects.filter(image__in=images, purpose=Purpose.LOOK)
        .order_by("round", "-number")
        .values_list("image", "priority")
    )
    ReviewSlot.objects.bulk_create(
        ReviewSlot.of(
            review.image,
            round=review.round,
            number=number,
            priority=places.get(review.image_id, 0.5),
        )
        for review in reviews
        for number in range(review.looks + 1, wanted + 1)
    )
    ImageReview.objects.filter(pk__in=[review.pk for review in reviews]).update(
        looks=Greatest("looks", Value(wanted)), wants_adjudicator=True
    )
    claims.count_verdict(images, Verdict.APPROVE, by=0)  # derives the state anew
    return len(reviews)


# --- Another round ----------------------------------------------------------------


def ask_again(*, dataset: Dataset, images: Iterable[int]) -> int:
    """Begin a new round of looks at images that were decided; returns how many.

    For those whose guideline changed since: `ImageReview.objects.judged_by_older_guideline()`.
    Their decisions stay on record, with the round they belong to, and count no more. Images that
    still wait are left as they are, and so are those of other datasets.
    """
    wanted = dataset.policy.reviews_per_image
    return sum(_ask_batch(dataset, batch, wanted) for batch in _batches(sorted(set(images))))


@transaction.atomic
def _ask_batch(dataset: Dataset, images: Sequence[int], looks: int) -> int:
    decided = (
        ImageReview.objects.filter(dataset=dataset, image__in=images)
        .exclude(state__in=[ImageState.PENDING, ImageState.REMOVED])
        .select_for_update(of=("self",))
        .select_related("image")
        .order_by("pk")
    )
    places = dict(
        ReviewSlot.objects.filter(image__in=images, purpose=Purpose.LOOK)
        .order_by("round", "-number")
        .values_list("image", "priority")
    )
    reviews = list(decided)
    depart([review.image_id for review in reviews], reason="asked again")
    for review in reviews:
        review.round += 1
        review.state = ImageState.PENDING
        review.looks, review.approvals, review.rejections = looks, 0, 0
        review.adjudicated = ""
        review.wants_adjudicator = dataset.policy.is_high_risk
        review.cohort = None
    ImageReview.objects.bulk_update(
        reviews,
        [
            "round",
            "state",
            "looks",
            "approvals",
            "rejections",
            "adjudicated",
            "wants_adjudicator",
            "cohort",
        ],
    )
    ReviewSlot.objects.bulk_create(
        ReviewSlot.of(
            review.image,
            round=review.round,
            number=number,
            priority=places.get(review.image_id, 0.5),
        )
        for review in reviews
        for number in range(1, looks + 1)
    )
    return len(reviews)
