"""The gate: what every author's captions pass before they become prompts. Pure, no Django.

A caption is KEPT, FLAGGED (kept as a draft, for a person's eye) or DROPPED, each with reasons
as a code and a sentence. The rules, and why each is as it is: docs/authors.md.

Near-duplicates are told by the sets of their words, not by containment: "a dog on a beach at
dusk" says more than "a dog on a beach" and stays. Two captions that differ in a value of an
axis ("a red car", "a blue car") are siblings by design and only dropped when they are equal.
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import Indel

from synthreview.lib.text import normalised, plural, text_key, without_article, without_note
from synthreview.prompting.authors.asking import LANGUAGES
from synthreview.prompting.authors.base import Caption
from synthreview.prompting.gate_words import (
    ARTIST_PHRASES,
    ARTISTS,
    FAMOUS,
    NO_NAMES,
    STOP_WORDS,
    UNSAFE,
)

TEXT_THRESHOLD = 0.9
MEANING_THRESHOLD = 0.97
NEAR_MEANING = "near_meaning"  # the code of what meaning finds; it is found later, by a worker


class Outcome(StrEnum):
    KEPT = "kept"
    FLAGGED = "flagged"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a caption was flagged or dropped: a code for programs, a sentence for people."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Judged:
    """One caption and what the gate made of it."""

    caption: Caption
    outcome: Outcome
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a caption must be.

    Args:
        names: the class and its synonyms; empty where the technique needs none of them.
        axes: the words of each axis, by which siblings by design are known.
        language: a code of STOP_WORDS, or any other for "not checked".
        text_threshold: similarity of two sets of words, 0 to 1, from which they are the same.
    """

    names: tuple[str, ...] = ()
    axes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    language: str = "en"
    min_words: int = 2
    max_words: int = 60
    max_characters: int = 400
    text_threshold: float = TEXT_THRESHOLD


@dataclass(frozen=True, slots=True)
class GateResult:
    """What became of each caption, in the order in which they came."""

    judged: tuple[Judged, ...]


def check(
    captions: Iterable[Caption], rules: GateRules, *, known: Iterable[Caption] = ()
) -> GateResult:
    """Judge captions one after the other; `known` are there already and always win."""
    captions = list(captions)
    faults = [_faults(caption.text, rules) for caption in captions]
    sound = [c.text for c, fault in zip(captions, faults, strict=True) if not fault]
    near = _NearDuplicates(rules, list(known), sound)
    judged = []
    for caption, fault in zip(captions, faults, strict=True):
        reason = fault or near.take(caption)
        if reason:
            judged.append(Judged(caption, Outcome.DROPPED, (reason,)))
        else:
            signs = flags(caption.text, allowed=_allowed(rules))
            judged.append(Judged(caption, Outcome.FLAGGED if signs else Outcome.KEPT, signs))
    return GateResult(tuple(judged))


# --- What is dropped ------------------------------------------------------------------


def _faults(text: str, rules: GateRules) -> Reason | None:
    """Return the first reason for which a caption cannot be one."""
    if any(_is_control(character) for character in text):
        return Reason("control", "It holds characters that cannot be seen, such as NUL.")
    words = re.findall(r"\w+", text)
    if len(words) < rules.min_words:
        return Reason("short", f"It is too short: at least {rules.min_words} words are needed.")
    if len(words) > rules.max_words or len(text) > rules.max_characters:
        return Reason(
            "long",
            f"It has {len(words)} words and {len(text)} characters; at most {rules.max_words} "
            f"and {rules.max_characters} are read by image models.",
        )
    if found := _PLACEHOLDER.search(text):
        return Reason("placeholder", f"A blank was left open: {found.group()}")
    if found := _TALK.search(text):
        return Reason("talk", f"It talks to us in place of showing something: “{found.group()}”")
    if rules.names and not mentions(text, rules.names):
        names = " or ".join(f"“{name}”" for name in rules.names[:4])
        return Reason("class", f"It does not name {names}.")
    if other := _other_language(text, rules.language):
        own = LANGUAGES.get(rules.language, rules.language)
        return Reason("language", f"It seems to be {other}, not {own}.")
    return None


_PLACEHOLDER = re.compile(r"\[[\w -]*\]|\{[\w -]*\}|<[a-z_ ]+>|_{3,}|\bTODO\b|\bXXX\b")
_TALK = re.compile(
    r"^(sure|certainly|of course)\b[,!]|^here (is|are)\b|\bas an ai\b|\blanguage model\b|"
    r"^i (can ?not|can't|am sorry|'m sorry)|\b(the|your|these) captions?\b|^(user|assistant):",
    re.IGNORECASE,
)


def _is_control(character: str) -> bool:
    """Say whether it is a control, a bidirectional override, a surrogate or a private sign."""
    joins = character in "\u200c\u200d"  # in emoji, and in some scripts
    return not joins and unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co"}


def mentions(text: str, names: Iterable[str]) -> bool:
    """Say whether one of the names, singular or plural, stands in `text` as whole words."""
    return bool(_names_pattern(tuple(names)).search(normalised(text)))


@functools.lru_cache(maxsize=512)
def _names_pattern(names: tuple[str, ...]) -> re.Pattern[str]:
    forms = set[str]()
    for name in names:
        bare = normalised(without_article(without_note(name)))
        if bare:
            forms |= {bare, normalised(plural(bare)), f"{bare}s", f"{bare}es"}
    options = (
        r"[\s-]+".join(re.escape(word) for word in re.split(r"[\s-]+", form))
        for form in sorted(forms, key=len, reverse=True)
    )
    return re.compile(rf"(?<!\w)(?:{'|'.join(options)})(?!\w)") if forms else re.compile("")


def _other_language(text: str, language: str) -> str:
    """Return the language or script that the text is clearly in, if that is another one.

    Two more small words that only another language has than of the own one, in a caption of
    four words or more; or a script other than Latin in most of its letters.
    """
    if language not in STOP_WORDS:
        return ""
    letters = [c for c in text if c.isalpha()]
    foreign = [c for c in letters if "LATIN" not in unicodedata.name(c, "")]
    if len(foreign) > len(letters) / 2:
        return f"written in {unicodedata.name(foreign[0], 'another').split()[0].title()} letters"
    words = re.findall(r"[^\W\d_]+", text.casefold())
    if len(words) < 4:
        return ""
    own = sum(word in STOP_WORDS[language] for word in words)
    hits = {code: sum(w in stops for w in words) for code, stops in _OWN_WORDS.items()}
    best = max(hits, key=lambda code: hits[code] if code != language else -1)
    return LANGUAGES.get(best, best) if hits[best] >= own + 2 else ""


_USES = Counter(word for stops in STOP_WORDS.values() for word in stops)
_OWN_WORDS = {
    code: {word for word in stops if _USES[word] == 1} for code, stops in STOP_WORDS.items()
}


class _NearDuplicates:
    """Remembers what was taken and says whether a caption comes too near to it.

    Every text is given at the start: so the rarest words are known, by which alone near ones are
    found among many (the prefix filter of set joins: Chaudhuri et al. 2006, Bayardo et al. 2007).
    """

    def __init__(self, rules: GateRules, known: list[Caption], texts: list[str]) -> None:
        self._rules = rules
        self._axis_words = _as_words(rules.axes)
        everything = list(dict.fromkeys([*(caption.text for caption in known), *texts]))
        self._bags = {text: _bag(text) for text in everything}
        self._uses = Counter(word for bag in self._bags.values() for word in bag)
        self._taken = list[Caption]()
        self._keys = set[str]()
        self._places: dict[str, list[int]] = {}
        for caption in known:
            self._remember(caption)

    def take(self, caption: Caption) -> Reason | None:
        """Remember the caption, or say which one it repeats."""
        key = text_key(caption.text)
        if key in self._keys:
            return Reason("duplicate", "The same caption is there already.")
        reason = self._near_by_words(caption)
        if reason is None:
            self._remember(caption)
        return reason

    def _near_by_words(self, caption: Caption) -> Reason | None:
        threshold, bag = self._rules.text_threshold, self._bags[caption.text]
        seen = {place for word in self._rarest(bag) for place in self._places.get(word, ())}
        for place in sorted(seen):
            # On sorted sets, Indel's similarity is Dice's: twice the shared words over all.
            score = Indel.normalized_similarity(bag, self._bags[self._taken[place].text])
            if score >= threshold and not are_siblings(
                caption, self._taken[place], self._axis_words
            ):
                there = self._taken[place].text
                return _nearly_the_same("near_text", "words", score, threshold, there)
        return None

    def _rarest(self, bag: list[str]) -> list[str]:
        """Return so many of the rarest words that two near sets must share one of them."""
        threshold = self._rules.text_threshold
        shared_at_least = math.ceil(len(bag) * threshold / (2 - threshold) - 1e-9)
        ordered = sorted(bag, key=lambda word: (self._uses[word], word))
        return ordered[: len(bag) - shared_at_least + 1]

    def _remember(self, caption: Caption) -> None:
        for word in self._rarest(self._bags[caption.text]):
            self._places.setdefault(word, []).append(len(self._taken))
        self._taken.append(caption)
        self._keys.add(text_key(caption.text))


AxisWords = Mapping[str, frozenset[str]]


def _as_words(axes: Mapping[str, Iterable[str]]) -> AxisWords:
    return {axis: frozenset(map(normalised, choices)) for axis, choices in axes.items()}


def are_siblings(one: Caption, other: Caption, axes: AxisWords) -> bool:
    """Say whether they differ in a value of an axis of the dataset."""
    for axis, words in axes.items():
        first, second = (normalised(c.slots.get(axis, "")) for c in (one, other))
        if first != second and first in words and second in words:
            return True
    return False


def _nearly_the_same(code: str, by: str, score: float, threshold: float, there: str) -> Reason:
    return Reason(
        code,
        f"Nearly the same by its {by} ({score:.2f}, threshold {threshold:.2f}) as “{there}”",
    )


def near_by_meaning(
    new: Sequence[Caption],
    vectors: NDArray[np.float32],
    known: Sequence[Caption],
    known_vectors: NDArray[np.float32],
    *,
    axes: Mapping[str, Iterable[str]],
    threshold: float = MEANING_THRESHOLD,
) -> list[Reason | None]:
    """Say of each new caption which one, known or new and before it, means nearly the same.

    Args:
        vectors, known_vectors: (N, D) and (K, D) float32, rows of length 1: the texts by CLIP.
        axes: the words of each axis: captions that differ in one are siblings by design.
    What is near counts for those after it as if it were not there.
    """
    if not new:
        return []
    axis_words = _as_words(axes)
    taken = list(known)
    rows = np.concatenate([known_vectors.reshape(len(known), -1), vectors]) if known else vectors
    places = list(range(len(known)))  # of what was taken, in `rows`
    alike = rows @ vectors.T
    found: list[Reason | None] = []
    for number, caption in enumerate(new):
        cosines = alike[places, number]
        reason = None
        for place in np.flatnonzero(cosines >= threshold).tolist():
            if not are_siblings(caption, taken[place], axis_words):
                score, there = float(cosines[place]), taken[place].text
                reason = _nearly_the_same(NEAR_MEANING, "meaning", score, threshold, there)
                break
        found.append(reason)
        if reason is None:
            taken.append(caption)
            places.append(len(known) + number)
    return found


_SMALL = frozenset("a an the of in on at by to with and is are its their".split())


def _bag(text: str) -> list[str]:
    """Return the distinct words in order of the alphabet, small words and endings left out."""
    words = {word for word in re.findall(r"\w+", normalised(text)) if word not in _SMALL}
    return sorted({_stem(word) for word in words})


def _stem(word: str) -> str:
    """Return "run" for "runs" and "running": a crude stem is enough to compare."""
    stem = re.sub(r"(?<=\w{3})(ing|ed|es|s|e)$", "", word)
    return re.sub(r"([^aeiouls])\1$", r"\1", stem)


# --- What is flagged ------------------------------------------------------------------


def flags(text: str, *, allowed: Iterable[str] = ()) -> tuple[Reason, ...]:
    """Return why a person should look at this caption: unsafe words, names, personal data.

    `allowed` are words that are no names here: the classes' and the axes' own.
    """
    reasons = []
    words = set(re.findall(r"[\w-]+", text.casefold()))
    bare = {word.removesuffix("'s").removesuffix("s") for word in words} | words
    if unsafe := sorted(UNSAFE & bare):
        reasons.append(Reason("unsafe", f"Unsafe for some: {', '.join(unsafe)}."))
    if name := _person(text, {word for phrase in allowed for word in _split(phrase)}):
        reasons.append(Reason("name", f"It may name a person: {name}."))
    if found := re.search(
        r"\S{1,64}@\S{1,64}\.\w+|@\w{3,}|https?://\S+|\+?\d[\d ()/-]{7,20}\d", text
    ):
        reasons.append(Reason("personal", f"It may hold an address or number: {found.group()}"))
    return tuple(reasons)


def _person(text: str, allowed: set[str]) -> str:
    """Return what looks like a person's name.

    A listed artist or celebrity; a capital after "by" or "in the style of"; two capitalised
    words in a row after the first word. Words in `allowed` or NO_NAMES are none.
    """
    lower = f" {' '.join(_split(text))} "
    for phrase in (*ARTIST_PHRASES, *FAMOUS):
        if f" {phrase} " in lower and not set(phrase.split()) <= allowed:
            return phrase.title()
    by = re.search(
        r"(?i:\b(?:by|in the (?:style|manner) of|painted by))\s+(?:an? )?([\w'\u2019-]+)", text
    )
    word = _fold(by[1]) if by else ""
    if by and word not in allowed | NO_NAMES and (by[1][0].isupper() or word in ARTISTS):
        return by[1]
    if listed := next((w for w in _split(text) if w in ARTISTS - allowed), ""):
        return listed.title()
    for pair in re.finditer(r"(?<=[\w,] )([A-Z][\w'\u2019-]+) ([A-Z][\w'\u2019-]+)", text):
        if not {_fold(pair[1]), _fold(pair[2])} & (allowed | NO_NAMES):
            return pair.group()
    return ""


def _allowed(rules: GateRules) -> tuple[str, ...]:
    return (*rules.names, *(words for choices in rules.axes.values() for words in choices))


def _split(text: str) -> list[str]:
    return [_fold(word) for word in re.findall(r"[\w'\u2019-]+", text)]


def _fold(word: str) -> str:
    """Return the word without case, accents and a possessive s."""
    plain = unicodedata.normalize("NFKD", word.casefold())
    return re.sub(r"['\u2019]s?$|[\u0300-\u036f]", "", plain)
