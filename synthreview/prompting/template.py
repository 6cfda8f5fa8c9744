"""The template of a caption: "A {colour} [class] [action]( under {weather} skies), {style}".

    template  = { text | slot | optional }
    slot      = "[" name "]" | "{" name "}"        both mean the same
    name      = a letter, then letters, digits, "-", "_"; lower case; "class" or an axis
    optional  = "(" { text | slot } ")"            holds a slot; gone where one is without words

A slot without words disappears, together with the comma before it. The article of the class
follows the word that comes after it ("an umbrella", "a red umbrella"), and a number in {count}
makes the class plural and takes the article away ("two dogs"). docs/prompting.md shows it all.
No Django here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from synthreview.lib.text import (
    Number,
    article,
    number_of,
    plural,
    without_article,
    without_note,
)

MAX_LENGTH = 500
CLASS = "class"
COUNT = "count"
SLOT = re.compile(r"\[([a-z][a-z0-9_-]*)\]|\{([a-z][a-z0-9_-]*)\}")
_BRACKETS = re.compile(r"[\[\]{}()]")
_ARTICLE_BEFORE = re.compile(r"(?:^|(?<=[\s(]))([Aa])n?\s+$")
_SINGLE = re.compile(r"(a |the )?(1|one|single|lone|solitary)\b", re.IGNORECASE)
# Stand where the article of the class does until all words are known.
_MARK, _CAPITAL_MARK = "\ue000", "\ue001"


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for the words of an axis, or of the class."""

    name: str


@dataclass(frozen=True, slots=True)
class Optional:
    """Parts that stay together or go together."""

    parts: tuple[str | Slot, ...]

    @property
    def slots(self) -> list[str]:
        return [part.name for part in self.parts if isinstance(part, Slot)]


@dataclass(frozen=True, slots=True)
class Template:
    """A template that is known to be right in itself; which axes exist is checked apart."""

    text: str
    parts: tuple[str | Slot | Optional, ...]

    @property
    def slots(self) -> list[str]:
        """The slots in order, each once, "class" among them."""
        return list(
            dict.fromkeys(part.name for part in _flat(self.parts) if isinstance(part, Slot))
        )

    def fill(self, words: Mapping[str, str]) -> str:
        """Return the caption; `words` maps slots to words, "class" to the bare name.

        Brackets in the words are left out ("crane (bird)" says "crane").
        """
        said = {name: _spoken(text) for name, text in words.items()}
        parts = list(_kept(self.parts, said))
        count = said.get(COUNT, "") if Slot(COUNT) in parts else ""
        name = said.get(CLASS, "")
        if _is_attributive(parts):  # "a dog-style car": the car is what is counted
            name = said[CLASS] = without_article(name)
        else:
            said[CLASS] = plural(name) if is_several(count) else name
        at = _article_at(parts)
        if at is None:
            return _finished(_joined(parts, said), self, None)
        found = _ARTICLE_BEFORE.search(literal := str(parts[at]))
        assert found is not None
        parts[at] = literal[: found.start()] + (_CAPITAL_MARK if found[1] == "A" else _MARK)
        said[CLASS] = without_article(said[CLASS])
        own = name[: len(name) - len(without_article(name))].strip().lower()
        noun = "" if _is_attributive(parts) else name
        return _finished(_joined(parts, said), self, _Determiner(noun, own, bool(count)))


@dataclass(frozen=True, slots=True)
class _Determiner:
    """What decides the word in front of the class; `own` is the article that it brings."""

    name: str
    own: str
    is_counted: bool

    def before(self, word: str) -> str:
        if self.is_counted:
            return ""
        if self.own and self.own not in {"a", "an"}:
            return self.own
        how = number_of(without_article(self.name))
        if how is Number.SINGULAR:
            return article(word)
        return "a pair of" if how is Number.PAIR else ""


def parse(text: str) -> Template:
    """Return the template. Raises ValueError with one line that says what is wrong where."""
    if len(text) > MAX_LENGTH:
        raise ValueError(f"The template has {len(text):,} characters; {MAX_LENGTH} are allowed.")
    if any(not character.isprintable() and not character.isspace() for character in text):
        raise ValueError("The template holds a control character: type it anew, as plain text.")
    parts: list[str | Slot | Optional] = []
    inside: list[str | Slot] | None = None  # the parts of an optional part that is open
    opened_at = at = 0
    while at < len(text):
        target: list[str | Slot] | list[str | Slot | Optional] = parts if inside is None else inside
        character = text[at]
        if found := SLOT.match(text, at):
            target.append(Slot(found[1] or found[2]))
            at = found.end()
            continue
        if character == "(":
            if inside is not None:
                raise ValueError(f"Character {at + 1}: an optional part cannot hold another one.")
            inside, opened_at = [], at
        elif character == ")" and inside is not None:
            if not any(isinstance(part, Slot) for part in inside):
                raise ValueError(
                    f"Character {opened_at + 1}: an optional part in ( ) must hold a slot."
                )
            parts.append(Optional(tuple(inside)))
            inside = None
        elif character in "[]{})":
            raise ValueError(_stray(text, at))
        else:
            end = _BRACKETS.search(text, at)
            target.append(text[at : end.start() if end else len(text)])
            at = end.start() if end else len(text)
            continue
        at += 1
    if inside is not None:
        raise ValueError(f"Character {opened_at + 1}: the ( is never closed.")
    if not any(isinstance(part, Slot) and part.name == CLASS for part in parts):
        if any(isinstance(part, Optional) and CLASS in part.slots for part in parts):
            raise ValueError("[class] must not stand in an optional part.")
        raise ValueError("The template must contain [class].")
    return Template(text, tuple(parts))


def check_template(template: str, known: Collection[str]) -> None:
    """Raise ValueError where `template` is wrong or names a slot that is not `known`."""
    for name in parse(template).slots:
        if name != CLASS and name not in known:
            listed = ", ".join(["class", *sorted(known)])
            raise ValueError(f"Unknown slot {name!r}; known: {listed}.")


def slot_names(template: str) -> list[str]:
    """Return the slots in order, "class" among them. Raises ValueError as `parse` does."""
    return _parsed(template).slots


def fill(template: str, words: Mapping[str, str]) -> str:
    """Return the caption. Raises ValueError where the template is wrong."""
    return _parsed(template).fill(words)


def is_several(count: str) -> bool:
    """Say whether the words of a {count} ask for a plural: "two", "a pair of", but not "one"."""
    return bool(count) and not _SINGLE.match(count)


_parsed = functools.lru_cache(maxsize=256)(parse)


# --- Reading --------------------------------------------------------------------


def _stray(text: str, at: int) -> str:
    """Say what is wrong with a bracket that begins or ends no slot."""
    closing = {"[": "]", "{": "}"}.get(text[at])
    end = text.find(closing, at) if closing else -1
    name = text[at + 1 : end]
    if end < 0 or _BRACKETS.search(name):
        return f"Character {at + 1}: the {text[at]} stands alone; slots are written like [class]."
    if not name.strip():
        return f"Character {at + 1}: the slot has no name."
    shown = name if len(name) <= 40 else name[:39] + "…"
    return (
        f"Character {at + 1}: {shown!r} is no name for a slot; "
        "allowed are a-z, 0-9, - and _, a letter first."
    )


# --- Filling --------------------------------------------------------------------


@functools.lru_cache(maxsize=8_192)
def _spoken(words: str) -> str:
    return without_note(words.replace(_MARK, "").replace(_CAPITAL_MARK, ""))


def _flat(parts: tuple[str | Slot | Optional, ...]) -> Iterator[str | Slot]:
    for part in parts:
        if isinstance(part, Optional):
            yield from part.parts
        else:
            yield part


def _kept(
    parts: tuple[str | Slot | Optional, ...], words: Mapping[str, str]
) -> Iterator[str | Slot]:
    """Yield what stays: optional parts are whole or gone."""
    for part in parts:
        if not isinstance(part, Optional):
            yield part
        elif all(words.get(name) for name in part.slots):
            yield from part.parts


def _article_at(parts: list[str | Slot]) -> int | None:
    """Return which text ends with the article of the class: nothing but slots between them."""
    at = parts.index(Slot(CLASS))
    while at > 0:
        at -= 1
        part = parts[at]
        if isinstance(part, str) and part.strip():
            return at if _ARTICLE_BEFORE.search(part) else None
    return None


def _is_attributive(parts: list[str | Slot]) -> bool:
    """Say whether the class only describes another noun: "[class]-style {carrier}"."""
    after = parts[parts.index(Slot(CLASS)) + 1 :]
    return bool(after) and isinstance(after[0], str) and after[0].startswith("-")


def _joined(parts: list[str | Slot], words: Mapping[str, str]) -> str:
    return "".join(words.get(part.name, "") if isinstance(part, Slot) else part for part in parts)


def _finished(text: str, template: Template, determiner: _Determiner | None) -> str:
    """Return the caption with its articles, spaces, commas and first letter in order."""
    text = re.sub(r"\s+", " ", text)
    text = re.sub(r" +([,.;:!?])", r"\1", text)
    text = re.sub(r"(,\s*)+([.;:!?,])", r"\2", text)
    text = re.sub(r",(?:\s*,)+", ",", text)
    text = re.sub(r"\ba (?=(\w+))", lambda found: article(found[1]) + " ", text)
    text = re.sub(r"\ban (?=(\w+))", lambda found: article(found[1]) + " ", text)
    text = re.sub(r"^ ?An? (?=(\w+))", lambda found: article(found[1]).capitalize() + " ", text)
    if determiner is not None:
        text = _with_determiner(text, determiner)
    text = text.strip(" ,;")
    first = re.match(r"[A-Z]|[\[{(]", template.text.strip())
    word = re.match(r"\S*", text)
    if first and word and word.group().islower():
        text = text[:1].upper() + text[1:]
    return text


def _with_determiner(text: str, determiner: _Determiner) -> str:
    before, mark, after = re.split(rf"([{_MARK}{_CAPITAL_MARK}])", text, maxsplit=1)
    after = after.lstrip()
    chosen = determiner.before(after)
    if not chosen:
        return before + (after[:1].upper() + after[1:] if mark == _CAPITAL_MARK else after)
    chosen = chosen.capitalize() if mark == _CAPITAL_MARK else chosen
    return f"{before}{chosen} {after}"
