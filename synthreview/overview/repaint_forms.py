"""The form that repaints a part of one picture."""

from __future__ import annotations

from typing import Any

from django import forms

from synthreview.accounts.models import User
from synthreview.catalog.models import AxisValue, LabelClass
from synthreview.catalog.storage import blobs
from synthreview.generation import masks
from synthreview.generation.generators.base import INPAINT
from synthreview.generation.masks import Box
from synthreview.generation.models import GeneratedImage
from synthreview.generation.options import DrawForm
from synthreview.generation.services import Order
from synthreview.lib.images import BadImageError
from synthreview.lib.text import text_key
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.shipped import shipped_axes

MAX_COUNT = 100
MAX_MASK_BYTES = 4_000_000
SIDES = ("left", "top", "right", "bottom")


class RepaintForm(DrawForm):
    """A mask, painted or a rectangle, and what shall be there instead."""

    instruction = forms.CharField(
        max_length=1000,
        help_text="What shall be there: “with a red box added beside it”, or the whole picture as "
        "it shall be, “the same car in a snowy forest”.",
        widget=forms.TextInput(attrs={"list": "edits"}),
    )
    label_class = forms.ModelChoiceField(
        LabelClass.objects.none(),
        label="Label afterwards",
        empty_label=None,
        help_text="Change it only where the subject itself is replaced.",
    )
    mask = forms.FileField(
        required=False,
        label="Mask from a file",
        help_text="A picture in black and white: what is white is repainted.",
        widget=forms.FileInput(attrs={"accept": "image/png,image/jpeg,image/webp"}),
    )
    left = forms.FloatField(label="Left (%)", min_value=0, max_value=100, initial=0)
    top = forms.FloatField(label="Top (%)", min_value=0, max_value=100, initial=0)
    right = forms.FloatField(label="Right (%)", min_value=0, max_value=100, initial=100)
    bottom = forms.FloatField(label="Bottom (%)", min_value=0, max_value=100, initial=40)
    count = forms.IntegerField(label="Images", min_value=1, max_value=MAX_COUNT, initial=1)

    def __init__(self, *args: Any, source: GeneratedImage, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.source = source
        labels = self.fields["label_class"]
        assert isinstance(labels, forms.ModelChoiceField)
        labels.queryset = source.dataset.classes.all()
        self.initial = {**self.initial, "label_class": source.label_class_id}
        self.add_generators(INPAINT)

    @property
    def suggestions(self) -> list[str]:
        """What the list of edits holds: the dataset's own, or the one that ships."""
        own = AxisValue.objects.filter(axis__dataset=self.source.dataset, axis__name="edit")
        return [value.phrase or value.name for value in own or shipped_axes()["edit"].values]

    def clean_mask(self) -> bytes | None:
        file = self.cleaned_data["mask"]
        if not file:
            return None
        if file.size > MAX_MASK_BYTES:
            raise forms.ValidationError("The mask is larger than 4 MB: a PNG is far smaller.")
        try:
            return masks.painted(file.read(), (self.source.width, self.source.height))
        except BadImageError as error:
            raise forms.ValidationError(f"This mask cannot be used: {error}.") from error

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if all(side in cleaned for side in SIDES):
            try:
                cleaned["box"] = Box(*(cleaned[side] / 100 for side in SIDES))
            except ValueError as error:
                if not cleaned.get("mask"):
                    self.add_error("left", str(error))
        return cleaned

    def to_order(self, *, created_by: User) -> Order:
        """Store the mask and the instruction; return what is to be drawn."""
        size = (self.source.width, self.source.height)
        mask = self.cleaned_data["mask"] or masks.repaint_box(size, self.cleaned_data["box"])
        text: str = self.cleaned_data["instruction"]
        label: LabelClass = self.cleaned_data["label_class"]
        prompt, _ = Prompt.objects.get_or_create(
            label_class=label,
            technique="inpaint",
            text_key=text_key(text),
            defaults={
                "dataset": self.source.dataset,
                "text": text,
                "slots": {"edit": text[:120]},
                "state": PromptState.APPROVED,
                "created_by": created_by,
            },
        )
        return Order(prompt, (self.source,), blobs().put(mask))

    def stand_in(self) -> Order:
        """Return an order of the same cost; nothing is stored."""
        text = self.cleaned_data.get("instruction", "")
        label = self.cleaned_data["label_class"]
        prompt = Prompt(
            dataset=self.source.dataset, label_class=label, technique="inpaint", text=text
        )
        return Order(prompt, (self.source,))
