"""What a person sets when they export."""

from __future__ import annotations

from typing import Any

from django import forms

from synthreview.catalog.models import Dataset
from synthreview.export.collecting import DECISIONS, Selection
from synthreview.export.services import Form, generators_of
from synthreview.export.splits import parse_wish
from synthreview.export.writers.encoding import EncodingError
from synthreview.export.writers.formats import DEFAULT, FORMATS
from synthreview.prompting.techniques import TECHNIQUES


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


class WebhookForm(forms.Form):
    """An address that is to be told of finished exports."""

    url = forms.CharField(
        label="Address",
        max_length=400,
        help_text="https://…, on the open internet.",
        widget=forms.URLInput(attrs={"autocomplete": "off", "placeholder": "https://"}),
    )


class ExportForm(PackageForm):
    """What goes along, how it is shared out, and in which form it is written first."""

    split = forms.CharField(
        label="Split",
        initial="80/10/10",
        max_length=40,
        help_text=(
            "train/validation/test: 80/10/10 by shares, rest/500/500 by numbers of images, "
            "100 for train alone."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    keeps = forms.BooleanField(
        label="Keep the splits of earlier exports",
        initial=True,
        required=False,
        help_text="What a model was trained on then must not test it now.",
    )
    classes = forms.MultipleChoiceField(
        label="Classes", required=False, widget=forms.CheckboxSelectMultiple
    )
    techniques = forms.MultipleChoiceField(
        label="Techniques",
        required=False,
        choices=[(key, one.title) for key, one in TECHNIQUES.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    generators = forms.MultipleChoiceField(
        label="Generators", required=False, widget=forms.CheckboxSelectMultiple
    )
    decisions = forms.MultipleChoiceField(
        label="Decisions",
        required=False,
        choices=[(key, words.capitalize()) for key, words in DECISIONS.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    max_error = forms.FloatField(
        label="Certified to at most (%)",
        required=False,
        min_value=0.01,
        max_value=99,
        help_text="Only images that a certificate covers which allows no more wrong labels.",
    )
    field_order = ["split", "keeps", "format", "encoding"]

    def __init__(self, *arguments: Any, dataset: Dataset, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.fields["classes"].choices = dataset.classes.values_list("slug", "name")  # type: ignore[attr-defined]
        self.fields["generators"].choices = [  # type: ignore[attr-defined]
            (name, name) for name in generators_of(dataset)
        ]

    @property
    def filters(self) -> list[forms.BoundField]:
        """Return the fields that leave something out."""
        names = ("classes", "techniques", "generators", "decisions", "max_error")
        return [self[name] for name in names]

    @property
    def is_filtered(self) -> bool:
        """Say whether the filters should be seen at once."""
        return any(field.errors or field.value() for field in self.filters)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if "split" in cleaned:
            try:
                cleaned["split"] = parse_wish(cleaned["split"], keeps=cleaned.get("keeps", False))
            except ValueError as error:
                self.add_error("split", str(error))
        if not self.errors:
            percent = cleaned["max_error"]
            cleaned["selection"] = Selection(
                classes=tuple(cleaned["classes"]),
                techniques=tuple(cleaned["techniques"]),
                generators=tuple(cleaned["generators"]),
                decisions=tuple(cleaned["decisions"]),
                max_error=None if percent is None else percent / 100,
            )
        return cleaned
