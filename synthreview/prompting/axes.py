"""Verbs of a dataset's axes: take a shipped list, import and export, forbid what must not meet."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from django.db import transaction

from synthreview.catalog.models import Axis, AxisValue, Dataset, ForbiddenPair, LabelClass
from synthreview.catalog.services import add_class, forbid_pair, set_axis_values
from synthreview.prompting.axis_files import (
    AxesSpec,
    AxisFileError,
    AxisValueSpec,
    format_axes,
    parse_axes,
)
from synthreview.prompting.shipped import kind_of, shipped_axis
from synthreview.prompting.techniques import TECHNIQUES

NONE_OF_THESE = "none of these"


@transaction.atomic
def add_shipped_axis(
    dataset: Dataset,
    axis_name: str,
    names: Sequence[str] | None = None,
    *,
    kinds: Mapping[str, str] | None = None,
    starter: bool = False,
) -> Axis:
    """Add the values of a shipped list to the dataset's axis of that name, after its own.

    `names` picks some; without it all that fit, with `starter` the first ones alone, which
    differ most. A value for certain kinds of thing (actions) gets the classes of those kinds:
    `kinds` says them by the class's name ("animal", "vehicle", "person", "object", "plant"),
    and what it leaves out is guessed. Values that are there stay; classes are added to theirs.
    Raises ValueError (unknown list, value or kind; no value fits).
    """
    shipped = shipped_axis(axis_name)
    classes = [one for one in dataset.classes.all() if not one.is_none_of_these]
    kind = {
        one.name: (kinds or {}).get(one.name) or kind_of(one.name, one.synonyms) for one in classes
    }
    fitting = shipped.of_kind(dict.fromkeys(kind.values()) or ("object",), starter=starter)
    if names is not None:
        by_name = {value.name: value for value in shipped.values}
        if unknown := [name for name in names if name not in by_name]:
            raise ValueError(f"The word list {axis_name!r} has no value {unknown[0]!r}.")
        fitting = [by_name[name] for name in names]
    if not fitting:
        raise ValueError(f"No value of the word list {axis_name!r} fits the classes.")
    fits = {
        value.name.casefold(): tuple(name for name, its in kind.items() if its in value.kinds)
        for value in fitting
    }
    own = _specs(dataset, [axis_name]).get(axis_name, ())
    known = {value.name.casefold() for value in own}
    wider = [
        dataclasses.replace(
            value,
            classes=tuple(dict.fromkeys((*value.classes, *fits.get(value.name.casefold(), ())))),
        )
        if value.classes
        else value
        for value in own
    ]
    new = [
        AxisValueSpec(
            value.name,
            value.phrase if value.phrase != value.name else "",
            fits[value.name.casefold()],
        )
        for value in fitting
        if value.name.casefold() not in known
    ]
    return _set(dataset, axis_name, [*wider, *new])


@transaction.atomic
def add_shipped_lists(
    dataset: Dataset,
    names: Iterable[str],
    *,
    kinds: Mapping[str, str] | None = None,
    starter: bool = False,
) -> list[Axis]:
    """Add several shipped lists, all or none. Takes and raises what `add_shipped_axis` does."""
    return [add_shipped_axis(dataset, name, kinds=kinds, starter=starter) for name in names]


@transaction.atomic
def add_starter_axes(dataset: Dataset, techniques: Iterable[str]) -> list[Axis]:
    """Add the axes that these techniques begin with, where the dataset lacks them."""
    there = set(dataset.axes.values_list("name", flat=True))
    wanted = dict.fromkeys(axis for technique in techniques for axis in TECHNIQUES[technique].axes)
    return [add_shipped_axis(dataset, axis, starter=True) for axis in wanted if axis not in there]


def add_none_of_these(dataset: Dataset) -> LabelClass:
    """Return the class for what is none of the others, made where there is none yet."""
    found = dataset.classes.filter(is_none_of_these=True).first()
    return found or add_class(dataset=dataset, name=NONE_OF_THESE, is_none_of_these=True)


@transaction.atomic
def import_axes(
    dataset: Dataset, data: bytes | str, *, kind: str, replace: bool = False
) -> list[Axis]:
    """Take axes from a CSV or TOML file: all of it, or nothing.

    Values of the file come first, in its order, and change those of the same name; the others
    stay behind them, or go with `replace`. Raises AxisFileError, which names the line.
    """
    spec = parse_axes(data, kind=kind)
    classes = set(dataset.classes.values_list("name", flat=True))
    own = _specs(dataset)
    for axis, values in spec.axes.items():
        for value in values:
            if unknown := [name for name in value.classes if name not in classes]:
                raise AxisFileError(
                    f"{axis}, {value.name}: no class is called {unknown[0]!r}; "
                    f"known: {', '.join(sorted(classes))}."
                )
    axes = []
    for axis, values in spec.axes.items():
        named = {value.name.casefold() for value in values}
        kept = [value for value in own.get(axis, ()) if value.name.casefold() not in named]
        axes.append(_set(dataset, axis, [*values, *(() if replace else kept)]))
    for pair in spec.forbidden:
        forbid_values(dataset, dict(pair))
    return axes


def export_axes(dataset: Dataset, *, kind: str, names: Sequence[str] | None = None) -> str:
    """Return the dataset's axes, or some of them, as the text of a CSV or TOML file."""
    pairs = ForbiddenPair.objects.filter(dataset=dataset).select_related(
        "first__axis", "second__axis", "label_class"
    )
    specs = _specs(dataset, names)
    forbidden = [_named(pair) for pair in pairs]
    return format_axes(
        AxesSpec(
            specs,
            tuple(
                tuple(sorted(pair.items()))
                for pair in forbidden
                if set(pair) - {"class"} <= set(specs)
            ),
        ),
        kind=kind,
    )


def _named(pair: ForbiddenPair) -> dict[str, str]:
    named = {value.axis.name: value.name for value in (pair.first, pair.second) if value}
    return named | ({"class": pair.label_class.name} if pair.label_class else {})


def forbid_values(dataset: Dataset, pair: Mapping[str, str]) -> ForbiddenPair:
    """Forbid {"environment": "under water", "light": "candle light"} by name.

    With "class" it holds for that class alone; one value and a class never meet.
    Raises ValueError where a name is unknown.
    """
    values: list[AxisValue] = []
    label_class: LabelClass | None = None
    for axis, name in pair.items():
        if axis == "class":
            label_class = dataset.classes.filter(name=name).first()
            if label_class is None:
                raise ValueError(f"No class is called {name!r}.")
            continue
        found = AxisValue.objects.filter(axis__dataset=dataset, axis__name=axis, name=name)
        if (value := found.select_related("axis").first()) is None:
            raise ValueError(f"The axis {axis!r} has no value {name!r}.")
        values.append(value)
    if not 1 <= len(values) <= 2:
        raise ValueError("A pair is two values of two axes, or a value and a class.")
    return forbid_pair(
        dataset=dataset,
        first=values[0],
        second=values[1] if len(values) > 1 else None,
        label_class=label_class,
    )


def _specs(
    dataset: Dataset, names: Sequence[str] | None = None
) -> dict[str, tuple[AxisValueSpec, ...]]:
    axes = dataset.axes.prefetch_related("values__classes")
    return {
        axis.name: tuple(
            AxisValueSpec(value.name, value.phrase, tuple(one.name for one in value.classes.all()))
            for value in axis.values.all()
        )
        for axis in axes
        if names is None or axis.name in names
    }


def _set(dataset: Dataset, axis: str, values: Iterable[AxisValueSpec]) -> Axis:
    return set_axis_values(
        dataset=dataset,
        axis_name=axis,
        values=[
            {"name": value.name, "phrase": value.phrase, "classes": value.classes}
            for value in values
        ],
    )
