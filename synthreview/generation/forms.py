"""The form that starts a run."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from synthreview.catalog.forms import ClassesField, PercentField
from synthreview.catalog.models import Dataset
from synthreview.generation.services import approved_prompts, generator
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN

MAX_COUNT = 100_000
# The options that a page offers, by the generator's alias; others go without.
OPTIONS_OF = {"sketch": ("fault_rate",)}


class RunForm(forms.Form):
    """What to draw for `dataset`, by which generator."""

    classes = ClassesField()
    techniques = forms.MultipleChoiceField(
        choices=[(key, TECHNIQUES[key].title) for key in WRITTEN],
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose one technique or more."},
    )
    count = forms.IntegerField(
        label="Images",
        min_value=1,
        max_value=MAX_COUNT,
        initial=60,
        help_text="Shared evenly over the prompts.",
    )
    generator = forms.ChoiceField()
    size_px = forms.TypedChoiceField(label="Size", coerce=int)
    fault_rate = PercentField(
        label="Faults on purpose (%)",
        least=0,
        most=100,
        required=False,
        initial=0.15,
        help_text="How often Sketch draws something other than the caption says.",
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        classes = self.fields["classes"]
        assert isinstance(classes, ClassesField)
        classes.queryset = dataset.classes.all()
        aliases = list(settings.GENERATORS)
        self.fields["generator"] = forms.ChoiceField(
            choices=[(alias, generator(alias).title) for alias in aliases]
        )
        sizes = sorted(
            {size for alias in aliases for size in generator(alias).capabilities().sizes_px}
        )
        self.fields["size_px"] = forms.TypedChoiceField(
            label="Size", coerce=int, choices=[(size, f"{size} px") for size in sizes]
        )
        self.initial = {
            "classes": dataset.classes.all(),
            "techniques": WRITTEN,
            "generator": next(iter(aliases), ""),
            "size_px": 512 if 512 in sizes else next(iter(sizes), ""),
            **self.initial,
        }

    @property
    def notice(self) -> str:
        """What must be known of the chosen generator."""
        try:
            return generator(str(self["generator"].value())).notice
        except UnknownAdapterError:
            return ""

    @property
    def shows_fault_rate(self) -> bool:
        return "fault_rate" in OPTIONS_OF.get(str(self["generator"].value()), ())

    def prompts(self) -> list[Prompt]:
        """Return the approved prompts of the chosen classes and techniques."""
        return approved_prompts(
            self.dataset,
            classes=list(self.cleaned_data["classes"]),
            techniques=self.cleaned_data["techniques"],
        )

    @property
    def order(self) -> dict[str, Any]:
        """The arguments of `services.plan_run` and `services.start_run`, without the prompts."""
        cleaned = self.cleaned_data
        names = OPTIONS_OF.get(cleaned["generator"], ())
        return {
            "count": cleaned["count"],
            "generator_alias": cleaned["generator"],
            "size_px": cleaned["size_px"],
            "options": {name: cleaned[name] for name in names if cleaned[name] is not None},
        }
