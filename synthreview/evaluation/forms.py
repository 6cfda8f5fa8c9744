"""The form that starts an evaluation."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from synthreview.evaluation.models import MOST_SEEDS
from synthreview.evaluation.services import DEFAULT_SEEDS, learner


class EvaluationForm(forms.Form):
    """What to train, how often, and what to compare."""

    learners = forms.MultipleChoiceField(
        label="Train",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Choose at least one way to train."},
    )
    seeds = forms.IntegerField(
        label="Seeds",
        min_value=1,
        max_value=MOST_SEEDS,
        initial=DEFAULT_SEEDS,
        help_text="Each trains anew, on another nine in ten of the images: three or more tell "
        "chance from gain.",
    )
    with_unreviewed = forms.BooleanField(
        label="Compare with everything that was drawn, unreviewed",
        required=False,
        initial=True,
        help_text="Shows what the review was worth.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["learners"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(alias, learner(alias).title) for alias in settings.LEARNERS]
        self.initial.setdefault("learners", list(settings.LEARNERS)[:1])
