"""A dataset's own past decisions replayed: what would the queue have saved you?

The truth is what people decided; images that nobody decided are left out. The order in which the
decisions were really made stands beside the policies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from synthreview.catalog.models import Dataset
from synthreview.review.models import FINAL_VERDICTS, Decision, Purpose
from synthreview.review.ranking.orders import Policy
from synthreview.review.ranking.replaying import CERTIFY, Outcome, outcome_of, perfect, replay
from synthreview.review.ranking.table import BoolArray, ImageTable, IntArray
from synthreview.review.ranking_models import AS_IT_WAS
from synthreview.review.ranking_rows import read_queue

LEAST_DECIDED = 20
MOST_DECIDED = 5_000  # of more a sample is replayed: learning anew grows with each of them


class ReplayError(ValueError):
    """The dataset cannot be replayed; the message says why, in plain words."""


@dataclass(frozen=True, slots=True)
class Past:
    """N decided images, what was found of them, and their places in the order of the decisions."""

    table: ImageTable
    is_bad: BoolArray
    order: IntArray


def read_past(dataset: Dataset, *, on_page: Callable[[], object] = lambda: None) -> Past:
    """Return the decided images; of more than MOST_DECIDED the same sample each time.

    Raises ReplayError where they are few, or all of one kind.
    """
    queue = read_queue(dataset, on_page=on_page)
    known = np.flatnonzero(queue.is_known)
    if len(known) > MOST_DECIDED:
        known = np.sort(np.random.default_rng(0).choice(known, MOST_DECIDED, replace=False))
    is_bad = queue.is_bad[known]
    if len(known) < LEAST_DECIDED:
        raise ReplayError(
            f"{len(known)} images are decided; a replay needs {LEAST_DECIDED} or more."
        )
    if is_bad.all() or not is_bad.any():
        raise ReplayError(
            f"All decided images were {'rejected' if is_bad.all() else 'approved'}; "
            "a replay needs both kinds."
        )
    said = dict(  # the first decision on each image: later ones are second looks
        Decision.objects.filter(dataset=dataset, verdict__in=FINAL_VERDICTS)
        .exclude(purpose=Purpose.GOLD)
        .order_by("-pk")
        .values_list("image", "pk")
    )
    when = np.array([said.get(int(image), 0) for image in queue.images[known]], dtype=np.int64)
    return Past(queue.table.of(known), is_bad, np.argsort(when, kind="stable"))


def replay_past(
    past: Past,
    *,
    policies: tuple[Policy, ...] = tuple(Policy),
    seeds: int = 5,
    certify: tuple[float, ...] = CERTIFY,
    on_review: Callable[[], object] = lambda: None,
) -> list[Outcome]:
    """Return the outcome of each policy, of the order really taken, and of a perfect one."""
    outcomes = replay(
        past.table,
        past.is_bad,
        policies=policies,
        seeds=seeds,
        certify=certify,
        on_review=on_review,
    )
    return [*outcomes, outcome_of(AS_IT_WAS, [past.order], past.is_bad), perfect(past.is_bad)]
