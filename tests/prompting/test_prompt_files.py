"""Prompt files: what is read from them, what is said of bad lines, and the way there and back."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthreview.prompting.models import PromptState
from synthreview.prompting.prompt_files import (
    KINDS,
    MAX_LINE,
    STATES,
    BadLine,
    PromptFileError,
    PromptSpec,
    format_prompts,
    look,
    merged,
    read_prompts,
)

PARTI = (
    "Prompt\tCategory\tChallenge\tNote\n"
    "bond\tAbstract\tBasic\tBiology-inspired concepts\n"
    'the words "Fly an airplane" on a wall\tOutdoor Scenes\tComplex\t\n'
    '"G I G G L E" painted in thick letters\tIllustrations\tWriting & Symbols\t\n'
)
GENEVAL = [
    {"tag": "single_object", "include": [{"class": "bench", "count": 1}], "prompt": "a bench"},
    {
        "tag": "counting",
        "include": [{"class": "clock", "count": 3}],
        "exclude": [{"class": "clock", "count": 4}],
        "prompt": "a photo of three clocks",
    },
    {
        "tag": "color_attr",
        "include": [
            {"class": "cup", "count": 1, "color": "red"},
            {"class": "car", "count": 1, "color": "blue"},
        ],
        "prompt": "a photo of a red cup and a blue car",
    },
]


def read(data: str | bytes, kind: str = "", **wish: Any) -> list[PromptSpec | BadLine]:
    file = io.BytesIO(data.encode() if isinstance(data, str) else data)
    shape = look(file, kind)
    mapping = merged(shape, wish.pop("mapping", {}))
    return list(read_prompts(file, shape, mapping, wish.pop("defaults", None)))


def bad(data: str | bytes, kind: str = "", **wish: Any) -> list[tuple[int, str]]:
    return [(b.line, b.reason) for b in read(data, kind, **wish) if isinstance(b, BadLine)]


def test_the_states_are_those_of_the_model() -> None:
    assert list(STATES) == PromptState.values


# --- What is read ---------------------------------------------------------------


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_table_is_read_by_its_header(separator: str) -> None:
    lines = [
        ["text", "class", "technique", "slot:environment", "state", "author"],
        ["A car  on the beach", "car", "environment", "on the beach", "approved", "anna"],
        ["A car", "car", "", "", "", ""],
    ]
    data = "".join(separator.join(line) + "\r\n" for line in lines)
    assert read("\ufeff" + data + "\r\n") == [
        PromptSpec(
            "A car on the beach",
            "car",
            "environment",
            {"environment": "on the beach"},
            "approved",
            "anna",
            2,
        ),
        PromptSpec("A car", "car", author="imported", line=3),
    ]


def test_jsonl_is_read_by_its_keys() -> None:
    data = '{"caption": "A car", "label": "car", "slots": {"light": "at dawn"}}\n\n{"caption": "B"}'
    first, second = read(data, defaults={"class": "boat"})
    assert first == PromptSpec(
        "A car", "car", slots={"light": "at dawn"}, author="imported", line=1
    )
    assert second == PromptSpec("B", "boat", author="imported", line=3)


def test_a_quoted_cell_may_span_lines_and_the_numbers_stay_right() -> None:
    data = 'text,class\n"A car\non a road",car\n,car\nA car,car\n'
    found = read(data)
    assert found[0] == PromptSpec("A car on a road", "car", author="imported", line=2)
    assert found[1] == BadLine(4, "the text is empty")


def test_partiprompts_are_known_quotes_and_all() -> None:
    file = io.BytesIO(PARTI.encode())
    shape = look(file)
    assert (shape.kind, shape.source) == ("tsv", "PartiPrompts")
    assert shape.unmapped == ("Challenge", "Note")
    found = [one for one in read(PARTI) if isinstance(one, PromptSpec)]
    assert [(one.text, one.class_name) for one in found] == [
        ("bond", "Abstract"),
        ('the words "Fly an airplane" on a wall', "Outdoor Scenes"),
        ('"G I G G L E" painted in thick letters', "Illustrations"),
    ]
    assert {one.author for one in found} == {"partiprompts"}


def test_geneval_is_known_and_its_nested_keys_become_fields() -> None:
    data = "".join(json.dumps(one) + "\n" for one in GENEVAL)
    shape = look(io.BytesIO(data.encode()))
    assert (shape.kind, shape.source, shape.unmapped) == ("jsonl", "GenEval", ("tag",))
    found = [one for one in read(data) if isinstance(one, PromptSpec)]
    assert [(one.class_name, one.slots) for one in found] == [
        ("bench", {}),
        ("clock", {"count": "three"}),
        ("cup", {"colour": "red"}),
    ]


@pytest.mark.parametrize("include", ["x", [], [3], None, {"class": "cup"}])
def test_a_broken_geneval_line_is_only_a_bad_line(include: Any) -> None:
    lines = [GENEVAL[0], {"tag": "x", "include": include, "prompt": "a cup"}]
    assert bad("".join(json.dumps(one) + "\n" for one in lines)) == [(2, "no class is named")]


# --- Mapping --------------------------------------------------------------------


def test_unknown_columns_are_left_out_until_somebody_says_what_they_are() -> None:
    data = "words,kind,where\nA car,car,on the beach\n"
    shape = look(io.BytesIO(data.encode()))
    assert shape.unmapped == ("words", "kind", "where")
    with pytest.raises(PromptFileError, match="No column holds the text"):
        merged(shape, {})
    mapping = {"words": "text", "kind": "class", "where": "slot:environment"}
    (found,) = read(data, mapping=mapping)
    assert isinstance(found, PromptSpec)
    assert (found.text, found.class_name) == ("A car", "car")
    assert found.slots == {"environment": "on the beach"}


def test_a_choice_takes_the_field_from_the_column_that_had_it() -> None:
    (found,) = read("text,better,class\nA,B,car\n", mapping={"better": "text"})
    assert isinstance(found, PromptSpec)
    assert found.text == "B"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"nope": "text"}, "no column 'nope'; it has: text, class, note"),
        ({"note": "colour"}, "no field 'colour'; known: text"),
        ({"note": "slot:No Name"}, "no field"),
        ({"note": "text", "class": "text"}, "Two columns are chosen for 'text'"),
        ({"text": ""}, "No column holds the text"),
    ],
)
def test_a_wrong_mapping_is_explained(changes: dict[str, str], message: str) -> None:
    shape = look(io.BytesIO(b"text,class,note\nA,car,x\n"))
    with pytest.raises(PromptFileError, match=message):
        merged(shape, changes)


# --- What is bad ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "reason"),
    [
        (["", "car"], "the text is empty"),
        (["...", "car"], "the text is empty"),
        (["A\0car", "car"], "a NUL character"),
        (["x" * 4001, "car"], "text has 4,001 characters; 4,000 are allowed"),
        (["\ufdfa" * 300, "car"], "the text has more than 4,000 characters when spelled out"),
        (["A car", ""], "no class is named"),
        (["A car", "c" * 121], "class has 121 characters; 120 are allowed"),
        (["A car", "car", "magic"], "no technique is called 'magic'; known: plain, environment, "),
        (["A car", "car", "plain", "done"], "no state is called 'done'; known: draft, approved"),
        (["A car", "car", "plain", "draft", "{"], "slots must be a JSON object"),
        (["A car", "car", "plain", "draft", "[1]"], "slots must be a JSON object of texts"),
        (["A car", "car", "plain", "draft", '{""a"": 1}'], "slot a must be a text, not int"),
        (["A car", "car", "plain", "draft", '{""A b"": ""x""}'], "'A b' is no name of a slot"),
        (["A car", "car", "plain", "draft", "", "more"], "6 cells, where the header names 5"),
    ],
)
def test_a_bad_line_is_named_with_its_reason(cells: list[str], reason: str) -> None:
    row = ",".join(f'"{cell}"' for cell in cells)
    ((line, found),) = bad(f"text,class,technique,state,slots\nA boat,boat\n{row}\nA bus,bus\n")
    assert line == 3
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"text": "A car"', "not valid JSON: Expecting"),
        (b"[1, 2]", "not a JSON object in { }"),
        (b'"A car"', "not a JSON object in { }"),
        (b"[" * 60_000, "not valid JSON"),
        (b'{"text": 5, "class": "car"}', "text must be a text, not int"),
        (b'{"text": "A", "class": ["car"]}', "class must be a text, not list"),
        (b'{"text": "A \\u0000", "class": "car"}', "text holds a NUL character"),
        (b'{"text": "A \\ud800", "class": "car"}', "text holds half a character"),
        (b'{"text": "A", "class": "car", "slots": "x"}', "slots must be a JSON object"),
        (b'{"text": "caf\xe9", "class": "car"}', "not a text in UTF-8"),
        (b'{"text": "' + b"x" * MAX_LINE + b'"}', "the line is longer than 64 kB"),
    ],
)
def test_a_bad_json_line_is_named_with_its_reason(line: bytes, reason: str) -> None:
    good = b'{"text": "A boat", "class": "boat"}\n'
    ((number, found),) = bad(good + line + b"\n" + good)
    assert number == 2
    assert found.startswith(reason)


def test_lines_behind_a_bad_one_are_read_again() -> None:
    lines = [b"text,class", b"A car,car", b"caf\xe9,car", b'"A car"x,car', b"x" * 200_000, b"B,car"]
    assert bad(b"\n".join(lines)) == [
        (3, "not a text in UTF-8"),
        (4, "not valid CSV: ',' expected after '\"'"),
        (5, "the line is longer than 64 kB"),
    ]


def test_a_quote_that_is_never_closed_is_a_bad_line() -> None:
    ((line, reason),) = bad('text,class\nA,car\n"B,car\nC,car\n')
    assert (line, reason) == (3, "not valid CSV: unexpected end of data")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "The file is empty"),
        (b"\n \n\n", "The file is empty"),
        (b'[{"text": "A"}]', "JSON list"),
        (b"\xff\xfet\0e\0x\0t\0", "Line 1: not a text in UTF-8"),
        (b"text,text\n", "two columns are called 'text'"),
        (b"text,,class\n", "column 2 has no name"),
        (b",,\n", "first line must name the columns"),
        (b",".join(b"c%d" % n for n in range(300)), "300 columns"),
        (b'{"a"\n{"b"\n', "The first 2 lines are no JSONL"),
        (b"x" * 100_000, "longer than 64 kB"),
    ],
)
def test_a_file_that_is_none_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(PromptFileError, match=message):
        look(io.BytesIO(data))


def test_an_unknown_kind_names_the_known_ones() -> None:
    with pytest.raises(PromptFileError, match="known: csv, jsonl, tsv"):
        look(io.BytesIO(b"text\n"), "xlsx")


@given(st.binary(max_size=400))
@settings(max_examples=150, deadline=None)
def test_no_bytes_at_all_break_the_reader(data: bytes) -> None:
    for start in (b"", b"text,class\n", b"text\tclass\n", b'{"text": "A"}\n'):
        with contextlib.suppress(PromptFileError):
            read(start + data)


# --- There and back -------------------------------------------------------------

RISKY = ["=1+1", "+1", "-1", "@SUM(A1)", "'quoted", "=cmd|' /C calc'!A0"]
QUOTED = ['"quoted" word', 'a "b" c', '"all of it"', "A café, “quoted”; and more", "{braces}"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("slots", [["environment", "style"], None])
def test_what_is_written_is_read_back_the_same(kind: str, slots: list[str] | None) -> None:
    prompts = [
        PromptSpec(text, "car", "style", {"environment": text}, "approved", "anna", number)
        for number, text in enumerate([*RISKY, *QUOTED], start=1)
    ]
    prompts.append(PromptSpec("A boat", "boat", line=len(prompts) + 1))
    lines = list(format_prompts(prompts, kind=kind, slots=slots))
    if kind != "jsonl":
        assert not [line for line in lines if line.lstrip('"').startswith(("=", "+", "-", "@"))]
    first = 1 if kind == "jsonl" else 2
    found = [one for one in read("".join(lines), kind) if isinstance(one, PromptSpec)]
    assert [one.line for one in found] == list(range(first, len(prompts) + first))
    assert [
        PromptSpec(f.text, f.class_name, f.technique, f.slots, f.state, f.author, n)
        for n, f in enumerate(found, start=1)
    ] == prompts


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_any_text_that_is_taken_comes_back(texts: list[str]) -> None:
    data = "".join(json.dumps({"text": t, "class": "car"}) + "\n" for t in texts)
    taken = [one for one in read(data, "jsonl") if isinstance(one, PromptSpec)]
    for kind in KINDS:
        again = read("".join(format_prompts(taken, kind=kind, slots=[])), kind) if taken else []
        assert [one.text for one in again if isinstance(one, PromptSpec)] == [t.text for t in taken]
