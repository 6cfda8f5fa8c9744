"""The keys of the list of captions: one table for the page, its help, and docs/prompting.md.

The page's script binds whatever the help shows; nothing else names a key.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class KeyAction:
    """One thing that a key does.

    `keys` are values of KeyboardEvent.key in lower case, "shift+" before it where it is held;
    `shown` is how the key is written.
    """

    action: str
    keys: tuple[str, ...]
    shown: str
    help: str


KEYS = (
    KeyAction("next", ("j", "arrowdown"), "j or ↓", "Go to the next caption."),
    KeyAction("previous", ("k", "arrowup"), "k or ↑", "Go to the caption before."),
    KeyAction("keep", ("a",), "a", "Approve the caption, or all that are selected."),
    KeyAction("drop", ("x",), "x", "Retire the caption, or all that are selected."),
    KeyAction("edit", ("e",), "e", "Change its words; Enter saves, Escape leaves them."),
    KeyAction("select", (" ",), "Space", "Select the caption, or take that back."),
    KeyAction(
        "extend-next", ("shift+j", "shift+arrowdown"), "Shift ↓", "Select on to the next caption."
    ),
    KeyAction(
        "extend-previous",
        ("shift+k", "shift+arrowup"),
        "Shift ↑",
        "Select back to the caption before.",
    ),
    KeyAction("all", ("shift+a",), "Shift a", "Select all captions of the page, or none."),
    KeyAction("help", ("?", "shift+?"), "?", "Show or hide this list."),
    KeyAction("close", ("escape",), "Escape", "Close this list, or select nothing."),
)
