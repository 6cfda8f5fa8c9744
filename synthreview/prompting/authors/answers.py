"""How a language model's answer is read: JSON as asked for, or lines, forgivingly.

Whatever a model claims about a caption is checked against the caption. Knows nothing of Django.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from synthreview.lib.outcomes import UnusableAnswerError
from synthreview.lib.text import normalised
from synthreview.prompting.authors.asking import BLANK, Ask
from synthreview.prompting.authors.base import Caption, WriteRequest

LONGEST_ANSWER = 400_000  # characters; a longer one is not read further


def looks_like_json(text: str) -> bool:
    """Say whether an answer that should be lines came as JSON all the same."""
    return _said_aloud(text).startswith(("{", "[", "```json"))


def read_json(text: str, ask: Ask) -> list[Caption]:
    """Return the captions of an answer that should be JSON; ends of it that are cut off are left.

    Fences around it, words before it and a bare list are forgiven. Raises UnusableAnswerError.
    """
    items = _items(_said_aloud(text))
    captions = [caption for item in items if (caption := _caption(item, ask))]
    if not captions:
        raise UnusableAnswerError(
            "The model answered, but not with captions in the form asked for."
        )
    return captions


def read_lines(text: str, ask: Ask) -> list[Caption]:
    """Return the captions of an answer of one caption per line. Raises UnusableAnswerError."""
    captions = []
    for number, line in enumerate(_caption_lines(_said_aloud(text)), 1):
        counted, words = line
        item = (
            {"number": counted or number, "words": words}
            if ask.frames
            else {"caption": words, "slots": {}}
        )
        if caption := _caption(item, ask):
            captions.append(caption)
    if not captions:
        raise UnusableAnswerError("The model answered, but no line of it can be a caption.")
    return captions


def _said_aloud(text: str) -> str:
    """Return the answer without what a reasoning model thinks before it."""
    return re.sub(r"<think>.*?(</think>|$)", "", text[:LONGEST_ANSWER], flags=re.DOTALL).lstrip()


def _items(text: str) -> list[Any]:
    """Return the list of captions in a JSON answer, as many as are whole."""
    start = re.search(r"[\[{]", text)
    if not start:
        return []
    try:
        found, _ = json.JSONDecoder().raw_decode(text, start.start())
    except (ValueError, RecursionError):
        return _whole_objects(text)
    if isinstance(found, dict):
        lists = [value for value in found.values() if isinstance(value, list)]
        found = lists[0] if lists else [found]
    return found if isinstance(found, list) else []


# An object with at most one level inside it. A decoder that is tried at every brace of a long
# broken answer takes minutes: it counts lines from the start for each of its errors.
_OBJECT = re.compile(r"\{[^{}]*(?:\{[^{}]*\}[^{}]*)?\}")


def _whole_objects(text: str) -> list[Any]:
    """Return the objects of a truncated list that are closed."""
    found = []
    for match in _OBJECT.finditer(text):
        with contextlib.suppress(ValueError):
            found.append(json.loads(match.group()))
    return found


def _caption(item: Any, ask: Ask) -> Caption | None:
    """Return one item of an answer as a caption; None where it is none."""
    if isinstance(item, str):
        item = {"caption": item, "words": item}
    if not isinstance(item, dict):
        return None
    if not ask.frames:
        text = _clean(item.get("caption"))
        said = item.get("slots")
        return _with_slots(text, said if isinstance(said, dict) else {}, ask.request)
    number, words = item.get("number"), _clean(item.get("words"))
    if not isinstance(number, int) or not 1 <= number <= len(ask.frames) or not words:
        return None
    words = words.replace(BLANK, "").strip(" .,;")
    frame = ask.frames[number - 1]
    if normalised(frame.name) in normalised(words):  # it wrote the whole caption
        return _with_slots(words, {}, ask.request)
    if not words or len(words.split()) > 16:
        return None
    said = {axis: value for axis, value in frame.words.items() if value}
    slot = ask.request.open_slot
    return Caption(frame.filled(slot, words), {**said, slot: words}, frame.template)


def _with_slots(text: str, said: Mapping[str, Any], request: WriteRequest) -> Caption | None:
    """Return the caption with the slots that are really in it, in the axes' words if possible."""
    if not text:
        return None
    slots, key = {}, f" {_bare(text)} "
    for axis in dict.fromkeys([*request.axes, *said]):
        choices = sorted((words for _, words in request.axes.get(axis, ())), key=len, reverse=True)
        known = next((w for w in choices if _bare(w) and f" {_bare(w)} " in key), "")
        own = said.get(axis) if isinstance(said.get(axis), str) else ""
        if known:
            slots[axis] = known
        elif own and _bare(own) and f" {_bare(own)} " in key and axis != "class":
            slots[axis] = _clean(own)
    return Caption(text, slots)


def _bare(text: str) -> str:
    """Return the words of `text` alone, for finding one text in another."""
    return " ".join(re.findall(r"\w+", normalised(text)))


def _clean(text: Any) -> str:
    """Return a model's text as one line, without the quotes and stars around it."""
    if not isinstance(text, str):
        return ""
    line = re.sub(r"\s+", " ", text).strip().strip("*_`").strip()
    return re.sub(r"""^(["'\u201c\u2018\u00ab])(.*)["'\u201d\u2019\u00bb]$""", r"\2", line).strip()


def _caption_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield (its number or 0, words) of each line that is no heading, fence or greeting."""
    for raw in text.splitlines():
        line = raw.strip()
        mark = re.match(r"^(?:(\d{1,4})[.):]\s+|[-*•]\s+)", line)
        words = _clean(line[mark.end() :] if mark else line)
        if not re.search(r"\w", words) or words.startswith(("```", "#", "{", "}", "[", "]")):
            continue
        if words.endswith(":") or (not mark and re.match(r"(?i)(sure|here (are|is)|ok)\b", words)):
            continue
        yield int(mark[1]) if mark and mark[1] else 0, words
