"""What forbidden pairs take away: how many combinations each removes, and which."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from synthreview.catalog.models import Dataset, ForbiddenPair, LabelClass
from synthreview.prompting.coverage import Space
from synthreview.prompting.planning import Stock
from synthreview.prompting.techniques import templates_for
from synthreview.prompting.template import CLASS, fill
from synthreview.prompting.wishes import Wish

EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Removal:
    """One pair: how many combinations hold it, of all axes and classes, and captions that would."""

    pair: ForbiddenPair
    combinations: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Removals:
    """All pairs of a dataset; `combinations` there are without them, `left` with them."""

    pairs: list[Removal] = field(default_factory=list)
    combinations: int = 0
    left: int = 0

    @property
    def removed(self) -> int:
        return self.combinations - self.left


def removals(dataset: Dataset) -> Removals:
    """Say what each forbidden pair removes from the grid of all axes; no grid is made.

    Two pairs may remove the same combination, so the pairs' numbers can add up to more than
    what is removed in all. Ten queries at any number of pairs.
    """
    classes = [one for one in dataset.classes.all() if not one.is_none_of_these]
    if not classes:
        return Removals()
    stock = Stock(Wish(dataset=dataset, classes=classes, technique="plain", count=0))
    whole = {one.pk: _values(stock, one) for one in classes}
    left = 0
    for label_class in classes:
        apart = {
            pair.first_id
            for pair in stock.pairs
            if pair.second_id is None and pair.label_class_id == label_class.pk
        }
        axes = {
            axis: [name for name, pk in values.items() if pk not in apart]
            for axis, values in whole[label_class.pk].items()
        }
        left += Space(axes, stock.forbidden(label_class)).size()
    found = [_removal(pair, classes, whole, stock) for pair in stock.pairs]
    return Removals(found, sum(map(_size, whole.values())), left)


def _values(stock: Stock, label_class: LabelClass) -> dict[str, dict[str, int]]:
    """Return, for each axis, the values that fit the class, as name → primary key."""
    axes = {
        axis: {value.name: value.pk for value in values if stock.fits(value, label_class)}
        for axis, values in stock.axes.items()
    }
    return {axis: values for axis, values in axes.items() if values}


def _size(axes: Mapping[str, Mapping[str, int]]) -> int:
    return math.prod(len(values) for values in axes.values())


def _removal(
    pair: ForbiddenPair,
    classes: Sequence[LabelClass],
    whole: Mapping[int, Mapping[str, Mapping[str, int]]],
    stock: Stock,
) -> Removal:
    values = [value for value in (pair.first, pair.second) if value is not None]
    removed, examples = 0, list[str]()
    words = {stock.axis_of[value.axis_id]: value.phrase or value.name for value in values}
    (template,) = templates_for("plain", ["A [class]"])
    template += "".join(f" {{{axis}}}" for axis in words)
    for label_class in classes:
        if pair.label_class_id not in (None, label_class.pk):
            continue
        axes = whole[label_class.pk]
        if not all(value.name in axes.get(stock.axis_of[value.axis_id], {}) for value in values):
            continue
        others = (len(names) for axis, names in axes.items() if axis not in words)
        removed += math.prod(others)
        if len(examples) < EXAMPLES:
            examples.append(fill(template, {CLASS: label_class.name, **words}))
    return Removal(pair, removed, tuple(examples))
