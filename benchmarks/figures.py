"""Figures of the documentation as plain SVG text, without a plotting library."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 760, 250, 24, 34, 56, 44
# Readable on white and on a dark page alike: the figure brings its own ground.
INK, SOFT, GROUND, MARK, WARN = "#1d2430", "#5b6675", "#ffffff", "#1f6f5c", "#b3402a"


def dot_plot(
    points: Mapping[str, Sequence[float]], *, title: str, limit: float, limit_label: str
) -> str:
    """Return an SVG with one row per name and one dot per share (0..1), and a line at `limit`."""
    top = max([limit, *(value for values in points.values() for value in values)]) * 1.1
    height = TOP + ROW * len(points) + BOTTOM
    plot = WIDTH - LEFT - RIGHT

    def x(share: float) -> float:
        return round(LEFT + plot * share / top, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}">',
        f"<title>{escape(title)}</title>",
        '<g font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="{GROUND}"/>',
        f'<text x="16" y="26" font-size="15" font-weight="600" fill="{INK}">{escape(title)}</text>',
    ]
    for number, (name, values) in enumerate(points.items()):
        y = TOP + ROW * number + ROW / 2
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y}" y2="{y}" stroke="#e3e7ec"/>')
        label = f'<text x="{LEFT - 12}" y="{y + 4}" text-anchor="end" fill="{INK}">'
        parts.append(f"{label}{escape(name)}</text>")
        for value in values:
            colour = WARN if value > limit * 1.25 else MARK
            parts.append(
                f'<circle cx="{x(value)}" cy="{y}" r="4" fill="{colour}" fill-opacity="0.55"/>'
            )
    end = TOP + ROW * len(points)
    parts.append(
        f'<line x1="{x(limit)}" x2="{x(limit)}" y1="{TOP - 8}" y2="{end}" stroke="{WARN}" '
        'stroke-dasharray="4 4"/>'
    )
    parts.append(
        f'<text x="{x(limit) + 6}" y="{TOP - 10}" fill="{WARN}">{escape(limit_label)}</text>'
    )
    step = 0.05 if top > 0.12 else 0.01
    parts += [
        f'<text x="{x(tick * step)}" y="{end + 20}" text-anchor="middle" fill="{SOFT}">'
        f"{tick * step:.0%}</text>"
        for tick in range(int(top / step) + 1)
    ]
    return "\n".join([*parts, "</g>", "</svg>", ""])
