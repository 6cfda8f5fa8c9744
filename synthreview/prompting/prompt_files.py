"""Prompts as files: CSV, TSV and JSONL, read line by line and written line by line. No Django here.

`look` says what a file is and which of its columns mean what; `read_prompts` gives each line as a
`PromptSpec`, or as a `BadLine` with its number and the reason. No more than one line is in memory.
PartiPrompts' TSV and GenEval's JSONL are known by their columns. docs/prompt-files.md tells all.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO

from synthreview.lib.cells import plain_cell, safe_cell
from synthreview.lib.text import normalised
from synthreview.prompting.techniques import TECHNIQUES

KINDS = ("csv", "jsonl", "tsv")
FIELDS = ("text", "class", "technique", "slots", "state", "author", "template")
STATES = ("draft", "approved", "retired")  # the values of models.PromptState
SLOT = "slot:"
IGNORED = ""
MAX_TEXT = 4_000
MAX_CLASS = 120
MAX_AUTHOR = 60
MAX_TEMPLATE = 500
MAX_WORDS = 500
MAX_SLOTS = 40
MAX_COLUMNS = 200
MAX_LINE = 64 * 1024
LOOKED_AT = 100  # so many lines of a JSONL file tell its keys
SLOT_NAME = re.compile(r"[a-z][a-z0-9_-]{0,39}")

# Names under which others keep the same thing; the first that a file has is suggested.
_ALIASES = {
    "text": ("text", "prompt", "caption", "prompts", "captions", "sentence"),
    "class": ("class", "label", "class_name", "label_class", "category", "include.class"),
    "technique": ("technique",),
    "slots": ("slots",),
    "state": ("state", "status"),
    "author": ("author",),
    "template": ("template",),
    "slot:colour": ("include.color",),
    "slot:count": ("include.count",),
}
PARTI, GENEVAL = "PartiPrompts", "GenEval"
_PARTI_COLUMNS = ("Prompt", "Category", "Challenge", "Note")
_GENEVAL_KEYS = {"tag", "include", "prompt"}
_GENEVAL_COLUMNS = ("prompt", "tag", "include.class", "include.color", "include.count")
_NUMBERS = "zero one two three four five six seven eight nine ten".split()


class PromptFileError(ValueError):
    """The file as a whole cannot be read, or the mapping does not fit it."""


class BadPromptError(ValueError):
    """One prompt is not taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a file is. `mapping` is the suggestion: column → field, "" for what is left out.

    `source` names a known collection, "PartiPrompts" or "GenEval".
    """

    kind: str
    columns: tuple[str, ...]
    mapping: Mapping[str, str]
    source: str = ""
    separator: str = ","

    @property
    def unmapped(self) -> tuple[str, ...]:
        return unmapped(self.mapping)


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """One prompt of a file; `line` is where it begins, 0 where it stands in none."""

    text: str
    class_name: str
    technique: str = "plain"
    slots: Mapping[str, str] = field(default_factory=dict)
    state: str = "draft"
    author: str = "person"
    line: int = 0
    template: str = ""


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that cannot be taken."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class _Record:
    """One line's cells by column, before anybody says what they mean."""

    line: int
    cells: Mapping[str, Any]


# --- What a file is -------------------------------------------------------------


def look(file: BinaryIO, kind: str = "") -> Shape:
    """Return what `file`, which is at its beginning, holds; it is set back there.

    Its kind is told by its content, unless `kind` names one. Raises PromptFileError.
    """
    if kind not in ("", *KINDS):
        raise PromptFileError(f"A {kind!r} file is not understood; known: {', '.join(KINDS)}.")
    first = _first_line(file)
    kind = kind or _kind_of(first)
    separator = "\t" if kind == "tsv" else max(",;", key=first.count)
    if kind == "jsonl":
        columns, source = _keys(file)
    else:
        columns = _header(file, kind, separator)
        source = PARTI if set(_PARTI_COLUMNS) <= set(columns) else ""
    file.seek(0)
    if len(columns) > MAX_COLUMNS:
        raise PromptFileError(f"The file has {len(columns)} columns; {MAX_COLUMNS} are allowed.")
    return Shape(kind, columns, suggested(columns), source, separator)


def _first_line(file: BinaryIO) -> str:
    lines = _Lines(file)
    first = next((line for line in lines if line.strip() or lines.faults), "")
    file.seek(0)
    if lines.faults:
        number, reason = lines.faults[0]
        raise PromptFileError(f"Line {number}: {reason}.")
    if not first:
        raise PromptFileError("The file is empty.")
    if first.lstrip().startswith("["):
        raise PromptFileError(
            "The file is a JSON list. JSONL has one object per line, without brackets around all."
        )
    return first


def _kind_of(first: str) -> str:
    if first.lstrip().startswith("{"):
        return "jsonl"
    return "tsv" if first.count("\t") > max(first.count(","), first.count(";")) else "csv"


def _header(file: BinaryIO, kind: str, separator: str) -> tuple[str, ...]:
    found = next(_table_rows(_Lines(file), kind, separator), None)
    if found is None:
        raise PromptFileError("The first line must name the columns, such as text and class.")
    if isinstance(found, BadLine):
        raise PromptFileError(f"Line {found.line}: {found.reason}.")
    columns = tuple(cell.strip() for cell in found[1])
    if twice := [name for name in columns if name and columns.count(name) > 1]:
        raise PromptFileError(f"Line {found[0]}: two columns are called {twice[0]!r}.")
    if not all(columns):
        raise PromptFileError(
            f"Line {found[0]}: column {columns.index('') + 1} has no name. "
            "The first line must name the columns, such as text and class."
        )
    return columns


def _keys(file: BinaryIO) -> tuple[tuple[str, ...], str]:
    records = list(islice(_json_records(_Lines(file), ""), LOOKED_AT))
    good = [record for record in records if isinstance(record, _Record)]
    if not good:
        reason = next((bad.reason for bad in records if isinstance(bad, BadLine)), "it is empty")
        raise PromptFileError(f"The first {len(records) or 1} lines are no JSONL: {reason}.")
    if set(good[0].cells) >= _GENEVAL_KEYS:
        return _GENEVAL_COLUMNS, GENEVAL
    return tuple(dict.fromkeys(key for record in good for key in record.cells)), ""


def suggested(columns: Sequence[str]) -> dict[str, str]:
    """Return what each column seems to mean; "" where that cannot be told."""
    mapping = dict.fromkeys(columns, IGNORED)
    by_name = {column.casefold(): column for column in reversed(columns)}
    for target, names in _ALIASES.items():
        for name in names:
            if name in by_name and not mapping[by_name[name]]:
                mapping[by_name[name]] = target
                break
    for column in columns:
        name = column.casefold().removeprefix(SLOT).strip()
        if column.casefold().startswith(SLOT) and SLOT_NAME.fullmatch(name):
            mapping[column] = SLOT + name
    return mapping


def unmapped(mapping: Mapping[str, str]) -> tuple[str, ...]:
    """Return the columns that are left out."""
    return tuple(column for column, target in mapping.items() if not target)


def merged(shape: Shape, changes: Mapping[str, str]) -> dict[str, str]:
    """Return the suggestion with `changes`, which take a field from the column that had it.

    Raises PromptFileError where a column or field does not exist, or two columns have one field.
    """
    mapping = {
        column: IGNORED if target in changes.values() else target
        for column, target in shape.mapping.items()
    }
    for column, target in changes.items():
        if column not in mapping:
            there = ", ".join(shape.columns)
            raise PromptFileError(f"The file has no column {column!r}; it has: {there}.")
        if target not in (IGNORED, *FIELDS) and not (
            target.startswith(SLOT) and SLOT_NAME.fullmatch(target[len(SLOT) :])
        ):
            known = ", ".join(FIELDS)
            raise PromptFileError(
                f"There is no field {target!r}; known: {known}, slot:NAME with a-z, 0-9, - and _."
            )
        mapping[column] = target
    used = [target for target in mapping.values() if target]
    if twice := [target for target in used if used.count(target) > 1]:
        raise PromptFileError(f"Two columns are chosen for {twice[0]!r}; choose one.")
    if "text" not in used:
        there = ", ".join(shape.columns)
        raise PromptFileError(f"No column holds the text of the prompts; the file has: {there}.")
    return mapping


# --- Reading --------------------------------------------------------------------


def read_prompts(
    file: BinaryIO,
    shape: Shape,
    mapping: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
) -> Iterator[PromptSpec | BadLine]:
    """Yield each line of `file`, from its beginning, as a prompt or as what is wrong with it.

    `mapping` comes from `merged`; `defaults` (class, technique, state, author) hold where a line
    says nothing. Blank lines are passed over.
    """
    mapping = shape.mapping if mapping is None else mapping
    chosen = [(column, target) for column, target in mapping.items() if target]
    fallback = {"author": shape.source.lower() or "imported"} | dict(defaults or {})
    file.seek(0)
    for record in _records(file, shape):
        if isinstance(record, BadLine):
            yield record
            continue
        values = {target: record.cells.get(column) for column, target in chosen}
        try:
            yield prompt_of(values, fallback, line=record.line)
        except BadPromptError as error:
            yield BadLine(record.line, str(error))


def prompt_of(
    values: Mapping[str, Any], defaults: Mapping[str, str] | None = None, *, line: int = 0
) -> PromptSpec:
    """Return the prompt that these fields make. Raises BadPromptError."""
    defaults = defaults or {}

    def said(name: str, limit: int, otherwise: str = "") -> str:
        return _text(values.get(name), name, limit) or defaults.get(name) or otherwise

    text = said("text", MAX_TEXT)
    if not normalised(text):
        raise BadPromptError("the text is empty")
    if len(normalised(text)) > MAX_TEXT:
        raise BadPromptError(f"the text has more than {MAX_TEXT:,} characters when spelled out")
    class_name = said("class", MAX_CLASS)
    if not class_name:
        raise BadPromptError("no class is named")
    technique = said("technique", MAX_AUTHOR, "plain").lower()
    if technique not in TECHNIQUES:
        known = ", ".join(TECHNIQUES)
        raise BadPromptError(f"no technique is called {_shown(technique)}; known: {known}")
    state = said("state", MAX_AUTHOR, "draft").lower()
    if state not in STATES:
        raise BadPromptError(f"no state is called {_shown(state)}; known: {', '.join(STATES)}")
    author = said("author", MAX_AUTHOR, "person")
    template = said("template", MAX_TEMPLATE)
    return PromptSpec(text, class_name, technique, _slots(values), state, author, line, template)


def _slots(values: Mapping[str, Any]) -> dict[str, str]:
    slots = values.get("slots")
    if isinstance(slots, str) and slots.strip():
        try:
            slots = json.loads(slots)
        except (ValueError, RecursionError):
            raise BadPromptError("slots must be a JSON object, as {“environment”: “…”}") from None
    if slots and not isinstance(slots, dict):
        raise BadPromptError("slots must be a JSON object of texts")
    found = dict(slots or {}) | {
        target[len(SLOT) :]: words for target, words in values.items() if target.startswith(SLOT)
    }
    said = {name: _text(words, f"slot {name}", MAX_WORDS) for name, words in found.items()}
    said = {name: words for name, words in said.items() if words}
    if wrong := [name for name in said if not SLOT_NAME.fullmatch(name)]:
        raise BadPromptError(
            f"{_shown(wrong[0])} is no name of a slot; allowed are a-z, 0-9, - and _, "
            "a letter first"
        )
    if len(said) > MAX_SLOTS:
        raise BadPromptError(f"it has {len(said)} slots; {MAX_SLOTS} are allowed")
    return said


def _text(value: Any, name: str, limit: int) -> str:
    """Return a text on one line, "" for nothing. Raises BadPromptError."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise BadPromptError(f"{_plain(name)} must be a text, not {type(value).__name__}")
    if "\0" in value:
        raise BadPromptError(f"{_plain(name)} holds a NUL character")
    text = " ".join(value.split())
    if len(text) > limit:
        raise BadPromptError(f"{_plain(name)} has {len(text):,} characters; {limit:,} are allowed")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise BadPromptError(f"{_plain(name)} holds half a character (a lone surrogate)")
    return text


def _plain(name: str) -> str:
    return "".join(c if c.isprintable() else "�" for c in name[:60])


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")


def _records(file: BinaryIO, shape: Shape) -> Iterator[_Record | BadLine]:
    lines = _Lines(file)
    if shape.kind == "jsonl":
        yield from _json_records(lines, shape.source)
        return
    rows = _table_rows(lines, shape.kind, shape.separator)
    next(rows, None)  # the header
    for row in rows:
        if isinstance(row, BadLine):
            yield row
        elif len(row[1]) > len(shape.columns):
            yield BadLine(
                row[0], f"{len(row[1])} cells, where the header names {len(shape.columns)} columns"
            )
        else:
            cells = zip(shape.columns, map(plain_cell, row[1]), strict=False)
            yield _Record(row[0], dict(cells))


class _Lines:
    """The lines of a file as text; `faults` collects what is wrong with them, by number."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.number = 0
        self.faults: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[str]:
        while raw := self._file.readline(MAX_LINE + 1):
            self.number += 1
            if len(raw) > MAX_LINE and not raw.endswith(b"\n"):
                self._skip()
                self._fault(f"the line is longer than {MAX_LINE // 1024} kB")
                yield "\n"
                continue
            raw = raw.removeprefix(b"\xef\xbb\xbf") if self.number == 1 else raw
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                self._fault("not a text in UTF-8")
                text = raw.decode("utf-8", "replace")
            if "\0" in text:
                self._fault("a NUL character")
            yield text

    def _skip(self) -> None:
        while (more := self._file.readline(MAX_LINE + 1)) and not more.endswith(b"\n"):
            pass

    def _fault(self, reason: str) -> None:
        if not self.faults:
            self.faults.append((self.number, reason))


Row = tuple[int, list[str]]


def _table_rows(lines: _Lines, kind: str, separator: str) -> Iterator[Row | BadLine]:
    """Yield the cells of each line of a table with the number of the line; blank ones are not."""
    rows = _tsv_rows(lines) if kind == "tsv" else _csv_rows(lines, separator)
    for row in rows:
        if lines.faults:
            yield BadLine(*lines.faults.pop())
        elif isinstance(row, BadLine) or any(cell.strip() for cell in row[1]):
            yield row


def _csv_rows(lines: _Lines, separator: str) -> Iterator[Row | BadLine]:
    reader = csv.reader(lines, delimiter=separator, strict=True)
    while True:
        start = lines.number + 1
        try:
            yield start, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            # The reader begins anew with the next line.
            yield BadLine(start, f"not valid CSV: {error}")


def _tsv_rows(lines: _Lines) -> Iterator[Row]:
    """A line is a row: quotes count only where they enclose a whole cell (PartiPrompts has them
    in the middle of its prompts, spreadsheets around cells)."""
    for line in lines:
        cells = line.rstrip("\r\n").split("\t")
        yield lines.number, [_unquoted(cell) for cell in cells]


def _unquoted(cell: str) -> str:
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"':
        return cell
    inside = cell[1:-1].replace('""', "")
    return cell if '"' in inside else cell[1:-1].replace('""', '"')


def _json_records(lines: _Lines, source: str) -> Iterator[_Record | BadLine]:
    for line in lines:
        if lines.faults:
            yield BadLine(*lines.faults.pop())
        elif line.strip():
            try:
                found = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield BadLine(lines.number, f"not valid JSON: {str(error)[:100]}")
                continue
            if isinstance(found, dict):
                yield _Record(lines.number, _geneval(found) if source == GENEVAL else found)
            else:
                yield BadLine(lines.number, "not a JSON object in { }")


def _geneval(record: dict[str, Any]) -> dict[str, Any]:
    """Return GenEval's nested keys side by side; of several objects the first gives the label."""
    listed = record.get("include")
    first = listed[0] if isinstance(listed, list) and listed else {}
    first = first if isinstance(first, dict) else {}
    count = first.get("count")
    if isinstance(count, int):
        count = _NUMBERS[count] if 1 < count < len(_NUMBERS) else None
    return {
        "prompt": record.get("prompt"),
        "tag": record.get("tag"),
        "include.class": first.get("class"),
        "include.color": first.get("color"),
        "include.count": count,
    }


# --- Writing --------------------------------------------------------------------


def format_prompts(
    prompts: Iterable[PromptSpec], *, kind: str, slots: Sequence[str] | None = None
) -> Iterator[str]:
    """Yield a file's lines, the header of a table first.

    `slots` are the columns slot:NAME of a table; None gives one column of JSON instead.
    """
    if kind == "jsonl":
        for prompt in prompts:
            yield json.dumps(_fields(prompt) | {"slots": dict(prompt.slots)}, ensure_ascii=False)
            yield "\n"
        return
    cells = [*FIELDS[:3], *FIELDS[4:], *(SLOT + name for name in slots or ())]
    if slots is None:
        cells.append("slots")
    line = _tsv_line if kind == "tsv" else _csv_line
    yield line(cells)
    for prompt in prompts:
        values: dict[str, str] = _fields(prompt) | {
            SLOT + name: words for name, words in prompt.slots.items()
        }
        if slots is None:
            values["slots"] = json.dumps(dict(prompt.slots), ensure_ascii=False)
        yield line([safe_cell(values.get(cell, "")) for cell in cells])


def _fields(prompt: PromptSpec) -> dict[str, Any]:
    return {
        "text": prompt.text,
        "class": prompt.class_name,
        "technique": prompt.technique,
        "state": prompt.state,
        "author": prompt.author,
        "template": prompt.template,
    }


def _csv_line(cells: Sequence[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n", quoting=csv.QUOTE_ALL).writerow(cells)
    return out.getvalue()


def _tsv_line(cells: Sequence[str]) -> str:
    shown = (" ".join(cell.split()) for cell in cells)
    return "\t".join('"' + c.replace('"', '""') + '"' if c[:1] == '"' else c for c in shown) + "\n"
