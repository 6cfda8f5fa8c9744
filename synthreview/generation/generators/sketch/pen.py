"""A pen that draws in unit coordinates, and the few colour mixes that every picture needs.

All shapes become polygons, so that turning and mirroring stay crisp at every size.
Drawing happens on a canvas twice as large as the picture; halving it is the
anti-aliasing.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Final

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Point = tuple[float, float]

WHITE: Final[RGB] = (255, 255, 255)
BLACK: Final[RGB] = (0, 0, 0)


def mix(first: RGB, second: RGB, share: float) -> RGB:
    """Return `first` with `share` (0..1) of `second` in it."""
    r, g, b = (round(p + (q - p) * share) for p, q in zip(first, second, strict=True))
    return r, g, b


def lighter(colour: RGB, share: float) -> RGB:
    """Return the colour mixed with white."""
    return mix(colour, WHITE, share)


def darker(colour: RGB, share: float) -> RGB:
    """Return the colour mixed with a cool near-black, which looks less dirty than black."""
    return mix(colour, (24, 20, 40), share)


def luminance(colour: RGB) -> float:
    """Return the brightness of a colour, 0..255 (ITU-R 601 weights)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def arc(
    cx: float, cy: float, rx: float, ry: float, start: float = 0, end: float = 360, steps: int = 28
) -> list[Point]:
    """Return points on an ellipse, degrees clockwise from the right."""
    first, last = math.radians(start), math.radians(end)
    count = max(3, round(steps * abs(end - start) / 360))
    turns = (
        first + (last - first) * i / count for i in range(count + (0 if end - start == 360 else 1))
    )
    return [(cx + rx * math.cos(t), cy + ry * math.sin(t)) for t in turns]


def smooth(points: Sequence[Point], steps: int = 5, *, closed: bool = True) -> list[Point]:
    """Return a Catmull-Rom curve through the points."""
    n = len(points)
    curve: list[Point] = []
    for i in range(n if closed else n - 1):
        p0, p1, p2, p3 = (
            points[k % n] if closed else points[min(max(k, 0), n - 1)]
            for k in (i - 1, i, i + 1, i + 2)
        )
        for s in range(steps):
            t = s / steps
            a, b = t * t, t * t * t
            wa, wb, wc, wd = (
                -0.5 * t + a - 0.5 * b,
                1 - 2.5 * a + 1.5 * b,
                0.5 * t + 2 * a - 1.5 * b,
                0.5 * (b - a),
            )
            curve.append(
                (
                    p0[0] * wa + p1[0] * wb + p2[0] * wc + p3[0] * wd,
                    p0[1] * wa + p1[1] * wb + p2[1] * wc + p3[1] * wd,
                )
            )
    if not closed:
        curve.append(points[-1])
    return curve


def rounded(points: Sequence[Point], radius: float) -> list[Point]:
    """Return the polygon with each corner cut to a curve of about this radius."""
    n = len(points)
    result: list[Point] = []
    for i, (x, y) in enumerate(points):
        ends: list[Point] = []
        for px, py in (points[i - 1], points[(i + 1) % n]):
            length = math.hypot(px - x, py - y) or 1e-9
            cut = min(radius, length / 2) / length
            ends.append((x + (px - x) * cut, y + (py - y) * cut))
        (ax, ay), (bx, by) = ends
        for t in (0.0, 0.33, 0.67, 1.0):
            u = 1 - t
            result.append(
                (u * u * ax + 2 * u * t * x + t * t * bx, u * u * ay + 2 * u * t * y + t * t * by)
            )
    return result


@cache
def path(text: str) -> tuple[Point, ...]:
    """Return the points of a drawing written as "x y, x y, ...", as in SVG."""
    return tuple((float(x), float(y)) for x, y in (pair.split() for pair in text.split(",")))


def box(x0: float, y0: float, x1: float, y1: float) -> list[Point]:
    """Return the four corners of a rectangle."""
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


class Pen:
    """Draws on one canvas: unit coordinates are scaled, turned, mirrored and moved.

    `angle` is in degrees clockwise around `pivot`. `paint` marks shapes that carry
    the object's own colour; a second mask canvas remembers them for patterns.
    """

    def __init__(
        self,
        canvas: Image.Image,
        *,
        scale: float,
        origin: Point = (0.0, 0.0),
        angle: float = 0.0,
        pivot: Point = (0.0, 0.0),
        flip: bool = False,
        mask: Image.Image | None = None,
    ) -> None:
        self.canvas = canvas
        self.scale = scale
        self._draw = ImageDraw.Draw(canvas)
        self._mask = ImageDraw.Draw(mask) if mask is not None else None
        self._alpha = canvas.mode == "RGBA"
        turn = math.radians(angle)
        cos, sin = math.cos(turn) * scale, math.sin(turn) * scale
        side = -1.0 if flip else 1.0
        self._xx, self._xy = side * cos, side * -sin
        self._yx, self._yy = sin, cos
        px, py = pivot
        self._x0 = origin[0] + side * px * scale - (self._xx * px + self._xy * py)
        self._y0 = origin[1] + py * scale - (self._yx * px + self._yy * py)

    def at(self, points: Iterable[Point]) -> list[Point]:
        """Return the pixel places of unit points."""
        xx, xy, yx, yy, x0, y0 = self._xx, self._xy, self._yx, self._yy, self._x0, self._y0
        return [(xx * x + xy * y + x0, yx * x + yy * y + y0) for x, y in points]

    def poly(self, points: Sequence[Point], fill: RGB, *, paint: bool = False) -> None:
        """Fill a polygon."""
        pixels = self.at(points)
        self._draw.polygon(pixels, fill=(*fill, 255) if self._alpha else fill)
        if self._mask is not None:
            self._mask.polygon(pixels, fill=255 if paint else 0)

    def blob(
        self, points: Sequence[Point], fill: RGB, *, paint: bool = False, steps: int = 5
    ) -> None:
        """Fill a smooth closed curve through the points."""
        self.poly(smooth(points, steps), fill, paint=paint)

    def oval(
        self,
        cx: float,
        cy: float,
        rx: float,
        ry: float,
        fill: RGB,
        *,
        turn: float = 0,
        paint: bool = False,
        steps: int = 28,
    ) -> None:
        """Fill an ellipse, turned by `turn` degrees around its centre."""
        points = arc(0, 0, rx, ry, steps=steps)
        cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        self.poly(
            [(cx + cos * x - sin * y, cy + sin * x + cos * y) for x, y in points], fill, paint=paint
        )

    def line(
        self,
        points: Sequence[Point],
        width: float,
        fill: RGB,
        *,
        paint: bool = False,
        curve: bool = False,
        caps: bool = True,
    ) -> None:
        """Draw a thick line with round ends, smooth through its points when `curve`."""
        pixels = self.at(smooth(points, closed=False) if curve else points)
        thick = max(1, round(width * self.scale))
        ink = (*fill, 255) if self._alpha else fill
        self._stroke(self._draw, pixels, thick, ink, caps)
        if self._mask is not None:
            self._stroke(self._mask, pixels, thick, 255 if paint else 0, caps)

    @staticmethod
    def _stroke(
        draw: ImageDraw.ImageDraw,
        pixels: list[Point],
        thick: int,
        ink: int | tuple[int, ...],
        caps: bool,
    ) -> None:
        draw.line(
            pixels, fill=ink, width=thick, joint="curve" if thick > 2 and len(pixels) > 2 else None
        )
        if caps and thick > 2:
            r = thick / 2 - 0.5
            for x, y in (pixels[0], pixels[-1]):
                draw.ellipse((x - r, y - r, x + r, y + r), fill=ink)

    def ring(
        self, cx: float, cy: float, radius: float, width: float, fill: RGB, *, paint: bool = False
    ) -> None:
        """Draw a circle's line."""
        points = arc(cx, cy, radius, radius)
        self.line([*points, points[0], points[1]], width, fill, paint=paint, caps=False)

    def erase(self, points: Sequence[Point]) -> None:
        """Make a polygon of an object's layer transparent again."""
        self._draw.polygon(self.at(points), fill=(40, 36, 48, 0))


def fade(canvas: Image.Image, top: float, bottom: float, stops: Sequence[RGB]) -> None:
    """Fill `top`..`bottom` (shares of the canvas's height) with a vertical gradient."""
    draw = ImageDraw.Draw(canvas)
    width, height = canvas.size
    first, last = math.floor(top * height), math.ceil(bottom * height)
    step = max(1, height // 256)
    for y in range(first, last, step):
        along = (y - first) / max(1, last - first - 1) * (len(stops) - 1)
        i = min(int(along), len(stops) - 2)
        draw.rectangle(
            (0, y, width, min(y + step - 1, last)),
            fill=mix(stops[i], stops[i + 1], min(1.0, along - i)),
        )
