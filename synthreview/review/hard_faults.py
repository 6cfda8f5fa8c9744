"""The auto-reject floor: faults that need no eye take an image out of the queue by themselves.

Unreadable, blank, or the same file as an earlier image of its class: nothing else, and nothing
that is a matter of judgement. Each is listed on a page and can be taken back; what was taken back
is not taken out again. Images that the provider's policy refused never come this far: they are
listed with their run. docs/thresholds.md tells the rules.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from django.db import transaction
from django.db.models import Exists, Max, OuterRef, QuerySet

from synthreview.generation.models import GeneratedImage
from synthreview.review.models import AsideKind, ImageReview, PutAside
from synthreview.review.putting_aside import take_out, unseen_images
from synthreview.scoring.models import UNREADABLE, Score

QUALITY = "quality"  # the alias of the judge that knows what is blank
BATCH = 1_000
# On PostgreSQL a score may be committed after one with a higher number: look back so far.
OVERLAP = 2_000


class FaultFinder:
    """Looks at new scores, and at all of them the first time; its memory is one process's."""

    def __init__(self) -> None:
        self._seen = 0

    def __call__(self) -> int:
        """Take images with hard faults out of the queue; returns how many."""
        newest = Score.objects.aggregate(newest=Max("pk"))["newest"] or 0
        if newest == self._seen and self._settled():
            return 0
        found = find_faults(Score.objects.filter(pk__gt=max(0, self._seen - OVERLAP)))
        self._seen = newest
        return put_faults_aside(found)

    def _settled(self) -> bool:
        """Return whether all that is scored is in the queue, so that nothing was missed."""
        waits = ~Exists(ImageReview.objects.filter(image=OuterRef("image")))
        latest = Score.objects.filter(pk__gt=self._seen - OVERLAP)
        return not latest.filter(waits).exists()


def find_faults(scores: QuerySet[Score]) -> dict[int, AsideKind]:
    """Return image to fault of the images that `scores` are about; the gravest where several.

    By all their scores: an image may be told blank long before it comes into the queue.
    """
    faults: dict[int, AsideKind] = {}
    scores = Score.objects.filter(image__in=scores.order_by().values("image"))
    twin = GeneratedImage.objects.filter(
        dataset=OuterRef("image__dataset"),
        label_class=OuterRef("image__label_class"),
        sha256=OuterRef("image__sha256"),
        pk__lt=OuterRef("image"),
    )
    for image in scores.filter(Exists(twin)).values_list("image", flat=True).distinct():
        faults[image] = AsideKind.COPY
    blank = scores.filter(version__alias=QUALITY, applies=True, value=0)
    for image, parts in blank.values_list("image", "parts"):
        if parts.get("contrast") == 0:
            faults[image] = AsideKind.BLANK
    unreadable = scores.filter(applies=False, note__startswith=UNREADABLE)
    for image in unreadable.values_list("image", flat=True):
        faults[image] = AsideKind.UNREADABLE
    return faults


def put_faults_aside(faults: dict[int, AsideKind]) -> int:
    """Take the images out of the queue, one event for each dataset and fault; returns how many.

    What somebody was handed is theirs to judge, and what came back stays.
    """
    groups: dict[tuple[int, AsideKind], list[int]] = defaultdict(list)
    for batch in _batches(sorted(faults)):
        rows = unseen_images().filter(image__in=batch, put_aside__isnull=True)
        for image, dataset in rows.values_list("image", "dataset"):
            groups[dataset, faults[image]].append(image)
    return sum(
        _put_aside(dataset, kind, batch)
        for (dataset, kind), images in sorted(groups.items())
        for batch in _batches(images)
    )


def _batches(images: list[int]) -> Iterable[list[int]]:
    return (images[start : start + BATCH] for start in range(0, len(images), BATCH))


@transaction.atomic
def _put_aside(dataset: int, kind: AsideKind, images: list[int]) -> int:
    event = PutAside.objects.create(dataset_id=dataset, kind=kind)
    removed = take_out(
        event, unseen_images().filter(image__in=images), reason=str(kind.label)[:120]
    )
    if not removed:
        event.delete()
    return removed
