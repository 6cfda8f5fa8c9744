"""What a person sets when they export."""

from __future__ import annotations

from django import forms

from synthreview.export.splits import parse_ratio


class ExportForm(forms.Form):
    """How the images are shared out."""

    ratio = forms.CharField(
        label="Split",
        initial="80/10/10",
        max_length=40,
        help_text="Shares of train/validation/test. 100 puts every image into train.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def clean_ratio(self) -> dict[str, float]:
        try:
            return parse_ratio(self.cleaned_data["ratio"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
