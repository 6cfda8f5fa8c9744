"""The template of a caption: "A {colour} [class] [action] {environment}, {style}".

[class] and [name] or {name} are slots; a slot without words disappears, together with the
comma before it; the article in front of the first word that stays is made to fit.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from synthreview.lib.text import article

SLOT = re.compile(r"[\[{]([a-z][a-z0-9_-]*)[\]}]")
DEFAULT_TEMPLATES = {
    "plain": "A {colour} [class] [action]",
    "environment": "A {colour} [class] [action] {environment}",
    "style": "A {colour} [class] [action] {environment}, {style}",
}


def slot_names(template: str) -> list[str]:
    """Return the slots of `template` in order, "class" among them."""
    return SLOT.findall(template)


def check_template(template: str, known: set[str]) -> None:
    """Raise ValueError where `template` lacks [class] or names an unknown slot."""
    names = slot_names(template)
    if "class" not in names:
        raise ValueError("The template must contain [class].")
    if unknown := sorted(set(names) - known - {"class"}):
        raise ValueError(f"Unknown slot {unknown[0]!r}; known: class, {', '.join(sorted(known))}.")
    if leftover := re.search(r"[\[\]{}]", SLOT.sub("", template)):
        raise ValueError(f"A bracket stands alone in the template: {leftover.group()}")


def fill(template: str, words: Mapping[str, str]) -> str:
    """Return the caption: slots replaced by `words`, empty ones closed up, articles right."""
    text = SLOT.sub(lambda slot: words.get(slot[1], ""), template)
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r"(\s*,)+", ",", text)
    text = re.sub(r"\b([Aa])n? (?=(\w+))", lambda a: _fitting(a[1], a[2]), text)
    return text.strip(" ,")


def _fitting(letter: str, noun: str) -> str:
    return letter + article(noun)[1:] + " "
