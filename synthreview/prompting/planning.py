"""What can be written for a class: its values, what must not meet, and the label that comes of it.

Everything is read once per dataset; nothing is stored here. `services` writes by it, and the
page shows a `Plan` of it before anything is written.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from synthreview.catalog.models import AxisValue, Dataset, ForbiddenPair, LabelClass
from synthreview.lib.text import normalised, with_article, without_note
from synthreview.prompting import gate
from synthreview.prompting.authors.base import Caption, WriteRequest
from synthreview.prompting.coverage import Coverage, Space, coverage
from synthreview.prompting.shipped import shipped_axis
from synthreview.prompting.techniques import (
    CARRIER,
    LOOK,
    TECHNIQUES,
    LabelRule,
    own_slots,
    templates_for,
)
from synthreview.prompting.template import CLASS, check_template, slot_names
from synthreview.prompting.wishes import Wish

Choice = tuple[str, str]  # name of the value, its words in a caption
SHIPPED_SLOTS = ("surface", "change", "edit")
NO_LABEL = gate.Reason(
    "label", "It does not say what carries the look, so its label cannot be known beforehand."
)


class Shelf:
    """A dataset's classes, axes and forbidden pairs, read with five queries for many wishes."""

    def __init__(self, dataset: Dataset) -> None:
        self.classes = list(dataset.classes.all())
        self.axis_of = {axis.pk: axis.name for axis in dataset.axes.all()}
        self.axes: dict[str, list[AxisValue]] = {name: [] for name in self.axis_of.values()}
        for value in AxisValue.objects.filter(axis__dataset=dataset):
            self.axes[self.axis_of[value.axis_id]].append(value)
        self.classes_of: defaultdict[int, set[int]] = defaultdict(set)
        own = AxisValue.classes.through.objects.filter(axisvalue__axis__dataset=dataset)
        for value_pk, class_pk in own.values_list("axisvalue_id", "labelclass_id"):
            self.classes_of[value_pk].add(class_pk)
        self.pairs = list(
            ForbiddenPair.objects.filter(dataset=dataset).select_related(
                "first__axis", "second__axis", "label_class"
            )
        )


class Stock:
    """What a dataset's `shelf` has for one wish; it is read where none is given.

    Raises ValueError where the wish names an axis, a value or a slot that is not there.
    """

    def __init__(self, wish: Wish, shelf: Shelf | None = None) -> None:
        shelf = shelf or Shelf(wish.dataset)
        self.wish = wish
        self.classes, self.axes, self.axis_of = shelf.classes, shelf.axes, shelf.axis_of
        self.pairs = shelf.pairs
        self._classes_of = shelf.classes_of
        self._forbidden: dict[int, tuple[tuple[Choice, Choice], ...]] = {}
        self._by_name = {
            normalised(name): one for one in self.classes for name in (one.name, *one.synonyms)
        }
        self.none_of_these = next((c for c in self.classes if c.is_none_of_these), None)
        self._check_axes()
        check_templates(wish.technique, wish.templates, self.axes)
        added = (*(wish.axes or ()), *wish.values)
        self.templates = templates_for(wish.technique, wish.templates, added)
        self._varied = None if wish.axes is None else frozenset(added)

    # --- Templates and axes -------------------------------------------------------

    def _check_axes(self) -> None:
        for axis in (*(self.wish.axes or ()), *self.wish.values):
            if axis not in self.axes:
                known = ", ".join(sorted(self.axes)) or "none yet"
                raise ValueError(f"The dataset has no axis {axis!r}; its axes: {known}.")
        for axis, names in self.wish.values.items():
            there = {value.name for value in self.axes[axis]}
            if unknown := [name for name in names if name not in there]:
                raise ValueError(f"The axis {axis!r} has no value {unknown[0]!r}.")

    def choices(self, label_class: LabelClass) -> dict[str, list[Choice]]:
        """Return the values of every slot for this class. Raises ValueError where no label is."""
        found: dict[str, list[Choice]] = {}
        for slot in dict.fromkeys(slot for text in self.templates for slot in slot_names(text)):
            if slot == CLASS:
                continue
            if slot in self.axes:
                if self._varied is None or slot in self._varied or slot == CARRIER:
                    narrowed = set(self.wish.values.get(slot, ()))
                    found[slot] = self._values(slot, label_class, narrowed)
            elif own := self._own_values(slot, label_class):
                found[slot] = own
        return found

    def _values(self, axis: str, label_class: LabelClass, chosen: set[str]) -> list[Choice]:
        """Return the axis's values that fit the class."""
        apart = {
            pair.first_id
            for pair in self.pairs
            if pair.second_id is None and pair.label_class_id == label_class.pk
        }
        return [
            (value.name, value.phrase or value.name)
            for value in self.axes[axis]
            if (not chosen or value.name in chosen)
            and value.pk not in apart
            and self.fits(value, label_class)
        ]

    def fits(self, value: AxisValue, label_class: LabelClass) -> bool:
        """Say whether the value is for this class: one without classes is for all."""
        own = self._classes_of.get(value.pk)
        return not own or label_class.pk in own

    def _own_values(self, slot: str, label_class: LabelClass) -> list[Choice]:
        """Return what a technique brings itself; an axis of that name would come first."""
        others = [
            (one.name, without_note(one.name))
            for one in self.classes
            if one != label_class and not one.is_none_of_these
        ]
        if slot == CARRIER:
            foreign = self._shipped(CARRIER) if self.none_of_these else []
            known = {normalised(name) for name in (label_class.name, *label_class.synonyms)}
            carriers = [c for c in [*others, *foreign] if normalised(c[0]) not in known]
            if not carriers:
                raise ValueError(
                    f"An adversarial prompt for {label_class.name} needs another label: add a "
                    "second class, or one for “none of these”."
                )
            return carriers
        if slot == "word":
            mine = {normalised(name) for name in (label_class.name, *label_class.synonyms)}
            return [c for c in [*others, *self._shipped("word")] if normalised(c[0]) not in mine]
        if slot == "partner":
            same = (label_class.name, f"another {without_note(label_class.name)}")
            if self.wish.label is None:
                return [same]
            return [same, *((name, with_article(words)) for name, words in others)]
        return self._shipped(slot) if slot in SHIPPED_SLOTS else []

    def _shipped(self, name: str) -> list[Choice]:
        return [(value.name, value.phrase) for value in shipped_axis(name).values]

    def forbidden(self, label_class: LabelClass) -> tuple[tuple[Choice, Choice], ...]:
        """Return the pairs of (axis, name) that must not meet for this class."""
        if label_class.pk not in self._forbidden:
            self._forbidden[label_class.pk] = self._forbidden_of(label_class)
        return self._forbidden[label_class.pk]

    def _forbidden_of(self, label_class: LabelClass) -> tuple[tuple[Choice, Choice], ...]:
        return tuple(
            (
                (pair.first.axis.name, pair.first.name),
                (pair.second.axis.name, pair.second.name),
            )
            for pair in self.pairs
            if pair.second is not None and pair.label_class_id in (None, label_class.pk)
        )

    # --- Labels -------------------------------------------------------------------

    def labelled(
        self, label_class: LabelClass, judged: gate.Judged
    ) -> tuple[LabelClass, gate.Judged]:
        """Return the caption with its true label, which is known before anything is drawn."""
        rule = TECHNIQUES[self.wish.technique].label_rule
        if rule is LabelRule.CHOSEN:
            return self.wish.label or label_class, judged
        if rule is not LabelRule.CARRIER:
            return label_class, judged
        carrier = judged.caption.slots.get(CARRIER) or self._carrier_in(judged, label_class)
        label = self._by_name.get(normalised(carrier)) if carrier else None
        label = label or (self.none_of_these if carrier else None)
        if label is None or label == label_class:
            return label_class, gate.Judged(judged.caption, gate.Outcome.DROPPED, (NO_LABEL,))
        slots = {**judged.caption.slots, CARRIER: carrier, LOOK: without_note(label_class.name)}
        caption = dataclasses.replace(judged.caption, slots=slots)
        return label, gate.Judged(caption, judged.outcome, judged.reasons)

    def _carrier_in(self, judged: gate.Judged, label_class: LabelClass) -> str:
        """Return the one carrier that a caption of a language model names."""
        known = self._own_values(CARRIER, label_class)
        named = [words for _, words in known if gate.mentions(judged.caption.text, [words])]
        return named[0] if len(named) == 1 else ""


def check_templates(technique: str, templates: Iterable[str], axes: Iterable[str]) -> None:
    """Raise ValueError where a template is wrong, or names a slot that is neither axis nor own."""
    brought = own_slots(technique)
    known = {*axes, *brought}
    for template in templates:
        check_template(template, known)
        if CARRIER in brought and CARRIER not in slot_names(template):
            raise ValueError(
                f"The template must contain {{{CARRIER}}}: it is what the label goes by."
            )


def drawable(classes: Iterable[LabelClass]) -> list[LabelClass]:
    """Return the classes that have a look; "none of these" has none. Raises ValueError."""
    chosen = [label_class for label_class in classes if not label_class.is_none_of_these]
    if not chosen:
        raise ValueError("Choose a class that can be seen: “none of these” has no look of its own.")
    return chosen


def space_of(request: WriteRequest) -> Space:
    """Return the combinations that the request leaves open."""
    slots = dict.fromkeys(slot for text in request.templates for slot in slot_names(text))
    axes = {
        slot: [name for name, _ in request.axes[slot]] for slot in slots if request.axes.get(slot)
    }
    return Space(axes, request.forbidden)


def coverage_of(request: WriteRequest, slots: Iterable[Mapping[str, str]]) -> Coverage:
    """Return what captions with these slots cover of the request's combinations."""
    names = {
        axis: {normalised(without_note(words)): name for name, words in reversed(list(values))}
        for axis, values in request.axes.items()
    }
    return coverage(
        space_of(request),
        (
            {
                axis: names[axis][key]
                for axis, words in said.items()
                if axis in names and (key := normalised(without_note(words))) in names[axis]
            }
            for said in slots
        ),
    )


@dataclass(frozen=True, slots=True)
class ClassPlan:
    """What one class would get.

    `combinations` is the exact size of its grid; `for_all_pairs` the number of captions that
    let every two values meet: the real one lies there or a few per cent above. `coverage` is
    that of the first `covered_by` captions: all of them, or the beginning of a long covering
    array, which covers every pair at its end.
    """

    label_class: LabelClass
    count: int
    combinations: int
    for_all_pairs: int
    coverage: Coverage
    covered_by: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What a wish would give, before anything is written.

    `samples` are its first captions, with their labels. They are the ones that would be stored.
    """

    templates: tuple[str, ...]
    classes: list[ClassPlan]
    samples: list[tuple[LabelClass, Caption]] = field(default_factory=list)

    @property
    def count(self) -> int:
        return sum(one.count for one in self.classes)

    @property
    def combinations(self) -> int:
        return sum(one.combinations for one in self.classes)

    @property
    def for_all_pairs(self) -> int:
        return sum(one.for_all_pairs for one in self.classes)

    @property
    def covered_by(self) -> int:
        return sum(one.covered_by for one in self.classes)

    @property
    def pairs_covered(self) -> int:
        return sum(one.coverage.pairs_covered for one in self.classes)

    @property
    def pairs_total(self) -> int:
        return sum(one.coverage.pairs_total for one in self.classes)

    @property
    def value_counts(self) -> dict[str, dict[str, int]]:
        """How often each value of each axis occurs, over all classes."""
        counts: dict[str, dict[str, int]] = {}
        for one in self.classes:
            for axis, values in one.coverage.values.items():
                of_axis = counts.setdefault(axis, {})
                for value, count in values.items():
                    of_axis[value] = of_axis.get(value, 0) + count
        return counts
