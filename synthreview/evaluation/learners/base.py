"""What every learner is: one small contract.

Learners live beside this file, one file each. They know nothing of Django and read no setting.
scikit-learn, torch and timm are imported inside them only, and they are loaded in workers only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
Inputs = npt.NDArray[Any]

OnStep = Callable[[], object]  # called every few seconds at most; may raise to stop the work


class LearnerError(Exception):
    """The learner cannot work; the message says what to change, in plain words."""


@dataclass(frozen=True, slots=True)
class Task:
    """What to learn from and what to judge.

    train: (N, D) embeddings of length 1, or (N, S, S, 3) pixels in bytes, as the learner `reads`.
    labels: (N,) the number of each image's class.
    tests: view → (M, …) of the same kind.
    """

    train: Inputs
    labels: IntArray
    tests: Mapping[str, Inputs]
    class_count: int
    seed: int


class Learner(Protocol):
    """A way to train a classifier. Instances are built from the `LEARNERS` setting.

    `side_px` is the side of the square pictures that it reads; 0 where it reads embeddings.
    `seconds_each` is about how long one training takes on two cores, for the estimate.
    """

    title: str
    reads: Literal["embeddings", "pixels"]
    side_px: int

    def describe(self) -> str:
        """Say in one sentence what it trains and from what start. Raises LearnerError."""
        ...

    def learn(self, task: Task, on_step: OnStep) -> dict[str, FloatArray]:
        """Return view → (M, C) chances, rows of sum 1. The same task gives the same chances.

        A class without a training image has chance 0. Raises LearnerError.
        """
        ...
