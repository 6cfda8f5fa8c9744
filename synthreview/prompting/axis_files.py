"""Axes as files that people edit: CSV and TOML, read with line numbers. No Django here.

CSV has the columns axis, name, phrase, classes (several with ";"); TOML has one [[axes]] table
per axis, as in a dataset file, and [[forbidden]] tables of two values that must not meet.
"""

from __future__ import annotations

import csv
import io
import re
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthreview.lib.cells import plain_cell, safe_cell

MAX_BYTES = 2_000_000
MAX_VALUES = 5_000
AXIS_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")
RESERVED = ("class", "object", "look")
COLUMNS = ("axis", "name", "phrase", "classes")


class AxisFileError(ValueError):
    """The file cannot be taken; the message names the line and what is allowed."""


@dataclass(frozen=True, slots=True)
class AxisValueSpec:
    """One value: its name, its words (empty: the name), and its classes (none: all)."""

    name: str
    phrase: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AxesSpec:
    """What a file says: the values of each axis, and pairs of (axis, value) that must not meet.

    A forbidden value on its own with a class is ((axis, value), ("class", name)).
    """

    axes: dict[str, tuple[AxisValueSpec, ...]] = field(default_factory=dict)
    forbidden: tuple[tuple[tuple[str, str], ...], ...] = ()


# --- Reading --------------------------------------------------------------------


def parse_axes(data: bytes | str, *, kind: str) -> AxesSpec:
    """Return what a file of `kind` "csv" or "toml" says. Raises AxisFileError."""
    if kind not in ("csv", "toml"):
        raise AxisFileError(f"A {kind!r} file is not understood; known: csv, toml.")
    if len(data) > MAX_BYTES:
        raise AxisFileError(f"The file is larger than {MAX_BYTES // 1_000_000} MB.")
    text = data if isinstance(data, str) else _decoded(data)
    if "\0" in text:
        raise AxisFileError(f"Line {_line_of(text, text.index(chr(0)))}: a NUL character.")
    return parse_axes_csv(text) if kind == "csv" else parse_axes_toml(text)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise AxisFileError(f"Line {line}: not a text in UTF-8.") from error


def parse_axes_csv(text: str) -> AxesSpec:
    """Return the axes of a CSV text; comma, semicolon or tab between cells."""
    header = text.lstrip("\ufeff").split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text.lstrip("\ufeff")), delimiter=separator, strict=True)
    rows = _csv_rows(reader)
    _, names = next(rows, (1, []))
    columns = [name.strip().lower() for name in names]
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise AxisFileError(f"Line 1: no column is called {unknown[0]!r}; {_allowed(COLUMNS)}.")
    if missing := [name for name in COLUMNS[:2] if name not in columns]:
        raise AxisFileError(f"Line 1: the column {missing[0]!r} is missing.")
    collected = _Collected()
    for line, cells in rows:
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            raise AxisFileError(
                f"Line {line}: {len(cells)} cells under {len(columns)} columns; "
                "put text that holds the separator in double quotes."
            )
        row = {
            column: plain_cell(cell).strip() for column, cell in zip(columns, cells, strict=False)
        }
        classes = tuple(c.strip() for c in row.get("classes", "").split(";") if c.strip())
        value = AxisValueSpec(row.get("name", ""), row.get("phrase", ""), classes)
        collected.add(f"Line {line}", row.get("axis", ""), value)
    return collected.spec()


def _csv_rows(reader: Any) -> Iterator[tuple[int, list[str]]]:
    line = 1
    try:
        for cells in reader:
            yield line, cells
            line = reader.line_num + 1
    except csv.Error as error:
        raise AxisFileError(f"Line {line}: not valid CSV: {error}.") from error


def parse_axes_toml(text: str) -> AxesSpec:
    """Return the axes and forbidden pairs of a TOML text."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        said = re.sub(r"\s*\(at line (\d+), column \d+\)", "", str(error))
        at = re.search(r"at line (\d+)", str(error))
        line = at[1] if at else str(text.count("\n") + 1)
        raise AxisFileError(f"Line {line}: not valid TOML: {said}.") from error
    except RecursionError as error:
        raise AxisFileError("The file nests brackets too deeply.") from error
    lines = _Lines(text)
    if unknown := [key for key in table if key not in ("axes", "forbidden")]:
        raise AxisFileError(
            f"{lines.of(unknown[0])}: no key is called {unknown[0]!r}; "
            f"{_allowed(('axes', 'forbidden'))}."
        )
    collected = _Collected()
    for axis in _tables(table, "axes", lines):
        name = axis.get("name")
        where = lines.of(name)
        _check_keys(axis, ("name", "values"), where)
        values = axis.get("values", [])
        if not isinstance(name, str) or not isinstance(values, list):
            raise AxisFileError(f"{where}: an axis has a name (a text) and values (a list).")
        collected.open(where, name)
        for value in values:
            collected.add(lines.of(_shown_name(value)), name, _toml_value(value, lines))
    pairs = [_toml_pair(row, lines) for row in _tables(table, "forbidden", lines)]
    return collected.spec(tuple(dict.fromkeys(pairs)))


def _toml_value(value: Any, lines: _Lines) -> AxisValueSpec:
    if isinstance(value, str):
        return AxisValueSpec(value.strip())
    where = lines.of(_shown_name(value))
    if not isinstance(value, dict):
        raise AxisFileError(f"{where}: a value is a text or a table, not {value!r}.")
    _check_keys(value, ("name", "phrase", "classes"), where)
    name, phrase, classes = value.get("name"), value.get("phrase", ""), value.get("classes", [])
    if not isinstance(name, str) or not isinstance(phrase, str):
        raise AxisFileError(f"{where}: name and phrase of a value are texts.")
    if not isinstance(classes, list) or not all(isinstance(c, str) for c in classes):
        raise AxisFileError(f"{where}: classes must be a list of texts.")
    return AxisValueSpec(name.strip(), phrase.strip(), tuple(c.strip() for c in classes))


def _toml_pair(row: dict[str, Any], lines: _Lines) -> tuple[tuple[str, str], ...]:
    where = lines.of(next(iter(row.values()), None))
    if len(row) not in (2, 3) or not all(isinstance(name, str) for name in row.values()):
        raise AxisFileError(
            f"{where}: a forbidden pair names two values, as environment = "
            '"under water", light = "candle light"; and a class, where it is for that alone.'
        )
    if len(row) == 3 and "class" not in row:
        raise AxisFileError(f"{where}: three axes are no pair.")
    return tuple(sorted(row.items()))


def _tables(table: dict[str, Any], key: str, lines: _Lines) -> list[dict[str, Any]]:
    rows = table.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise AxisFileError(f"{lines.of(key)}: {key} must be tables, written [[{key}]].")
    return rows


def _check_keys(table: dict[str, Any], allowed: Sequence[str], where: str) -> None:
    if unknown := [key for key in table if key not in allowed]:
        raise AxisFileError(f"{where}: no key is called {unknown[0]!r}; {_allowed(allowed)}.")


def _shown_name(value: Any) -> Any:
    return value.get("name") if isinstance(value, dict) else value


def _allowed(names: Iterable[str]) -> str:
    return f"allowed: {', '.join(names)}"


def _line_of(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1


class _Lines:
    """Finds where a text stands first in the file: the parser of TOML does not say."""

    def __init__(self, text: str) -> None:
        self._text = text

    def of(self, name: Any) -> str:
        """Return "Line 12", or "The file" where the text is not found as it is."""
        if not isinstance(name, str) or not name:
            return "The file"
        found = re.search(rf"(?<![\w-]){re.escape(name)}(?![\w-])", self._text)
        return f"Line {_line_of(self._text, found.start())}" if found else "The file"


class _Collected:
    """The values so far; complains of bad names and of doubles."""

    def __init__(self) -> None:
        self._axes: dict[str, dict[str, AxisValueSpec]] = {}
        self._count = 0

    def open(self, where: str, axis: str) -> None:
        if not AXIS_NAME.fullmatch(axis):
            raise AxisFileError(
                f"{where}: {axis!r} is no name for an axis; allowed are a-z, 0-9, - and _, "
                "a letter first, at most 40."
            )
        if axis in RESERVED:
            raise AxisFileError(f"{where}: {axis!r} has a meaning of its own; choose another.")
        self._axes.setdefault(axis, {})

    def add(self, where: str, axis: str, value: AxisValueSpec) -> None:
        self.open(where, axis)
        if not value.name:
            raise AxisFileError(f"{where}: the value has no name.")
        for what, words, limit in (("name", value.name, 80), ("phrase", value.phrase, 120)):
            if len(words) > limit:
                raise AxisFileError(
                    f"{where}: the {what} has {len(words)} characters; {limit} are allowed."
                )
            if not words.isprintable():
                raise AxisFileError(f"{where}: the {what} holds a character that is no text.")
        if value.name.casefold() in self._axes[axis]:
            raise AxisFileError(f"{where}: {value.name!r} stands twice in the axis {axis!r}.")
        self._axes[axis][value.name.casefold()] = value
        self._count += 1
        if self._count > MAX_VALUES:
            raise AxisFileError(f"{where}: more than {MAX_VALUES:,} values.")

    def spec(self, forbidden: tuple[tuple[tuple[str, str], ...], ...] = ()) -> AxesSpec:
        return AxesSpec(
            {axis: tuple(values.values()) for axis, values in self._axes.items()}, forbidden
        )


# --- Writing --------------------------------------------------------------------


def format_axes(spec: AxesSpec, *, kind: str) -> str:
    """Return the file's text. CSV has no place for forbidden pairs; TOML says all."""
    return _csv_text(spec) if kind == "csv" else _toml_text(spec)


def _csv_text(spec: AxesSpec) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for axis, values in spec.axes.items():
        for value in values:
            cells = (axis, value.name, value.phrase, ";".join(value.classes))
            writer.writerow([safe_cell(cell) for cell in cells])
    return out.getvalue()


def _toml_text(spec: AxesSpec) -> str:
    lines = []
    for axis, values in spec.axes.items():
        lines += ["[[axes]]", f"name = {_quoted(axis)}", "values = ["]
        for value in values:
            parts = [f"name = {_quoted(value.name)}"]
            if value.phrase:
                parts.append(f"phrase = {_quoted(value.phrase)}")
            if value.classes:
                parts.append(f"classes = [{', '.join(map(_quoted, value.classes))}]")
            lines.append(f"  {{ {', '.join(parts)} }},")
        lines += ["]", ""]
    for pair in spec.forbidden:
        lines.append("[[forbidden]]")
        lines += [f"{axis} = {_quoted(name)}" for axis, name in pair]
        lines.append("")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """Return a TOML basic string."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda c: f"\\u{ord(c.group()):04x}", escaped) + '"'
