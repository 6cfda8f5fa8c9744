"""Axes as CSV and TOML: read with line numbers, written safely, the same after a round trip."""

from __future__ import annotations

import csv
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from synthreview.prompting.axis_files import (
    RESERVED,
    AxesSpec,
    AxisFileError,
    AxisValueSpec,
    format_axes,
    parse_axes,
    plain_cell,
    safe_cell,
)

CSV = """axis,name,phrase,classes
environment,beach,on the beach,
environment,"kitchen, old",in an old kitchen,dog;cat
light,noon,,
"""
TOML = """
[[axes]]
name = "environment"
values = [
  "forest",
  { name = "beach", phrase = "on the beach" },
  { name = "kitchen", classes = ["dog"] },
]

[[axes]]
name = "light"
values = []

[[forbidden]]
environment = "beach"
light = "candle"
"""


def test_csv_is_read() -> None:
    assert parse_axes(CSV, kind="csv").axes == {
        "environment": (
            AxisValueSpec("beach", "on the beach"),
            AxisValueSpec("kitchen, old", "in an old kitchen", ("dog", "cat")),
        ),
        "light": (AxisValueSpec("noon"),),
    }


@pytest.mark.parametrize(
    "text", [CSV.replace(",", "\t"), "\ufeff" + CSV, CSV.replace("\n", "\r\n")]
)
def test_what_spreadsheets_make_of_csv_is_read(text: str) -> None:
    if "\t" in text:
        text = text.replace('"kitchen\t old"', "kitchen, old")
    assert parse_axes(text.encode(), kind="csv") == parse_axes(CSV, kind="csv")


def test_toml_is_read() -> None:
    spec = parse_axes(TOML, kind="toml")
    assert spec.axes["environment"] == (
        AxisValueSpec("forest"),
        AxisValueSpec("beach", "on the beach"),
        AxisValueSpec("kitchen", "", ("dog",)),
    )
    assert spec.axes["light"] == ()
    assert spec.forbidden == ((("environment", "beach"), ("light", "candle")),)


@pytest.mark.parametrize(
    ("kind", "text", "complaint"),
    [
        ("csv", "", "Line 1: the column 'axis' is missing."),
        ("csv", "axis,name,words\n", "Line 1: no column is called 'words'; allowed: axis, name"),
        ("csv", "axis,name\nlight,sun\nlight,\n", "Line 3: the value has no name."),
        ("csv", "axis,name\nlight,sun\n\nlight,Sun\n", "Line 4: 'Sun' stands twice"),
        ("csv", "axis,name\nNo Way,sun\n", "Line 2: 'No Way' is no name for an axis"),
        ("csv", "axis,name\nclass,sun\n", "Line 2: 'class' has a meaning of its own"),
        ("csv", "axis,name\nlight,a,b\n", "Line 2: 3 cells under 2 columns"),
        ("csv", 'axis,name\nlight,"sun\n', "Line 2: not valid CSV"),
        ("csv", "axis,name\nlight," + "x" * 81, "Line 2: the name has 81 characters; 80"),
        ("csv", "axis,name\nlight,a\0", "Line 2: a NUL character."),
        ("toml", "axes = [", "Line 1: not valid TOML"),
        ("toml", '\n\n[[axes]]\nname = "light"\nvalues = [3]', "a value is a text or a table"),
        ("toml", '[[axes]]\nname = "light"\nvalues = [\n"a",\n"b",\n"A"]', "Line 6: 'A' stands"),
        ("toml", '[[axes]]\nname = "light"\nvaluse = []', "Line 2: no key is called 'valuse'"),
        ("toml", "\n[dataset]\nx = 1", "Line 2: no key is called 'dataset'"),
        ("toml", '[[forbidden]]\nlight = "sun"', "Line 2: a forbidden pair names two values"),
        ("xlsx", "", "'xlsx' file is not understood; known: csv, toml."),
    ],
)
def test_a_bad_file_is_told_the_line(kind: str, text: str, complaint: str) -> None:
    with pytest.raises(AxisFileError, match=re.escape(complaint)):
        parse_axes(text, kind=kind)


def test_bytes_that_are_no_text_are_told_the_line() -> None:
    with pytest.raises(AxisFileError, match=r"Line 2: not a text in UTF-8\."):
        parse_axes(b"axis,name\nlight,\xff\n", kind="csv")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "'=1", "''", "'quoted'"])
def test_no_cell_is_a_formula_and_none_is_changed(text: str) -> None:
    assert safe_cell(text).startswith("'")
    assert plain_cell(safe_cell(text)) == text


def test_an_apostrophe_of_an_ordinary_word_stays() -> None:
    assert plain_cell("'tis") == "'tis"


names = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just("="),
    min_size=1,
    max_size=9,
)
values = st.builds(
    AxisValueSpec,
    names,
    st.just("") | names,
    st.lists(names.filter(lambda name: ";" not in name), max_size=2).map(tuple),
)
axes = st.dictionaries(
    st.from_regex(r"[a-z][a-z0-9_-]{0,9}", fullmatch=True).filter(lambda n: n not in RESERVED),
    st.lists(values, min_size=1, max_size=4, unique_by=lambda v: v.name.casefold()).map(tuple),
    max_size=3,
)


@pytest.mark.parametrize("kind", ["csv", "toml"])
@given(axes=axes)
def test_what_is_written_is_read_again(kind: str, axes: dict[str, tuple[AxisValueSpec]]) -> None:
    text = format_axes(AxesSpec(axes), kind=kind)
    assert parse_axes(text.encode(), kind=kind).axes == axes
    for row in csv.reader(text.splitlines()) if kind == "csv" else ():
        assert not [cell for cell in row if cell.startswith(("=", "+", "@", "-"))]


def test_forbidden_pairs_survive_toml() -> None:
    spec = parse_axes(TOML, kind="toml")
    assert parse_axes(format_axes(spec, kind="toml"), kind="toml") == spec


def complaint_about(text: str, kind: str) -> str:
    try:
        parse_axes(text, kind=kind)
    except AxisFileError as error:
        return str(error)
    return ""


@given(st.text(max_size=80), st.sampled_from(["csv", "toml"]))
def test_any_text_is_axes_or_gets_one_line(text: str, kind: str) -> None:
    assert "\n" not in complaint_about(text, kind)
