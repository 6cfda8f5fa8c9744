"""How a language model is asked for captions: one wording for every such author.

Two ways of asking. Where the template has the open slot ("A [class] [action] {environment}"),
the other slots are filled here, so that coverage is ours, and the model fills the blank. Else
it writes whole captions and says which words stand for which axis; what it says is checked
against the caption. Knows no server and no model; knows nothing of Django.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypedDict

from synthreview.lib.outcomes import ServiceError
from synthreview.lib.text import text_key
from synthreview.prompting.authors.base import (
    Caption,
    Usage,
    WriteRequest,
    WriteResult,
    after,
    used_before,
)
from synthreview.prompting.choosing import Strategy, choose
from synthreview.prompting.coverage import Space
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.prompting.template import fill, slot_names

ASKING_VERSION = "1"  # part of each author's version: another wording writes other captions
SYSTEM = (
    "You write captions for pictures that a text-to-image model will draw. Each caption is one "
    "plain sentence or phrase about one picture: what can be seen, no feelings, no sounds, no "
    "names of people, artists or brands. Captions differ from each other in what they show."
)
BLANK = "____"
SHOWN_VALUES, SHOWN_EXAMPLES, SHOWN_AVOIDED = 40, 12, 20
LANGUAGES = {
    "en": "English",
    "de": "German",
    "fr": "French",
    "es": "Spanish",
    "it": "Italian",
    "pt": "Portuguese",
    "nl": "Dutch",
}


class Message(TypedDict):
    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Frame:
    """One caption with a blank: its template, the class's name in it, the other slots' words."""

    template: str
    name: str
    words: Mapping[str, str]

    def filled(self, slot: str, words: str) -> str:
        return fill(self.template, {"class": self.name, **self.words, slot: words})


@dataclass(frozen=True, slots=True)
class Ask:
    """One question to a model. `frames` are its numbered blanks; none for whole captions."""

    request: WriteRequest
    question: str
    count: int
    schema: Mapping[str, Any]
    frames: tuple[Frame, ...] = ()
    messages: tuple[Message, ...] = ()
    as_lines: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of one question."""

    captions: tuple[Caption, ...]
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    notes: tuple[str, ...] = ()


def gather(
    request: WriteRequest, answer: Callable[[Ask], Answer], *, batch: int, as_lines: bool = False
) -> WriteResult:
    """Ask by batches until `request.count` new captions are there or a batch brings none.

    What is paid is kept: a failure after the first captions ends the round with a note, a
    failure before them is raised with what it used up.
    """
    captions: dict[str, Caption] = {}
    usage, model, notes = Usage(), "", list[str]()
    plan = _frames(request)
    for number in range(2 * -(-request.count // batch) + 1):
        missing = request.count - len(captions)
        if missing <= 0:
            break
        ask = compose(
            _what_is_left(request, captions.values(), number),
            min(batch, missing),
            plan=plan,
            as_lines=as_lines,
            written=[caption.text for caption in captions.values()],
        )
        try:
            got = answer(ask)
        except ServiceError as error:
            after(usage, error)
            if not captions:
                raise
            return WriteResult(
                tuple(captions.values()),
                used_before(error),
                model,
                (*notes, f"It stopped after {len(captions)} captions. {error}"),
            )
        usage, model = usage + got.usage, got.model or model
        notes += [note for note in got.notes if note not in notes]
        before = len(captions)
        for caption in got.captions:
            key = text_key(caption.text)
            if key and key not in request.avoid and len(captions) < request.count:
                captions.setdefault(key, caption)
        if len(captions) == before:
            break
    return WriteResult(tuple(captions.values()), usage, model, tuple(notes))


def _what_is_left(request: WriteRequest, captions: Iterable[Caption], number: int) -> WriteRequest:
    """Return the request without the gaps that are closed, with a seed of its own."""
    closed = [set(caption.slots.items()) for caption in captions]
    gaps = tuple(
        gap
        for gap in request.gaps
        if not any(set(_words(request, gap).items()) <= slots for slots in closed)
    )
    return replace(request, gaps=gaps, seed=request.seed + request.start + number)


# --- The question -------------------------------------------------------------------


def fills_slot(request: WriteRequest) -> bool:
    """Say whether the model fills a slot of the template; else it writes whole captions."""
    return bool(request.open_slot) and request.open_slot in _slots(request)


def _templates(request: WriteRequest) -> list[str]:
    return [text for text in (request.template, *request.more_templates) if text]


def _slots(request: WriteRequest) -> list[str]:
    """Return the slots of all templates, each once, without the class."""
    slots = (slot for text in _templates(request) for slot in slot_names(text))
    return [slot for slot in dict.fromkeys(slots) if slot != "class"]


def compose(
    request: WriteRequest,
    count: int,
    *,
    plan: Iterator[Frame] | None = None,
    as_lines: bool = False,
    written: Sequence[str] = (),
) -> Ask:
    """Return the question for `count` captions, to be answered as JSON or by lines."""
    if fills_slot(request):
        plan = plan or _frames(request)
        frames = tuple(itertools.islice(plan, count))
        lines, schema = _slot_question(request, frames), SLOT_SCHEMA
    else:
        frames = ()
        lines, schema = _whole_question(request, count), _whole_schema(request)
    question = "\n".join([*lines, *_context(request, written)])
    return _in_form(Ask(request, question, count, schema, frames), as_lines=as_lines)


def by_lines(ask: Ask) -> Ask:
    """Return the same question, to be answered by lines."""
    return _in_form(ask, as_lines=True)


def _in_form(ask: Ask, *, as_lines: bool) -> Ask:
    if as_lines and ask.frames:
        form = "Answer with one line per number, as `1. words`, and nothing else."
    elif as_lines:
        form = "Answer with one caption per line and nothing else."
    elif ask.frames:
        form = 'Answer in JSON: {"captions": [{"number": 1, "words": "…"}]}'
    else:
        form = (
            'Answer in JSON: {"captions": [{"caption": "…", "slots": {…}}]}; in slots repeat, '
            "for each axis, the caption's own words that stand for it, or an empty text."
        )
    messages = (
        Message(role="system", content=SYSTEM),
        Message(role="user", content=f"{ask.question}\n{form}"),
    )
    return replace(ask, messages=messages, as_lines=as_lines)


SLOT_SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "captions": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"number": {"type": "integer"}, "words": {"type": "string"}},
                "required": ["number", "words"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["captions"],
    "additionalProperties": False,
}


def _whole_schema(request: WriteRequest) -> Mapping[str, Any]:
    axes = sorted({*request.axes, *_slots(request)})
    slots = {
        "type": "object",
        "properties": {name: {"type": "string"} for name in axes},
        "required": axes,
        "additionalProperties": False,
    }
    item = {
        "type": "object",
        "properties": {"caption": {"type": "string"}, "slots": slots},
        "required": ["caption", "slots"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"captions": {"type": "array", "items": item}},
        "required": ["captions"],
        "additionalProperties": False,
    }


def _slot_question(request: WriteRequest, frames: Sequence[Frame]) -> list[str]:
    blanks = [
        f"{number}. {frame.filled(request.open_slot, BLANK)}"
        for number, frame in enumerate(frames, 1)
    ]
    known = [words for _, words in request.axes.get(request.open_slot, ()) if words]
    lines = [
        (
            f"Fill the blank {BLANK} of each of these {len(frames)} captions, in "
            f"{_language(request)}, with 1 to 8 words for the {_flat(request.open_slot)} of "
            f"{_flat(request.class_name)}. Fill each with something else that fits the rest."
        ),
        *blanks,
    ]
    if known:
        lines.append(f"In this manner: {_listed(known, SHOWN_EXAMPLES)}")
    return lines


def _whole_question(request: WriteRequest, count: int) -> list[str]:
    lines = [
        f"Write {count} different captions in {_language(request)}.",
        f"Each shows, and names: {_flat(request.class_name)}"
        + (f" (or: {_listed(request.synonyms, 8)})" if request.synonyms else ""),
    ]
    if templates := _templates(request):
        lines.append(f"Built like: {_listed(templates, SHOWN_EXAMPLES)}")
    for name, values in request.axes.items():
        if choices := [words or value for value, words in values]:
            lines.append(f"{_flat(name)}: {_listed(choices, SHOWN_VALUES)}")
    if request.forbidden:
        pairs = [" with ".join(_words(request, dict(pair)).values()) for pair in request.forbidden]
        lines.append(f"Never together: {_listed(pairs, SHOWN_VALUES)}")
    if request.gaps:
        lines.append("These are missing so far; write them first:")
        lines += [f"- {_flat(gap_name(request, gap))}" for gap in request.gaps[:count]]
    return lines


def gap_name(request: WriteRequest, gap: Mapping[str, str]) -> str:
    """Return a gap as it is asked for: "environment: under water, style: as a sketch"."""
    return ", ".join(f"{axis}: {words}" for axis, words in _words(request, gap).items())


def _context(request: WriteRequest, written: Sequence[str]) -> list[str]:
    technique = TECHNIQUES.get(request.technique)
    lines = [f"Technique: {technique.title}. {technique.help}"] if technique else []
    for title, examples in (
        ("People liked these; write more in their manner:", request.approved),
        ("People rejected these; write nothing like them:", request.rejected),
        ("Already written; do not repeat:", [*written, *sorted(request.avoid)]),
    ):
        limit = SHOWN_AVOIDED if examples and title.startswith("Already") else SHOWN_EXAMPLES
        if examples:
            lines += [title, *(f"- {_flat(example)}" for example in examples[:limit])]
    if request.instruction:
        lines.append(f"The curator asks: {_flat(request.instruction, 2000)}")
    return lines


def estimated_tokens(text: str) -> int:
    """Return about how many tokens a model makes of `text`, rather too many than too few."""
    return max(-(-len(text) // 4), -(-len(text.split()) * 4 // 3))


def _frames(request: WriteRequest) -> Iterator[Frame]:
    """Yield blanks whose other slots are chosen by design, the gaps first; for ever.

    Templates and names of the class take turns.
    """
    slot = request.open_slot
    templates = itertools.cycle(
        template
        for number in request.turns or range(len(request.templates))
        if slot in slot_names(template := request.templates[number])
    )
    names = itertools.cycle(dict.fromkeys((request.class_name, *request.synonyms)))
    words = {
        axis: dict(request.axes[axis])
        for axis in _slots(request)
        if request.axes.get(axis) and axis != slot
    }

    def frame(combination: Mapping[str, str]) -> Frame:
        template = next(templates)
        said = {axis: words[axis][name] for axis, name in combination.items()}
        kept = {axis: said[axis] for axis in slot_names(template) if axis in said}
        return Frame(template, next(names), kept)

    for gap in request.gaps:
        space = _space(words, request, gap)
        yield from (frame(found) for found in choose(space, Strategy.BALANCED, count=1))
    count, start = request.planned or request.count, request.start
    for seed in itertools.count(request.seed):
        found = choose(
            _space(words, request, {}), Strategy(request.strategy), count=count, seed=seed
        )
        if not found and words:  # every combination is forbidden
            return
        found = found or [{}] * count
        yield from (frame(combination) for combination in found[start % len(found) :])
        start = 0


def _space(
    words: Mapping[str, Mapping[str, str]], request: WriteRequest, fixed: Mapping[str, str]
) -> Space:
    """Return the combinations that have the `fixed` values, where those exist."""
    axes = {
        axis: [fixed[axis]] if fixed.get(axis) in values else list(values)
        for axis, values in words.items()
    }
    return Space(axes, request.forbidden)


def _words(request: WriteRequest, gap: Mapping[str, str]) -> dict[str, str]:
    """Return a gap in the words of its axes; the value's name where it has none."""
    return {
        axis: dict(request.axes.get(axis, ())).get(value) or value for axis, value in gap.items()
    }


def _language(request: WriteRequest) -> str:
    return LANGUAGES.get(request.language, request.language)


def _flat(text: str, limit: int = 300) -> str:
    """Return `text` as one line, so that no value of a dataset looks like a line of ours."""
    return re.sub(r"\s+", " ", text).strip()[:limit]


def _listed(values: Iterable[str], limit: int) -> str:
    return "; ".join(_flat(value) for value in list(values)[:limit])
