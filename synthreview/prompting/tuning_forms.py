"""Forms of fine-tuning: what is trained on what, and how large a comparison is."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from synthreview.catalog.forms import ClassesField
from synthreview.catalog.models import Dataset
from synthreview.prompting.drafting import author
from synthreview.prompting.finetuning import (
    Lesson,
    answers_of,
    lesson_of,
    suggested_held_out,
    training_cost_usd,
    tunable_authors,
)
from synthreview.prompting.tuning.file import Format

CHAT, PREFERENCE = "chat", "preference"


class TuningForm(forms.Form):
    """What an author is trained on, and how."""

    base = forms.ChoiceField(label="Author")
    title = forms.CharField(
        required=False,
        max_length=80,
        label="Name of the new author",
        validators=[ProhibitNullCharactersValidator()],
    )
    kind = forms.ChoiceField(
        label="Learn from",
        choices=[
            (CHAT, "approved captions"),
            (PREFERENCE, "approved against rejected captions (servers that take pairs)"),
        ],
        initial=CHAT,
    )
    held_out = ClassesField(
        required=False,
        label="Classes kept for the comparison",
        help_text="The author never sees their captions, so that it is not praised for what it "
        "remembers.",
    )
    epochs = forms.IntegerField(
        label="Rounds", min_value=1, max_value=50, initial=3, help_text="How often it reads each."
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        base = self.fields["base"]
        assert isinstance(base, forms.ChoiceField)
        base.choices = [(alias, one.title) for alias, one in tunable_authors(dataset)]
        held_out = self.fields["held_out"]
        assert isinstance(held_out, forms.ModelChoiceField)
        held_out.queryset = dataset.classes.filter(is_none_of_these=False)
        self.initial = {"held_out": suggested_held_out(dataset), **self.initial}

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        base = cleaned.get("base")
        if base and cleaned.get("kind") == PREFERENCE and answers_of(author(base)) == "lines":
            self.add_error("kind", "A local model learns from approved captions only.")
        return cleaned

    @property
    def order(self) -> dict[str, Any]:
        """The arguments of `order_tuning`."""
        cleaned = self.cleaned_data
        return {
            "base": cleaned["base"],
            "title": cleaned["title"],
            "held_out": list(cleaned["held_out"]),
            "is_preference": cleaned["kind"] == PREFERENCE,
            "options": {"epochs": cleaned["epochs"]},
        }

    def facts(self) -> dict[str, Any]:
        """Return what the file would hold and cost."""
        base = author(self.cleaned_data["base"])
        lesson = lesson_of(
            self.dataset,
            held_out=self.order["held_out"],
            is_preference=self.order["is_preference"],
            answers=answers_of(base),
        )
        cost = training_cost_usd(base, lesson.report, self.cleaned_data["epochs"])
        return {"lesson": lesson, "cost_usd": cost}


class TrainingFileForm(forms.Form):
    """Which training file is downloaded, for any other trainer."""

    kind = forms.ChoiceField(
        label="Holds",
        choices=[(CHAT, "chats of approved captions"), (PREFERENCE, "pairs: approved, rejected")],
        initial=CHAT,
    )
    answers = forms.ChoiceField(
        label="Answers",
        choices=[("lines", "one caption on a line, as local models"), ("json", "JSON, as servers")],
        initial="lines",
    )

    def lesson(self, dataset: Dataset) -> Lesson:
        """Return the file's content; every class is in it."""
        answers: Format = "json" if self.cleaned_data["answers"] == "json" else "lines"
        is_preference = self.cleaned_data["kind"] == PREFERENCE
        return lesson_of(dataset, is_preference=is_preference, answers=answers)


class ComparisonForm(forms.Form):
    """How many captions each of the two writes."""

    count = forms.IntegerField(label="Captions of each", min_value=1, max_value=500, initial=40)
