"""Form fields of what a generator offers to be set: made from its own list of options."""

from __future__ import annotations

from typing import Any

from django import forms

from synthreview.catalog.forms import PercentField
from synthreview.generation.generators.base import Option
from synthreview.generation.services import generator

PREFIX = "option_"


class OptionForm(forms.Form):
    """A form with fields for the options of one generator."""

    offered: tuple[Option, ...] = ()

    def add_options(self, alias: str) -> None:
        """Add a field for each option of the generator; an empty alias has none."""
        self.offered = generator(alias).capabilities().options if alias else ()
        for option in self.offered:
            self.fields[PREFIX + option.name] = _field(option)
            self.initial.setdefault(PREFIX + option.name, option.default)

    @property
    def option_fields(self) -> list[forms.BoundField]:
        return [self[PREFIX + option.name] for option in self.offered]

    @property
    def options(self) -> dict[str, Any]:
        """What was set, by the option's name; what was left empty is left out."""
        given = {o.name: self.cleaned_data.get(PREFIX + o.name) for o in self.offered}
        return {name: value for name, value in given.items() if value not in (None, "")}


def _field(option: Option) -> forms.Field:
    common: dict[str, Any] = {"label": option.title, "required": False, "help_text": option.help}
    if option.kind == "choice":
        return forms.ChoiceField(
            choices=[("", "its own"), *((c, c) for c in option.choices)], **common
        )
    if option.kind == "text":
        return forms.CharField(max_length=1000, **common)
    if (option.least, option.most) == (0, 1):
        common["label"] += " (%)"
        return PercentField(least=0, most=100, **common)
    return forms.FloatField(min_value=option.least, max_value=option.most, **common)
