"""The looks that measure what reviewers miss: at known answers, and beside another's.

A trial is one person's look at an image that is known to be bad. Known are the gold images, and
of several blind looks at one image what another reviewer rejected, unless an adjudicator found
that it was good. While the adjudicator has not spoken, the rejection is taken to be right: else
the misses would come in later than the catches.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from django.db.models import F

from synthreview.catalog.models import Dataset
from synthreview.review import gold
from synthreview.review.models import (
    Certification,
    ImageState,
    Purpose,
    ReviewSlot,
    SlotState,
    Verdict,
)
from synthreview.review.reviewer_error import Trials


def trials_of(dataset: Dataset) -> dict[str, Trials]:
    """Return the trials of each reviewer, by their key; two queries."""
    counts: dict[int, Counter[bool]] = defaultdict(Counter)
    for answer in gold.answers(dataset).filter(image__gold__verdict=Verdict.REJECT):
        counts[answer.reviewer_id][answer.verdict == Verdict.APPROVE] += 1
    for looks in _blind_looks(dataset).values():
        rejected = sum(verdict == Verdict.REJECT for verdict in looks.values())
        for reviewer, verdict in looks.items():
            by_others = rejected - (verdict == Verdict.REJECT)
            if by_others:
                counts[reviewer][verdict == Verdict.APPROVE] += 1
    return {
        str(reviewer): Trials(missed=count[True], caught=count[False])
        for reviewer, count in counts.items()
    }


def _blind_looks(dataset: Dataset) -> Mapping[int, dict[int, str]]:
    """Return image → reviewer → verdict where several looked and the image is not found good."""
    rows = (
        ReviewSlot.objects.filter(
            dataset=dataset,
            purpose=Purpose.LOOK,
            state=SlotState.DECIDED,
            round=F("image__review__round"),
            image__review__looks__gt=1,
            image__review__state__in=[ImageState.REJECTED, ImageState.DISPUTED],
        )
        .values_list("image", "reviewer", "decision__verdict")
        .order_by()
    )
    looks: dict[int, dict[int, str]] = defaultdict(dict)
    for image, reviewer, verdict in rows:
        if reviewer is not None:
            looks[image][reviewer] = verdict
    return looks


def weights_of(certification: Certification) -> dict[str, float]:
    """Return each reviewer's share of the looks at the certificate's images; one query."""
    rows = ReviewSlot.objects.filter(
        image__review__cohort__certification=certification,
        purpose=Purpose.LOOK,
        state=SlotState.DECIDED,
        round=F("image__review__round"),
        reviewer__isnull=False,
    ).values_list("reviewer", flat=True)
    counts = Counter(rows.order_by().iterator(2_000))
    return {str(reviewer): count / counts.total() for reviewer, count in counts.items()}
