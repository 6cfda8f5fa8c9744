"""The form of a probe: a name, classes, and a line for each group."""

from __future__ import annotations

from typing import Any

from django import forms

from synthreview.catalog.forms import ClassesField, PercentField
from synthreview.catalog.models import Axis, Dataset, no_null
from synthreview.scoring.probe_models import Probe
from synthreview.scoring.probe_presets import PRESETS, groups_of_axis
from synthreview.scoring.probing import MOST_GROUPS, GroupWish

LONGEST_WORDS = 400
AXIS = "axis:"


class ProbeForm(forms.Form):
    """What is asked, and of which classes."""

    name = forms.CharField(
        max_length=80,
        validators=[no_null],
        help_text="What you want to know: “ages”, “day and night”.",
    )
    classes = ClassesField(
        required=False, label="Classes", help_text="None ticked: all of the dataset's images."
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        classes = self.fields["classes"]
        assert isinstance(classes, ClassesField)
        classes.queryset = dataset.classes.all()


class GroupForm(forms.Form):
    """One group; a line without a name is none."""

    name = forms.CharField(required=False, max_length=80, validators=[no_null], label="Group")
    words = forms.CharField(
        required=False,
        max_length=LONGEST_WORDS,
        validators=[no_null],
        label="Words for the scorer, ; between wordings",
    )
    asked_by = forms.CharField(
        required=False,
        max_length=LONGEST_WORDS,
        validators=[no_null],
        label="Captions that ask for it say, ; between",
    )
    floor = PercentField(required=False, least=0.1, most=100, label="Floor, %")

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not cleaned.get("name") and any(
            cleaned.get(key) for key in ("words", "asked_by", "floor")
        ):
            self.add_error("name", "Give the group a name.")
        return cleaned

    @property
    def wish(self) -> GroupWish:
        return GroupWish(
            name=self.cleaned_data["name"],
            words=_parts(self.cleaned_data["words"]),
            asked_by=_parts(self.cleaned_data["asked_by"]),
            floor=self.cleaned_data["floor"],
        )


def _parts(text: str) -> tuple[str, ...]:
    return tuple(part for piece in text.split(";") if (part := " ".join(piece.split())))


GroupFormSet = forms.formset_factory(
    GroupForm, extra=4, max_num=MOST_GROUPS, absolute_max=MOST_GROUPS
)


def initial_of(groups: Any) -> list[dict[str, Any]]:
    """Return the lines of a form for groups, be they wishes or rows."""
    return [
        {
            "name": group.name,
            "words": "; ".join(group.words),
            "asked_by": "; ".join(group.asked_by),
            "floor": group.floor,
        }
        for group in groups
    ]


def start_from(dataset: Dataset, chosen: str) -> tuple[str, tuple[GroupWish, ...]]:
    """Return the name and the groups of a preset or an axis; nothing where there is none."""
    if chosen.startswith(AXIS):
        axis = Axis.objects.filter(dataset=dataset, name=chosen.removeprefix(AXIS)).first()
        return (axis.name, groups_of_axis(axis)) if axis else ("", ())
    return (chosen, PRESETS[chosen]) if chosen in PRESETS else ("", ())


def choices_of(dataset: Dataset) -> list[tuple[str, str]]:
    """Return what one may start from: the dataset's axes, then the presets."""
    axes = Axis.objects.filter(dataset=dataset).values_list("name", flat=True)
    taken = set(Probe.objects.filter(dataset=dataset).values_list("name", flat=True))
    return [(AXIS + name, f"{name} (axis)") for name in axes if name not in taken] + [
        (name, name) for name in PRESETS if name not in taken
    ]
