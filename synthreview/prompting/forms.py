"""Forms of prompting: what to write, which prompts to show, one caption."""

from __future__ import annotations

import secrets
from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from synthreview.catalog.forms import ClassesField
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.text import text_key
from synthreview.prompting.authors.asking import LANGUAGES
from synthreview.prompting.briefs import MAX_INSTRUCTION, Brief
from synthreview.prompting.choosing import Strategy
from synthreview.prompting.drafting import author, authors_of
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.planning import check_templates
from synthreview.prompting.techniques import TECHNIQUE_CHOICES, TECHNIQUES, WRITTEN
from synthreview.prompting.template import MAX_LENGTH
from synthreview.prompting.wishes import Share, Wish, templates_of

MAX_COUNT = 5_000
MAX_SEED = 2**31 - 1
MAX_TEMPLATES = 20
SET = "set"  # all text techniques together


class WriteForm(forms.Form):
    """What prompts to write for `dataset`."""

    technique = forms.ChoiceField(
        choices=[(SET, "All text techniques"), *TECHNIQUE_CHOICES], widget=forms.RadioSelect
    )
    classes = ClassesField()
    template = forms.CharField(
        required=False,
        label="Templates",
        max_length=MAX_TEMPLATES * (MAX_LENGTH + 2),
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One on a line. Leave it empty for the technique's own.",
    )
    share = forms.ChoiceField(
        label="Where templates take turns",
        choices=[(share.value, share.label.capitalize()) for share in Share],
        initial=Share.EVEN,
        required=False,
    )
    varied = forms.MultipleChoiceField(
        label="Axes", required=False, widget=forms.CheckboxSelectMultiple
    )
    strategy = forms.ChoiceField(
        label="Combinations",
        choices=[(strategy.value, strategy.label.capitalize()) for strategy in Strategy],
        initial=Strategy.BALANCED,
        required=False,
    )
    label = forms.ModelChoiceField(
        LabelClass.objects.none(),
        required=False,
        label="Label of the blends",
        empty_label="Each class with its own kind",
        help_text="Say which class the blend of two counts as, before anything is drawn.",
    )
    fills_gaps = forms.BooleanField(
        required=False,
        label="First what is not covered yet",
        help_text="Values and pairs that no prompt has are asked for by name.",
    )
    open_slot = forms.ChoiceField(
        required=False, label="The model writes", initial=Brief().open_slot
    )
    language = forms.ChoiceField(
        required=False, choices=[("", "English"), *list(LANGUAGES.items())[1:]], label="Language"
    )
    instruction = forms.CharField(
        required=False,
        max_length=MAX_INSTRUCTION,
        label="What else it should know",
        widget=forms.Textarea(attrs={"rows": 2}),
        validators=[ProhibitNullCharactersValidator()],
    )
    shares_examples = forms.BooleanField(
        required=False,
        initial=True,
        label="Show it captions that people approved and rejected",
        help_text="A dozen of each class. What reviewers write is never shared.",
    )
    count = forms.IntegerField(label="How many", min_value=1, max_value=MAX_COUNT, initial=20)
    author = forms.ChoiceField(label="Written by")
    # The same seed gives the same captions: what the preview shows is what is stored.
    seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_SEED,
        help_text="The same seed gives the same captions.",
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        authors = [(alias, one.title) for alias, one in authors_of(dataset)]
        # "None of these" has no look of its own: it is a label, not what a caption shows.
        seen = dataset.classes.filter(is_none_of_these=False)
        for name, classes in (("classes", seen), ("label", dataset.classes.all())):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = classes
        self.initial = {
            "technique": WRITTEN[0],
            "classes": seen,
            "author": authors[0][0] if authors else "",
            "seed": secrets.randbelow(1_000_000),
            **self.initial,
        }
        self.axes = {axis.name: axis for axis in dataset.axes.prefetch_related("values")}
        varied = self.fields["varied"]
        assert isinstance(varied, forms.MultipleChoiceField)
        varied.choices = [(name, name) for name in self.axes]
        for name, axis in self.axes.items():
            self.fields[f"axis-{name}"] = forms.MultipleChoiceField(
                label=f"Values of {name}",
                required=False,
                choices=[(value.name, value.name) for value in axis.values.all()],
                widget=forms.CheckboxSelectMultiple,
            )
        self.fields["author"] = forms.ChoiceField(
            label="Written by",
            choices=authors,
            widget=forms.Select if len(authors) > 1 else forms.HiddenInput,
        )
        slots = dict.fromkeys([Brief().open_slot, *self.axes])
        open_slot = self.fields["open_slot"]
        assert isinstance(open_slot, forms.ChoiceField)
        open_slot.choices = [
            ("", "whole captions"),
            *((name, f"words for [{name}], where the template has it") for name in slots),
        ]

    def clean_template(self) -> tuple[str, ...]:
        templates = templates_of(self.cleaned_data["template"])
        if len(templates) > MAX_TEMPLATES:
            raise forms.ValidationError(
                f"These are {len(templates)} templates; {MAX_TEMPLATES} can take turns."
            )
        return templates

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        technique = cleaned.get("technique")
        if technique in TECHNIQUES and "template" in cleaned:
            try:
                check_templates(technique, cleaned["template"], self.axes)
            except ValueError as error:
                self.add_error("template", str(error))
        return cleaned

    @property
    def is_set(self) -> bool:
        """Whether it asks for all text techniques together."""
        return bool(self.cleaned_data["technique"] == SET)

    @property
    def axis_rows(self) -> list[tuple[str, forms.BoundField, int, bool]]:
        """Each axis: its name, the field of its values, how many are ticked, whether it varies."""
        varied = {str(name) for name in self["varied"].value() or ()}
        fields = [(name, self[f"axis-{name}"]) for name in self.axes]
        return [
            (name, field, len(ticked := field.value() or ()), name in varied or bool(ticked))
            for name, field in fields
        ]

    @property
    def is_for_worker(self) -> bool:
        """Whether the author takes its time; sets are written by word lists."""
        return not self.is_set and author(self.cleaned_data["author"]).needs_worker

    @property
    def brief(self) -> Brief:
        """What a language model is told besides."""
        cleaned = self.cleaned_data
        names = ("language", "open_slot", "instruction", "shares_examples", "fills_gaps")
        return Brief(**{name: cleaned[name] for name in names})

    @property
    def wish(self) -> Wish:
        """What is asked for; of a set the first technique stands for all."""
        cleaned = self.cleaned_data
        return Wish(
            dataset=self.dataset,
            classes=list(cleaned["classes"]),
            technique=WRITTEN[0] if self.is_set else cleaned["technique"],
            count=cleaned["count"],
            templates=() if self.is_set else cleaned["template"],
            strategy=Strategy(cleaned["strategy"] or Strategy.BALANCED),
            axes=tuple(name for name in self.axes if name in cleaned["varied"]) or None,
            values={name: ticked for name in self.axes if (ticked := cleaned[f"axis-{name}"])},
            seed=cleaned["seed"] or 0,
            label=cleaned["label"] if cleaned["technique"] == "fusion" else None,
            share=Share(cleaned["share"] or Share.EVEN),
        )


class PromptFilterForm(forms.Form):
    """Which prompts to show; what is no choice is left out of account."""

    label_class = forms.ModelChoiceField(
        LabelClass.objects.none(), required=False, label="Class", empty_label="All classes"
    )
    technique = forms.ChoiceField(
        required=False, choices=[("", "All techniques"), *TECHNIQUE_CHOICES]
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


FLAGGED = "flagged"


class PromptListForm(PromptFilterForm):
    """Which prompts the list shows: also those of one writing, flagged ones, and by words."""

    flags = forms.ChoiceField(
        required=False,
        label="Flags",
        choices=[("", "Flagged or not"), (FLAGGED, "To be looked at")],
    )
    q = forms.CharField(
        required=False,
        label="Words",
        max_length=200,
        validators=[ProhibitNullCharactersValidator()],
        widget=forms.TextInput(attrs={"type": "search"}),
    )
    writing = forms.IntegerField(
        required=False, min_value=1, max_value=2**63 - 1, widget=forms.HiddenInput
    )

    @property
    def chosen(self) -> dict[str, Any]:
        found = super().chosen
        if "q" in found:
            found["text__icontains"] = found.pop("q")
        return {name: value for name, value in found.items() if name != "flags"}

    @property
    def is_flagged(self) -> bool:
        self.is_valid()
        return self.cleaned_data.get("flags") == FLAGGED

    @property
    def query(self) -> dict[str, str]:
        """The filters of an address."""
        self.is_valid()
        return {name: self.data[name] for name, value in self.cleaned_data.items() if value}


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
        if not (key := text_key(text)):
            raise forms.ValidationError("Say something: the caption is empty.")
        same = Prompt.objects.filter(
            label_class=self.prompt.label_class_id, technique=self.prompt.technique, text_key=key
        )
        if same.exclude(pk=self.prompt.pk).exists():
            raise forms.ValidationError("The class has this caption already.")
        return text
