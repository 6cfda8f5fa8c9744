"""The training file: JSON lines of chats, or of preferred and rejected answers.

Each question is worded as the author will ask it (`asking`), so that what is learnt is what
is asked. docs/authors.md shows the format. Knows nothing of Django.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from synthreview.prompting.authors.asking import Message, compose, estimated_tokens
from synthreview.prompting.authors.base import WriteRequest

Row = dict[str, Any]
Format = Literal["lines", "json"]
FEWEST_ROWS = 10  # what OpenAI asks for, and less teaches nothing
LONGEST_ROW = 16_000  # tokens
SHOWN_FAULTS = 100


@dataclass(frozen=True, slots=True)
class Example:
    """One caption that people judged. `slots` are its axis words; `template` made it."""

    class_name: str
    text: str
    technique: str = "plain"
    template: str = ""
    language: str = "en"
    slots: tuple[tuple[str, str], ...] = ()


def chat_rows(
    approved: Iterable[Example], *, answers: Format = "lines", batch: int = 8, seed: int = 0
) -> list[Row]:
    """Return one chat per up to `batch` approved captions of a class and technique.

    `answers`: "lines" as local models are asked, "json" as servers are. The sizes differ from
    chat to chat, so that a model learns to write as many as it is asked for.
    """
    rng = random.Random(seed)
    rows = []
    for (class_name, technique, language), examples in _groups(approved).items():
        left = rng.sample(examples, len(examples))
        while left:
            size = rng.randint(1, batch)
            chunk, left = left[:size], left[size:]
            request = _request(class_name, technique, language, chunk)
            question = compose(request, len(chunk), as_lines=answers == "lines")
            answer = Message(role="assistant", content=_answer(chunk, answers))
            rows.append({"messages": [*question.messages, answer]})
    rng.shuffle(rows)
    return rows


def preference_rows(
    approved: Iterable[Example],
    rejected: Iterable[Example],
    *,
    answers: Format = "lines",
    seed: int = 0,
) -> list[Row]:
    """Return one pair per rejected caption with an approved one of its class and technique.

    In the form that OpenAI's preference method takes ("dpo").
    """
    rng = random.Random(seed)
    liked = _groups(approved)
    rows = []
    for (class_name, technique, language), examples in _groups(rejected).items():
        better = liked.get((class_name, technique, language), [])
        rng.shuffle(better)
        for worse, good in zip(examples, better, strict=False):
            request = _request(class_name, technique, language, [good, worse])
            question = compose(request, 1, as_lines=answers == "lines")
            rows.append(
                {
                    "input": {"messages": list(question.messages)},
                    "preferred_output": [
                        {"role": "assistant", "content": _answer([good], answers)}
                    ],
                    "non_preferred_output": [
                        {"role": "assistant", "content": _answer([worse], answers)}
                    ],
                }
            )
    rng.shuffle(rows)
    return rows


def hold_out(
    examples: Iterable[Example], classes: Collection[str]
) -> tuple[list[Example], list[Example]]:
    """Return (the examples to learn from, those of the classes kept for the evaluation)."""
    learnt, held = list[Example](), list[Example]()
    for example in examples:
        (held if example.class_name in classes else learnt).append(example)
    return learnt, held


def to_jsonl(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the lines of the file, each with its line end."""
    return (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def _groups(examples: Iterable[Example]) -> dict[tuple[str, str, str], list[Example]]:
    groups: dict[tuple[str, str, str], list[Example]] = defaultdict(list)
    for example in dict.fromkeys(examples):
        groups[example.class_name, example.technique, example.language].append(example)
    return groups


def _request(
    class_name: str, technique: str, language: str, examples: Sequence[Example]
) -> WriteRequest:
    """Return the request to which these captions would have been a good answer."""
    axes: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for example in examples:
        for axis, words in example.slots:
            if (words, words) not in axes[axis]:
                axes[axis].append((words, words))
    return WriteRequest(
        class_name=class_name,
        technique=technique,
        language=language,
        template=examples[0].template,
        axes=dict(axes),
        count=len(examples),
        open_slot="",
    )


def _answer(examples: Sequence[Example], answers: Format) -> str:
    texts = [" ".join(example.text.split()) for example in examples]
    if answers == "lines":
        return "\n".join(texts)
    rows = [
        {"caption": text, "slots": dict(example.slots)}
        for text, example in zip(texts, examples, strict=True)
    ]
    return json.dumps({"captions": rows}, ensure_ascii=False)


# --- Checking -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FileReport:
    """What is in a training file. `faults` are (line number, what is wrong); 0 is the whole."""

    rows: int
    kind: Literal["chat", "preference", "none"]
    tokens: int
    is_estimate: bool
    faults: tuple[tuple[int, str], ...]
    warnings: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        return not self.faults

    def cost_usd(self, usd_per_million: float | str | None, *, epochs: int) -> Decimal | None:
        """Return what training costs at that price; None where there is no price."""
        if usd_per_million is None:
            return None
        return Decimal(str(usd_per_million)) * self.tokens * epochs / 1_000_000


def check_file(
    lines: Iterable[str],
    *,
    count_tokens: Callable[[str], int] | None = None,
    fewest: int = FEWEST_ROWS,
    longest: int = LONGEST_ROW,
) -> FileReport:
    """Read a training file line by line; memory does not grow with it, but for repeats.

    Without `count_tokens` (a tokenizer's) tokens are estimated: the larger of a quarter of
    the characters and four thirds of the words, which English seldom passes.
    """
    count = count_tokens or estimated_tokens
    faults, warnings = list[tuple[int, str]](), list[str]()
    kinds, tokens, rows, seen, repeats = set[str](), 0, 0, set[int](), 0
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        rows += 1
        try:
            texts, kind = _texts(json.loads(line))
        except (ValueError, RecursionError) as error:
            if len(faults) < SHOWN_FAULTS:
                faults.append((number, str(error)[:200]))
            continue
        kinds.add(kind)
        used = sum(count(text) + 4 for text in texts)  # about four mark each message
        tokens += used
        if used > longest:
            faults.append((number, f"It has {used:,} tokens; at most {longest:,} are taken."))
        repeats += hash(line) in seen
        seen.add(hash(line))
    if rows < fewest:
        faults.append((0, f"There are {rows} examples; at least {fewest} are needed."))
    if len(kinds) > 1:
        faults.append((0, "Chats and preference pairs are mixed: make a file of each."))
    if repeats:
        warnings.append(f"{repeats} lines repeat another one.")
    if 0 < rows < 50:
        warnings.append("Fewer than 50 examples mostly teach a model to repeat them.")
    kind_found: Any = kinds.pop() if len(kinds) == 1 else "none"
    return FileReport(
        rows, kind_found, tokens, count_tokens is None, tuple(faults), tuple(warnings)
    )


def _texts(row: Any) -> tuple[list[str], str]:
    """Return the texts of one row and its kind. Raises ValueError with what is wrong."""
    if not isinstance(row, dict):
        raise ValueError("A line must be a JSON object.")
    if set(row) == {"messages"}:
        return _messages(row["messages"], ends="assistant"), "chat"
    if set(row) == {"input", "preferred_output", "non_preferred_output"}:
        given = row["input"]
        texts = _messages(
            given.get("messages") if isinstance(given, Mapping) else None, ends="user"
        )
        for name in ("preferred_output", "non_preferred_output"):
            texts += _messages(row[name], ends="assistant", most=1)
        return texts, "preference"
    raise ValueError(
        "It needs `messages`, or `input`, `preferred_output` and `non_preferred_output`; "
        f"it has: {', '.join(sorted(map(str, row))) or 'nothing'}."
    )


def _messages(messages: Any, *, ends: str, most: int = 100) -> list[str]:
    if not isinstance(messages, list) or not 1 <= len(messages) <= most:
        raise ValueError("`messages` must be a list of messages.")
    texts = []
    for message in messages:
        if not isinstance(message, dict) or set(message) != {"role", "content"}:
            raise ValueError("A message has a `role` and a `content` and nothing else.")
        role, content = message["role"], message["content"]
        if role not in ("system", "user", "assistant"):
            raise ValueError(f"Unknown role {role!r}; known: system, user, assistant.")
        if not isinstance(content, str) or not content.strip() or "\0" in content:
            raise ValueError("The content of a message must be text, and not empty.")
        texts.append(content)
    if messages[-1]["role"] != ends:
        raise ValueError(f"The last message must be the {ends}'s.")
    return texts
