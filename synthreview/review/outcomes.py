"""The way back: what people decided of a prompt's images, told to the stage that wrote it.

Prompting must not look into this stage, so this stage counts and calls its service. Counts are
taken from the images as they stand, whole each time, so an undo is right at the next count.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import Count, Max, Q

from synthreview.generation.models import GeneratedImage
from synthreview.prompting.learning import Tally
from synthreview.prompting.services import record_outcomes
from synthreview.review.models import Decision, ImageReview, ImageState

BATCH = 1_000
# On PostgreSQL a decision may be committed after one with a higher number: look back so far.
OVERLAP = 1_000


def tell_outcomes() -> int:
    """Count for every prompt that has images; returns for how many the count changed.

    It finds also what came without a decision: a new round, images that were brought in.
    """
    told, last = 0, 0
    drawn = GeneratedImage.objects.order_by("prompt").values_list("prompt", flat=True).distinct()
    while prompts := list(drawn.filter(prompt__gt=last)[:BATCH]):
        told += _tell(prompts)
        last = prompts[-1]
    return told


class OutcomeTeller:
    """Counts for the prompts of new decisions, and for all of them the first time.

    Its memory is that of one process: a sweeper that starts again begins with a whole count.
    """

    def __init__(self) -> None:
        self._seen: int | None = None

    def __call__(self) -> int:
        """Tell what is new; returns for how many prompts the count changed."""
        newest = Decision.objects.aggregate(newest=Max("pk"))["newest"] or 0
        if self._seen is None:
            told = tell_outcomes()
        elif newest == self._seen:
            return 0
        else:
            new = Decision.objects.filter(pk__gt=self._seen - OVERLAP, image__prompt__isnull=False)
            prompts = new.order_by().values_list("image__prompt", flat=True).distinct()
            told = _tell(sorted(prompts))
        self._seen = newest
        return told


def _tell(prompts: Iterable[int]) -> int:
    pks = list(prompts)
    told = 0
    for start in range(0, len(pks), BATCH):
        batch = pks[start : start + BATCH]
        rows = (
            ImageReview.objects.filter(image__prompt__in=batch)
            .order_by()
            .values_list("image__prompt")
            .annotate(
                approved=Count("pk", filter=Q(state=ImageState.APPROVED)),
                rejected=Count("pk", filter=Q(state=ImageState.REJECTED)),
            )
        )
        tallies = dict.fromkeys(batch, Tally()) | {pk: Tally(*counts) for pk, *counts in rows}
        told += record_outcomes(tallies)
    return told
