"""The trail as a file: JSON lines, or a table that no spreadsheet takes for formulas."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder

from synthreview.lib.cells import safe_cell
from synthreview.trail.models import Entry
from synthreview.trail.services import COLUMNS, as_row

KINDS = {"jsonl": "application/jsonl; charset=utf-8", "csv": "text/csv; charset=utf-8"}


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, cls=DjangoJSONEncoder)


class _Line:
    """A file of which only the last line written is kept."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


def lines(entries: Iterable[Entry], kind: str) -> Iterator[str]:
    """Yield the file line by line; `kind` is one of KINDS."""
    if kind == "jsonl":
        for entry in entries:
            yield _json(as_row(entry)) + "\n"
        return
    line = _Line()
    writer = csv.writer(line)
    writer.writerow([*COLUMNS, "before", "after"])
    yield line.text
    for entry in entries:
        row = as_row(entry)
        cells = {**row, "before": _json(row["before"]), "after": _json(row["after"])}
        writer.writerow(["" if c is None else safe_cell(str(c)) for c in cells.values()])
        yield line.text
