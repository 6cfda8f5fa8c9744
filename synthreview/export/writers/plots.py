"""The card's picture: images by class and split, and by value of each axis.

Plain SVG without a script, in the colours that the reader's system asks for. The card has every
number as a table too, so that nobody needs to see it.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.sax.saxutils import escape

from synthreview.export.writers.base import ExportFacts

MOST_BARS = 40  # of one chart; the rest is in the tables
WIDTH, LABEL_WIDTH, ROW, TITLE_ROW = 720, 220, 20, 34
BAR_WIDTH = WIDTH - LABEL_WIDTH - 70
LABEL_LETTERS = 30
STYLE = """\
.ground{fill:#fff}
text{font:12px system-ui,sans-serif;fill:#1c2030}.title{font-weight:600;font-size:14px}
.soft{fill:#5b6172}.s0{fill:#3f51d4}.s1{fill:#8a5fc7}.s2{fill:#0f8a6b}
@media(prefers-color-scheme:dark){.ground{fill:#14161c}text{fill:#e8eaf2}.soft{fill:#a3a9bb}
.s0{fill:#8e9bff}.s1{fill:#c2a0f2}.s2{fill:#4cc9a4}}"""


def plot_text(facts: ExportFacts) -> str:
    """Return the SVG. The same facts give the same bytes."""
    charts = [("Images by class", {name: dict(counts) for name, counts in facts.counts.items()})]
    for title, counts in facts.tables.items():
        if len(counts) > 1:
            charts.append((f"Images by {title}", {name: {"": n} for name, n in counts.items()}))
    parts: list[str] = []
    y = 0
    for title, rows in charts:
        y = _chart(parts, y, title, rows, facts.splits)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="-12 0 {WIDTH + 24} {y + 10}" '
        f'width="{WIDTH + 24}" height="{y + 10}" role="img" aria-labelledby="t">'
        f'<title id="t">{escape(facts.title)}, export {facts.number}: images by class and value'
        f"</title><style>{STYLE}</style>\n"
        f'<rect class="ground" x="-12" width="{WIDTH + 24}" height="{y + 10}"/>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def _chart(
    parts: list[str],
    y: int,
    title: str,
    rows: Mapping[str, Mapping[str, int]],
    splits: tuple[str, ...],
) -> int:
    """Draw one chart below `y`; return where it ends."""
    parts.append(f'<text class="title" x="0" y="{y + 22}">{escape(title)}</text>')
    if any("" not in counts for counts in rows.values()):
        parts.append(_legend(y + 22, splits))
    y += TITLE_ROW
    largest = max((sum(counts.values()) for counts in rows.values()), default=0) or 1
    shown = list(rows.items())[:MOST_BARS]
    for name, counts in shown:
        label = name if len(name) <= LABEL_LETTERS else f"{name[: LABEL_LETTERS - 1]}…"
        x = float(LABEL_WIDTH)
        parts.append(
            f'<text x="{LABEL_WIDTH - 8}" y="{y + 13}" text-anchor="end">{escape(label)}</text>'
        )
        for split, count in counts.items():
            width = BAR_WIDTH * count / largest
            kind = splits.index(split) if split in splits else 0
            parts.append(
                f'<rect class="s{kind}" x="{x:.1f}" y="{y + 3}" width="{width:.1f}" height="13"/>'
            )
            x += width
        total = sum(counts.values())
        parts.append(f'<text class="soft" x="{x + 6:.1f}" y="{y + 13}">{total:,}</text>')
        y += ROW
    if len(rows) > len(shown):
        parts.append(
            f'<text class="soft" x="{LABEL_WIDTH}" y="{y + 13}">'
            f"and {len(rows) - len(shown):,} more</text>"
        )
        y += ROW
    return y + 8


def _legend(y: int, splits: tuple[str, ...]) -> str:
    parts = []
    for number, split in enumerate(splits):
        x = LABEL_WIDTH + 120 * number
        parts.append(
            f'<rect class="s{number}" x="{x}" y="{y - 10}" width="12" height="12"/>'
            f'<text class="soft" x="{x + 18}" y="{y}">{escape(split)}</text>'
        )
    return "".join(parts)
