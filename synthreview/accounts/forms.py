"""Forms of one's own account."""

from __future__ import annotations

from django import forms

from synthreview.accounts.models import Scope


class TokenForm(forms.Form):
    """What a new token is for."""

    title = forms.CharField(max_length=80, help_text="What will use it: “nightly export”.")
    scopes = forms.MultipleChoiceField(
        label="It may",
        choices=Scope.choices,
        initial=[Scope.VIEW],
        widget=forms.CheckboxSelectMultiple,
        help_text="Only where you may it yourself, in every dataset of yours.",
    )
    days = forms.IntegerField(label="Days until it ends", min_value=1, max_value=366, initial=90)
