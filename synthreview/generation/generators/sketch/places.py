"""How each environment is drawn: layered, from far to near, in shares of the picture.

(0, 0) is the top left corner and (1, 1) the bottom right. The place's table row
says where the ground is on which an object stands. No place shows anything that
is one of the objects, not even small: a caption must stay true.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from synthreview.generation.generators.sketch.pen import (
    RGB,
    Pen,
    Point,
    arc,
    box,
    darker,
    fade,
    lighter,
    mix,
    rounded,
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


@dataclass(frozen=True, slots=True)
class Place:
    """One environment. `base`: the range of the object's ground line, from the top."""

    draw: Callable[[View], None]
    base: tuple[float, float]
    shadow: RGB
    air: RGB  # shows against the place: motion lines, steam
    tint: RGB = (255, 255, 255)  # the light that falls on the object
    dark: bool = False
    wet: bool = False


def _ridge(
    pen: Pen, points: list[Point], fill: RGB, *, bottom: float = 1.02, curve: bool = True
) -> None:
    top = smooth(points, 5, closed=False) if curve else points
    pen.poly([*top, (points[-1][0], bottom), (points[0][0], bottom)], fill)


def _hills(rng: random.Random, y: float, swing: float, count: int = 6) -> list[Point]:
    return [(-0.1 + 1.2 * i / count, y + rng.uniform(-swing, swing)) for i in range(count + 1)]


def _cloud(pen: Pen, x: float, y: float, s: float, fill: RGB) -> None:
    pen.oval(x, y, 0.13 * s, 0.028 * s, darker(fill, 0.06), steps=16)
    for dx, dy, r in (
        (-0.07, -0.015, 0.035),
        (-0.02, -0.04, 0.05),
        (0.045, -0.025, 0.042),
        (0.085, -0.005, 0.028),
    ):
        pen.oval(x + dx * s, y + dy * s, r * s, r * s, fill, steps=16)


def _clouds(view: View, fill: RGB, lowest: float) -> None:
    for i in range(view.rng.randint(2, 4)):
        _cloud(
            view.pen,
            (i * 0.37 + view.rng.uniform(0, 0.3)) % 1.1,
            view.rng.uniform(0.07, lowest),
            view.rng.uniform(0.6, 1.3),
            fill,
        )


def _grass_corners(pen: Pen, rng: random.Random, fill: RGB) -> None:
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


def _tuft(pen: Pen, x: float, y: float, s: float, fill: RGB) -> None:
    for dx, lean in ((-0.012, -0.018), (0.0, 0.002), (0.012, 0.02)):
        pen.poly(
            [
                (x + dx * s - 0.005 * s, y),
                (x + (dx + lean) * s, y - 0.05 * s),
                (x + dx * s + 0.005 * s, y),
            ],
            fill,
        )


def _pine(pen: Pen, x: float, y: float, s: float, fill: RGB, snow: RGB | None = None) -> None:
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


def _tree(pen: Pen, x: float, y: float, s: float, fill: RGB) -> None:
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


def _palm(pen: Pen, x: float, y: float, s: float, lean: float) -> None:
    top = (x + lean * s, y - 0.55 * s)
    middle = (x + lean * 0.3 * s, y - 0.3 * s)
    pen.line([(x, y), middle, top], 0.028 * s, (140, 102, 68), curve=True)
    for turn in (200, 235, 275, 320, 350, 20, 160):
        dx, dy = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        tip = (top[0] + dx * 0.22 * s, top[1] + dy * 0.15 * s + 0.09 * s)
        knee = (top[0] + dx * 0.12 * s, top[1] + dy * 0.13 * s - 0.01 * s)
        pen.poly(
            smooth([top, (knee[0], knee[1] - 0.02 * s), tip, (knee[0], knee[1] + 0.03 * s)], 4),
            (62, 136, 74) if turn % 2 else (48, 116, 66),
        )


def _beach(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.46 + view.sky
    evening = rng.random() < 0.3
    fade(
        view.canvas,
        0,
        h,
        [(250, 170, 120), (255, 214, 160), (255, 236, 200)]
        if evening
        else [(104, 186, 236), (168, 220, 246), (226, 244, 250)],
    )
    sun = (rng.uniform(0.12, 0.88), rng.uniform(0.1, 0.24))
    pen.oval(*sun, 0.085, 0.085, (255, 232, 176) if evening else (236, 246, 236))
    pen.oval(*sun, 0.06, 0.06, (255, 246, 206))
    _clouds(view, (255, 240, 224) if evening else (252, 254, 255), h - 0.16)
    fade(view.canvas, h, h + 0.2, [(36, 116, 176), (52, 156, 196), (120, 208, 212)])
    for _ in range(9):
        x, y = rng.random(), h + rng.uniform(0.015, 0.12)
        pen.line([(x, y), (x + rng.uniform(0.03, 0.09), y)], 0.005, (198, 232, 240), caps=False)
    shore = _hills(rng, h + 0.165, 0.014, 5)
    _ridge(pen, shore, (244, 252, 252))
    _ridge(pen, [(x, y + 0.018) for x, y in shore], (206, 176, 132))
    sand = [(x, y + 0.035) for x, y in shore]
    _ridge(pen, sand, (238, 212, 160))
    _ridge(pen, [(x, y + 0.14 + 0.03 * math.sin(9 * x)) for x, y in sand], (246, 222, 172))
    for _ in range(14):
        x, y = rng.random(), rng.uniform(h + 0.26, 0.99)
        pen.oval(x, y, 0.006, 0.0035, (214, 184, 136), steps=8)
    if rng.random() < 0.75:
        side = rng.choice((0.04, 0.95))
        _palm(pen, side, h + 0.3, rng.uniform(0.85, 1.1), 0.12 if side < 0.5 else -0.12)
    for _ in range(2):
        x, y = rng.random(), rng.uniform(0.9, 0.97)
        star = [
            (x + r * math.cos(t), y + r * 0.7 * math.sin(t))
            for i in range(10)
            for r, t in [((0.026, 0.011)[i % 2], math.pi * i / 5)]
        ]
        pen.poly(star, (232, 128, 96))


def _forest(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.6 + view.sky
    is_autumn = rng.random() < 0.25
    leaves: tuple[RGB, ...] = ((130, 178, 116), (86, 148, 84), (52, 112, 64))
    if is_autumn:
        leaves = ((222, 180, 96), (206, 136, 62), (164, 92, 48))
    fade(
        view.canvas,
        0,
        h + 0.05,
        [(216, 206, 150), (238, 224, 170), (246, 238, 200)]
        if is_autumn
        else [(150, 196, 150), (196, 224, 170), (232, 240, 196)],
    )
    for i in range(3):
        x = rng.uniform(0.1, 0.8)
        pen.poly(
            [(x, -0.02), (x + 0.07, -0.02), (x + 0.28 + 0.04 * i, h + 0.1), (x + 0.08, h + 0.1)],
            (226, 238, 186),
        )
    for depth, (trunk, count, wide) in enumerate(
        (((148, 176, 138), 8, 0.02), ((104, 136, 100), 6, 0.032), ((84, 84, 66), 4, 0.05))
    ):
        for i in range(count):
            x = (i + rng.uniform(0.1, 0.9)) / count
            if depth == 2 and 0.25 < x < 0.75:
                x = x - 0.3 if x < 0.5 else x + 0.3
            foot = h + 0.02 + 0.04 * depth
            pen.poly(
                [
                    (x - wide * 0.7, -0.02),
                    (x + wide * 0.7, -0.02),
                    (x + wide, foot),
                    (x + wide * 1.9, foot + 0.02),
                    (x - wide * 1.9, foot + 0.02),
                    (x - wide, foot),
                ],
                trunk,
            )
            if depth == 2:
                pen.poly(
                    [
                        (x + wide * 0.2, -0.02),
                        (x + wide * 0.7, -0.02),
                        (x + wide, foot),
                        (x + wide * 0.4, foot),
                    ],
                    darker(trunk, 0.22),
                )
        leaf = leaves[depth]
        for i in range(7):
            pen.oval(
                i / 6,
                rng.uniform(-0.03, 0.05) - 0.015 * depth,
                rng.uniform(0.1, 0.16),
                rng.uniform(0.08, 0.15 - 0.02 * depth),
                leaf,
                steps=16,
            )
        if depth == 1:
            _ridge(pen, _hills(rng, h, 0.015), (118, 160, 88))
            for i in range(8):
                pen.oval(
                    i / 7 + rng.uniform(-0.05, 0.05),
                    h + 0.005,
                    rng.uniform(0.05, 0.09),
                    rng.uniform(0.03, 0.055),
                    (78, 132, 74),
                    steps=14,
                )
    _ridge(pen, _hills(rng, h + 0.07, 0.012), (122, 150, 82))
    _ridge(pen, _hills(rng, h + 0.2, 0.015), (136, 158, 88))
    for _ in range(12):
        _tuft(pen, rng.random(), rng.uniform(h + 0.12, 1.0), rng.uniform(0.7, 1.3), (84, 124, 62))
    for _ in range(3):
        x, y = (
            rng.choice((rng.uniform(0.02, 0.22), rng.uniform(0.78, 0.98))),
            rng.uniform(h + 0.16, 0.96),
        )
        pen.poly(rounded(box(x - 0.009, y - 0.035, x + 0.009, y), 0.004), (244, 236, 216))
        pen.poly([*arc(x, y - 0.03, 0.032, 0.03, 180, 360)], (206, 72, 56))
        for dx, dy in ((-0.014, -0.038), (0.01, -0.046), (0.018, -0.034)):
            pen.oval(x + dx, y + dy, 0.004, 0.003, (250, 240, 226), steps=6)
    _grass_corners(pen, rng, (44, 92, 50))


def _city(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.66 + view.sky * 0.5
    dusk = rng.random() < 0.3
    fade(
        view.canvas,
        0,
        h,
        [(150, 150, 206), (236, 190, 186), (252, 222, 188)]
        if dusk
        else [(138, 192, 230), (190, 220, 238), (230, 238, 238)],
    )
    _clouds(view, (250, 236, 232) if dusk else (250, 252, 254), 0.2)
    far = (176, 166, 192) if dusk else (172, 192, 212)
    x = -0.02
    while x < 1:
        wide = rng.uniform(0.06, 0.12)
        pen.poly(box(x, rng.uniform(0.16, 0.36), x + wide, h), far)
        x += wide * rng.uniform(0.9, 1.2)
    x = -0.05
    while x < 1:
        wide, top = rng.uniform(0.14, 0.22), rng.uniform(0.22, 0.44)
        wall = rng.choice(
            ((196, 132, 108), (212, 186, 150), (146, 156, 178), (178, 150, 160), (128, 146, 156))
        )
        pen.poly(box(x, top, x + wide, h), wall)
        pen.poly(box(x + wide * 0.78, top, x + wide, h), darker(wall, 0.16))
        pen.poly(box(x - 0.006, top - 0.012, x + wide + 0.006, top + 0.008), darker(wall, 0.25))
        columns = 3
        for row in range(int((h - top - 0.1) / 0.07)):
            for column in range(columns):
                wx, wy = x + wide * (0.1 + 0.23 * column), top + 0.035 + 0.07 * row
                pane = (255, 226, 150) if rng.random() < (0.5 if dusk else 0.12) else (92, 116, 146)
                pen.poly(box(wx, wy, wx + wide * 0.14, wy + 0.04), pane)
        pen.poly(box(x + wide * 0.1, h - 0.075, x + wide * 0.68, h - 0.01), (88, 100, 124))
        pen.poly(
            [
                (x + wide * 0.06, h - 0.08),
                (x + wide * 0.72, h - 0.08),
                (x + wide * 0.78, h - 0.052),
                (x, h - 0.052),
            ],
            rng.choice(((206, 92, 80), (86, 140, 130), (230, 180, 90))),
        )
        x += wide + rng.uniform(0.0, 0.015)
    pen.poly(box(-0.02, h, 1.02, h + 0.07), (196, 192, 190))
    pen.poly(box(-0.02, h + 0.062, 1.02, h + 0.08), (150, 148, 150))
    fade(view.canvas, h + 0.08, 1, [(104, 106, 116), (126, 128, 136)])
    for i in range(-1, 5):
        x = i * 0.27 + rng.uniform(0, 0.02)
        pen.poly(
            [(x + 0.02, h + 0.265), (x + 0.15, h + 0.265), (x + 0.14, h + 0.285), (x, h + 0.285)],
            (236, 232, 214),
        )
    lamp = rng.choice((0.07, 0.93))
    pen.poly(box(lamp - 0.007, 0.3, lamp + 0.007, h + 0.05), (66, 70, 84))
    pen.poly(rounded(box(lamp - 0.03, 0.27, lamp + 0.03, 0.33), 0.012), (66, 70, 84))
    pen.oval(lamp, 0.315, 0.02, 0.018, (255, 236, 170), steps=14)


def _desert(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.52 + view.sky
    fade(
        view.canvas,
        0,
        h + 0.05,
        [(242, 160, 104), (252, 200, 136), (255, 232, 186)]
        if rng.random() < 0.45
        else [(110, 184, 224), (180, 216, 226), (250, 230, 196)],
    )
    sun = (rng.uniform(0.12, 0.88), rng.uniform(0.12, 0.28))
    pen.oval(*sun, 0.1, 0.1, (255, 228, 160))
    pen.oval(*sun, 0.075, 0.075, (255, 246, 206))
    x = rng.uniform(-0.05, 0.1)
    while x < 1:
        wide, top = rng.uniform(0.12, 0.24), h - rng.uniform(0.06, 0.17)
        pen.poly(
            [(x, h + 0.03), (x + wide * 0.14, top), (x + wide * 0.8, top), (x + wide, h + 0.03)],
            (206, 128, 92),
        )
        pen.poly(
            [
                (x + wide * 0.55, top),
                (x + wide * 0.8, top),
                (x + wide, h + 0.03),
                (x + wide * 0.65, h + 0.03),
            ],
            (176, 100, 78),
        )
        x += wide + rng.uniform(0.04, 0.22)
    for i, fill in enumerate(((226, 164, 96), (236, 180, 108), (244, 198, 126))):
        y = h + 0.02 + 0.1 * i
        crest = (rng.uniform(0.2, 0.8), y - 0.045)
        ridge = [
            (-0.1, y + 0.03),
            (crest[0] * 0.5, y + 0.005),
            crest,
            (crest[0] + (1.1 - crest[0]) * 0.5, y + 0.015),
            (1.1, y + 0.04),
        ]
        _ridge(pen, ridge, fill)
        pen.poly(
            smooth(
                [
                    crest,
                    (crest[0] + 0.12, y + 0.03),
                    (crest[0] + 0.1, y + 0.12),
                    (crest[0] - 0.08, y + 0.16),
                    (crest[0] + 0.02, y + 0.05),
                ],
                5,
            ),
            darker(fill, 0.11),
        )
    for _ in range(9):
        x, y = rng.uniform(-0.05, 0.95), rng.uniform(h + 0.28, 0.99)
        pen.line(
            [(x, y), (x + 0.04, y - 0.006), (x + 0.09, y)],
            0.005,
            (224, 174, 104),
            curve=True,
            caps=False,
        )
    for _ in range(rng.randint(1, 2)):
        _cactus(
            pen,
            rng.choice((rng.uniform(0.03, 0.14), rng.uniform(0.86, 0.97))),
            h + rng.uniform(0.1, 0.22),
            rng.uniform(0.8, 1.15),
        )


def _cactus(pen: Pen, x: float, y: float, s: float) -> None:
    green = (74, 134, 84)
    pen.line([(x, y), (x, y - 0.24 * s)], 0.05 * s, green)
    pen.line(
        [(x, y - 0.08 * s), (x - 0.06 * s, y - 0.08 * s), (x - 0.06 * s, y - 0.16 * s)],
        0.032 * s,
        green,
    )
    pen.line(
        [(x, y - 0.12 * s), (x + 0.065 * s, y - 0.12 * s), (x + 0.065 * s, y - 0.21 * s)],
        0.032 * s,
        green,
    )
    pen.line([(x + 0.008 * s, y), (x + 0.008 * s, y - 0.23 * s)], 0.008 * s, darker(green, 0.3))


def _mountains(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.58 + view.sky
    fade(
        view.canvas,
        0,
        h,
        [(92, 152, 214), (152, 196, 232), (220, 234, 244)]
        if rng.random() < 0.65
        else [(150, 158, 206), (222, 196, 214), (252, 228, 214)],
    )
    _clouds(view, (244, 248, 252), 0.2)
    for depth, (rock, count, high) in enumerate(
        (((150, 172, 204), 3, 0.42), ((100, 122, 160), 2, 0.36))
    ):
        for i in range(count):
            x = (i + rng.uniform(0.2, 0.8)) / count
            top, half = h - high * rng.uniform(0.75, 1.1), rng.uniform(0.26, 0.36)
            pen.poly([(x, top), (x + half, h + 0.02), (x - half, h + 0.02)], rock)
            pen.poly(
                [
                    (x, top),
                    (x + half, h + 0.02),
                    (x + half * 0.2, h + 0.02),
                    (x - half * 0.06, top + 0.2),
                    (x + half * 0.1, top + 0.1),
                ],
                darker(rock, 0.2),
            )
            s = 0.42 + 0.1 * depth
            drop = (h - top) * s
            snow = [
                (x, top),
                (x + half * s, top + drop),
                (x + half * s * 0.55, top + drop * 0.72),
                (x + half * s * 0.25, top + drop * 1.02),
                (x - half * 0.02, top + drop * 0.68),
                (x - half * s * 0.4, top + drop * 1.05),
                (x - half * s * 0.62, top + drop * 0.74),
                (x - half * s, top + drop),
            ]
            pen.poly(snow, (246, 250, 254))
            pen.poly(
                [
                    (x, top),
                    (x + half * s, top + drop),
                    (x + half * s * 0.55, top + drop * 0.72),
                    (x + half * s * 0.25, top + drop * 1.02),
                    (x + half * 0.05, top + drop * 0.5),
                ],
                (206, 220, 238),
            )
    _ridge(pen, _hills(rng, h, 0.02), (226, 236, 246))
    for i in range(9):
        x = (i + rng.random()) / 9
        _pine(
            pen,
            x,
            h + 0.03 + rng.uniform(-0.01, 0.02),
            rng.uniform(0.4, 0.6),
            (66, 106, 104),
            (230, 240, 248),
        )
    _ridge(pen, _hills(rng, h + 0.07, 0.02, 4), (214, 228, 242))
    for x in (rng.uniform(0.02, 0.1), rng.uniform(0.9, 0.99)):
        _pine(pen, x, h + 0.16, rng.uniform(0.9, 1.2), (46, 92, 88), (244, 248, 252))
    _ridge(pen, _hills(rng, h + 0.16, 0.018, 4), (228, 238, 248))
    _ridge(pen, _hills(rng, h + 0.3, 0.016, 3), (240, 246, 252))
    for _ in range(26):
        x, y, r = rng.random(), rng.random(), rng.uniform(0.003, 0.0065)
        pen.oval(x, y, r, r, (255, 255, 255), steps=8)


def _kitchen(view: View) -> None:
    pen, rng = view.pen, view.rng
    h = 0.64 + view.sky * 0.5
    wall = rng.choice(((248, 232, 204), (214, 232, 222), (232, 224, 236), (246, 220, 204)))
    fade(view.canvas, 0, h, [darker(wall, 0.05), wall])
    for i in range(1, 8):
        pen.line(
            [(-0.02, h - 0.055 * i), (1.02, h - 0.055 * i)], 0.004, darker(wall, 0.12), caps=False
        )
        for j in range(7):
            x = (j + 0.5 * (i % 2)) / 6.5
            pen.line(
                [(x, h - 0.055 * i), (x, h - 0.055 * (i - 1))],
                0.004,
                darker(wall, 0.12),
                caps=False,
            )
    left = rng.random() < 0.5
    wx = 0.06 if left else 0.6
    pen.poly(box(wx, 0.07, wx + 0.34, 0.42), (250, 248, 242))
    pen.poly(box(wx + 0.02, 0.09, wx + 0.32, 0.4), (170, 216, 240))
    pen.poly(
        [
            (wx + 0.02, 0.34),
            (wx + 0.12, 0.3),
            (wx + 0.22, 0.33),
            (wx + 0.32, 0.29),
            (wx + 0.32, 0.4),
            (wx + 0.02, 0.4),
        ],
        (140, 190, 120),
    )
    pen.poly(box(wx + 0.163, 0.09, wx + 0.177, 0.4), (250, 248, 242))
    pen.poly(box(wx + 0.02, 0.235, wx + 0.32, 0.247), (250, 248, 242))
    curtain = rng.choice(((222, 100, 92), (92, 146, 176), (236, 186, 92)))
    for i in range(6):
        x = wx - 0.02 + 0.0633 * i
        pen.poly(
            [(x, 0.05), (x + 0.0633, 0.05), (x + 0.0633, 0.12), (x + 0.032, 0.145), (x, 0.12)],
            curtain if i % 2 else lighter(curtain, 0.3),
        )
    sx = 0.52 if left else 0.05
    for y in (0.2, 0.38):
        pen.poly(box(sx, y, sx + 0.42, y + 0.022), (166, 116, 76))
        pen.poly(box(sx, y + 0.016, sx + 0.42, y + 0.024), (126, 84, 56))
        x = sx + 0.02
        while x < sx + 0.36:
            wide, high = rng.uniform(0.035, 0.06), rng.uniform(0.06, 0.11)
            jar = rng.choice(
                ((196, 92, 72), (236, 196, 110), (120, 160, 130), (110, 140, 176), (238, 232, 220))
            )
            pen.poly(rounded(box(x, y - high, x + wide, y), 0.012), jar)
            pen.poly(
                box(x + wide * 0.15, y - high - 0.012, x + wide * 0.85, y - high + 0.006),
                (140, 104, 80),
            )
            pen.poly(box(x, y - high * 0.62, x + wide, y - high * 0.3), lighter(jar, 0.6))
            x += wide + rng.uniform(0.012, 0.04)
    for i in range(3):
        x = sx + 0.08 + 0.12 * i
        pen.line([(x, 0.4), (x, 0.45)], 0.008, (90, 90, 98), caps=False)
        pen.oval(x, 0.475, 0.034, 0.034, (96, 98, 108), steps=18)
        pen.oval(x, 0.475, 0.024, 0.024, (130, 132, 142), steps=18)
    top = (198, 144, 92)
    fade(view.canvas, h, 1, [lighter(top, 0.08), top, darker(top, 0.08)])
    pen.poly(box(-0.02, h - 0.012, 1.02, h + 0.01), lighter(top, 0.3))
    for _ in range(10):
        x, y = rng.uniform(-0.1, 0.9), rng.uniform(h + 0.04, 0.99)
        pen.line(
            [(x, y), (x + 0.1, y + rng.uniform(-0.004, 0.004)), (x + rng.uniform(0.15, 0.35), y)],
            0.004,
            darker(top, 0.16),
            caps=False,
        )


_WATER: Final[tuple[RGB, ...]] = ((126, 220, 228), (46, 160, 200), (24, 104, 164), (18, 78, 136))


def _sunbeam(pen: Pen, x: float, wide: float, reach: float, strength: float) -> None:
    """Draw a shaft of light that fades with depth: thin slices, each nearer to the water's colour."""
    slices = 12
    for i in range(slices):
        top, low = i / slices, (i + 1) / slices
        depth = (top + low) / 2 * reach * 3
        water = mix(_WATER[int(depth)], _WATER[int(depth) + 1], depth - int(depth))
        left, right = (x + 0.1 * top, x + wide + 0.26 * top), (x + 0.1 * low, x + wide + 0.26 * low)
        lit = mix(water, (206, 244, 240), strength * (1 - top) ** 1.3)
        pen.poly(
            [
                (left[0], top * reach - 0.01),
                (left[1], top * reach - 0.01),
                (right[1], low * reach),
                (right[0], low * reach),
            ],
            lit,
        )


def _under_water(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.78 + view.sky * 0.4
    fade(view.canvas, 0, 1, _WATER)
    for i in range(4):
        x = rng.uniform(-0.1, 0.95)
        wide, reach = rng.uniform(0.04, 0.08), rng.uniform(0.6, 0.8)
        _sunbeam(pen, x, wide, reach, 0.34 - 0.05 * (i % 2))
    _ridge(pen, _hills(rng, h - 0.1, 0.035, 5), (24, 98, 150))
    _ridge(pen, _hills(rng, h - 0.03, 0.02, 5), (44, 116, 152))
    _ridge(pen, _hills(rng, h + 0.02, 0.012, 5), (196, 190, 150))
    _ridge(pen, _hills(rng, h + 0.1, 0.012, 4), (214, 206, 164))
    for side in (0.0, 0.72):
        for _ in range(3):
            x, y = side + rng.uniform(0.0, 0.28), h + rng.uniform(0.02, 0.1)
            _weed(pen, rng, x, y, rng.uniform(0.18, 0.36))
        _coral(pen, rng, side + rng.uniform(0.04, 0.24), h + rng.uniform(0.05, 0.12))
    for _ in range(2):
        x = rng.random()
        pen.blob(
            [
                (x - 0.08, h + 0.06),
                (x - 0.05, h - 0.01),
                (x + 0.03, h - 0.02),
                (x + 0.09, h + 0.06),
            ],
            (92, 104, 122),
        )
    for _ in range(14):
        x, y, r = rng.random(), rng.uniform(0.04, 0.75), rng.uniform(0.006, 0.016)
        pen.oval(x, y, r, r, (190, 236, 244), steps=12)
        pen.oval(x + r * 0.12, y + r * 0.12, r * 0.72, r * 0.72, (92, 188, 216), steps=12)


def _weed(pen: Pen, rng: random.Random, x: float, y: float, high: float) -> None:
    fill = rng.choice(((40, 132, 92), (70, 154, 80), (30, 112, 100)))
    sway = rng.choice((-1, 1)) * 0.02
    left = [(x - 0.012 + sway * (i % 2), y - high * i / 4) for i in range(4)]
    right = [(x + 0.012 + sway * (i % 2), y - high * i / 4) for i in range(4)]
    pen.poly(
        [
            *smooth([*left, (x, y - high)], 4, closed=False),
            *reversed(smooth(right, 4, closed=False)),
        ],
        fill,
    )


def _coral(pen: Pen, rng: random.Random, x: float, y: float) -> None:
    fill = rng.choice(((236, 112, 116), (244, 150, 96), (214, 110, 172)))
    for dx, dy in ((-0.05, -0.09), (0.0, -0.13), (0.055, -0.1), (0.085, -0.05), (-0.08, -0.04)):
        pen.line([(x, y), (x + dx * 0.5, y + dy * 0.45), (x + dx, y + dy)], 0.022, fill, curve=True)


def _night(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.62 + view.sky
    fade(view.canvas, 0, h + 0.05, [(12, 16, 52), (28, 36, 92), (62, 70, 138), (104, 104, 168)])
    for _ in range(46):
        x, y, r = rng.random(), rng.uniform(0, h), rng.choice((0.002, 0.003, 0.0045))
        pen.poly([(x - r, y), (x, y - r), (x + r, y), (x, y + r)], (244, 244, 220))
    moon = (rng.uniform(0.14, 0.86), rng.uniform(0.12, 0.24))
    for r, share in ((0.15, 0.1), (0.12, 0.2), (0.095, 0.38)):
        pen.oval(*moon, r, r, mix((34, 42, 100), (236, 232, 196), share))
    pen.oval(*moon, 0.072, 0.072, (250, 244, 208))
    for dx, dy, r in ((-0.02, -0.015, 0.016), (0.025, 0.01, 0.012), (-0.005, 0.03, 0.01)):
        pen.oval(moon[0] + dx, moon[1] + dy, r, r, (230, 222, 182), steps=14)
    _ridge(pen, _hills(rng, h - 0.06, 0.05, 4), (54, 58, 118))
    _ridge(pen, _hills(rng, h, 0.025, 5), (38, 46, 92))
    for i in range(6):
        _pine(pen, (i + rng.random()) / 6, h + 0.03, rng.uniform(0.4, 0.7), (24, 34, 70))
    _ridge(pen, _hills(rng, h + 0.06, 0.015, 4), (44, 62, 92))
    _ridge(pen, _hills(rng, h + 0.2, 0.015, 4), (54, 76, 102))
    for _ in range(10):
        _tuft(pen, rng.random(), rng.uniform(h + 0.12, 1.0), rng.uniform(0.6, 1.1), (34, 52, 82))
    for _ in range(8):
        x, y = rng.random(), rng.uniform(h - 0.05, 0.95)
        pen.oval(x, y, 0.008, 0.008, (120, 128, 96), steps=10)
        pen.oval(x, y, 0.0045, 0.0045, (252, 246, 150), steps=8)
    _grass_corners(pen, rng, (18, 30, 58))


def _meadow(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.54 + view.sky
    fade(
        view.canvas,
        0,
        h,
        rng.choice(
            (
                [(96, 178, 232), (160, 212, 242), (224, 242, 246)],
                [(128, 178, 224), (206, 222, 230), (254, 238, 206)],
            )
        ),
    )
    pen.oval(rng.uniform(0.1, 0.9), rng.uniform(0.08, 0.18), 0.06, 0.06, (255, 246, 200))
    _clouds(view, (255, 255, 255), 0.26)
    _ridge(pen, _hills(rng, h - 0.07, 0.04, 4), (150, 196, 176))
    _ridge(pen, _hills(rng, h - 0.01, 0.035, 4), (132, 192, 112))
    for i in range(4):
        _tree(pen, (i + rng.random()) / 4, h + 0.015, rng.uniform(0.35, 0.6), (74, 144, 84))
    _ridge(pen, _hills(rng, h + 0.06, 0.02, 4), (122, 190, 88))
    if rng.random() < 0.6:
        y = h + 0.09
        for i in range(9):
            x = i / 8
            pen.poly(box(x - 0.008, y - 0.07, x + 0.008, y + 0.012), (244, 238, 226))
        for dy in (-0.05, -0.022):
            pen.line([(-0.02, y + dy), (1.02, y + dy)], 0.011, (244, 238, 226), caps=False)
    _ridge(pen, _hills(rng, h + 0.13, 0.015, 4), (112, 182, 78))
    _ridge(pen, _hills(rng, h + 0.28, 0.015, 4), (126, 194, 86))
    for _ in range(22):
        _tuft(
            pen,
            rng.random(),
            rng.uniform(h + 0.18, 1.01),
            rng.uniform(0.7, 1.2),
            rng.choice(((82, 150, 58), (98, 168, 66))),
        )
    for _ in range(18):
        x, y = rng.random(), rng.uniform(h + 0.16, 1.0)
        pen.oval(
            x,
            y,
            0.0065,
            0.0055,
            rng.choice(((255, 255, 255), (252, 224, 110), (250, 190, 210))),
            steps=8,
        )
    _grass_corners(pen, rng, (66, 136, 52))


def _library(view: View) -> None:
    pen, rng = view.pen, view.rng
    h = 0.66 + view.sky * 0.5
    wood = rng.choice(((112, 70, 46), (92, 58, 44), (128, 86, 54)))
    fade(view.canvas, 0, h, [darker(wood, 0.3), darker(wood, 0.42)])
    spines = (
        (150, 50, 48),
        (52, 84, 112),
        (62, 106, 78),
        (196, 150, 76),
        (120, 70, 100),
        (216, 200, 168),
        (88, 92, 108),
    )
    rows, top = 4, -0.04
    high = (h - top) / rows
    for row in range(rows):
        floor = top + high * (row + 1)
        x = 0.0
        while x < 1.0:
            wide = rng.uniform(0.022, 0.044)
            if rng.random() < 0.06:
                x += wide * 1.4
                continue
            tall, fill = high * rng.uniform(0.6, 0.86), rng.choice(spines)
            pen.poly(box(x, floor - tall, x + wide - 0.003, floor), fill)
            pen.poly(
                box(x, floor - tall * 0.8, x + wide - 0.003, floor - tall * 0.7),
                lighter(fill, 0.35),
            )
            x += wide
        pen.poly(box(-0.02, floor - 0.008, 1.02, floor + 0.016), lighter(wood, 0.12))
        pen.poly(box(-0.02, floor + 0.012, 1.02, floor + 0.022), darker(wood, 0.4))
    for x in (0.0, 0.335, 0.665, 1.0):
        pen.poly(box(x - 0.017, -0.02, x + 0.017, h), wood)
        pen.poly(box(x + 0.006, -0.02, x + 0.017, h), darker(wood, 0.25))
    fade(view.canvas, h, 1, [(146, 96, 62), (182, 126, 82)])
    for i in range(9):
        x = -0.35 + i * 0.21
        pen.line(
            [(0.5 + (x - 0.5) * 0.6, h), (0.5 + (x - 0.5) * 1.25, 1.02)],
            0.004,
            (122, 80, 54),
            caps=False,
        )
    pen.poly(box(-0.02, h - 0.012, 1.02, h + 0.012), darker(wood, 0.15))
    rug = rng.choice(((150, 52, 56), (58, 88, 104), (84, 104, 74)))
    pen.poly([(0.12, h + 0.1), (0.88, h + 0.1), (1.02, 1.01), (-0.02, 1.01)], rug)
    pen.poly([(0.15, h + 0.12), (0.85, h + 0.12), (0.95, 0.985), (0.05, 0.985)], lighter(rug, 0.22))
    pen.poly([(0.17, h + 0.132), (0.83, h + 0.132), (0.92, 0.97), (0.08, 0.97)], rug)
    lamp = rng.choice((0.06, 0.94))
    pen.poly(box(lamp - 0.006, 0.36, lamp + 0.006, h + 0.1), (186, 148, 76))
    pen.poly(
        [(lamp - 0.035, 0.26), (lamp + 0.035, 0.26), (lamp + 0.065, 0.37), (lamp - 0.065, 0.37)],
        (252, 226, 150),
    )
    pen.oval(lamp, h + 0.1, 0.04, 0.012, (150, 116, 60), steps=16)


def _backdrop(view: View) -> None:
    """A photographer's plain paper: what is drawn when the environment is missing."""
    hue = view.rng.choice(((214, 216, 220), (226, 220, 208), (204, 214, 218)))
    fade(view.canvas, 0, 0.68, [lighter(hue, 0.45), hue])
    fade(view.canvas, 0.68, 1, [darker(hue, 0.06), lighter(hue, 0.2)])


PLACES: Final[dict[str | None, Place]] = {
    None: Place(_backdrop, (0.8, 0.86), (120, 124, 132), (160, 166, 176)),
    "beach": Place(_beach, (0.83, 0.92), (150, 116, 78), (255, 255, 255), (255, 252, 244)),
    "forest": Place(_forest, (0.84, 0.92), (58, 76, 42), (246, 250, 226), (250, 255, 240)),
    "city": Place(_city, (0.86, 0.92), (62, 62, 74), (246, 246, 250)),
    "desert": Place(_desert, (0.83, 0.92), (160, 104, 58), (255, 250, 232), (255, 250, 236)),
    "snowy mountains": Place(
        _mountains, (0.83, 0.92), (140, 160, 196), (120, 150, 190), (246, 250, 255)
    ),
    "kitchen": Place(_kitchen, (0.84, 0.92), (110, 70, 42), (255, 255, 255), (255, 252, 246)),
    "under water": Place(
        _under_water, (0.86, 0.92), (110, 118, 104), (226, 248, 252), (226, 248, 255), wet=True
    ),
    "night": Place(_night, (0.84, 0.92), (22, 30, 56), (222, 226, 246), (224, 230, 255), dark=True),
    "meadow": Place(_meadow, (0.84, 0.92), (58, 106, 46), (255, 255, 255), (255, 254, 246)),
    "library": Place(
        _library, (0.85, 0.92), (66, 38, 30), (255, 246, 224), (255, 248, 232), dark=True
    ),
}


def camera(seed: int) -> float:
    """Return how far the horizon is moved down, in shares of the height."""
    return random.Random(f"camera/{seed}").uniform(-0.05, 0.05)


def draw_place(environment: str | None, seed: int, side_px: int) -> Image.Image:
    """Return the place alone, as a square canvas of `side_px`."""
    rng = random.Random(f"place/{seed}")
    canvas = Image.new("RGB", (side_px, side_px))
    mirrored = rng.random() < 0.5
    pen = Pen(canvas, scale=side_px, origin=(side_px if mirrored else 0, 0), flip=mirrored)
    PLACES[environment].draw(View(canvas, pen, rng, camera(seed)))
    return canvas
