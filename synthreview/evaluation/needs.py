"""Where more images are likely to help, and whether those that were added did. No Django here.

Errors are counted on the validation images alone, which enter no figure of a report; what came of
it is measured on the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from synthreview.evaluation.measuring import difference_of, wilson

ADDED: Final = 100  # approved images, of which the gain is told
# How the error falls with the training images: as their number to the power of minus this.
# Hestness et al. 2017, "Deep learning scaling is predictable, empirically", section 4.3: -0.31 and
# -0.35 for classifying ImageNet. A rule of thumb: it orders the list, and promises nothing.
EXPONENT: Final = 0.33
SHOWN: Final = 12
FOLLOWED: Final = 5  # of the list are looked at again in the next evaluation
MOST_DRAWN: Final = 1_000


@dataclass(frozen=True, slots=True)
class Stock:
    """How many images of a class or an axis value there are by what people said of them."""

    approved: int = 0
    rejected: int = 0
    drawn: int = 0

    @property
    def to_draw(self) -> int:
        """Return how many to draw for ADDED approved ones, at the rate of approval so far."""
        rate = (self.approved + 1) / (self.approved + self.rejected + 1)
        return min(MOST_DRAWN, round(ADDED / rate))


@dataclass(frozen=True, slots=True)
class Seen:
    """N real images as one evaluation saw them.

    `right` is (S, N), `said` (S, N) the number of the class that each seed named; `groups` gives
    for each axis the value that each image seems to show.
    """

    ids: Sequence[int]
    labels: Sequence[int]
    is_validation: npt.NDArray[np.bool_]
    right: npt.NDArray[np.float64]
    said: npt.NDArray[np.int64]
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def members(self, kind: str, name: str, names: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Return which images a need is about: of the class `name`, or of an axis' value."""
        if kind == "class":
            number = list(names).index(name) if name in names else -1
            return np.asarray(np.array(self.labels) == number, dtype=np.bool_)
        values = self.groups.get(kind, [""] * len(self.ids))
        return np.array([value == name for value in values])


def gain_of(errors: float, images: int, stock: int) -> float:
    """Return the share of all validation images that ADDED more would turn right, by the rule."""
    left: float = (max(stock, 1) / (max(stock, 1) + ADDED)) ** EXPONENT
    return errors / max(images, 1) * (1 - left)


def needs_of(
    seen: Seen, names: Sequence[str], stocks: Mapping[tuple[str, str], Stock]
) -> list[dict[str, Any]]:
    """Return classes and axis values by falling expected gain; those without an error are left out.

    `stocks` has ("class", name) and (axis, value).
    """
    asked: Iterable[tuple[str, str]] = [
        *(("class", name) for name in names),
        *((axis, value) for axis, values in seen.groups.items() for value in sorted(set(values))),
    ]
    wrong = 1 - seen.right.mean(axis=0)
    total = int(seen.is_validation.sum())
    rows: list[dict[str, Any]] = []
    for kind, name in asked:
        where = seen.members(kind, name, names) & seen.is_validation
        errors = float(wrong[where].sum())
        if errors <= 0:
            continue
        stock = stocks.get((kind, name), Stock())
        count = int(where.sum())
        rows.append(
            {
                "kind": kind,
                "name": name,
                "images": count,
                "wrong": wilson(errors, count).rounded(),
                "taken_for": _taken_for(seen, where, names) if kind == "class" else "",
                "approved": stock.approved,
                "rejected": stock.rejected,
                "draw": stock.to_draw,
                "gain": round(gain_of(errors, total, stock.approved), 4),
            }
        )
    return sorted(rows, key=lambda row: (-row["gain"], row["kind"], row["name"]))[:SHOWN]


def _taken_for(seen: Seen, where: npt.NDArray[np.bool_], names: Sequence[str]) -> str:
    """Return the class for which these images are mistaken most often."""
    said, right = seen.said[:, where], seen.right[:, where]
    mistaken = said[right == 0]
    return names[int(np.bincount(mistaken).argmax())] if len(mistaken) else ""


def since_of(
    before: Seen,
    now: Seen,
    needs: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    stocks: Mapping[tuple[str, str], Stock],
) -> dict[str, Any] | None:
    """Return what changed since an earlier evaluation, on the test images that both judged.

    `needs` are the earlier one's: of the first of them, how it is now. None where no test image or
    no seed is common.
    """
    seeds = min(len(before.right), len(now.right))
    place = {pk: at for at, pk in enumerate(before.ids)}
    common = [at for at, pk in enumerate(now.ids) if pk in place and not now.is_validation[at]]
    if not common or not seeds:
        return None
    then = before.right[:seeds, [place[now.ids[at]] for at in common]]
    today = now.right[:seeds, common]
    rows = []
    for need in needs[:FOLLOWED]:
        kind, name = need["kind"], need["name"]
        where = now.members(kind, name, names)[common]
        stock = stocks.get((kind, name), Stock())
        rows.append(
            {
                "kind": kind,
                "name": name,
                "images": int(where.sum()),
                "added": stock.approved - need["approved"],
                "before": round(float(then[:, where].mean()), 4) if where.any() else None,
                "now": round(float(today[:, where].mean()), 4) if where.any() else None,
                "difference": (
                    difference_of(today[:, where], then[:, where]).rounded()
                    if where.any()
                    else None
                ),
            }
        )
    return {
        "images": len(common),
        "difference": difference_of(today, then).rounded(),
        "needs": rows,
    }
