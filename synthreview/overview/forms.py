"""The gallery's filters."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db.models import Q
from django.db.models.fields.json import KeyTextTransform
from django.db.models.lookups import In

from synthreview.catalog.models import AxisValue, Dataset, LabelClass
from synthreview.generation.models import Run
from synthreview.prompting.prompt_files import SLOT_NAME
from synthreview.prompting.techniques import TECHNIQUE_CHOICES
from synthreview.review.models import ImageReview, ImageState
from synthreview.scoring.probe_models import ProbeGroup
from synthreview.scoring.probing import showing
from synthreview.scoring.services import fooled

WAITING, OLDER = "waiting", "older"
FOOLED, HELD = "fooled", "held"


def _run_title(obj: Run) -> str:
    return f"Run {obj.number}"


class ImageFilterForm(forms.Form):
    """Which images to show; what is no choice is left out of account."""

    label_class = forms.ModelChoiceField(
        LabelClass.objects.none(), required=False, label="Class", empty_label="All classes"
    )
    technique = forms.ChoiceField(
        required=False, choices=[("", "All techniques"), *TECHNIQUE_CHOICES]
    )
    state = forms.ChoiceField(
        required=False,
        choices=[
            ("", "Any state"),
            (WAITING, "Waiting for a score"),
            *((state.value, str(state.label).capitalize()) for state in ImageState),
            (OLDER, "Judged by an older guideline"),
        ],
    )
    run = forms.ModelChoiceField(
        Run.objects.none(), required=False, to_field_name="number", empty_label="All runs"
    )

    axis = forms.RegexField(SLOT_NAME, required=False, widget=forms.HiddenInput)
    value = forms.CharField(required=False, max_length=120, widget=forms.HiddenInput)
    shows = forms.RegexField(r"^\d{1,18}$", required=False, widget=forms.HiddenInput)
    word = forms.ChoiceField(
        required=False,
        label="Words on pictures",
        choices=[("", "All"), (FOOLED, "Fooled the scorer"), (HELD, "Did not fool it")],
    )

    def __init__(
        self,
        *args: Any,
        dataset: Dataset,
        shows_scores: bool = True,
        shows_states: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        if not shows_states:  # who may still be asked learns nothing of what others said
            del self.fields["state"]
        if not shows_scores:  # who must judge blindly learns nothing of scores here either
            del self.fields["word"]
        classes, runs = self.fields["label_class"], self.fields["run"]
        assert isinstance(classes, forms.ModelChoiceField)
        assert isinstance(runs, forms.ModelChoiceField)
        classes.queryset = dataset.classes.all()
        runs.queryset = Run.objects.filter(dataset=dataset)
        self._dataset = dataset
        runs.label_from_instance = _run_title  # type: ignore[method-assign]

    @property
    def chosen(self) -> Q:
        """The filters of a queryset of images."""
        self.is_valid()
        cleaned = {name: value for name, value in self.cleaned_data.items() if value}
        state, word = cleaned.pop("state", None), cleaned.pop("word", None)
        shows = cleaned.pop("shows", None)
        if state == WAITING:
            cleaned["review__isnull"] = True
        elif state == OLDER:
            reviews = ImageReview.objects.filter(dataset=self._dataset)
            cleaned["review__in"] = reviews.judged_by_older_guideline()
        elif state:
            cleaned["review__state"] = state
        axis, value = cleaned.pop("axis", ""), cleaned.pop("value", "")
        chosen = Q(**cleaned)
        if word:
            chosen &= Q(fooled(word == FOOLED))
        if shows:
            chosen &= Q(showing(int(shows)))
        return chosen & self._of_value(axis, value) if axis and value else chosen

    def _of_value(self, axis: str, value: str) -> Q:
        """Return the filter of images whose caption states the value, by its name or words."""
        known = AxisValue.objects.filter(axis__dataset=self._dataset, axis__name=axis, name=value)
        words = {value, *known.exclude(phrase="").values_list("phrase", flat=True)}
        # Not as a keyword: the axis is somebody's text, and Django reads "__" in those.
        return Q(In(KeyTextTransform(axis, "prompt__slots"), sorted(words)))

    @property
    def shown_group(self) -> ProbeGroup | None:
        """The group of a probe that the images seem to show, where one was asked for."""
        self.is_valid()
        shows = self.cleaned_data.get("shows")
        if not shows:
            return None
        return ProbeGroup.objects.filter(probe__dataset=self._dataset, pk=int(shows)).first()

    @property
    def query(self) -> dict[str, str]:
        """The filters of an address."""
        self.is_valid()
        return {name: self.data[name] for name, value in self.cleaned_data.items() if value}
