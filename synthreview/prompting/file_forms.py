"""Forms of prompt files: the upload, what its columns mean, and what to export."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.prompting.forms import PromptFilterForm
from synthreview.prompting.models import PromptState
from synthreview.prompting.prompt_files import FIELDS, IGNORED, KINDS, SLOT, Shape
from synthreview.prompting.techniques import TECHNIQUE_CHOICES
from synthreview.prompting.uploads import MAX_BYTES

FIELD_CHOICES = [(IGNORED, "Leave it out"), *((name, name.capitalize()) for name in FIELDS)]
KIND_CHOICES = [("csv", "CSV, for spreadsheets"), ("tsv", "TSV"), ("jsonl", "JSONL, for scripts")]
STATE_CHOICES = [(state.value, str(state.label).capitalize()) for state in PromptState]


class UploadForm(forms.Form):
    """A file of prompts."""

    file = forms.FileField(
        label="File",
        help_text=f"CSV, TSV or JSONL in UTF-8, at most {MAX_BYTES // 1_000_000} MB.",
        widget=forms.ClearableFileInput(attrs={"accept": ".csv,.tsv,.jsonl,.txt,text/csv"}),
    )

    def clean_file(self) -> UploadedFile[Any]:
        file: UploadedFile[Any] = self.cleaned_data["file"]
        if (file.size or 0) > MAX_BYTES:
            raise forms.ValidationError(
                f"The file is larger than {MAX_BYTES // 1_000_000} MB: divide it."
            )
        return file


class MappingForm(forms.Form):
    """What each column of an uploaded file means, and what holds where a line says nothing."""

    label_class = forms.ModelChoiceField(
        LabelClass.objects.none(),
        required=False,
        label="Class",
        empty_label="None: each line must name one",
    )
    technique = forms.ChoiceField(choices=TECHNIQUE_CHOICES)
    state = forms.ChoiceField(choices=STATE_CHOICES)
    create_classes = forms.BooleanField(
        required=False, label="Make the classes that are not there yet"
    )

    def __init__(self, *args: Any, dataset: Dataset, shape: Shape, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shape = shape
        classes = self.fields["label_class"]
        assert isinstance(classes, forms.ModelChoiceField)
        classes.queryset = dataset.classes.all()
        self.initial = {"technique": "plain", "state": PromptState.DRAFT.value}
        axes = [SLOT + axis.name for axis in dataset.axes.all()]
        suggested = [target for target in shape.mapping.values() if target.startswith(SLOT)]
        slots = [(name, f"Slot: {name[len(SLOT) :]}") for name in dict.fromkeys(axes + suggested)]
        # Columns go by number: their names are the file's, not ours.
        self.columns = {f"column-{number}": name for number, name in enumerate(shape.columns)}
        for key, column in self.columns.items():
            self.fields[key] = forms.ChoiceField(
                label=column,
                required=False,
                choices=[*FIELD_CHOICES, *slots],
                initial=shape.mapping[column],
            )

    @property
    def column_fields(self) -> list[forms.BoundField]:
        return [self[key] for key in self.columns]

    @property
    def mapping(self) -> dict[str, str]:
        """The chosen meaning of every column; the suggested one before anything is sent."""
        if not self.is_bound or not self.is_valid():
            return dict(self.shape.mapping)
        return {column: self.cleaned_data[key] for key, column in self.columns.items()}

    @property
    def wish(self) -> dict[str, Any]:
        """The arguments of `importing.check_file` and `import_prompts`."""
        cleaned = self.cleaned_data if self.is_bound and self.is_valid() else self.initial
        label_class = cleaned.get("label_class")
        defaults = {
            "class": label_class.name if label_class else "",
            "technique": cleaned["technique"],
            "state": cleaned["state"],
        }
        return {
            "mapping": self.mapping,
            "defaults": {name: value for name, value in defaults.items() if value},
            "create_classes": bool(cleaned.get("create_classes")),
        }


class PromptExportForm(PromptFilterForm):
    """Which prompts to hand out, and as what."""

    format = forms.ChoiceField(label="As", choices=KIND_CHOICES)

    @property
    def kind(self) -> str:
        self.is_valid()
        kind = self.cleaned_data.get("format", "")
        return kind if kind in KINDS else "csv"

    @property
    def chosen(self) -> dict[str, Any]:
        return {name: value for name, value in super().chosen.items() if name != "format"}
