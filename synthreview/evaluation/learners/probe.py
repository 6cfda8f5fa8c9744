"""A linear probe: logistic regression on embeddings that somebody else has learned.

Source: Radford et al. 2021 (CLIP), section 3.2: logistic regression on fixed features, its
strength of regularisation chosen on the training images alone.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from synthreview.evaluation.learners.base import FloatArray, Inputs, IntArray, OnStep, Task

STRENGTHS: Final = (0.3, 3.0, 30.0)
FOLDS: Final = 3
STEPS: Final = 500


class LinearProbe:
    """Logistic regression, every class of equal weight; the strength by cross-validation.

    Where a class has fewer images than folds, the strength is the middle one.
    """

    title = "Linear probe"
    reads: Literal["embeddings"] = "embeddings"
    side_px = 0

    def describe(self) -> str:
        """Say what it trains."""
        return "Logistic regression (scikit-learn) on the scorer's embeddings, which stay as are."

    def learn(self, task: Task, on_step: OnStep) -> dict[str, FloatArray]:
        """Return view → (M, C) chances."""
        on_step()
        known = np.unique(task.labels)
        if len(known) < 2:
            return {view: _certain(len(rows), task, known) for view, rows in task.tests.items()}
        # One thread: on these sizes more of them mostly wait for each other.
        with threadpool_limits(1):
            return self._learn(task, known)

    def _learn(self, task: Task, known: IntArray) -> dict[str, FloatArray]:
        model = _fit(task.train.astype(np.float64), task.labels, task.seed)
        chances = {}
        for view, rows in task.tests.items():
            full = np.zeros((len(rows), task.class_count), dtype=np.float32)
            if len(rows):
                full[:, known] = model.predict_proba(rows.astype(np.float64))
            chances[view] = full
        return chances


def _certain(count: int, task: Task, known: IntArray) -> FloatArray:
    """Return what can be said where there is nothing to choose from."""
    full = np.zeros((count, task.class_count), dtype=np.float32)
    full[:, known] = 1
    return full


def _fit(rows: Inputs, labels: IntArray, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    def model(strength: float) -> Any:
        return LogisticRegression(C=strength, class_weight="balanced", max_iter=STEPS)

    strength = STRENGTHS[1]
    if np.unique(labels, return_counts=True)[1].min() >= FOLDS:
        folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
        means = [
            cross_val_score(model(one), rows, labels, cv=folds, scoring="neg_log_loss").mean()
            for one in STRENGTHS
        ]
        strength = STRENGTHS[int(np.argmax(means))]
    return model(strength).fit(rows, labels)
