"""What the pages of coverage draw: places in a plot's own units, 0 to 100, made on the server.

Each plot stands in the row of the table that holds the same numbers; its words say them too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from synthreview.overview.probes import Figure, GroupLine, ProbeReport


@dataclass(frozen=True, slots=True)
class Mark:
    """One mark of a plot with its whisker, as attribute values; `kind` chooses colour and shape."""

    kind: str
    at: str
    low: str
    high: str
    y: str


def percent(share: float) -> str:
    """Return a place on an axis from 0 to 100, with a point whatever the language."""
    return f"{100 * share:.2f}"


def words_of(figure: Figure) -> str:
    """Return a share as people read it: "12 %", with its interval where it has one."""
    words = f"{100 * figure.share:.0f} %"
    if figure.interval is not None:
        words += f" ({100 * figure.interval[0]:.0f} to {100 * figure.interval[1]:.0f})"
    return words


def probe_rows(report: ProbeReport) -> list[dict[str, Any]]:
    """Return a row for each group: the line, its words, and the marks of its plot."""
    return [_row(line) for line in report.lines]


def _row(line: GroupLine) -> dict[str, Any]:
    asked = Figure(line.asked_share)
    told = (("asked", asked), ("generated", line.generated), ("approved", line.approved))
    said = ", ".join(f"{name} {words_of(figure)}" for name, figure in told)
    floor = line.group.floor
    return {
        "line": line,
        "asked": words_of(asked),
        "generated": words_of(line.generated),
        "approved": words_of(line.approved),
        "rate": line.guessed.rate,
        "marks": [
            _mark(name, figure, y) for (name, figure), y in zip(told, (5, 15, 25), strict=True)
        ],
        "floor": percent(floor) if floor else "",
        "floor_words": f"{100 * floor:g} %" if floor else "",
        "said": said + (f", floor {100 * floor:g} %" if floor else ""),
    }


def growth_plot(one: dict[str, Any]) -> dict[str, str]:
    """Return the line of compositions over images of a class, and its words; 100 is every image."""
    total = one["images"]
    points = [(0, 0), *one["growth"]]
    return {
        "points": " ".join(
            f"{100 * images / total:.2f},{100 - 100 * found / total:.2f}"
            for images, found in points
        ),
        "said": (
            f"{one['compositions']} compositions in {total} images; "
            + ", ".join(f"{found} after {images}" for images, found in one["growth"])
        ),
    }


def _mark(kind: str, figure: Figure, y: int) -> Mark:
    low, high = figure.interval or (figure.share, figure.share)
    return Mark(kind, percent(figure.share), percent(low), percent(high), str(y))
