"""The form that starts a run."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from synthreview.catalog.forms import ClassesField
from synthreview.catalog.models import Dataset
from synthreview.generation.options import OptionForm
from synthreview.generation.services import approved_prompts, generator
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN

MAX_COUNT = 100_000


class RunForm(OptionForm):
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
    negative_prompt = forms.CharField(
        label="Not in the picture",
        required=False,
        max_length=1000,
        help_text="A negative prompt, where the generator takes one.",
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
        self.add_options(self.chosen_generator)
        chosen = self.chosen_generator
        if not chosen or not generator(chosen).capabilities().takes_negative_prompt:
            self.fields["negative_prompt"].widget = forms.HiddenInput()

    @property
    def chosen_generator(self) -> str:
        """The alias that is chosen now, or the first one; empty where there is none."""
        given = str((self.data or {}).get("generator") or self.initial["generator"])
        return given if given in settings.GENERATORS else str(self.initial["generator"])

    @property
    def notice(self) -> str:
        """What must be known of the chosen generator."""
        return generator(self.chosen_generator).notice if self.chosen_generator else ""

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
        return {
            "count": self.cleaned_data["count"],
            "generator_alias": self.cleaned_data["generator"],
            "size_px": self.cleaned_data["size_px"],
            "negative_prompt": self.cleaned_data["negative_prompt"],
            "options": self.options,
        }
