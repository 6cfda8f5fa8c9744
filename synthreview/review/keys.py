"""The keys of the review pages: one table for the pages, their help, the settings and the docs.

A page gets its part as JSON and binds whatever stands here; nothing else names a key. A person
chooses a preset and may then change or switch off single keys; `bindings` puts both together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from synthreview.review.reasons import REASON_KEYS


class Mode(StrEnum):
    FOCUS = "focus"
    GRID = "grid"
    COMPARE = "compare"
    ADJUDICATE = "adjudicate"


class Preset(StrEnum):
    LETTERS = "letters"
    CULLING = "culling"
    NONE = "none"


PRESETS = {
    Preset.LETTERS: "Letters: a, x, Space, as in annotation programs such as Prodigy",
    Preset.CULLING: "Culling: p, x, u and arrows, as in programs for choosing photographs",
    Preset.NONE: "None: no key does anything, except those that you set below",
}
FOCUS, GRID, COMPARE, ADJUDICATE = Mode
EVERYWHERE = tuple(Mode)
ARROWS = ("arrowleft", "arrowup", "arrowright", "arrowdown")
TICK_KEYS = ("q", "w", "e", "r", "t")
CHOOSE_KEYS = ("1", "2", "3", "4", "5", "6")
# How a key is written, where it is not its own name; values of KeyboardEvent.key in lower case.
SHOWN = {
    " ": "Space",
    "arrowleft": "←",
    "arrowup": "↑",
    "arrowright": "→",
    "arrowdown": "↓",
    "backspace": "Backspace",
    "delete": "Delete",
    "end": "End",
    "enter": "Enter",
    "escape": "Escape",
    "home": "Home",
    "pagedown": "PageDown",
    "pageup": "PageUp",
}
# What a person may type for it in the settings, besides what is shown.
SPOKEN = {"left": "arrowleft", "up": "arrowup", "right": "arrowright", "down": "arrowdown"}
KEYS_PER_ACTION = 3


class UnknownKeyError(ValueError):
    """What was typed names no key; the message says what would."""


@dataclass(frozen=True, slots=True)
class KeyAction:
    """One thing that a key does, in which modes, and by which keys in each preset.

    `group` is how a row of keys is written that only makes sense as a whole (1-9, arrows): it can
    be switched off and not be changed. `is_fixed`: always there, so that nobody is caught.
    """

    action: str
    label: str
    help: str
    modes: tuple[Mode, ...]
    letters: tuple[str, ...]
    culling: tuple[str, ...]
    group: str = ""
    is_fixed: bool = False

    def keys_in(self, preset: str) -> tuple[str, ...]:
        if self.is_fixed or preset == Preset.LETTERS:
            return self.letters
        return self.culling if preset == Preset.CULLING else ()


# Where two actions of one mode want the same key, the upper one has it.
KEYS = (
    KeyAction(
        "move",
        "Move",
        "Goes from image to image; in the grid with Shift: marks all that you pass.",
        (GRID, COMPARE),
        ARROWS,
        ARROWS,
        group="← ↑ → ↓",
    ),
    KeyAction(
        "mark",
        "Mark",
        "Marks the image in the frame, or takes the mark away.",
        (GRID,),
        (" ",),
        (" ",),
    ),
    KeyAction(
        "submit",
        "Send",
        "Records all images on the page and brings the next ones.",
        (GRID, COMPARE),
        ("enter",),
        ("enter",),
    ),
    KeyAction(
        "choose",
        "Choose the best",
        "Keeps this one and rejects its siblings.",
        (COMPARE,),
        CHOOSE_KEYS,
        CHOOSE_KEYS,
        group="1-6",
    ),
    KeyAction(
        "approve",
        "Approve",
        "The image shows what it should.",
        (FOCUS, ADJUDICATE),
        ("a",),
        ("p",),
    ),
    KeyAction(
        "reject",
        "Reject",
        "The image does not; in compare mode: none of them does.",
        (FOCUS, COMPARE, ADJUDICATE),
        ("x",),
        ("x",),
    ),
    KeyAction(
        "reason",
        "Reject for a reason",
        "Rejects for that reason at once; with Shift, ticks it, for several.",
        (FOCUS, GRID, ADJUDICATE),
        REASON_KEYS,
        REASON_KEYS,
        group="0-9",
    ),
    KeyAction(
        "tick",
        "Tick what is wrong",
        "Ticks the first, second … of the words that the caption asks for.",
        (FOCUS, ADJUDICATE),
        TICK_KEYS,
        TICK_KEYS,
        group="q w e r t",
    ),
    KeyAction(
        "note",
        "Note",
        "Goes to the note, which is sent with your answer.",
        (FOCUS, ADJUDICATE),
        ("n",),
        ("n",),
    ),
    KeyAction(
        "unsure",
        "Unsure",
        "Flags the image for a second look by somebody else.",
        (FOCUS, GRID),
        ("f",),
        ("u",),
    ),
    KeyAction(
        "skip",
        "Skip",
        "Leaves the image to others, and to you later.",
        (FOCUS, COMPARE, ADJUDICATE),
        (" ",),
        ("arrowright", " "),
    ),
    KeyAction(
        "undo",
        "Undo",
        "Takes back your last decision, then earlier ones, without end.",
        EVERYWHERE,
        ("backspace",),
        ("arrowleft", "backspace"),
    ),
    KeyAction(
        "zoom",
        "Zoom",
        "Shows every pixel of the image, and back.",
        EVERYWHERE,
        ("z",),
        ("z",),
    ),
    KeyAction(
        "pan",
        "Pan",
        "While zoomed: moves the image.",
        (FOCUS,),
        ARROWS,
        ARROWS,
        group="← ↑ → ↓",
    ),
    KeyAction(
        "source",
        "Source",
        "Lays the source over the image, half of it, all of it, and away.",
        (FOCUS,),
        ("s",),
        ("s",),
    ),
    KeyAction(
        "guideline",
        "Guideline",
        "Shows or hides the guideline.",
        (FOCUS, GRID, COMPARE),
        ("h",),
        ("h",),
    ),
    KeyAction(
        "reverse",
        "Turn round",
        "Marks are the good ones instead of the bad ones, and back.",
        (GRID,),
        ("i",),
        ("i",),
    ),
    KeyAction("grid", "Grid", "Goes to the grid.", (FOCUS, COMPARE), ("g",), ("g",)),
    KeyAction(
        "compare",
        "Compare",
        "Goes to the siblings of one prompt.",
        (FOCUS, GRID),
        ("c",),
        ("c",),
    ),
    KeyAction(
        "focus", "One by one", "Goes to one image at a time.", (GRID, COMPARE), ("o",), ("o",)
    ),
    KeyAction(
        "help", "Help", "Shows or hides this list.", EVERYWHERE, ("?",), ("?",), is_fixed=True
    ),
    KeyAction(
        "close",
        "Close",
        "Closes the help or the zoom, and leaves the note.",
        EVERYWHERE,
        ("escape",),
        ("escape",),
        is_fixed=True,
    ),
)
ACTIONS = {action.action: action for action in KEYS}
# Arrows pan only while the image is zoomed: they are no rival of what else they do.
WHILE_ZOOMED = "pan"


@dataclass(frozen=True, slots=True)
class Binding:
    """What one person's keys do in one mode; `shown` is how they are written."""

    action: KeyAction
    keys: tuple[str, ...]

    @property
    def shown(self) -> list[str]:
        if self.action.group:
            return [self.action.group] if self.keys else []
        return [shown(key) for key in self.keys]


def shown(key: str) -> str:
    """Return how a key is written: "Space", "←", "a"."""
    return SHOWN.get(key, key)


def key_named(word: str) -> str:
    """Return the key that a person means. Raises UnknownKeyError."""
    typed = word.strip().lower()
    names = {name.lower(): key for key, name in SHOWN.items()} | SPOKEN
    if key := names.get(typed) or (typed if typed in SHOWN else ""):
        return key
    if len(typed) == 1 and typed.isprintable() and not typed.isspace():
        return typed
    named = ", ".join(name for key, name in SHOWN.items() if key != "escape")
    raise UnknownKeyError(f"{word[:20]!r} is no key; type one letter or digit, or: {named}.")


def bindings(
    mode: Mode, preset: str = Preset.LETTERS, changes: Mapping[str, Sequence[str]] | None = None
) -> list[Binding]:
    """Return what each action's keys are in this mode, in the order of the table.

    `changes` says action → its keys instead of the preset's; none switches the action off.
    """
    changes = changes or {}
    taken: set[str] = set()
    bound = []
    for action in KEYS:
        if mode not in action.modes:
            continue
        keys: Iterable[str] = action.keys_in(preset)
        if action.action in changes and not action.is_fixed:
            keys = changes[action.action]
        if action.action != WHILE_ZOOMED:
            keys = [key for key in keys if key not in taken]
            taken.update(keys)
        bound.append(Binding(action, tuple(keys)))
    return bound


def key_map(bound: Iterable[Binding]) -> dict[str, str]:
    """Return key → action, as the page's script binds them; panning goes by its own rule."""
    return {
        key: binding.action.action
        for binding in bound
        for key in binding.keys
        if binding.action.action != WHILE_ZOOMED
    }


def clashes(changes: Mapping[str, Sequence[str]], preset: str) -> list[str]:
    """Return, in words, which keys would do two things where both are at home.

    An action is at home in its first mode; elsewhere the upper one in the table has the key.
    """
    found = []
    for mode in Mode:
        doing: dict[str, KeyAction] = {}
        for action in KEYS:
            if action.modes[0] != mode or action.action == WHILE_ZOOMED:
                continue
            keys = action.keys_in(preset)
            if not action.is_fixed and action.action in changes:
                keys = tuple(changes[action.action])
            for key in keys:
                other = doing.setdefault(key, action)
                if other is not action and {other.action, action.action} & set(changes):
                    found.append(f"{shown(key)} would be both {other.label} and {action.label}.")
    return list(dict.fromkeys(found))
