"""The techniques of synthetic data, each whole in one place: template, axes, label, question, help.

Add a ninth by adding one entry to TECHNIQUES. No Django here. docs/prompting.md shows the table,
and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from synthreview.lib.text import with_article, without_note
from synthreview.prompting.shipped import shipped_axes
from synthreview.prompting.template import CLASS, parse, slot_names

# Slots that say how a picture is made and not what a scorer can see in it.
LOOK, CARRIER = "look", "carrier"
INSTRUCTION_SLOTS = frozenset({LOOK, CARRIER, "partner", "word", "surface", "change", "edit"})


class LabelRule(StrEnum):
    """Whose label an image of this technique gets."""

    OWN_CLASS = "the class of the prompt"
    CARRIER = "the carrier's class, or none of these; not the class it resembles"
    SOURCE = "the class of its source image"
    CHOSEN = "chosen by the curator before the run"


@dataclass(frozen=True, slots=True)
class Technique:
    """One kind of synthetic image.

    `{name}` in the question becomes "a car", "an umbrella"; `look_question` is asked instead
    where the prompt says what it resembles, as `{look}`. Of several `templates` the first is
    shown, and they take turns where the curator gives none. `axes` are the ones to begin with.
    """

    key: str
    title: str
    question: str
    help: str
    label_rule: LabelRule
    templates: tuple[str, ...]
    axes: tuple[str, ...] = ()
    is_text: bool = True
    look_question: str = ""

    @property
    def template(self) -> str:
        return self.templates[0]


TECHNIQUES = {
    technique.key: technique
    for technique in (
        Technique(
            "plain",
            "Plain",
            "Is this {name}, and right for the caption?",
            "The class and what it does, nothing else.",
            LabelRule.OWN_CLASS,
            ("A {colour} [class] [action]",),
            ("action",),
        ),
        Technique(
            "environment",
            "Environments",
            "Is this {name}, and right for the caption? A strange place is no fault.",
            "The class in many places, seasons and lights.",
            LabelRule.OWN_CLASS,
            ("A {colour} [class] [action] {environment}",),
            ("action", "environment"),
        ),
        Technique(
            "style",
            "Styles",
            "Is this {name}, and right for the caption? The style is no fault.",
            "The class in many media: sketch, watercolour, oil.",
            LabelRule.OWN_CLASS,
            ("A {colour} [class] [action] {environment}, {style}",),
            ("action", "environment", "style"),
        ),
        Technique(
            "adversarial",
            "Adversarial",
            "Is this truly {name}, and nothing else?",
            "Something that merely resembles the class: another thing carries its look. The label "
            "is the carrier's class, or none of these, and is known before anything is drawn.",
            LabelRule.CARRIER,
            (
                "A [class]-style {carrier} {environment}",
                "A {carrier} that looks like a [class] {environment}",
                "A [class]-shaped {carrier} {environment}",
                "A {carrier} painted like a [class] {environment}",
                "A [class]-like {carrier} {environment}",
                "A {carrier} in the shape of a [class] {environment}",
            ),
            ("environment",),
            look_question="Is this truly not {look}, but {name}?",
        ),
        Technique(
            "typographic",
            "Typographic",
            "Is this still {name}, whatever is written on it?",
            "A misleading word pasted into the picture.",
            LabelRule.SOURCE,
            ('A [class] with the word "{word}" {surface}',),
            is_text=False,
        ),
        Technique(
            "variation",
            "Variations",
            "Is this {name}, and not a mere copy?",
            "Siblings of an existing image.",
            LabelRule.SOURCE,
            ("A [class] like this one, {change}",),
            is_text=False,
        ),
        Technique(
            "fusion",
            "Fusion",
            "Is {name} the right label for this blend?",
            "Two images blended into one.",
            LabelRule.CHOSEN,
            ("A blend of a [class] and {partner}",),
            is_text=False,
        ),
        Technique(
            "inpaint",
            "Inpainting",
            "Is the edit believable, and is this {name}?",
            "A part of an image painted anew.",
            LabelRule.SOURCE,
            ("The same [class] {edit}",),
            is_text=False,
        ),
    )
}
TECHNIQUE_CHOICES = [(technique.key, technique.title) for technique in TECHNIQUES.values()]
# Text techniques are written as captions; the others as instructions beside a source image.
WRITTEN = tuple(key for key, technique in TECHNIQUES.items() if technique.is_text)
INSTRUCTED = tuple(key for key in TECHNIQUES if key not in WRITTEN)


def review_question(technique: str, class_name: str, slots: Mapping[str, str] | None = None) -> str:
    """Return what the reviewer is asked about an image that is labelled `class_name`.

    `slots` are those of its prompt: where they hold a "look", the question names what the
    image must not be ("Is this truly not a dog, but a car?").
    """
    chosen, slots = TECHNIQUES[technique], slots or {}
    name = with_article(without_note(slots.get(CARRIER) or class_name))
    if chosen.look_question and slots.get(LOOK):
        return chosen.look_question.format(name=name, look=with_article(slots[LOOK]))
    return chosen.question.format(name=name)


def label_note(technique: str, class_name: str, slots: Mapping[str, str] | None = None) -> str:
    """Explain in one sentence why a prompt has its label; empty where it is plain to see."""
    slots = slots or {}
    if TECHNIQUES[technique].label_rule is LabelRule.CARRIER and slots.get(LOOK):
        look, carrier = with_article(slots[LOOK]), with_article(slots.get(CARRIER, "thing"))
        return f"It only looks like {look}: it is {carrier}, so its label is {class_name!r}."
    if TECHNIQUES[technique].label_rule is LabelRule.OWN_CLASS:
        return ""
    return f"The label is {TECHNIQUES[technique].label_rule.value}."


def own_slots(technique: str) -> frozenset[str]:
    """Return the slots that a technique fills by itself; a template may name them besides axes."""
    slots = (slot for text in TECHNIQUES[technique].templates for slot in slot_names(text))
    return INSTRUCTION_SLOTS.intersection(slots)


def templates_for(
    technique: str, given: Iterable[str] = (), axes: Iterable[str] = ()
) -> tuple[str, ...]:
    """Return the templates to write with; `given` ones replace the technique's own.

    Chosen `axes` without a slot in the technique's own templates get one, where the words
    of such an axis stand in a caption ("colour" before the class, "light" behind it).
    Raises ValueError where a given template is wrong.
    """
    if given := tuple(given):
        for template in given:
            parse(template)
        return given
    return tuple(_with_axes(text, tuple(axes)) for text in TECHNIQUES[technique].templates)


def _with_axes(template: str, axes: Iterable[str]) -> str:
    missing = [axis for axis in axes if axis not in slot_names(template)]
    shipped = shipped_axes()
    for axis in missing:
        slot, place = f"{{{axis}}}", shipped[axis].place if axis in shipped else "after"
        noun = f"{{{CARRIER}}}" if f"{{{CARRIER}}}" in template else f"[{CLASS}]"
        if place == "before" and noun in template:
            template = template.replace(noun, f"{slot} {noun}", 1)
        elif place == "last":
            template = f"{template}, {slot}"
        else:
            head, comma, tail = template.partition(",")
            template = f"{head} {slot}{comma}{tail}"
    return template
