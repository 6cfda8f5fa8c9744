"""From a prompt to what it asks: free word order, synonyms, plurals, both spellings.

Rules, in the order in which they are applied:

1. The longest known phrase at each place wins ("black and white" is a style before
   "black" is a colour; "beach ball" is a ball, not a beach).
2. Carrier and look: in "a dalmatian-style car", "a dog-shaped cup", "a car that
   looks like a fish" the carrier is drawn (car, cup, car) and the other thing only
   lends its pattern. A look may come from an animal that cannot be drawn itself
   ("a zebra-striped boat"), and a pattern may be named alone ("a spotted cup").
3. Of several objects or places the first is drawn; the others are reported.
4. A colour belongs to the object unless it stands right before something else
   ("a blue sky", "a green meadow").
5. Of several styles the specific one wins ("a black and white pencil sketch" is a
   pencil sketch, "a watercolour, realistic" a watercolour).
6. An action counts if the object can do it; a word may name another action for
   another object ("lying" is sleeping for a dog and toppled for a chair).
7. Every content word left over is reported, never guessed at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Final

from synthreview.generation.generators.sketch import vocabulary
from synthreview.generation.generators.sketch.vocabulary import Word

_KINDS: Final[tuple[tuple[str, tuple[Word, ...]], ...]] = (
    ("object", vocabulary.OBJECTS),
    ("environment", vocabulary.ENVIRONMENTS),
    ("style", vocabulary.STYLES),
    ("colour", vocabulary.COLOURS),
    ("action", vocabulary.ACTIONS),
)

# Words that carry no content here. Numbers, "no" and "without" are not among them:
# what we cannot honour is reported.
_EMPTY_WORDS: Final = frozenset(
    """a an the of in on at by with and or to from for as is are was be being been it its that
    this these there which who into onto over near under beside behind before front some one
    single my our your his her their image picture pic illustration scene view shot depicting
    showing shows show featuring style styled draw paint painted make create generate render
    rendered please me coloured colored colour color background setting very light dark bright
    pale deep vivid while up down along around through across out off among amid amongst against
    wooden sandy grassy""".split()
)

_LIKE_BEFORE: Final = frozenset(
    """style styled shaped like themed patterned print printed looking inspired esque
    colored coloured design decorated covered print markings coat fur skin""".split()
)
_LIKE_AFTER: Final = re.compile(
    r"^(?:that |which |it )*"
    r"(?:(?:looks?|looking|shaped|painted|styled|dressed|disguised|designed|decorated|"
    r"made(?: up)?|patterned) )*"
    r"(?:like|as|to look like|in the (?:shape|style|form|look) of|"
    r"with the (?:pattern|look) of|resembling|resembles)"
    r"(?: (?:a|an|the|some))* $"
)
_STYLE_RANK: Final = ("photo-like", "black and white")  # weakest first; the rest are specific


@dataclass(frozen=True, slots=True)
class Understood:
    """What a prompt asks; None where it leaves the choice open.

    `look` is a pattern of `vocabulary.LOOKS`. `unknown_words` are the content words
    that will not be drawn, in the order of the prompt.
    """

    object: str | None = None
    environment: str | None = None
    style: str | None = None
    colour: str | None = None
    action: str | None = None
    look: str | None = None
    unknown_words: tuple[str, ...] = ()


@dataclass(slots=True)
class _Span:
    """A run of tokens with one meaning; `names` has several for an ambiguous action."""

    kind: str
    names: tuple[str, ...]
    text: str


_END: Final = _Span("end", (), "")


def understand(prompt: str) -> Understood:
    """Return what the prompt asks and which of its words are not known. Raises nothing."""
    spans = _spans(_tokens(prompt))
    look = _take_look(spans)
    unknown = [span for span in spans if span.kind == "unknown"]
    objects = [span for span in spans if span.kind == "object"]
    subject = objects[0].names[0] if objects else None
    for kind in ("object", "environment", "style"):
        unknown += _outdone(spans, kind)
    colour = _colour(spans, unknown)
    action = _action(spans, subject, unknown)
    reported = [span.text for span in spans if any(span is other for other in unknown)]
    return Understood(
        object=subject,
        environment=_first(spans, "environment"),
        style=_style(spans),
        colour=colour,
        action=action,
        look=look,
        unknown_words=tuple(dict.fromkeys(reported)),
    )


def _tokens(prompt: str) -> list[str]:
    """Return the words in lower case, and the marks that end a phrase as words of their own."""
    text = re.sub(r"['\u2019]s\b", "", prompt.lower())
    return re.findall(r"[^\W_]+|[,;:.!?()]", text)


def _bare(phrase: str) -> tuple[str, ...]:
    """Return a table phrase as tokens, without the words that a prompt may vary."""
    return tuple(token for token in _tokens(phrase) if token not in {"a", "an", "the", "of"})


@cache
def _lexicon() -> dict[tuple[str, ...], tuple[str, tuple[str, ...]]]:
    """Return phrase tokens → (kind, names). The first kind that claims a phrase keeps it."""
    lexicon: dict[tuple[str, ...], tuple[str, tuple[str, ...]]] = {}
    for kind, words in _KINDS:
        for word in words:
            for phrase in (word.name, *word.phrases, *word.synonyms):
                for key in _spellings(_bare(phrase)):
                    known, names = lexicon.get(key, (kind, ()))
                    if known == kind and word.name not in names and (not names or kind == "action"):
                        lexicon[key] = (kind, (*names, word.name))
    return lexicon


def _spellings(tokens: tuple[str, ...]) -> set[tuple[str, ...]]:
    american = {"colour": "color", "watercolour": "watercolor", "grey": "gray"}
    return {tokens, tuple(american.get(token, token) for token in tokens)}


def _singulars(token: str) -> list[str]:
    forms = [token]
    if token.endswith("ies"):
        forms.append(token[:-3] + "y")
    if token.endswith("es"):
        forms.append(token[:-2])
    if token.endswith("s") and not token.endswith("ss"):
        forms.append(token[:-1])
    return forms


_LONGEST: Final = 7


def _match(tokens: list[str], start: int) -> tuple[int, str, tuple[str, ...]] | None:
    """Return (end, kind, names) of the longest known phrase that begins at `start`.

    Articles and "of" inside the prompt's phrase are skipped, so that "in the style
    of a watercolour" is one phrase however it is written.
    """
    lexicon = _lexicon()
    best: tuple[int, str, tuple[str, ...]] | None = None
    taken: list[str] = []
    for end in range(start, min(len(tokens), start + _LONGEST + 3)):
        if tokens[end] in {"a", "an", "the", "of"}:
            if end == start:
                return None
            continue
        if not tokens[end].isalnum():
            break
        taken.append(tokens[end])
        for last in _singulars(tokens[end]):
            found = lexicon.get((*taken[:-1], last))
            if found is not None:
                best = (end + 1, *found)
                break
    return best


def _spans(tokens: list[str]) -> list[_Span]:
    spans: list[_Span] = []
    at = 0
    while at < len(tokens):
        match = _match(tokens, at)
        if match is not None:
            end, kind, names = match
        else:
            end, names = at + 1, (tokens[at],)
            kind = _kind_of_stray(tokens[at])
        spans.append(_Span(kind, names, " ".join(tokens[at:end])))
        at = end
    return spans


def _kind_of_stray(token: str) -> str:
    if any(form in vocabulary.LOOK_WORDS for form in _singulars(token)):
        return "look"
    is_empty = not token.isalnum() or token in _EMPTY_WORDS | _LIKE_WORDS
    return "empty" if is_empty else "unknown"


_LIKE_WORDS: Final = _LIKE_BEFORE | frozenset(
    """looks look looking shaped dressed disguised designed decorated made resembling resembles
    shape form pattern""".split()
)


def _lends(span: _Span) -> str | None:
    """Return the pattern that a span lends, if it is a thing with a known one."""
    if span.kind not in {"object", "unknown"}:
        return None
    return next(
        (vocabulary.LOOK_OF[f] for f in _singulars(span.names[0]) if f in vocabulary.LOOK_OF), None
    )


def _take_look(spans: list[_Span]) -> str | None:
    """Return the pattern lent to a carrier, and turn its giver into empty words."""
    carriers = [i for i, span in enumerate(spans) if span.kind == "object"]
    for i, span in enumerate(spans):
        look = _lends(span)
        if look is None or carriers in ([], [i]):
            continue
        if _is_lending(spans, i, before_carrier=any(j > i for j in carriers)) or _is_compared(
            spans, i
        ):
            spans[i] = _Span("empty", span.names, span.text)
            return look
    named = next((span.names[0] for span in spans if span.kind == "look"), None)
    return next(
        (vocabulary.LOOK_WORDS[f] for f in _singulars(named or "") if f in vocabulary.LOOK_WORDS),
        None,
    )


def _is_lending(spans: list[_Span], i: int, *, before_carrier: bool) -> bool:
    """Say whether span `i` lends its look: "dog-shaped" before a carrier, or "zebra stripes"."""
    after, then = ([*(span for span in spans[i + 1 : i + 3]), _END, _END])[:2]
    if after.kind == "look":
        return True
    return (
        before_carrier
        and after.text in _LIKE_BEFORE
        and then.text not in {"like", "as", "a", "an", "the"}
    )


def _is_compared(spans: list[_Span], i: int) -> bool:
    """Say whether a carrier stands before span `i`, joined by words such as "that looks like a"."""
    for j in range(i - 1, -1, -1):
        if spans[j].kind == "object":
            between = "".join(f"{span.text} " for span in spans[j + 1 : i])
            return _LIKE_AFTER.match(between) is not None
    return False


def _first(spans: list[_Span], kind: str) -> str | None:
    return next((span.names[0] for span in spans if span.kind == kind), None)


def _outdone(spans: list[_Span], kind: str) -> list[_Span]:
    """Return the spans of a kind that name something else than what is drawn."""
    asked = [span for span in spans if span.kind == kind]
    if kind == "style":
        return [span for span in asked if span.names[0] not in (*_STYLE_RANK, _style(spans))]
    return [span for span in asked if span.names[0] != asked[0].names[0]]


def _style(spans: list[_Span]) -> str | None:
    styles = [span.names[0] for span in spans if span.kind == "style"]
    rank = {name: i for i, name in enumerate(_STYLE_RANK)}
    return max(styles, key=lambda name: rank.get(name, len(rank)), default=None)


def _colour(spans: list[_Span], unknown: list[_Span]) -> str | None:
    chosen: str | None = None
    for i, span in enumerate(spans):
        if span.kind != "colour":
            continue
        following = spans[i + 1].kind if i + 1 < len(spans) else "end"
        if following == "unknown":
            unknown.append(span)
        elif following != "environment" and chosen in (None, span.names[0]):
            chosen = span.names[0]
        elif following != "environment":
            unknown.append(span)
    return chosen


def _action(spans: list[_Span], subject: str | None, unknown: list[_Span]) -> str | None:
    """Return the first action that the object can do; the others are reported."""
    chosen: str | None = None
    able = vocabulary.ACTIONS_OF.get(subject or "", ())
    for span in spans:
        if span.kind != "action":
            continue
        fitting = [name for name in span.names if name in able]
        if not fitting:
            unknown.append(span)
        elif chosen is None:
            chosen = fitting[0]
    return chosen
