"""What a dataset covers: class by axis value by technique, from what was asked to what was kept.

Every number of a cell comes from the captions that state the value. Images without a caption of
ours, and captions without the axis, are in the column of what is not stated. Eight queries,
whatever the size; the counting is by caption, not by image. docs/coverage.md tells it in words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, Q, Sum

from synthreview.accounts.models import User
from synthreview.catalog.models import AxisValue, Dataset, ForbiddenPair, LabelClass
from synthreview.generation.models import Call, GeneratedImage
from synthreview.lib.money import MICRO_PER_USD
from synthreview.prompting.learning import Rate, Tally, rate_of
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.services import Written, write_prompts
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.prompting.wishes import Wish
from synthreview.review.models import ImageState

NOT_STATED = ""
FLOOR = 5
ENOUGH_JUDGED = 5
MOST_GAPS = 50
EMPTY, THIN, ENOUGH, BARRED = "empty", "thin", "enough", "barred"
Key = tuple[int, str, str]  # class, value, technique


class GapError(ValueError):
    """The gap cannot be filled; the message says why."""


@dataclass(slots=True)
class Counts:
    """What was asked for and what came of it. Money in millionths of a dollar.

    `asked` and `billed` count calls, whatever became of them; `generated` counts images that are
    there, and `approved` and `rejected` those that people decided on.
    """

    prompts: int = 0
    asked: int = 0
    generated: int = 0
    approved: int = 0
    rejected: int = 0
    billed: int = 0

    def add(self, other: Counts) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    @property
    def tally(self) -> Tally:
        return Tally(self.approved, self.rejected)

    @property
    def rate(self) -> Rate | None:
        """Return the approval rate with its interval; None where nobody decided yet."""
        return rate_of(self.tally) if self.tally.images else None

    def as_json(self) -> dict[str, Any]:
        rate = self.rate
        return {
            "prompts": self.prompts,
            "asked": self.asked,
            "generated": self.generated,
            "approved": self.approved,
            "rejected": self.rejected,
            "cost_usd": round(self.billed / MICRO_PER_USD, 6),
            "approval_rate": rate and [round(end, 4) for end in (rate.mean, rate.low, rate.high)],
        }


def total_of(parts: Iterable[Counts]) -> Counts:
    total = Counts()
    for part in parts:
        total.add(part)
    return total


@dataclass(frozen=True, slots=True)
class Cell:
    """One class with one value: its counts, and how they stand to the floor.

    `is_apart`: people approve it clearly more or less often than the rest of its class, so that
    review itself shifts what the dataset shows.
    """

    label_class: LabelClass
    value: str
    counts: Counts
    by_technique: Mapping[str, Counts]
    status: str
    is_apart: bool

    @property
    def is_gap(self) -> bool:
        return self.status in (EMPTY, THIN)


@dataclass(frozen=True, slots=True)
class Line:
    """One class with all values of the axis."""

    label_class: LabelClass
    cells: list[Cell]
    total: Counts


@dataclass(frozen=True, slots=True)
class ValueLine:
    """One value over all classes."""

    value: str
    counts: Counts
    is_apart: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """The classes of a dataset against the values of one axis."""

    axis: str
    technique: str
    floor: int
    values: list[str]
    lines: list[Line]

    @property
    def cells(self) -> Iterator[Cell]:
        return (cell for line in self.lines for cell in line.cells)

    @property
    def gaps(self) -> list[Cell]:
        return [cell for cell in self.cells if cell.is_gap]

    def as_json(self) -> dict[str, Any]:
        return {
            "axis": self.axis,
            "technique": self.technique or None,
            "values": self.values,
            "cells": [
                {
                    "class": cell.label_class.name,
                    "value": cell.value or None,
                    "status": cell.status,
                    "is_apart": cell.is_apart,
                    **cell.counts.as_json(),
                    "by_technique": {
                        name: counts.as_json() for name, counts in cell.by_technique.items()
                    },
                }
                for cell in self.cells
                if cell.status != BARRED
            ],
        }


@dataclass(frozen=True, slots=True)
class Atlas:
    """Everything that is counted of a dataset, read once; `matrix` shows it by one axis."""

    classes: list[LabelClass]
    axes: dict[str, list[AxisValue]]
    found: Mapping[str, Mapping[Key, Counts]]
    barred: Mapping[str, frozenset[tuple[int, str]]] = field(default_factory=dict)

    @property
    def techniques(self) -> list[str]:
        keys = (key for cells in self.found.values() for key in cells)
        return sorted({technique for _, _, technique in keys})

    def matrix(self, axis: str, *, technique: str = "", floor: int = FLOOR) -> Matrix:
        """Return the classes against the values of `axis`. Raises KeyError for an unknown one."""
        counted = self.found.get(axis, {})
        own = [value.name for value in self.axes[axis]]
        seen = {value for _, value, _ in counted}
        values = own + sorted(seen - {*own, NOT_STATED}) + [NOT_STATED] * (NOT_STATED in seen)
        by_cell: dict[tuple[int, str], dict[str, Counts]] = defaultdict(dict)
        for (label_class, value, of), counts in counted.items():
            if technique in ("", of):
                by_cell[label_class, value][of] = counts
        lines = [
            self._line(label_class, axis, values, by_cell, floor) for label_class in self.classes
        ]
        return Matrix(axis, technique, floor, values, lines)

    def _line(
        self,
        label_class: LabelClass,
        axis: str,
        values: list[str],
        by_cell: Mapping[tuple[int, str], Mapping[str, Counts]],
        floor: int,
    ) -> Line:
        of_value = {
            value: total_of(by_cell.get((label_class.pk, value), {}).values()) for value in values
        }
        total = total_of(of_value.values())
        cells = []
        for value, counts in of_value.items():
            is_barred = (label_class.pk, value) in self.barred.get(axis, ())
            cells.append(
                Cell(
                    label_class,
                    value,
                    counts,
                    dict(sorted(by_cell.get((label_class.pk, value), {}).items())),
                    status_of(counts, floor, is_barred=is_barred or value == NOT_STATED),
                    is_apart(counts, total),
                )
            )
        return Line(label_class, cells, total)


def status_of(counts: Counts, floor: int, *, is_barred: bool) -> str:
    """Return how a cell stands; what cannot or need not be covered is no gap."""
    if is_barred and not counts.generated:
        return BARRED
    if counts.approved >= floor or is_barred:
        return ENOUGH
    return THIN if counts.approved else EMPTY


def is_apart(counts: Counts, total: Counts) -> bool:
    """Say whether people approve it clearly more or less often than the rest."""
    rest = Tally(total.approved - counts.approved, total.rejected - counts.rejected)
    if counts.tally.images < ENOUGH_JUDGED or rest.images < ENOUGH_JUDGED:
        return False
    ours, others = rate_of(counts.tally), rate_of(rest)
    return ours.high < others.low or others.high < ours.low


def by_value(matrix: Matrix) -> list[ValueLine]:
    """Return each value over all classes, in the matrix's order."""
    whole = total_of(line.total for line in matrix.lines)
    lines = []
    for place, value in enumerate(matrix.values):
        counts = total_of(line.cells[place].counts for line in matrix.lines)
        lines.append(ValueLine(value, counts, is_apart(counts, whole)))
    return lines


# --- Reading ----------------------------------------------------------------------------


def atlas_of(dataset: Dataset) -> Atlas:
    """Count everything; eight queries."""
    classes = list(dataset.classes.all())
    axes: dict[str, list[AxisValue]] = {axis.name: [] for axis in dataset.axes.all()}
    values = AxisValue.objects.filter(axis__dataset=dataset).select_related("axis")
    for value in values.prefetch_related("classes"):
        axes[value.axis.name].append(value)
    names = {
        axis: {words: value.name for value in own for words in (value.phrase, value.name) if words}
        for axis, own in axes.items()
    }
    found: dict[str, dict[Key, Counts]] = {axis: defaultdict(Counts) for axis in axes}
    for label_class, technique, slots, counts in _counted(dataset):
        for axis, cells in found.items():
            words = str(slots.get(axis, NOT_STATED))
            name = names[axis].get(words, words)
            cells[label_class, name, technique].add(counts)
    return Atlas(classes, axes, found, _barred(dataset, classes, axes))


def _counted(dataset: Dataset) -> Iterator[tuple[int, str, Mapping[str, Any], Counts]]:
    """Yield (class, technique, slots, counts) of each caption, and of images without one."""
    slots: dict[int, Mapping[str, Any]] = {}
    prompts = Prompt.objects.filter(dataset=dataset).order_by()
    for pk, label_class, technique, state, own in prompts.values_list(
        "pk", "label_class", "technique", "state", "slots"
    ):
        slots[pk] = own
        if state != PromptState.RETIRED:
            yield label_class, technique, own, Counts(prompts=1)
    calls = Call.objects.filter(run__dataset=dataset).order_by()
    for pk, label_class, technique, asked, billed in calls.values_list(
        "prompt", "prompt__label_class", "prompt__technique"
    ).annotate(Sum("count"), Sum("billed_micro_usd")):
        yield label_class, technique, slots.get(pk, {}), Counts(asked=asked, billed=billed)
    images = GeneratedImage.objects.filter(dataset=dataset).order_by()
    for pk, label_class, technique, generated, approved, rejected in images.values_list(
        "prompt", "label_class", "technique"
    ).annotate(
        Count("pk"),
        approved=Count("pk", filter=Q(review__state=ImageState.APPROVED)),
        rejected=Count("pk", filter=Q(review__state=ImageState.REJECTED)),
    ):
        counts = Counts(generated=generated, approved=approved, rejected=rejected)
        yield label_class, technique, slots.get(pk, {}), counts


def _barred(
    dataset: Dataset, classes: list[LabelClass], axes: Mapping[str, list[AxisValue]]
) -> dict[str, frozenset[tuple[int, str]]]:
    """Return the pairs of class and value that are not to be, by axis.

    "None of these" has no look to vary: what it holds is counted, and nothing is missing of it.
    """
    forbidden = set(
        ForbiddenPair.objects.filter(
            dataset=dataset, second__isnull=True, label_class__isnull=False
        ).values_list("first", "label_class")
    )
    return {
        axis: frozenset(
            (label_class.pk, value.name)
            for value in own
            for label_class in classes
            if label_class.is_none_of_these
            or (value.pk, label_class.pk) in forbidden
            or (value.classes.all() and label_class not in value.classes.all())
        )
        for axis, own in axes.items()
    }


# --- Filling gaps -------------------------------------------------------------------------


def technique_for(axis: str, wanted: str = "") -> str:
    """Return the technique whose captions state the axis: its own where there is one."""
    if wanted in WRITTEN:
        return wanted
    return axis if axis in WRITTEN else "plain"


def plan_captions(
    *,
    dataset: Dataset,
    axis: str,
    gaps: Iterable[tuple[LabelClass, str]],
    count: int,
    technique: str = "",
    created_by: User | None = None,
) -> list[Written]:
    """Draft up to `count` captions for each gap; a person approves them, then a run draws them.

    Each gap is its own writing, which may come short where all combinations are written.
    Raises GapError, and ValueError as writing does.
    """
    wanted = list(gaps)
    if not wanted:
        raise GapError("There is no gap to fill.")
    if len(wanted) > MOST_GAPS:
        raise GapError(f"That are {len(wanted)} gaps: fill {MOST_GAPS} at most at a time.")
    return [
        write_prompts(
            Wish(
                dataset=dataset,
                classes=[label_class],
                technique=technique_for(axis, technique),
                count=count,
                values={axis: (value,)},
                seed=Prompt.objects.filter(label_class=label_class).count(),
            ),
            created_by=created_by,
        )
        for label_class, value in wanted
    ]


# --- For scripts --------------------------------------------------------------------------


def report(
    atlas: Atlas, dataset: Dataset, *, axis: str = "", technique: str = "", floor: int = FLOOR
) -> dict[str, Any]:
    """Return one axis or all as JSON. Raises KeyError, with a sentence, for an unknown name."""
    for name, known in ((axis, [*atlas.axes]), (technique, [*TECHNIQUES])):
        if name and name not in known:
            raise KeyError(f"{name!r} is not one of {', '.join(known) or 'none yet'}.")
    matrices = [
        atlas.matrix(one, technique=technique, floor=floor)
        for one in atlas.axes
        if axis in ("", one)
    ]
    statuses = [cell.status for matrix in matrices for cell in matrix.cells]
    return {
        "dataset": dataset.slug,
        "floor": floor,
        "cells": sum(status != BARRED for status in statuses),
        "empty": statuses.count(EMPTY),
        "thin": statuses.count(THIN),
        "axes": [matrix.as_json() for matrix in matrices],
    }
