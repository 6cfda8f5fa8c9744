"""The form that derives images from images: sources, how many, and what is done to them."""

from __future__ import annotations

from typing import Any

from django import forms

from synthreview.catalog.forms import ClassesField
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.generation.masks import Box
from synthreview.generation.options import DrawForm
from synthreview.generation.services import capability_of, segmenter
from synthreview.overview.deriving import KEEP_MIDDLE, MaskRule, Origin, Wish
from synthreview.prompting.techniques import INSTRUCTED, TECHNIQUES

MAX_EACH = 1_000
MAX_PAIRS = 100_000
SIDES = ("left", "top", "right", "bottom")


class DeriveForm(DrawForm):
    """What to derive in `dataset`, by which generator."""

    technique = forms.ChoiceField(
        choices=[(key, TECHNIQUES[key].title) for key in INSTRUCTED], widget=forms.RadioSelect
    )
    origin = forms.ChoiceField(label="Start from", choices=Origin, widget=forms.RadioSelect)
    image_ids = forms.CharField(
        label="Image numbers",
        required=False,
        max_length=10_000,
        help_text="With commas between: 12, 15. Only where you name the images.",
    )
    classes = ClassesField()
    each = forms.IntegerField(
        label="Images of each",
        min_value=1,
        max_value=MAX_EACH,
        initial=1,
        help_text="So many are made of every source.",
    )
    pairs = forms.IntegerField(
        label="Pairs",
        min_value=1,
        max_value=MAX_PAIRS,
        initial=24,
        help_text="Drawn by lot, far apart in the scorer's space.",
    )
    partner = forms.ModelChoiceField(
        LabelClass.objects.none(),
        required=False,
        label="Fuse with",
        empty_label="images of the same class",
    )
    label = forms.ModelChoiceField(
        LabelClass.objects.none(),
        required=False,
        label="Label of the blend",
        empty_label="the class itself",
        help_text="Two classes need it: a blend of both is what you say it is.",
    )
    mask_rule = forms.ChoiceField(label="Repaint", choices=MaskRule, widget=forms.RadioSelect)
    left = forms.FloatField(label="Left (%)", min_value=0, max_value=100)
    top = forms.FloatField(label="Top (%)", min_value=0, max_value=100)
    right = forms.FloatField(label="Right (%)", min_value=0, max_value=100)
    bottom = forms.FloatField(label="Bottom (%)", min_value=0, max_value=100)

    def __init__(self, *args: Any, dataset: Dataset, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dataset = dataset
        for name in ("classes", "partner", "label"):
            field = self.fields[name]
            assert isinstance(field, forms.ModelChoiceField)
            field.queryset = dataset.classes.all()
        self.initial = {
            "technique": "variation",
            "origin": Origin.APPROVED,
            "classes": dataset.classes.all(),
            "mask_rule": MaskRule.BACKGROUND,
            **{side: round(getattr(KEEP_MIDDLE, side) * 100) for side in SIDES},
            **self.initial,
        }
        if (finder := segmenter()) is None:
            rules = self.fields["mask_rule"]
            assert isinstance(rules, forms.ChoiceField)
            rules.choices = [pair for pair in MaskRule.choices if pair[0] != MaskRule.SUBJECT]
        else:
            self.fields["mask_rule"].help_text = f"Subjects are found by {finder.title}."
        self._leave_out_what_does_not_matter()
        self.add_generators(capability_of(self.technique_chosen))

    @property
    def technique_chosen(self) -> str:
        given = (self.data or {}).get("technique") or self.initial.get("technique")
        return str(given) if given in INSTRUCTED else "variation"

    def _leave_out_what_does_not_matter(self) -> None:
        technique = self.technique_chosen
        unused = {"each"} if technique == "fusion" else {"pairs", "partner", "label"}
        if technique != "inpaint":
            unused |= {"mask_rule", *SIDES}
        for name in unused:
            del self.fields[name]

    def clean_image_ids(self) -> tuple[int, ...]:
        parts = [part.strip() for part in self.cleaned_data["image_ids"].split(",")]
        given = [part for part in parts if part]
        if not all(part.isascii() and part.isdecimal() and len(part) < 19 for part in given):
            raise forms.ValidationError("Write numbers with commas between, as 12, 15.")
        return tuple(dict.fromkeys(map(int, given)))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or {}
        if all(side in cleaned for side in SIDES):
            try:
                cleaned["box"] = Box(*(cleaned[side] / 100 for side in SIDES))
            except ValueError as error:
                self.add_error("left", str(error))
        if cleaned.get("origin") == Origin.CHOSEN and not cleaned.get("image_ids", True):
            self.add_error("image_ids", "Name one image or more.")
        if cleaned.get("partner") and not cleaned.get("label"):
            self.add_error("label", "Choose what a blend of two classes shall be labelled.")
        return cleaned

    @property
    def wish(self) -> Wish:
        """What the form asks for, once it is valid."""
        cleaned = self.cleaned_data
        given = {
            name: cleaned[name]
            for name in ("each", "pairs", "partner", "label", "mask_rule", "box")
            if cleaned.get(name) is not None
        }
        return Wish(
            technique=cleaned["technique"],
            origin=cleaned["origin"],
            classes=list(cleaned["classes"]),
            image_ids=cleaned["image_ids"],
            **given,
        )
