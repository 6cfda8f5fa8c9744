"""What a reviewer sends: a verdict on the card that carries the token."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.validators import ProhibitNullCharactersValidator

from synthreview.review.models import SAYABLE
from synthreview.review.reasons import REASONS

MAX_DECISION = 2**62


class DecisionForm(forms.Form):
    """One decision. Fields that are not named here are ignored."""

    verdict = forms.ChoiceField(choices=[(verdict, verdict) for verdict in SAYABLE])
    token = forms.UUIDField()
    reasons = forms.MultipleChoiceField(choices=list(REASONS.items()), required=False)
    note = forms.CharField(
        max_length=500, required=False, validators=[ProhibitNullCharactersValidator()]
    )
    seconds = forms.FloatField(min_value=0, required=False)

    def clean_seconds(self) -> float:
        return self.cleaned_data["seconds"] or 0.0


class RoundForm(forms.Form):
    """Which skipped images are offered again: those skipped up to this decision."""

    skipped_until = forms.IntegerField(min_value=0, max_value=MAX_DECISION, required=False)


class LeaseForm(forms.Form):
    """Which card is still open."""

    token = forms.UUIDField()


def first_error(form: forms.Form) -> str:
    """Return what is wrong with the form, in one sentence that names the field."""
    field, errors = next(iter(form.errors.items()))
    detail: Any = errors[0]
    return f"The decision was not taken ({field}: {detail})"
