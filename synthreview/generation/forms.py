"""The form that starts a run."""

from __future__ import annotations

from typing import Any

from django import forms

from synthreview.catalog.forms import ClassesField
from synthreview.catalog.models import Dataset
from synthreview.generation.generators.base import TEXT
from synthreview.generation.options import DrawForm
from synthreview.generation.services import approved_prompts, batch_offer, generator
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN

MAX_COUNT = 100_000


class RunForm(DrawForm):
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
    negative_prompt = forms.CharField(
        label="Not in the picture",
        required=False,
        max_length=1000,
        help_text="A negative prompt, where the generator takes one.",
    )

    is_batched = forms.BooleanField(label="Order as a batch", required=False)

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        classes = self.fields["classes"]
        assert isinstance(classes, ClassesField)
        classes.queryset = dataset.classes.all()
        self.initial = {
            "classes": dataset.classes.all(),
            "techniques": WRITTEN,
            **self.initial,
        }
        self.add_generators(TEXT)
        chosen = self.chosen_generator
        if not chosen or not generator(chosen).capabilities().takes_negative_prompt:
            self.fields["negative_prompt"].widget = forms.HiddenInput()
        self.batch = batch_offer(chosen)
        if self.batch is None:
            del self.fields["is_batched"]
        else:
            self.fields["is_batched"].help_text = (
                f"{self.batch.price.capitalize()}, and the images come {self.batch.promise}: for "
                "what is not urgent."
            )

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
            "negative_prompt": self.cleaned_data["negative_prompt"],
            "is_batched": self.cleaned_data.get("is_batched", False),
            **self.draw_order,
        }
