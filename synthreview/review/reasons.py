"""Why an image is rejected: fixed codes, on the digit keys, so that reasons can be counted."""

from __future__ import annotations

REASONS = {
    "wrong_object": "Wrong object",
    "wrong_place": "Wrong or missing place",
    "wrong_colour": "Wrong colour or attribute",
    "wrong_style": "Style ignored",
    "missing_part": "A part is missing",
    "extra_object": "Something else intrudes",
    "unreadable": "Unreadable or broken",
    "not_as_captioned": "Does not do what the caption says",
    "other": "Something else",
}
REASON_KEYS = {str(number): code for number, code in enumerate(REASONS, start=1)}
# The part that scored lowest suggests a reason to look at.
REASON_OF_PART = {
    "object": "wrong_object",
    "environment": "wrong_place",
    "colour": "wrong_colour",
    "style": "wrong_style",
}
