"""Probes to start from: neutral words, not complete; a curator changes what does not fit.

They are about what a picture seems to show, which is no statement about anybody's identity.
"""

from __future__ import annotations

from typing import Final

from synthreview.catalog.models import Axis
from synthreview.scoring.probing import MOST_GROUPS, GroupWish

PRESETS: Final[dict[str, tuple[GroupWish, ...]]] = {
    "women and men": (
        GroupWish(
            "woman",
            ("a photo of a woman", "a portrait of a woman"),
            ("woman", "women", "female", "girl"),
        ),
        GroupWish(
            "man", ("a photo of a man", "a portrait of a man"), ("man", "men", "male", "boy")
        ),
        GroupWish("nobody", ("a photo without people", "a photo of a thing"), ("nobody",)),
    ),
    "ages": (
        GroupWish("child", ("a photo of a child",), ("child", "children", "boy", "girl")),
        GroupWish("young adult", ("a photo of a young adult",), ("young", "teenage")),
        GroupWish("middle-aged", ("a photo of a middle-aged person",), ("middle-aged",)),
        GroupWish("elderly", ("a photo of an elderly person",), ("elderly", "old", "senior")),
    ),
    "skin tones": (
        GroupWish("dark", ("a photo of a person with dark skin",), ("dark-skinned", "Black")),
        GroupWish("medium", ("a photo of a person with medium brown skin",), ("brown-skinned",)),
        GroupWish("light", ("a photo of a person with light skin",), ("light-skinned", "white")),
    ),
    "indoors and outdoors": (
        GroupWish("indoors", ("a photo taken indoors",), ("indoors", "inside", "in a room")),
        GroupWish("outdoors", ("a photo taken outdoors",), ("outdoors", "outside")),
    ),
    "day and night": (
        GroupWish("day", ("a photo taken during the day",), ("day", "daylight", "sunshine")),
        GroupWish("night", ("a photo taken at night",), ("night", "dark", "moonlight")),
    ),
}


def groups_of_axis(axis: Axis) -> tuple[GroupWish, ...]:
    """Return a group for each of the first values of an axis; its words are the caption's."""
    return tuple(
        GroupWish(
            value.name,
            (value.phrase or value.name,),
            tuple(dict.fromkeys(words for words in (value.phrase, value.name) if words)),
        )
        for value in axis.values.all()[:MOST_GROUPS]
    )
