"""From trials to what a report shows: figures of every arm, the verdict, the sentence for a card.

Plain numbers in, plain numbers out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from synthreview.evaluation.arms import REAL, Arm, base_and_main, full_arm
from synthreview.evaluation.frozen import Frozen
from synthreview.evaluation.measuring import (
    Estimate,
    confusion,
    difference_of,
    expected_calibration_error,
    mean_of,
    wilson,
)
from synthreview.evaluation.pictures import PLAIN, TITLES

FloatArray = npt.NDArray[np.float32]
LEAST_IN_GROUP = 5  # images: of fewer no group is called the worst
HELPS, HARMS, UNCLEAR, ALONE = "helps", "harms", "unclear", "alone"


@dataclass(frozen=True, slots=True)
class Judged:
    """What an arm's trainings said: view → (S, N, C) chances over all N test images."""

    arm: Arm
    chances: Mapping[str, FloatArray]
    train_count: int
    seconds: float


Groups = Mapping[str, Sequence[str]]  # axis → the value that each test image seems to show


def report_of(
    frozen: Frozen, judged: Sequence[Judged], groups: Groups, *, title: str, words: str
) -> dict[str, Any]:
    """Return the figures of one learner, as plain values.

    All of them are of the test images that do not steer; those that do are `needs.py`'s.
    """
    labels = np.array(frozen.test.labels, dtype=np.int64)
    tested = ~np.array(frozen.is_validation)
    arms = [one.arm for one in judged]
    full = full_arm(arms)
    by_name = {one.arm.name: one for one in judged}
    right = {one.arm.name: _right(one, PLAIN, labels)[:, tested] for one in judged}
    shown = [
        _arm_facts(one, frozen, labels, tested, groups)
        | {
            "against_full": _against(right, one.arm.name, full.name),
            "against_real": _against(right, one.arm.name, REAL),
        }
        for one in judged
    ]
    base, main = base_and_main(arms)
    gain = difference_of(right[main.name], right[base.name]) if base and main else None
    return {
        "title": title,
        "words": words,
        "full": full.name,
        "arms": shown,
        "gain": gain.rounded() if gain else None,
        **_verdict(gain, by_name[full.name], right[full.name]),
        "review": _review_facts(right),
    }


def _right(one: Judged, view: str, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return (S, N): 1 where a seed named the right class."""
    said = one.chances[view].argmax(axis=2)
    return np.asarray(said == labels[None, :], dtype=np.float64)


def _against(
    right: Mapping[str, npt.NDArray[np.float64]], name: str, base: str
) -> list[float] | None:
    """Return an arm's difference to another; None where that is itself, or not there."""
    if name == base or base not in right:
        return None
    return difference_of(right[name], right[base]).rounded()


def _arm_facts(
    one: Judged,
    frozen: Frozen,
    labels: npt.NDArray[np.int64],
    tested: npt.NDArray[np.bool_],
    groups: Groups,
) -> dict[str, Any]:
    chances = one.chances[PLAIN][:, tested]
    own = labels[tested]
    right = _right(one, PLAIN, labels)[:, tested]
    per_image = right.mean(axis=0)
    classes: list[dict[str, Any]] = []
    for number, (_, name) in enumerate(frozen.classes):
        of_class = own == number
        if of_class.any():
            found = wilson(float(per_image[of_class].sum()), int(of_class.sum()))
            classes.append(
                {"name": name, "images": int(of_class.sum()), "accuracy": found.rounded()}
            )
    grouped: list[dict[str, Any]] = [
        {"axis": axis, "value": value, **_group_facts(per_image, where)}
        for axis, values in groups.items()
        for value in sorted(set(values))
        if (where := np.array([seen == value for seen in values])[tested]).any()
    ]
    large = [row for row in grouped if row["images"] >= LEAST_IN_GROUP]
    return {
        "name": one.arm.name,
        "title": one.arm.title,
        "train": one.train_count,
        "seconds": round(one.seconds, 2),
        "accuracy": mean_of(right).rounded(),
        "mean_of_classes": round(float(np.mean([row["accuracy"][0] for row in classes])), 4),
        "calibration_error": round(expected_calibration_error(chances, own), 4),
        "classes": classes,
        "confusion": np.round(confusion(chances, own), 4).tolist(),
        "views": [
            {
                "name": view,
                "title": TITLES[view],
                "accuracy": mean_of(_right(one, view, labels)[:, tested]).rounded(),
            }
            for view in one.chances
        ],
        "groups": grouped,
        "worst_group": min(large, key=lambda row: row["accuracy"][0]) if large else None,
    }


def _group_facts(
    per_image: npt.NDArray[np.float64], where: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    found = wilson(float(per_image[where].sum()), int(where.sum()))
    return {"images": int(where.sum()), "accuracy": found.rounded()}


def _review_facts(right: Mapping[str, npt.NDArray[np.float64]]) -> dict[str, Any] | None:
    """Return what the review was worth: the full arm against everything drawn, unreviewed."""
    full = right.get("both", right.get("synthetic"))
    unseen = right.get("unreviewed")
    if full is None or unseen is None:
        return None
    found = difference_of(full, unseen)
    return {"difference": found.rounded(), "kind": _kind(found)}


def _kind(found: Estimate) -> str:
    return HELPS if found.low > 0 else HARMS if found.high < 0 else UNCLEAR


def _verdict(gain: Estimate | None, full: Judged, right: npt.NDArray[np.float64]) -> dict[str, str]:
    """Return whether the synthetic images help, and a sentence that says so plainly."""
    images = right.shape[1]
    if gain is None:
        found = mean_of(right)
        return {
            "verdict": ALONE,
            "sentence": (
                f"Trained on {full.arm.title}, {_percent(found)} of {images} real test images are "
                "named rightly. Whether that helps cannot be said: it takes real training images "
                "and approved synthetic ones to compare."
            ),
        }
    kind = _kind(gain)
    begin = {
        HELPS: "The synthetic images help:",
        HARMS: "The synthetic images do harm:",
        UNCLEAR: "No difference is shown: the synthetic images may help or do harm;",
    }[kind]
    return {
        "verdict": kind,
        "sentence": (
            f"{begin} with them the share of {images} real test images that is named rightly "
            f"changes by {_points(gain)} against the real training images alone."
        ),
    }


def _percent(found: Estimate) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _points(found: Estimate) -> str:
    return (
        f"{found.value * 100:+.1f} points (95 % interval {found.low * 100:+.1f} to "
        f"{found.high * 100:+.1f})"
    )


def card_sentence(result: Mapping[str, Any], number: int, day: str) -> str:
    """Return the one sentence that a dataset card says of an evaluation; the probe comes first."""
    for one in result["learners"].values():
        return f"Evaluation {number} ({day}, {one['title'].lower()}): {one['sentence']}"
    return ""
