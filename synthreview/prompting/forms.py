"""Forms of prompting: what to write, which prompts to show, one caption."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.conf import settings

from synthreview.catalog.forms import ClassesField
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.text import normalised
from synthreview.prompting.coverage import Strategy
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.services import author, template_for
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN

MAX_COUNT = 5_000
MAX_SEED = 2**31 - 1
TECHNIQUE_TITLES = [(key, TECHNIQUES[key].title) for key in WRITTEN]


class WriteForm(forms.Form):
    """What prompts to write for `dataset`."""

    technique = forms.ChoiceField(choices=TECHNIQUE_TITLES, widget=forms.RadioSelect)
    classes = ClassesField()
    template = forms.CharField(
        required=False,
        max_length=500,
        help_text="Leave it empty for the technique's own template.",
    )
    count = forms.IntegerField(label="How many", min_value=1, max_value=MAX_COUNT, initial=20)
    strategy = forms.ChoiceField(
        label="Combinations",
        choices=[(strategy.value, strategy.label.capitalize()) for strategy in Strategy],
        initial=Strategy.BALANCED,
        required=False,
    )
    author = forms.ChoiceField(label="Written by")
    # The same seed gives the same captions: what the preview shows is what is stored.
    seed = forms.IntegerField(
        required=False, min_value=0, max_value=MAX_SEED, widget=forms.HiddenInput
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        # A language model may take a minute to answer: `manage.py write_prompts` asks those.
        authors = [
            (alias, author(alias).title)
            for alias in settings.AUTHORS
            if not author(alias).needs_worker
        ]
        classes = self.fields["classes"]
        assert isinstance(classes, ClassesField)
        classes.queryset = dataset.classes.all()
        self.initial = {
            "technique": WRITTEN[0],
            "classes": dataset.classes.all(),
            "author": authors[0][0] if authors else "",
            "seed": secrets.randbelow(MAX_SEED),
            **self.initial,
        }
        self.axes = {axis.name: axis for axis in dataset.axes.prefetch_related("values")}
        for name, axis in self.axes.items():
            self.fields[f"axis-{name}"] = forms.MultipleChoiceField(
                label=name.replace("-", " ").capitalize(),
                required=False,
                choices=[(value.name, value.name) for value in axis.values.all()],
                widget=forms.CheckboxSelectMultiple,
            )
        self.fields["author"] = forms.ChoiceField(
            label="Written by",
            choices=authors,
            widget=forms.Select if len(authors) > 1 else forms.HiddenInput,
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if {"technique", "template"} <= set(cleaned):
            try:
                template_for(cleaned["technique"], cleaned["template"], set(self.axes))
            except ValueError as error:
                self.add_error("template", str(error))
        return cleaned

    def axis_fields(self) -> list[forms.BoundField]:
        """The fields that restrict an axis to some of its values."""
        return [self[f"axis-{name}"] for name in self.axes]

    @property
    def wish(self) -> dict[str, Any]:
        """The arguments of `services.preview` and `services.write_prompts`."""
        cleaned = self.cleaned_data
        chosen = {name: cleaned.get(f"axis-{name}") for name in self.axes}
        return {
            "axes": {name: values for name, values in chosen.items() if values} or None,
            "strategy": Strategy(cleaned["strategy"] or Strategy.BALANCED),
            "dataset": self.dataset,
            "classes": list(cleaned["classes"]),
            "technique": cleaned["technique"],
            "count": cleaned["count"],
            "author_alias": cleaned["author"],
            "template": cleaned["template"],
            "seed": cleaned["seed"] or 0,
        }


class PromptFilterForm(forms.Form):
    """Which prompts to show; what is no choice is left out of account."""

    label_class = forms.ModelChoiceField(
        LabelClass.objects.none(), required=False, label="Class", empty_label="All classes"
    )
    technique = forms.ChoiceField(
        required=False, choices=[("", "All techniques"), *TECHNIQUE_TITLES]
    )
    state = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any state"),
            *((state.value, str(state.label).capitalize()) for state in PromptState),
        ],
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        classes = self.fields["label_class"]
        assert isinstance(classes, forms.ModelChoiceField)
        classes.queryset = dataset.classes.all()

    @property
    def chosen(self) -> dict[str, Any]:
        """The filters of a queryset."""
        self.is_valid()
        return {name: value for name, value in self.cleaned_data.items() if value}


class CaptionForm(forms.Form):
    """The words of one prompt."""

    text = forms.CharField(
        label="Caption", max_length=4000, widget=forms.Textarea(attrs={"rows": 2})
    )

    def __init__(self, *args: Any, prompt: Prompt, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"prefix": f"prompt-{prompt.pk}"})
        self.prompt = prompt
        self.initial = {"text": prompt.text}

    def clean_text(self) -> str:
        text = " ".join(self.cleaned_data["text"].split())
        if not (key := normalised(text)):
            raise forms.ValidationError("Say something: the caption is empty.")
        same = Prompt.objects.filter(
            label_class=self.prompt.label_class_id, technique=self.prompt.technique, text_key=key
        )
        if same.exclude(pk=self.prompt.pk).exists():
            raise forms.ValidationError("The class has this caption already.")
        return text
