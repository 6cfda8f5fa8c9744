"""Verbs of the catalog: make a dataset, add and change its classes, members and axes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.db import transaction
from django.db.models import Max, ProtectedError
from django.utils.text import slugify

from synthreview.accounts.models import User
from synthreview.catalog.models import (
    Axis,
    AxisValue,
    Dataset,
    ForbiddenPair,
    LabelClass,
    Membership,
    QualityPolicy,
)
from synthreview.catalog.permissions import Role
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record


class LastAdminError(ValueError):
    """The dataset would be left without an admin."""


class ClassInUseError(ValueError):
    """The class has images, and those are evidence."""


def unique_slug(name: str, taken: Iterable[str]) -> str:
    """Return a slug of `name` that is safe as a folder and not among `taken`.

    Names without any Latin letter become "class", and a number keeps them apart.
    """
    base = slugify(name)[:50] or "class"
    if base in {"con", "prn", "aux", "nul"} or (base[:3] in {"com", "lpt"} and base[3:].isdigit()):
        base = f"class-{base}"
    taken = set(taken)
    slug, number = base, 2
    while slug in taken:
        slug, number = f"{base}-{number}", number + 1
    return slug


@transaction.atomic
def create_dataset(
    *, name: str, description: str = "", licence: str = "", created_by: User | None = None
) -> Dataset:
    """Make a dataset with its policy; who makes it becomes its admin."""
    slug = unique_slug(name, Dataset.objects.values_list("slug", flat=True))
    dataset = Dataset.objects.create(
        name=name, slug=slug, description=description, licence=licence, created_by=created_by
    )
    QualityPolicy.objects.create(dataset=dataset)
    record(Act.DATASET_MADE, dataset, dataset=dataset.pk, after=facts(dataset), by=created_by)
    if created_by:
        set_role(dataset=dataset, user=created_by, role=Role.ADMIN)
    return dataset


@transaction.atomic
def save_dataset(dataset: Dataset) -> None:
    """Store what was changed in it, its name or its description; a new one gets no policy."""
    stored = Dataset.objects.filter(pk=dataset.pk).first()
    dataset.save()
    act = Act.DATASET_CHANGED if stored else Act.DATASET_MADE
    before = facts(stored) if stored else None
    record(act, dataset, dataset=dataset.pk, before=before, after=facts(dataset))


@transaction.atomic
def save_policy(policy: QualityPolicy) -> None:
    """Store what was changed in a dataset's policy."""
    stored = QualityPolicy.objects.filter(pk=policy.pk).first()
    policy.save()
    before = facts(stored) if stored else None
    record(Act.POLICY_CHANGED, policy, before=before, after=facts(policy))


@transaction.atomic
def add_class(*, dataset: Dataset, name: str, **fields: Any) -> LabelClass:
    """Add a class at the end of the list."""
    last = dataset.classes.aggregate(last=Max("position"))["last"]
    slug = unique_slug(name, dataset.classes.values_list("slug", flat=True))
    fields.setdefault("position", 0 if last is None else last + 1)
    added = dataset.classes.create(name=name, slug=slug, **fields)
    record(Act.CLASS_ADDED, added, after=facts(added))
    return added


@transaction.atomic
def update_class(label_class: LabelClass, changes: Mapping[str, Any]) -> LabelClass:
    """Change a class; new words for reviewers make a new guideline version."""
    before = facts(label_class)
    if any(
        field in changes and changes[field] != getattr(label_class, field)
        for field in ("name", "definition", "guideline")
    ):
        label_class.guideline_version += 1
    for field, value in changes.items():
        setattr(label_class, field, value)
    label_class.save()
    record(Act.CLASS_CHANGED, label_class, before=before, after=facts(label_class))
    return label_class


@transaction.atomic
def set_role(*, dataset: Dataset, user: User, role: str) -> Membership:
    """Give a person a role in the dataset, in place of any earlier one."""
    earlier = Membership.objects.filter(dataset=dataset, user=user).first()
    membership, _ = Membership.objects.update_or_create(
        dataset=dataset, user=user, defaults={"role": role}
    )
    before = {"role": earlier.role} if earlier else None
    record(Act.MEMBER_SET, membership, before=before, after={"role": str(role)})
    return membership


@transaction.atomic
def change_role(membership: Membership, role: str) -> None:
    """Change a member's role. Raises LastAdminError."""
    if role != Role.ADMIN:
        _check_other_admin(membership)
    before = {"role": membership.role}
    Membership.objects.filter(pk=membership.pk).update(role=role)
    record(Act.MEMBER_SET, membership, before=before, after={"role": str(role)})


@transaction.atomic
def remove_member(membership: Membership) -> None:
    """End a membership; what the person decided stays. Raises LastAdminError."""
    _check_other_admin(membership)
    record(Act.MEMBER_REMOVED, membership, before=facts(membership))
    membership.delete()


def _check_other_admin(membership: Membership) -> None:
    # The lock keeps two admins from demoting each other at the same moment.
    Dataset.objects.select_for_update().get(pk=membership.dataset_id)
    admins = Membership.objects.filter(dataset=membership.dataset_id, role=Role.ADMIN)
    if set(admins.values_list("pk", flat=True)) == {membership.pk}:
        raise LastAdminError("A dataset needs an admin: make somebody else one first.")


@transaction.atomic
def delete_class(label_class: LabelClass) -> None:
    """Delete a class and its prompts. Raises ClassInUseError where it has images or runs."""
    record(Act.CLASS_DELETED, label_class, before=facts(label_class))
    try:
        label_class.delete()
    except ProtectedError:
        raise ClassInUseError(
            f"{label_class.name} has been drawn already, so it must stay: its images are evidence."
        ) from None


@transaction.atomic
def set_axis_values(
    *, dataset: Dataset, axis_name: str, values: Iterable[Mapping[str, Any]]
) -> Axis:
    """Make the axis hold exactly `values` ({name, phrase, classes}), in this order."""
    values = list(values)
    axis, _ = Axis.objects.get_or_create(
        dataset=dataset, name=axis_name, defaults={"position": dataset.axes.count()}
    )
    before = _words_of(axis)
    classes = {label_class.name: label_class for label_class in dataset.classes.all()}
    for position, value in enumerate(values):
        row, _ = AxisValue.objects.update_or_create(
            axis=axis,
            name=value["name"],
            defaults={"phrase": value.get("phrase", ""), "position": position},
        )
        row.classes.set(classes[name] for name in value.get("classes", ()))
    axis.values.exclude(name__in=[value["name"] for value in values]).delete()
    record(Act.AXIS_SET, axis, before={"values": before}, after={"values": _words_of(axis)})
    return axis


def _words_of(axis: Axis) -> list[list[str]]:
    """Return [name, phrase] of each value, as the trail keeps them."""
    return [list(pair) for pair in axis.values.values_list("name", "phrase")]


@transaction.atomic
def delete_axis(axis: Axis) -> None:
    """Delete an axis with its values; the captions that were written with it stay."""
    record(Act.AXIS_DELETED, axis, before={"values": _words_of(axis)})
    axis.delete()


@transaction.atomic
def forbid_pair(
    *,
    dataset: Dataset,
    first: AxisValue,
    second: AxisValue | None = None,
    label_class: LabelClass | None = None,
) -> ForbiddenPair:
    """Say that the two must not meet in one caption; saying it twice changes nothing.

    Raises ValueError where they are of one axis, or of another dataset.
    """
    if second is None and label_class is None:
        raise ValueError("A pair has two: name a second value or a class.")
    if second is not None and second.axis_id == first.axis_id:
        raise ValueError(
            f"{first} and {second} are values of one axis, so they never meet: choose two axes."
        )
    datasets = {value.axis.dataset_id for value in (first, second) if value}
    if datasets | {label_class.dataset_id if label_class else dataset.pk} != {dataset.pk}:
        raise ValueError("Both must belong to this dataset.")
    if second is not None and second.pk < first.pk:
        first, second = second, first
    pair, is_new = ForbiddenPair.objects.get_or_create(
        dataset=dataset, first=first, second=second, label_class=label_class
    )
    if is_new:
        record(Act.PAIR_FORBIDDEN, pair)
    return pair


@transaction.atomic
def allow_pair(pair: ForbiddenPair) -> None:
    """Let the two meet again."""
    record(Act.PAIR_ALLOWED, pair)
    pair.delete()
