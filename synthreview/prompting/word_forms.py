"""Forms of the word lists: shipped lists to add, files to bring in, pairs to forbid."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from synthreview.catalog.models import AxisValue, Dataset, LabelClass
from synthreview.prompting.axis_files import MAX_BYTES
from synthreview.prompting.shipped import KINDS, kind_of, shipped_axes

KIND_CHOICES = [(kind, kind) for kind in KINDS]


class ShippedForm(forms.Form):
    """Which of the shipped lists to add, and what kinds of thing the classes are."""

    lists = forms.MultipleChoiceField(
        label="Lists",
        widget=forms.CheckboxSelectMultiple,
        error_messages={"required": "Tick one list or more."},
    )
    starter = forms.BooleanField(
        required=False,
        initial=True,
        label="Only the first values of each",
        help_text="They differ most and make a good beginning.",
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        lists = self.fields["lists"]
        assert isinstance(lists, forms.MultipleChoiceField)
        lists.choices = [
            (name, f"{name}: {len(axis.values)} values, such as “{axis.values[0].phrase}”")
            for name, axis in shipped_axes().items()
        ]
        self.classes = [one for one in dataset.classes.all() if not one.is_none_of_these]
        for one in self.classes:
            self.fields[f"kind-{one.pk}"] = forms.ChoiceField(
                label=one.name,
                required=False,
                choices=KIND_CHOICES,
                initial=kind_of(one.name, one.synonyms),
            )

    @property
    def kind_fields(self) -> list[forms.BoundField]:
        return [self[f"kind-{one.pk}"] for one in self.classes]

    @property
    def kinds(self) -> dict[str, str]:
        """The kind of each class, by its name; those that nobody chose are left out."""
        chosen = {one.name: self.cleaned_data[f"kind-{one.pk}"] for one in self.classes}
        return {name: kind for name, kind in chosen.items() if kind}


class AxisFileForm(forms.Form):
    """A file of axes."""

    file = forms.FileField(
        label="File",
        help_text=f"CSV or TOML in UTF-8, at most {MAX_BYTES // 1_000_000} MB.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.toml,text/csv"}),
    )
    replace = forms.BooleanField(
        required=False, label="Take away values of its axes that it does not name"
    )

    def clean_file(self) -> UploadedFile[Any]:
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > MAX_BYTES:
            raise forms.ValidationError(f"The file is larger than {MAX_BYTES // 1_000_000} MB.")
        return file

    @property
    def kind(self) -> str:
        """What the file is, by its name: TOML where that says so, else CSV."""
        name = str(self.cleaned_data["file"].name or "")
        return "toml" if name.lower().endswith(".toml") else "csv"


class PairForm(forms.Form):
    """Two values that must not meet, or a value that a class must not have."""

    first = forms.ModelChoiceField(AxisValue.objects.none(), empty_label="Choose a value")
    second = forms.ModelChoiceField(
        AxisValue.objects.none(),
        required=False,
        label="Must not meet",
        empty_label="No second value: only the class counts",
    )
    label_class = forms.ModelChoiceField(
        LabelClass.objects.none(), required=False, label="For", empty_label="All classes"
    )

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        axes = list(dataset.axes.prefetch_related("values"))
        for name in ("first", "second"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = AxisValue.objects.filter(axis__dataset=dataset).select_related("axis")
            # By axis; the field itself would list thousands of names without saying of what.
            field.widget.choices = [
                ("", field.empty_label or ""),
                *(
                    (axis.name, [(value.pk, value.name) for value in axis.values.all()])
                    for axis in axes
                ),
            ]
        classes = self.fields["label_class"]
        assert isinstance(classes, forms.ModelChoiceField)
        classes.queryset = dataset.classes.all()
