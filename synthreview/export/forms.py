"""What a person sets when they export."""

from __future__ import annotations

from typing import Any

from django import forms

from synthreview.export.services import Form
from synthreview.export.splits import parse_ratio
from synthreview.export.writers.encoding import EncodingError
from synthreview.export.writers.formats import DEFAULT, FORMATS


class PackageForm(forms.Form):
    """In which form the images are written."""

    format = forms.ChoiceField(
        label="Format",
        initial=DEFAULT,
        choices=[(name, f"{one.title}: {one.help}") for name, one in FORMATS.items()],
    )
    encoding = forms.CharField(
        label="Images",
        initial="original",
        required=False,
        max_length=40,
        help_text=(
            "original keeps every file byte for byte, with the marks of its provider. "
            "jpeg-512px-q90, png-256px or webp-q80 encode all of them anew."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "format" in cleaned and "encoding" in cleaned:
            try:
                cleaned["form"] = Form(cleaned["format"], cleaned["encoding"])
            except EncodingError as error:
                self.add_error("encoding", str(error))
        return cleaned


class ExportForm(PackageForm):
    """How the images are shared out, and in which form they are written first."""

    ratio = forms.CharField(
        label="Split",
        initial="80/10/10",
        max_length=40,
        help_text="Shares of train/validation/test. 100 puts every image into train.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    field_order = ["ratio", "format", "encoding"]

    def clean_ratio(self) -> dict[str, float]:
        try:
            return parse_ratio(self.cleaned_data["ratio"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error
