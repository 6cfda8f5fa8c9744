"""The training file: what is built is what is asked, and what is wrong is named by its line."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from synthreview.prompting.authors.answers import read_json, read_lines
from synthreview.prompting.authors.asking import Ask, compose
from synthreview.prompting.authors.base import WriteRequest
from synthreview.prompting.tuning.file import (
    Example,
    chat_rows,
    check_file,
    estimated_tokens,
    hold_out,
    preference_rows,
    to_jsonl,
)
from tests.servers_fake.openai_server import file_fault

GOOD = [
    Example(name, f"A {name} {action} {place}", slots=(("environment", place),))
    for name in ("dog", "cat")
    for action in ("running", "sleeping", "eating", "jumping", "looking up", "waiting")
    for place in ("on the beach", "in a forest")
]
BAD = [Example("dog", f"dog, artstation, 8k {n}") for n in range(12)]


def chat(*contents: str, last: str = "assistant") -> dict[str, Any]:
    roles = ["system", "user", last]
    return {"messages": [{"role": r, "content": c} for r, c in zip(roles, contents, strict=True)]}


def test_every_approved_caption_is_in_one_answer_once() -> None:
    rows = chat_rows(GOOD, batch=4)
    answers = [row["messages"][-1]["content"].splitlines() for row in rows]
    assert sorted(line for lines in answers for line in lines) == sorted(e.text for e in GOOD)
    assert {len(lines) for lines in answers} > {1}, "one and several are both learnt"
    for row, lines in zip(rows, answers, strict=True):
        assert f"Write {len(lines)} different captions" in row["messages"][1]["content"]


@pytest.mark.parametrize("answers", ["lines", "json"])
def test_an_author_asks_and_reads_what_the_file_teaches(answers: Any) -> None:
    (row,) = chat_rows(GOOD[:1], answers=answers, batch=1)
    place = "on the beach"
    request = WriteRequest("dog", "", {"environment": [(place, place)]}, 1, open_slot="")
    question: Ask = compose(request, 1, as_lines=answers == "lines")
    assert list(question.messages) == row["messages"][:2]
    read = read_lines if answers == "lines" else read_json
    (caption,) = read(row["messages"][-1]["content"], question)
    assert (caption.text, caption.slots) == (GOOD[0].text, dict(GOOD[0].slots))


def test_the_same_captions_and_seed_make_the_same_bytes() -> None:
    def made(seed: int) -> str:
        return "".join(to_jsonl(chat_rows(GOOD, seed=seed)))

    assert made(1) == made(1) != made(2)


def test_a_rejected_caption_is_paired_with_an_approved_one_of_its_class() -> None:
    rows = preference_rows(GOOD, [*BAD, Example("fish", "A fish, bad")])
    assert len(rows) == 12
    for row in rows:
        assert "dog" in row["preferred_output"][0]["content"]
        assert "artstation" in row["non_preferred_output"][0]["content"]


def test_both_kinds_of_file_are_taken_by_the_server_and_by_our_check() -> None:
    for rows, method in (
        (chat_rows(GOOD, batch=2), {"type": "supervised"}),
        (preference_rows(GOOD, BAD), {"type": "dpo"}),
    ):
        lines = list(to_jsonl(rows))
        assert file_fault("".join(lines).encode(), method) == ""
        report = check_file(lines)
        assert report.is_sound
        assert report.rows == len(rows)


def test_classes_are_held_out_for_the_evaluation() -> None:
    learnt, held = hold_out(GOOD, {"cat"})
    assert {e.class_name for e in learnt} == {"dog"}
    assert {e.class_name for e in held} == {"cat"}


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{not json", "Expecting property name"),
        ("[]", "must be a JSON object"),
        ('{"prompt": "x"}', "It needs `messages`"),
        ('{"messages": []}', "must be a list"),
        ('{"messages": [{"role": "user"}]}', "a `role` and a `content`"),
        (json.dumps(chat("s", "u", "")), "must be text"),
        (json.dumps(chat("s", "u", "a\0")), "must be text"),
        (json.dumps(chat("s", "u", "x", last="user")), "the assistant's"),
        (json.dumps(chat("s", "u", "x", last="tool")), "Unknown role 'tool'"),
        (json.dumps({"input": 1, "preferred_output": 1, "non_preferred_output": 1}), "a list"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_bad_line_is_named_by_its_number(line: str, words: str) -> None:
    good = list(to_jsonl(chat_rows(GOOD, batch=1)))
    report = check_file([*good, "\n", line])
    ((number, fault),) = report.faults
    assert number == len(good) + 2
    assert words in fault


def test_too_few_too_long_mixed_and_repeated_lines_are_told() -> None:
    few = check_file(list(to_jsonl(chat_rows(GOOD[:3], batch=1))))
    assert few.faults == ((0, "There are 3 examples; at least 10 are needed."),)
    rows = [*chat_rows(GOOD, batch=1), *preference_rows(GOOD, BAD)]
    assert "mixed" in check_file(to_jsonl(rows)).faults[0][1]
    repeated = check_file([*to_jsonl(chat_rows(GOOD, batch=1))] * 2)
    assert repeated.warnings[0] == "24 lines repeat another one."
    long = check_file(to_jsonl(chat_rows(GOOD, batch=1)), longest=50)
    assert "at most 50 are taken" in long.faults[0][1]


def test_tokens_and_cost_are_reckoned_by_hand() -> None:
    line = json.dumps(chat("a b c", "d e", "f"))
    report = check_file([line] * 10, count_tokens=lambda text: len(text.split()))
    assert report.tokens == 10 * (3 + 2 + 1 + 3 * 4)
    assert report.cost_usd("25", epochs=3) == Decimal(25) * 180 * 3 / 1_000_000
    assert report.cost_usd(None, epochs=3) is None
    assert not report.is_estimate
    assert check_file([line]).is_estimate
    assert estimated_tokens("one two three") == 4
    assert estimated_tokens("x" * 40) == 10
