"""Verbs that bring a dataset file into the catalog: what it states, and nothing else, changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.db import transaction
from django.db.models import Model

from synthreview.accounts.models import User
from synthreview.catalog.dataset_file import DatasetFileError, DatasetSpec
from synthreview.catalog.models import AxisValue, Dataset, LabelClass, QualityPolicy
from synthreview.catalog.permissions import Role
from synthreview.catalog.services import (
    add_class,
    save_dataset,
    save_policy,
    set_axis_values,
    set_role,
    update_class,
)


@dataclass(frozen=True, slots=True)
class Loaded:
    """What a dataset file changed; `left_alone` names classes that it does not mention."""

    dataset: Dataset
    is_new: bool
    changes: list[str]
    left_alone: list[str]


@transaction.atomic
def load_dataset(spec: DatasetSpec, *, owner: User | None = None) -> Loaded:
    """Make the dataset, or bring it to what the file says; loading twice changes nothing.

    Classes that the file leaves out stay, because their images do.
    Raises DatasetFileError, which names the key.
    """
    dataset = Dataset.objects.filter(slug=spec.slug).first()
    is_new = dataset is None
    changes: list[str] = []
    if dataset is None:
        dataset = Dataset(slug=spec.slug)
    if _assign(dataset, {"name": spec.name, **spec.given}, "") or is_new:
        save_dataset(dataset)
        changes.append("dataset")
    policy = QualityPolicy.objects.filter(dataset=dataset).first() or QualityPolicy(dataset=dataset)
    if _assign(policy, spec.policy, "policy.") or policy.pk is None:
        save_policy(policy)
        changes.append("policy")
    changes += _load_classes(dataset, spec)
    changes += _load_axes(dataset, spec)
    if owner and not dataset.memberships.filter(user=owner, role=Role.ADMIN).exists():
        set_role(dataset=dataset, user=owner, role=Role.ADMIN)
        changes.append(f"admin {owner}")
    left_alone = dataset.classes.exclude(name__in=[row.name for row in spec.classes])
    return Loaded(dataset, is_new, changes, list(left_alone.values_list("name", flat=True)))


def _load_classes(dataset: Dataset, spec: DatasetSpec) -> list[str]:
    known = {row.name: row for row in dataset.classes.all()}
    changes = []
    for number, row in enumerate(spec.classes):
        label_class = known.get(row.name)
        where = f"classes[{number}]."
        if label_class is None:
            draft = LabelClass(dataset=dataset, slug="unused", name=row.name)
            _assign(draft, row.given, where)
            add_class(dataset=dataset, name=row.name, **row.given)
        else:
            wanted = {k: v for k, v in row.given.items() if v != getattr(label_class, k)}
            if not wanted:
                continue
            _assign(LabelClass.objects.get(pk=label_class.pk), wanted, where)
            update_class(label_class, wanted)
        changes.append(f"class {row.name}")
    return changes


def _load_axes(dataset: Dataset, spec: DatasetSpec) -> list[str]:
    changes = []
    for axis in spec.axes:
        wanted = [(value.name, value.phrase, set(value.classes)) for value in axis.values]
        values = AxisValue.objects.filter(axis__dataset=dataset, axis__name=axis.name)
        there = [
            (value.name, value.phrase, {row.name for row in value.classes.all()})
            for value in values.prefetch_related("classes")
        ]
        is_new = not dataset.axes.filter(name=axis.name).exists()
        if wanted == there and not is_new:
            continue
        for number, value in enumerate(axis.values):
            _check(
                AxisValue(name=value.name, phrase=value.phrase),
                f"axes[{axis.name}].values[{number}].",
                exclude=["axis"],
            )
        set_axis_values(
            dataset=dataset,
            axis_name=axis.name,
            values=[
                {"name": name, "phrase": phrase, "classes": sorted(classes)}
                for name, phrase, classes in wanted
            ],
        )
        changes.append(f"axis {axis.name}")
    return changes


def _assign(row: Model, values: Mapping[str, Any], where: str) -> bool:
    """Set and check fields; returns whether any of them is new. Raises DatasetFileError."""
    changed = {name: value for name, value in values.items() if getattr(row, name) != value}
    for name, value in changed.items():
        setattr(row, name, value)
    if changed or row.pk is None:
        _check(row, where)
    return bool(changed)


def _check(row: Model, where: str, exclude: Iterable[str] = ()) -> None:
    related = [field.name for field in row._meta.concrete_fields if field.is_relation]
    try:
        row.full_clean(exclude={*related, *exclude})
    except ValidationError as error:
        if not hasattr(error, "error_dict"):
            raise DatasetFileError(f"{where}{' '.join(error.messages)}") from error
        field, complaints = next(iter(error.message_dict.items()))
        key = "" if field == NON_FIELD_ERRORS else field
        value = getattr(row, key, "") if key else ""
        said = f" ({value!r})" if value != "" else ""
        raise DatasetFileError(f"{where}{key}{said}: {' '.join(complaints)}") from error
