"""How each reviewer does: counts, agreement, error rates and drift; docs/reviewers.md tells how.

Nothing is stored and nobody is ranked: people are listed by name.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt
from django.db.models import Count, F

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.review import gold
from synthreview.review.agreement import (
    DawidSkene,
    FloatArray,
    Share,
    agreement_with_others,
    cohens_kappa,
    dawid_skene,
    drift_p_value,
    fleiss_kappa,
    krippendorffs_alpha,
    share,
)
from synthreview.review.models import (
    FINAL_VERDICTS,
    Decision,
    Purpose,
    ReviewSlot,
    SlotState,
    Verdict,
)

WINDOW = 20  # looks at known answers
AGREEMENT_WINDOW = 200  # decisions
AGREEMENT_MINIMUM = 10  # pairs of looks
DRIFTS_BELOW = 0.01
ENOUGH_IMAGES = 20  # with several looks, before Dawid and Skene say anything


@dataclass(frozen=True, slots=True)
class Reviewer:
    """One person's figures; None where there is too little to say.

    `missed`, `alarmed`: shares of known bad and known good images that they got wrong.
    `model_missed`, `model_alarmed`: the same by Dawid and Skene.
    """

    user: User
    decisions: int
    agreement: Share
    missed: Share
    alarmed: Share
    model_missed: float | None
    model_alarmed: float | None
    drift: float | None

    @property
    def drifts(self) -> bool:
        return self.drift is not None and self.drift < DRIFTS_BELOW


@dataclass(frozen=True, slots=True)
class ReviewStats:
    """Figures of all reviewers of a dataset; kappas by pair of user names."""

    reviewers: list[Reviewer]
    images_with_several: int
    fleiss: float | None
    krippendorff: float | None
    cohen: dict[tuple[str, str], float | None]


def review_stats(dataset: Dataset) -> ReviewStats:
    """Return the figures of everybody who decided something here; four queries."""
    counts = dict(
        Decision.objects.filter(
            dataset=dataset, superseded_by__isnull=True, verdict__in=FINAL_VERDICTS
        )
        .order_by()
        .values_list("reviewer")
        .annotate(Count("pk"))
    )
    users = list(User.objects.filter(pk__in=counts).order_by("username"))
    ratings = _ratings(dataset, users)
    answers_to_known = list(gold.answers(dataset))
    model, modelled = _model(ratings, answers_to_known, users)
    known = _known_answers(answers_to_known)
    pairs = agreement_with_others(ratings)
    rated = ~np.isnan(ratings)
    reviewers = []
    for place, user in enumerate(users):
        answers = known.get(user.pk, [])
        bad = [is_right for is_bad, is_right in answers if is_bad]
        good = [is_right for is_bad, is_right in answers if not is_bad]
        fits = model is not None and bool(modelled[place])
        reviewers.append(
            Reviewer(
                user=user,
                decisions=counts[user.pk],
                agreement=share(*pairs[place]),
                missed=share(bad.count(False), len(bad)),
                alarmed=share(good.count(False), len(good)),
                model_missed=float(model.missed[place]) if model and fits else None,
                model_alarmed=float(model.alarmed[place]) if model and fits else None,
                drift=drift_p_value([is_right for _, is_right in answers], size=WINDOW),
            )
        )
    return ReviewStats(
        reviewers=reviewers,
        images_with_several=len(ratings),
        fleiss=fleiss_kappa(ratings),
        krippendorff=krippendorffs_alpha(ratings),
        cohen={
            (users[one].username, users[other].username): cohens_kappa(
                ratings[:, one], ratings[:, other]
            )
            for one, other in combinations(range(len(users)), 2)
            if (rated[:, one] & rated[:, other]).any()
        },
    )


def own_agreement(*, dataset: Dataset, reviewer: User) -> Share | None:
    """Return how often a person's last verdicts were as those of others who judged the same.

    None before there are enough to speak of. At most two queries, of the same cost at any size:
    a page asks each minute. None of them where each image gets one look.
    """
    if dataset.policy.reviews_per_image < 2:
        return None
    looks = Decision.objects.filter(
        dataset=dataset,
        purpose=Purpose.LOOK,
        verdict__in=FINAL_VERDICTS,
        superseded_by__isnull=True,
    )
    mine = looks.filter(reviewer=reviewer).order_by("-pk").values_list("image", "round", "verdict")
    said = {(image, turn): verdict for image, turn, verdict in mine[:AGREEMENT_WINDOW]}
    others = looks.filter(image__in={image for image, _ in said}).exclude(reviewer=reviewer)
    pairs = [
        said[image, turn] == verdict
        for image, turn, verdict in others.order_by().values_list("image", "round", "verdict")
        if (image, turn) in said
    ]
    return share(sum(pairs), len(pairs)) if len(pairs) >= AGREEMENT_MINIMUM else None


def _ratings(dataset: Dataset, users: list[User]) -> FloatArray:
    """Return (N, R): 1 bad, 0 good, NaN nothing, of the images with several looks."""
    rows = ReviewSlot.objects.filter(
        dataset=dataset,
        purpose=Purpose.LOOK,
        state=SlotState.DECIDED,
        round=F("image__review__round"),
        image__review__looks__gt=1,
    ).values_list("image", "reviewer", "decision__verdict")
    looks: dict[int, dict[int, float]] = defaultdict(dict)
    for image, reviewer, verdict in rows.order_by():
        if reviewer is not None:
            looks[image][reviewer] = float(verdict == Verdict.REJECT)
    several = [by for by in looks.values() if len(by) > 1]
    ratings = [[by.get(user.pk, np.nan) for user in users] for by in several]
    return np.array(ratings, dtype=float).reshape(len(several), len(users))


def _model(
    ratings: FloatArray, answers: list[Decision], users: list[User]
) -> tuple[DawidSkene | None, npt.NDArray[np.bool_]]:
    """Return the error rates by Dawid and Skene, and whose (R,) they say something of.

    The known answers stand beside the images with several looks, their truth fixed.
    """
    given: dict[int, dict[int, float]] = defaultdict(dict)
    truth: dict[int, float] = {}
    for answer in answers:
        given[answer.image_id][answer.reviewer_id] = float(answer.verdict == Verdict.REJECT)
        truth[answer.image_id] = float(answer.image.gold.verdict == Verdict.REJECT)
    rows = [[by.get(user.pk, np.nan) for user in users] for by in given.values()]
    known = np.array(rows, dtype=float).reshape(len(rows), len(users))
    whole = np.concatenate([ratings, known])
    fixed = np.concatenate([np.full(len(ratings), np.nan), list(truth.values())])
    fits = len(ratings) >= ENOUGH_IMAGES
    return (dawid_skene(whole, known=fixed) if fits else None), ~np.isnan(whole).all(axis=0)


def _known_answers(answers: list[Decision]) -> dict[int, list[tuple[bool, bool]]]:
    """Return reviewer → (was it bad, were they right), oldest first."""
    known: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    for answer in answers:
        right = answer.image.gold.verdict
        known[answer.reviewer_id].append((right == Verdict.REJECT, answer.verdict == right))
    return known


def as_json(stats: ReviewStats) -> dict[str, Any]:
    """Return the figures for a script; shares with their exact 95 % intervals."""
    return {
        "images_with_several_looks": stats.images_with_several,
        "fleiss_kappa": stats.fleiss,
        "krippendorff_alpha": stats.krippendorff,
        "cohen_kappa": [
            {"reviewers": list(pair), "kappa": kappa} for pair, kappa in stats.cohen.items()
        ],
        "reviewers": [
            {
                "reviewer": one.user.username,
                "decisions": one.decisions,
                "agreement": _share(one.agreement),
                "missed_of_known_bad": _share(one.missed),
                "alarmed_of_known_good": _share(one.alarmed),
                "dawid_skene_missed": one.model_missed,
                "dawid_skene_alarmed": one.model_alarmed,
                "drift_p_value": one.drift,
            }
            for one in stats.reviewers
        ],
    }


def _share(one: Share) -> dict[str, float | int | None]:
    return {"count": one.count, "of": one.of, "value": one.value, "low": one.low, "high": one.high}
