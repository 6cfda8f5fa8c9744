"""The chance of being bad: logistic regression over what is known, calibrated on held-out folds.

Learning must not hurt where the score is good already. So beside the decisions the model is fitted
to PRIOR_WEIGHT imagined ones, which say that the lower the main score, the likelier an image is
bad: a few decisions move it little, some hundred overrule it.

What the queue showed was chosen because it looked bad, and says little of the rest. Where some
images were drawn by lot (audits, exploration), each of those stands for its share of the rest when
the average and the calibration are taken.

Sources: Platt 1999; Zadrozny and Elkan 2002 (isotonic); Shimodaira 2000 (weighting).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from synthreview.review.ranking.features import Columns, pooled, unlabelled
from synthreview.review.ranking.table import MAIN_SCORE, BoolArray, FloatArray, ImageTable, IntArray

PRIOR_WEIGHT = 10.0
PRIOR_SLOPE = -1.0  # of the log odds, for each deviation of the main score
PRIOR_POINTS = np.array([-1.5, -0.5, 0.5, 1.5])  # deviations
PRIOR_RATE, PRIOR_RATE_WEIGHT = 0.2, 2.0
PENALTY = 1.0
COMPONENTS = 32
FOLDS = 5
LEAST_DECISIONS = 5
ISOTONIC_FROM = 100  # decisions of each kind; fewer are calibrated by a line (Platt)
LEAST_CHANCE = 1e-4  # nothing is certain

Calibration = Callable[[FloatArray], FloatArray]


@dataclass(frozen=True, slots=True)
class Decided:
    """Which of N images are decided, which of those were found bad, and which were drawn by lot.

    `is_bad` and `is_random` say nothing of images that are not known.
    """

    is_known: BoolArray
    is_bad: BoolArray
    is_random: BoolArray

    def of(self, index: IntArray) -> Decided:
        return Decided(self.is_known[index], self.is_bad[index], self.is_random[index])

    def without(self, index: IntArray) -> Decided:
        known = self.is_known.copy()
        known[index] = False
        return Decided(known, self.is_bad, self.is_random)

    @property
    def can_teach(self) -> bool:
        """Say whether there are enough decisions, and of both kinds, to learn from."""
        bad = self.is_bad[self.is_known]
        return len(bad) >= LEAST_DECISIONS and bool(bad.any()) and not bad.all()

    def weights(self, population: int) -> FloatArray:
        """Return (K,) how many of `population` images each decided one stands for, with itself."""
        random = self.is_random[self.is_known]
        rest = population - len(random)
        return 1 + np.where(random, rest / max(int(random.sum()), 1), 0.0)


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a model of one moment says of N images, K of them decided.

    `chance`: (N,) of being bad, calibrated; 0..1. `log_odds`: (N,) before calibration, which tell
    apart what the calibration makes equal. `held_out`: (K,) calibrated chances by models that had
    not seen the image, in the order of the table. `weights` belong to `names`, the largest first.
    """

    chance: FloatArray
    log_odds: FloatArray
    held_out: FloatArray
    names: tuple[str, ...]
    weights: FloatArray
    calibration: str


class Ranker:
    """Learns from decisions on the images of one table; what needs none is computed once."""

    def __init__(self, table: ImageTable, *, components: int = COMPONENTS) -> None:
        self.table = table = table.with_cells()
        self._alone = unlabelled(table, components=components)

    def fit(self, decided: Decided, *, calibrated: bool = True) -> Fitted | None:
        """Return the model of these decisions; None where they cannot teach anything yet."""
        if not decided.can_teach:
            return None
        # One thread: so small sums gain nothing from more, and lose much where others compute too.
        with threadpool_limits(limits=1):
            return self._fit(decided, calibrated)

    def _fit(self, decided: Decided, calibrated: bool) -> Fitted:
        known = np.flatnonzero(decided.is_known)
        weights = decided.weights(len(self.table))
        rates = pooled(self.table, decided.is_known, decided.is_bad)
        model = _regression(self._alone.of(known) + rates.of(known), decided.of(known), weights)
        log_odds = self._apply(model, rates)
        chance, held_out, how = expit(log_odds), np.empty(0), ""
        if calibrated:
            odds = self._held_out(known, decided.of(known), weights)
            calibrate, how = calibration(odds, decided.is_bad[known], weights)
            chance, held_out = calibrate(log_odds), calibrate(odds)
        names = self._alone.names + rates.names
        largest = np.argsort(-np.abs(model.coef_[0]))
        return Fitted(
            chance=chance,
            log_odds=log_odds,
            held_out=held_out,
            names=tuple(names[i] for i in largest),
            weights=model.coef_[0][largest],
            calibration=how,
        )

    def _apply(self, model: LogisticRegression, rates: Columns) -> FloatArray:
        """Return the (N,) log odds, without laying all columns side by side."""
        own, learned = np.split(model.coef_[0].astype(np.float32), [len(self._alone.names)])
        found = self._alone.values @ own + rates.values @ learned
        return np.asarray(found, dtype=np.float64) + float(model.intercept_[0])

    def _held_out(self, known: IntArray, decided: Decided, weights: FloatArray) -> FloatArray:
        """Return the (K,) log odds of the decided images, each by a model without its fold."""
        table = self.table.of(known)
        alone = self._alone.of(known)
        fold = folds_of(decided.is_bad)
        found = np.zeros(len(known))
        for number in range(FOLDS):
            rest = decided.without(np.flatnonzero(fold == number))
            if not rest.can_teach:
                continue
            columns = alone + pooled(table, rest.is_known, rest.is_bad)
            model = _regression(columns, rest, weights[rest.is_known])
            found[fold == number] = model.decision_function(columns.values[fold == number])
        return found


def _regression(columns: Columns, decided: Decided, weights: FloatArray) -> LogisticRegression:
    """Fit (N, F) columns to the decisions and the imagined ones. `weights` only say the average."""
    inputs = columns.values[decided.is_known].astype(np.float64)
    bad = decided.is_bad[decided.is_known]
    average = (weights[bad].sum() + PRIOR_RATE * PRIOR_RATE_WEIGHT) / (
        weights.sum() + PRIOR_RATE_WEIGHT
    )
    imagined = np.zeros((2 * len(PRIOR_POINTS), inputs.shape[1]))
    points = PRIOR_POINTS if MAIN_SCORE in columns.names else np.zeros(len(PRIOR_POINTS))
    if MAIN_SCORE in columns.names:
        imagined[:, columns.names.index(MAIN_SCORE)] = np.repeat(points, 2)
    chance = expit(logit(average) + PRIOR_SLOPE * points)
    imagined_weights = np.column_stack((chance, 1 - chance)).ravel()
    model = LogisticRegression(C=1 / PENALTY, solver="newton-cholesky", max_iter=100)
    return model.fit(
        np.vstack((inputs, imagined)),
        np.concatenate((bad, np.tile([True, False], len(points)))),
        np.concatenate(
            (np.ones(len(bad)), imagined_weights * PRIOR_WEIGHT / imagined_weights.sum())
        ),
    )


def folds_of(bad: BoolArray) -> IntArray:
    """Return (K,) folds, each with its share of the bad; the same decisions, the same folds."""
    fold = np.empty(len(bad), dtype=np.int64)
    rng = np.random.default_rng(0)
    for kind in (False, True):
        index = rng.permutation(np.flatnonzero(bad == kind))
        fold[index] = np.arange(len(index)) % FOLDS
    return fold


def calibration(
    log_odds: FloatArray, bad: BoolArray, weights: FloatArray
) -> tuple[Calibration, str]:
    """Return what turns log odds into true chances, and its name; `bad` must hold both kinds."""
    if min(bad.sum(), (~bad).sum()) >= ISOTONIC_FROM:
        steps = IsotonicRegression(
            y_min=LEAST_CHANCE, y_max=1 - LEAST_CHANCE, out_of_bounds="clip"
        ).fit(log_odds, bad, weights)
        return steps.predict, "isotonic"
    line = LogisticRegression(C=1e3).fit(log_odds[:, None], bad, weights)
    slope, start = max(float(line.coef_[0, 0]), 0.0), float(line.intercept_[0])
    return (lambda odds: expit(slope * odds + start)), "Platt"
