"""The keys of the review page: one table for the page, its help, and docs/reviewing.md.

The page gets it as JSON and binds whatever stands here; nothing else names a key.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

from synthreview.review.reasons import REASON_KEYS


@dataclass(frozen=True, slots=True)
class KeyAction:
    """One thing that a key does.

    `keys` are values of KeyboardEvent.key in lower case; `shown` is how the key is written.
    """

    action: str
    keys: tuple[str, ...]
    shown: str
    label: str
    help: str


KEYS = (
    KeyAction("approve", ("a",), "a", "Approve", "The image shows what it should."),
    KeyAction(
        "reject",
        ("x",),
        "x",
        "Reject",
        "Opens the reasons; x once more, or Enter, rejects without one.",
    ),
    KeyAction(
        "reason",
        tuple(REASON_KEYS),
        "1-9",
        "Choose a reason",
        "With the reasons open: rejects for that reason at once.",
    ),
    KeyAction(
        "confirm", ("enter",), "Enter", "Reject", "With the reasons open: rejects as they stand."
    ),
    KeyAction("skip", (" ",), "Space", "Skip", "Leaves the image to others, and to you later."),
    KeyAction(
        "undo", ("backspace",), "Backspace", "Undo", "Takes back your last decision, then earlier."
    ),
    KeyAction("zoom", ("z",), "z", "Zoom", "Shows the image at its full size, and back."),
    KeyAction("guideline", ("g", "h"), "g or h", "Guideline", "Shows or hides the guideline."),
    KeyAction("help", ("?",), "?", "Help", "Shows or hides this list."),
    KeyAction("close", ("escape",), "Escape", "Close", "Closes the reasons, the help or the zoom."),
)


def key_map() -> dict[str, str]:
    """Return key → action, as the page's script binds them."""
    return {key: action.action for action in KEYS for key in action.keys}


def key_table() -> list[dict[str, object]]:
    """Return the table as plain values."""
    return [asdict(action) for action in KEYS]
