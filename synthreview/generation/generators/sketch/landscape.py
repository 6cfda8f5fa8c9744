"""What several places are made of: hills, clouds, trees, grass, and the view they are drawn in."""

from __future__ import annotations

import random
from dataclasses import dataclass

from PIL import Image

from synthreview.generation.generators.sketch.pen import (
    RGB,
    Pen,
    Point,
    box,
    darker,
    lighter,
    mix,
    smooth,
)


@dataclass(frozen=True, slots=True)
class View:
    """What a place's function gets: its canvas, a pen, the seed's choices and the camera.

    `sky` is how far the camera looks up: the horizon's shift, in shares of the height.
    """

    canvas: Image.Image
    pen: Pen
    rng: random.Random
    sky: float


def ridge(
    pen: Pen, points: list[Point], fill: RGB, *, bottom: float = 1.02, curve: bool = True
) -> None:
    top = smooth(points, 5, closed=False) if curve else points
    pen.poly([*top, (points[-1][0], bottom), (points[0][0], bottom)], fill)


def hills(rng: random.Random, y: float, swing: float, count: int = 6) -> list[Point]:
    return [(-0.1 + 1.2 * i / count, y + rng.uniform(-swing, swing)) for i in range(count + 1)]


def cloud(pen: Pen, x: float, y: float, s: float, fill: RGB) -> None:
    pen.oval(x, y, 0.13 * s, 0.028 * s, darker(fill, 0.06), steps=16)
    for dx, dy, r in (
        (-0.07, -0.015, 0.035),
        (-0.02, -0.04, 0.05),
        (0.045, -0.025, 0.042),
        (0.085, -0.005, 0.028),
    ):
        pen.oval(x + dx * s, y + dy * s, r * s, r * s, fill, steps=16)


def clouds(view: View, fill: RGB, lowest: float) -> None:
    for i in range(view.rng.randint(2, 4)):
        cloud(
            view.pen,
            (i * 0.37 + view.rng.uniform(0, 0.3)) % 1.1,
            view.rng.uniform(0.07, lowest),
            view.rng.uniform(0.6, 1.3),
            fill,
        )


def tuft(pen: Pen, x: float, y: float, s: float, fill: RGB) -> None:
    for dx, lean in ((-0.012, -0.018), (0.0, 0.002), (0.012, 0.02)):
        pen.poly(
            [
                (x + dx * s - 0.005 * s, y),
                (x + (dx + lean) * s, y - 0.05 * s),
                (x + dx * s + 0.005 * s, y),
            ],
            fill,
        )


def grass_corners(pen: Pen, rng: random.Random, fill: RGB) -> None:
    """Let tall blades stand in the near corners: the picture gets a foreground."""
    for corner, inward in ((-0.02, 1), (1.02, -1)):
        for i in range(8):
            x, tall = corner + inward * 0.022 * i, rng.uniform(0.08, 0.2) * (1 - i / 11)
            lean = rng.uniform(-0.04, 0.05) * inward
            pen.poly(
                [
                    (x - 0.012, 1.02),
                    (x + lean * 0.5 - 0.004, 1 - tall * 0.6),
                    (x + lean, 1 - tall),
                    (x + lean * 0.4 + 0.008, 1 - tall * 0.5),
                    (x + 0.012, 1.02),
                ],
                mix(fill, lighter(fill, 0.3), rng.random() * 0.6),
            )


def pine(pen: Pen, x: float, y: float, s: float, fill: RGB, snow: RGB | None = None) -> None:
    pen.poly(box(x - 0.012 * s, y - 0.05 * s, x + 0.012 * s, y), (92, 66, 52))
    for i in range(3):
        top, low, half = (
            y - (0.32 - 0.08 * i) * s,
            y - (0.15 - 0.065 * i) * s,
            (0.055 + 0.025 * i) * s,
        )
        pen.poly([(x, top), (x + half, low), (x - half, low)], fill)
        if snow is not None:
            pen.poly(
                [
                    (x, top),
                    (x + half * 0.55, top + (low - top) * 0.55),
                    (x, top + (low - top) * 0.4),
                    (x - half * 0.55, top + (low - top) * 0.62),
                ],
                snow,
            )


def tree(pen: Pen, x: float, y: float, s: float, fill: RGB) -> None:
    pen.poly(
        [
            (x - 0.018 * s, y),
            (x - 0.01 * s, y - 0.16 * s),
            (x + 0.01 * s, y - 0.16 * s),
            (x + 0.02 * s, y),
        ],
        (110, 78, 56),
    )
    for dx, dy, r in ((-0.06, -0.18, 0.07), (0.06, -0.19, 0.075), (0.0, -0.25, 0.09)):
        pen.oval(x + dx * s, y + dy * s, r * s, r * s, fill, steps=18)
    pen.oval(x - 0.03 * s, y - 0.28 * s, 0.045 * s, 0.035 * s, lighter(fill, 0.15), steps=14)
