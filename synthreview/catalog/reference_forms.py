"""The form that brings in real images from the browser."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from synthreview.catalog.models import Dataset, LabelClass, ReferenceUse

MAX_FILES = 200


class FilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class FilesField(forms.FileField):
    """Several files in one field."""

    widget = FilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[Any]]:
        given = data if isinstance(data, (list, tuple)) else [data]
        if len(given) > MAX_FILES:
            raise forms.ValidationError(
                f"{len(given)} files: at most {MAX_FILES} at once. For more there is "
                "`manage.py import_references`."
            )
        return [super(FilesField, self).clean(one, initial) for one in given]


class ReferenceForm(forms.Form):
    """Real images of one class of `dataset`, for one use."""

    label_class = forms.ModelChoiceField(LabelClass.objects.none(), label="Class", empty_label=None)
    use = forms.ChoiceField(
        label="What for",
        choices=[(use.value, str(use.label).capitalize()) for use in ReferenceUse],
        widget=forms.RadioSelect,
        initial=ReferenceUse.SOURCE,
        help_text="One use for ever: a test image that trains or seeds anything proves nothing.",
    )
    pictures = FilesField(
        label="Pictures",
        widget=FilesInput(attrs={"accept": "image/png,image/jpeg,image/webp"}),
        help_text=f"PNG, JPEG or WebP; up to {MAX_FILES} at once.",
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["label_class"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = dataset.classes.all()
