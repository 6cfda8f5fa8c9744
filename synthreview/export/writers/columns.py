"""The history of an image as columns of one type each, for formats that are tables."""

from __future__ import annotations

import json
from typing import Any

from synthreview.export.writers.base import ExportEntry

# Name and kind, in their order. "json" is text that holds JSON: its keys differ from row to row.
COLUMNS: tuple[tuple[str, str], ...] = (
    ("id", "int"),
    ("prompt", "text"),
    ("revised_prompt", "text"),
    ("technique", "text"),
    ("slots", "json"),
    ("prompt_author", "text"),
    ("generator", "text"),
    ("model", "text"),
    ("model_version", "text"),
    ("seed", "int"),
    ("cost_usd", "float"),
    ("parents", "json"),
    ("family", "text"),
    ("source_name", "text"),
    ("score", "float"),
    ("scores", "json"),
    ("decision", "text"),
    ("decided_at", "text"),
    ("guideline_version", "int"),
    ("reviewers", "json"),
    ("sha256", "text"),
    ("width", "int"),
    ("height", "int"),
)


def flat_row(entry: ExportEntry) -> dict[str, Any]:
    """Return the columns of an image: text, whole numbers, floats, or None where unknown."""
    record = entry.record
    known = {"sha256": entry.sha256, "width": entry.width, "height": entry.height}
    return {
        name: known[name] if name in known else _cell(record.get(name), kind)
        for name, kind in COLUMNS
    }


def _cell(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "json":
        return json.dumps(value, ensure_ascii=False, sort_keys=True)
    return float(value) if kind == "float" else value
