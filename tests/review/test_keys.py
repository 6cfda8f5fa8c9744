"""The key map is one table: for the page, its help and the documentation."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings

from synthreview.review.keys import KEYS, key_map
from synthreview.review.reasons import REASON_KEYS, REASON_OF_PART, REASONS

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "reviewing.md"
SCRIPT = Path(settings.BASE_DIR) / "static" / "js" / "review.js"
MAX_SCRIPT_BYTES = 25_000


def test_each_key_does_one_thing() -> None:
    keys = [key for action in KEYS for key in action.keys]
    assert len(keys) == len(set(keys))
    assert key_map()["a"] == "approve"
    assert key_map()[" "] == "skip"


def test_each_reason_has_a_digit_of_its_own() -> None:
    assert list(REASON_KEYS) == [str(number) for number in range(1, len(REASONS) + 1)]
    assert len(REASONS) <= 9
    assert set(REASON_OF_PART.values()) <= set(REASONS)


def test_the_documentation_lists_every_key() -> None:
    table = [f"| `{key.shown}` | {key.label} | {key.help} |" for key in KEYS]
    text = DOCUMENT.read_text(encoding="utf-8")
    assert "\n".join(table) in text, "docs/reviewing.md should hold:\n" + "\n".join(table)


def test_the_documentation_lists_every_reason() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    missing = [
        line
        for key, code in REASON_KEYS.items()
        if (line := f"| `{key}` | {REASONS[code]} | `{code}` |") not in text
    ]
    assert missing == []


def test_the_script_does_every_action_and_stays_small() -> None:
    script = SCRIPT.read_text(encoding="utf-8")
    body = script[script.index("const actions = {") :]
    missing = [key.action for key in KEYS if f"  {key.action}: " not in body[: body.index("};")]]
    assert missing == []
    assert len(script.encode()) < MAX_SCRIPT_BYTES
