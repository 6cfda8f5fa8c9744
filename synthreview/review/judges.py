"""How good each judge is, by what people decided: per technique and class, live.

Works for every scorer with rows in scoring.Score. The statistics are ranking/judging.py's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.certificate import Stream
from synthreview.review.models import DECIDED_STATES, ImageReview, ImageState, ReviewSlot
from synthreview.review.ranking.judging import Auroc, Bin, auroc, reliability
from synthreview.review.ranking.table import BoolArray, FloatArray
from synthreview.review.ranking_models import Ranking
from synthreview.review.ranking_services import scorers_in_use
from synthreview.scoring.models import Score, ScorerVersion

LATEST = 20_000  # decided images that are looked at: so that the page costs the same at any size
SURE_FROM = 20  # images drawn by lot; of fewer no figure is given
RELIABILITY_BINS = 6
THIRDS, THIRDS_FROM = 3, 12  # of one group's images, where there are so many


@dataclass(frozen=True, slots=True)
class Line:
    """What one judge does on one group of images; `found` is None without both kinds.

    `thirds`: the share found bad in the lowest third of the scores, the middle one, the highest;
    fewer where many scores are equal, none of few images.
    """

    title: str
    found: Auroc | None
    bad: int
    good: int
    thirds: list[Bin]


@dataclass(frozen=True, slots=True)
class Judge:
    """One scorer, held against people's decisions.

    `whole`: on all decided images that it has a score of; `by_lot`: on those alone that came
    before people by lot, so that the queue's choice does not colour it; None where they are few.
    `reliability`: share found bad in groups of rising score.
    """

    version: ScorerVersion
    whole: Line
    by_lot: Line | None
    techniques: list[Line]
    classes: list[Line]
    reliability: list[Bin]

    @property
    def verdict(self) -> str:
        """Say in a few words whether the judge helps; what was drawn by lot counts, if there is."""
        line = self.by_lot if self.by_lot and self.by_lot.found else self.whole
        found = line.found
        if found is None:
            return "nothing to say yet"
        if found.helps:
            return "helps"
        return "misleads: it finds the good ones" if found.misleads else "not shown to help"


@dataclass(frozen=True, slots=True)
class _Decided:
    """The scores of one judge on decided images, with what people made of them."""

    score: FloatArray
    is_bad: BoolArray
    is_random: BoolArray
    label_class: np.ndarray[Any, Any]
    technique: np.ndarray[Any, Any]


def judges_of(dataset: Dataset) -> list[Judge]:
    """Return every scorer in use with its figures; four queries and two for each scorer."""
    lots = _by_lot(dataset)
    names = dict(LabelClass.objects.filter(dataset=dataset).values_list("pk", "name"))
    return [
        _judge(version, _decided(dataset, version, lots), names)
        for version in scorers_in_use(dataset)
    ]


def _by_lot(dataset: Dataset) -> set[int]:
    audits = ReviewSlot.objects.filter(dataset=dataset, stream=Stream.AUDIT.value)
    explored = Ranking.objects.filter(dataset=dataset).exclude(explored=[])
    return {
        *audits.order_by().values_list("image", flat=True),
        *(image for row in explored.values_list("explored", flat=True) for image in row),
    }


def _decided(dataset: Dataset, version: ScorerVersion, lots: set[int]) -> _Decided:
    reviews = ImageReview.objects.filter(dataset=dataset, state__in=DECIDED_STATES)
    latest = reviews.order_by("-image")
    rows = list(
        Score.objects.filter(
            version=version, applies=True, image__in=latest.values("image")[:LATEST]
        )
        .order_by()
        .values_list(
            "value", "image__review__state", "image", "image__label_class", "image__technique"
        )
    )
    values, found, images, classes, techniques = zip(*rows, strict=True) if rows else [()] * 5
    return _Decided(
        score=np.array(values, dtype=np.float64),
        is_bad=np.array([state == ImageState.REJECTED for state in found], dtype=bool),
        is_random=np.array([image in lots for image in images], dtype=bool),
        label_class=np.array(classes, dtype=np.int64),
        technique=np.array(techniques, dtype=object),
    )


def _judge(version: ScorerVersion, decided: _Decided, names: dict[int, str]) -> Judge:
    random = decided.is_random
    enough = int(random.sum()) >= SURE_FROM
    return Judge(
        version=version,
        whole=_line("all decided", decided, np.ones(len(random), dtype=bool)),
        by_lot=_line("drawn by lot", decided, random) if enough else None,
        techniques=list(
            _lines(decided, decided.technique, {key: one.title for key, one in TECHNIQUES.items()})
        ),
        classes=list(_lines(decided, decided.label_class, names)),
        # Low = doubtful: the chance of being bad falls as the score rises.
        reliability=reliability(decided.score, decided.is_bad, bins=RELIABILITY_BINS),
    )


def _lines(
    decided: _Decided, codes: np.ndarray[Any, Any], titles: Mapping[Any, str]
) -> Iterator[Line]:
    for code, title in titles.items():
        chosen = codes == code
        if chosen.any():
            yield _line(title, decided, chosen)


def _line(title: str, decided: _Decided, chosen: BoolArray) -> Line:
    score, bad = decided.score[chosen], decided.is_bad[chosen]
    thirds = reliability(score, bad, bins=THIRDS) if len(bad) >= THIRDS_FROM else []
    return Line(title, auroc(score, bad), int(bad.sum()), int((~bad).sum()), thirds)
