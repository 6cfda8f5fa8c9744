"""The techniques of synthetic data: each one's label rule and review question, in one place.

Add a ninth by adding a line to TECHNIQUES.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class LabelRule(StrEnum):
    """Whose label an image of this technique gets."""

    OWN_CLASS = "the class of the prompt"
    CARRIER = "the carrier's class, or none of these; not the class it resembles"
    SOURCE = "the class of its source image"
    CHOSEN = "chosen by the curator before the run"


@dataclass(frozen=True, slots=True)
class Technique:
    """One kind of synthetic image. `{name}` in the question becomes "a car", "an umbrella"."""

    key: str
    title: str
    question: str
    help: str
    label_rule: LabelRule
    axes: tuple[str, ...] = ()
    is_text: bool = True


TECHNIQUES = {
    technique.key: technique
    for technique in (
        Technique(
            "plain",
            "Plain",
            "Is this {name}, and right for the caption?",
            "The class and what it does, nothing else.",
            LabelRule.OWN_CLASS,
            ("action",),
        ),
        Technique(
            "environment",
            "Environments",
            "Is this {name}, and right for the caption? A strange place is no fault.",
            "The class in many places, seasons and lights.",
            LabelRule.OWN_CLASS,
            ("action", "environment"),
        ),
        Technique(
            "style",
            "Styles",
            "Is this {name}, and right for the caption? The style is no fault.",
            "The class in many media: sketch, watercolour, oil.",
            LabelRule.OWN_CLASS,
            ("action", "environment", "style"),
        ),
        Technique(
            "adversarial",
            "Adversarial",
            "Is this truly {name}, and nothing else?",
            "Something that merely resembles a class: the carrier gives the label.",
            LabelRule.CARRIER,
        ),
        Technique(
            "typographic",
            "Typographic",
            "Is this still {name}, whatever is written on it?",
            "A misleading word pasted into the picture.",
            LabelRule.SOURCE,
            is_text=False,
        ),
        Technique(
            "variation",
            "Variations",
            "Is this {name}, and not a mere copy?",
            "Siblings of an existing image.",
            LabelRule.SOURCE,
            is_text=False,
        ),
        Technique(
            "fusion",
            "Fusion",
            "Is {name} the right label for this blend?",
            "Two images blended into one.",
            LabelRule.CHOSEN,
            is_text=False,
        ),
        Technique(
            "inpaint",
            "Inpainting",
            "Is the edit believable, and is this {name}?",
            "A part of an image painted anew.",
            LabelRule.SOURCE,
            is_text=False,
        ),
    )
}
TECHNIQUE_CHOICES = [(technique.key, technique.title) for technique in TECHNIQUES.values()]
# What can be written as text today; the image techniques need a source image.
WRITTEN = ("plain", "environment", "style")
