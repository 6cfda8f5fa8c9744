"""Why an image is rejected: fixed codes on the digit keys, so that reasons can be counted.

A code keeps its meaning for ever, because decisions carry it; a guideline that changes is told
apart by the version that stands beside it on the decision. A reason keeps its digit in every
technique that has it, so that the hand need not look.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from synthreview.prompting.techniques import TECHNIQUES


@dataclass(frozen=True, slots=True)
class Reason:
    """One reason. `techniques` is empty where it fits all of them; `key` is empty where no
    key gives it: said by compare mode itself, or only kept to name old decisions.
    """

    code: str
    label: str
    key: str = ""
    techniques: tuple[str, ...] = ()


NOT_THE_BEST = "not_the_best"
WRONG_ATTRIBUTE = "wrong_attribute"

ALL = (
    Reason("wrong_object", "Wrong object", "1"),
    Reason(WRONG_ATTRIBUTE, "Attribute or count", "2"),
    Reason("wrong_place", "Wrong place", "3", ("environment", "style", "adversarial")),
    Reason("wrong_style", "Wrong style", "4", ("style",)),
    Reason("anatomy", "Anatomy, structure", "5"),
    Reason("artefact", "Artefact, unclear", "6"),
    Reason("text_garbled", "Garbled text", "7"),
    Reason("still_the_look", "Is what it resembles", "8", ("adversarial",)),
    Reason("word_missing", "Word missing", "8", ("typographic",)),
    Reason("near_copy", "Near copy", "8", ("variation",)),
    Reason("not_blended", "Not blended", "8", ("fusion",)),
    Reason("edit_failed", "Edit not believable", "8", ("inpaint",)),
    Reason("unsafe", "Unsafe", "9"),
    Reason("off_brief", "Off brief, other", "0"),
    Reason(NOT_THE_BEST, "A sibling is better"),
    # Given by earlier versions of the page; decisions on record carry them.
    Reason("wrong_colour", "Wrong colour or attribute"),
    Reason("missing_part", "A part is missing"),
    Reason("extra_object", "Something else intrudes"),
    Reason("unreadable", "Unreadable or broken"),
    Reason("not_as_captioned", "Does not do what the caption says"),
    Reason("other", "Something else"),
)
REASONS = {reason.code: reason.label for reason in ALL}
REASON_KEYS = tuple(dict.fromkeys(reason.key for reason in ALL if reason.key))
# The part that scored lowest suggests a reason to look at.
REASON_OF_PART = {
    "object": "wrong_object",
    "environment": "wrong_place",
    "colour": WRONG_ATTRIBUTE,
    "style": "wrong_style",
}


def reasons_for(technique: str) -> list[Reason]:
    """Return what may be wrong with an image of this technique, in the order of the keys."""
    return [
        reason
        for reason in ALL
        if reason.key and (not reason.techniques or technique in reason.techniques)
    ]


def reason_tables() -> Mapping[str, list[Reason]]:
    """Return technique → its reasons, for the documentation and the tests."""
    return {technique: reasons_for(technique) for technique in TECHNIQUES}
