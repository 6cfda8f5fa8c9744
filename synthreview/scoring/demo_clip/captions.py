"""Captions of the drawn world: random wordings whose truth is known word for word.

A `Text` is a wording and what it states. Whatever it does not state (actions, looks,
adjectives) is neutral: it neither fits nor contradicts a picture.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from synthreview.generation.generators.sketch import vocabulary
from synthreview.generation.generators.sketch.vocabulary import Word
from synthreview.lib.text import with_article

SLOTS: Final = ("object", "environment", "style", "colour")
WORDS: Final[dict[str, tuple[Word, ...]]] = {
    "object": vocabulary.OBJECTS,
    "environment": vocabulary.ENVIRONMENTS,
    "style": vocabulary.STYLES,
    "colour": vocabulary.COLOURS,
}
NAMES: Final = {slot: vocabulary.names(words) for slot, words in WORDS.items()}
UNKNOWN: Final = "?"  # stated, but nothing of this world: never true
CLASS_TEMPLATES: Final = ("a {}", "{}", "a picture of a {}", "an image of the {}")

# Any token outside the known words; the model reads all of them as one.
FOREIGN: Final = "zzz"
ADJECTIVES: Final = tuple(
    """small big large little old new shiny nice beautiful lonely single pretty simple tiny
    huge""".split()
)
ACTIONS: Final = tuple(phrase for word in vocabulary.ACTIONS for phrase in word.phrases)
_PHRASES: Final = {
    slot: {word.name: word.phrases for word in words} for slot, words in WORDS.items()
}
_SYNONYMS: Final = {
    slot: {word.name: word.synonyms for word in words} for slot, words in WORDS.items()
}
# Synonyms that name one thing and colour another: left out, so that none is taught twice.
_SHARED: Final = frozenset({"rose", "orange", "chestnut", "salmon", "chocolate", "gold"})
_LOOKS: Final = ("{}-style", "{}-shaped", "{}-themed", "{}-patterned")
_LIKE: Final = ("shaped like {}", "that looks like {}", "styled like {}")


@dataclass(frozen=True, slots=True)
class Text:
    """One wording and what it states per slot; None: says nothing about it."""

    words: str
    object: str | None = None
    environment: str | None = None
    style: str | None = None
    colour: str | None = None

    def stated(self, slot: str) -> str | None:
        """Return what this text states for a slot."""
        value: str | None = getattr(self, slot)
        return value


def part_text(slot: str, name: str, rng: random.Random) -> Text:
    """Return a wording of one part alone: "a car", "on the beach", "a watercolour", "red"."""
    phrase = _phrase(slot, name, rng)
    makers = {"object": _object_alone, "environment": _place_alone, "style": _style_alone}
    words = makers.get(slot, _colour_alone)(phrase, rng)
    return Text(words, **{slot: name})


def unknown_text(rng: random.Random, nouns: Sequence[str]) -> Text:
    """Return a caption of something that this world does not hold: "a giraffe at night"."""
    noun = with_article(_noun(rng, nouns))
    stated = {slot: rng.choice(NAMES[slot]) for slot in SLOTS if rng.random() < 0.3}
    if rng.random() < 0.5:
        return Text(_object_alone(noun, rng), object=UNKNOWN)
    return Text(
        _sentence(noun, stated | {"object": UNKNOWN}, rng), **(stated | {"object": UNKNOWN})
    )


def caption(
    truth: dict[str, str], rng: random.Random, keep: dict[str, float] | None = None
) -> Text:
    """Return a caption that states a random share of `truth` (slot to name).

    Slots keep their place with the chances of `keep`; at least one stays.
    """
    chances = keep or {"object": 0.9, "environment": 0.75, "style": 0.65, "colour": 0.45}
    kept = {slot: name for slot, name in truth.items() if rng.random() < chances[slot]}
    kept = kept or {slot: truth[slot] for slot in [rng.choice(sorted(truth))]}
    noun = _phrase("object", kept["object"], rng) if "object" in kept else ""
    return Text(_sentence(noun, kept, rng), **kept)


def changed(truth: dict[str, str], rng: random.Random) -> dict[str, str]:
    """Return `truth` with one slot changed to another name: a hard negative."""
    slot = rng.choice(sorted(truth))
    return truth | {slot: rng.choice([name for name in NAMES[slot] if name != truth[slot]])}


def known_wordings() -> Iterator[str]:
    """Yield wordings that together hold every word that the model is to know."""
    for slot in SLOTS:
        for name in NAMES[slot]:
            yield from (*_PHRASES[slot][name], *_synonyms(slot, name), name)
    yield from ADJECTIVES
    yield from ACTIONS
    yield from (template.format("") for template in (*CLASS_TEMPLATES, *_LOOKS, *_LIKE))
    yield from _OBJECT_FORMS + _PLACE_FORMS + _STYLE_FORMS + _COLOUR_FORMS
    yield "my the one an a some , . - of in on at with and by something thing"


_OBJECT_FORMS: Final = ("{}", "{}", "{}.", "a picture of {}", "an image of {}")
_PLACE_FORMS: Final = ("{}", "{}", "{}", "something {}", "a picture {}", "a scene {}", "a thing {}")
_STYLE_FORMS: Final = (
    "{}", "{}", "{} of something", "a picture, {}", "in the style of {}", "{} picture",
    "a scene, {}",
)  # fmt: skip
_COLOUR_FORMS: Final = (
    "{}", "{}", "a {} thing", "something {}", "a {} object", "the colour {}",
)  # fmt: skip


def _synonyms(slot: str, name: str) -> tuple[str, ...]:
    return tuple(word for word in _SYNONYMS[slot][name] if word not in _SHARED)


def _phrase(slot: str, name: str, rng: random.Random) -> str:
    """Return one of the ways that captions state a name; synonyms once in five times."""
    synonyms = _synonyms(slot, name)
    if synonyms and rng.random() < 0.2:
        word = rng.choice(synonyms)
        return with_article(word) if slot == "object" else word
    return rng.choice(_PHRASES[slot][name])


def _noun(rng: random.Random, nouns: Sequence[str]) -> str:
    """Return a noun from outside: a listed one, or a word that nobody knows."""
    return rng.choice(nouns) if rng.random() < 0.5 else FOREIGN


def _object_alone(phrase: str, rng: random.Random) -> str:
    article, _, noun = phrase.partition(" ")
    if rng.random() < 0.35:
        article = rng.choice(("the", "my", "one", "", ""))
    if rng.random() < 0.25:
        noun = f"{_adjective(rng)} {noun}"
    words = rng.choice(_OBJECT_FORMS).format(f"{article} {noun}".strip())
    return f"{words} {rng.choice(ACTIONS)}" if rng.random() < 0.15 else words


def _place_alone(phrase: str, rng: random.Random) -> str:
    return rng.choice(_PLACE_FORMS).format(phrase)


def _style_alone(phrase: str, rng: random.Random) -> str:
    words = rng.choice(_STYLE_FORMS).format(phrase)
    words = words.replace(" of of ", " of ").replace("in the style of in the", "in the")
    return words.removesuffix(" of").replace(" of picture", " picture")


def _colour_alone(phrase: str, rng: random.Random) -> str:
    return rng.choice(_COLOUR_FORMS).format(phrase)


def _adjective(rng: random.Random) -> str:
    return FOREIGN if rng.random() < 0.3 else rng.choice(ADJECTIVES)


def _sentence(noun: str, stated: dict[str, str], rng: random.Random) -> str:
    """Return "A red car parked on the beach, as a watercolour" for what is stated."""
    subject = _subject(noun, stated, rng)
    if "object" in stated and rng.random() < 0.4:
        subject += " " + (FOREIGN if rng.random() < 0.2 else rng.choice(ACTIONS))
    place = _phrase("environment", stated["environment"], rng) if "environment" in stated else ""
    words = f"{place}, {subject}" if place and rng.random() < 0.1 else f"{subject} {place}".strip()
    if "style" in stated:
        words = _in_style(_phrase("style", stated["style"], rng), words, rng)
    words = words.strip(" ,")
    return words + rng.choice(("", "", ".")) if rng.random() < 0.5 else words.capitalize()


def _subject(noun: str, stated: dict[str, str], rng: random.Random) -> str:
    """Return the noun with its colour, adjective and look: "a small dog-style red car"."""
    article, _, bare = (noun or "a thing").partition(" ")
    colour = _phrase("colour", stated["colour"], rng) if "colour" in stated else ""
    adjective = _adjective(rng) if rng.random() < 0.15 else ""
    look = rng.random() if noun and "colour" not in stated else 1.0
    lent = rng.choice((*vocabulary.OBJECT_NAMES, *vocabulary.LOOK_OF))
    before = rng.choice(_LOOKS).format(lent) if look < 0.05 else ""
    after = rng.choice(_LIKE).format(with_article(lent)) if 0.05 <= look < 0.08 else ""
    return " ".join(word for word in (article, adjective, colour, before, bare, after) if word)


def _in_style(phrase: str, words: str, rng: random.Random) -> str:
    if phrase.endswith(" of"):
        return f"{phrase} {words}"
    return f"{words}, {phrase}" if rng.random() < 0.7 else f"{words} {phrase}"
