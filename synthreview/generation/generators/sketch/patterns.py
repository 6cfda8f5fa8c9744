"""The patterns that a lent look lays on an object: spots, stripes, scales, petals, bricks."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Final

from PIL import Image, ImageChops, ImageDraw

from synthreview.generation.generators.sketch.pen import RGB, Point, luminance

Pattern = Callable[[ImageDraw.ImageDraw, tuple[int, int], float], None]


def lay_pattern(
    layer: Image.Image, mask: Image.Image, look: str, paint: RGB, unit_px: float
) -> None:
    """Lay a pattern over the painted parts (`mask`) of an object's layer, in place."""
    ink = (40, 36, 44) if luminance(paint) > 90 else (240, 238, 230)
    sheet = Image.new("L", layer.size)
    PATTERNS[look](ImageDraw.Draw(sheet), layer.size, unit_px)
    layer.paste((*ink, 255), mask=ImageChops.multiply(sheet, mask))


def _lattice(size: tuple[int, int], step: float) -> Iterator[Point]:
    """Yield the centres of a pattern whose every second row is shifted by half a step."""
    wide, high = size
    for j in range(round(high / step) + 2):
        for i in range(round(wide / step) + 2):
            yield (i + 0.5 * (j % 2)) * step, j * step


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, rx: float, ry: float) -> None:
    draw.ellipse((x - rx, y - ry, x + rx, y + ry), fill=255)


def _spots(draw: ImageDraw.ImageDraw, size: tuple[int, int], unit_px: float) -> None:
    rng = random.Random("spots")
    step = unit_px * 0.085
    for i in range(26):
        for j in range(26):
            x = (i + rng.uniform(0.2, 0.8)) * step
            y = (j + rng.uniform(0.2, 0.8)) * step
            r = unit_px * rng.uniform(0.014, 0.032)
            _disc(draw, x, y, r, r * 0.8)


def _stripes(draw: ImageDraw.ImageDraw, size: tuple[int, int], unit_px: float) -> None:
    step, high = unit_px * 0.1, size[1]
    lean, wide = high * 0.25, step * 0.45
    for i in range(-20, 60):
        x = i * step
        draw.polygon([(x, 0), (x + wide, 0), (x + wide + lean, high), (x + lean, high)], fill=255)


def _scales(draw: ImageDraw.ImageDraw, size: tuple[int, int], unit_px: float) -> None:
    step = unit_px * 0.07
    half, line = step * 0.5, max(1, round(unit_px * 0.011))
    for x, y in _lattice(size, step):
        draw.arc((x - half, y - half, x + half, y + half), 10, 170, fill=255, width=line)


def _petals(draw: ImageDraw.ImageDraw, size: tuple[int, int], unit_px: float) -> None:
    step = unit_px * 0.11
    for x, y in _lattice(size, step):
        for dx, dy in ((0.0, -0.2), (0.19, -0.06), (0.12, 0.16), (-0.12, 0.16), (-0.19, -0.06)):
            _disc(draw, x + dx * step, y + dy * step, step * 0.13, step * 0.13)


def _bricks(draw: ImageDraw.ImageDraw, size: tuple[int, int], unit_px: float) -> None:
    wide, high = size
    step, line = unit_px * 0.06, max(1, round(unit_px * 0.009))
    for j in range(round(high / step) + 2):
        draw.line((0, j * step, wide, j * step), fill=255, width=line)
        for i in range(round(wide / step / 2) + 2):
            x = (i * 2 + j % 2) * step
            draw.line((x, j * step, x, (j + 1) * step), fill=255, width=line)


PATTERNS: Final[dict[str, Pattern]] = {
    "spots": _spots,
    "stripes": _stripes,
    "scales": _scales,
    "petals": _petals,
    "bricks": _bricks,
}
