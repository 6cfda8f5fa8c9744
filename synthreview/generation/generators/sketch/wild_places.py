"""The beach, the forest, the desert, the mountains, the sea floor, the night and the meadow.

Layered from far to near. No place shows anything that is one of the objects, not even
small: a caption must stay true.
"""

from __future__ import annotations

import math
import random
from typing import Final

from synthreview.generation.generators.sketch.landscape import (
    View,
    clouds,
    grass_corners,
    hills,
    pine,
    ridge,
    tree,
    tuft,
)
from synthreview.generation.generators.sketch.pen import (
    RGB,
    Pen,
    Point,
    arc,
    box,
    darker,
    fade,
    mix,
    rounded,
    smooth,
)


def draw_beach(view: View) -> None:
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
    clouds(view, (255, 240, 224) if evening else (252, 254, 255), h - 0.16)
    fade(view.canvas, h, h + 0.2, [(36, 116, 176), (52, 156, 196), (120, 208, 212)])
    for _ in range(9):
        x, y = rng.random(), h + rng.uniform(0.015, 0.12)
        pen.line([(x, y), (x + rng.uniform(0.03, 0.09), y)], 0.005, (198, 232, 240), caps=False)
    shore = hills(rng, h + 0.165, 0.014, 5)
    ridge(pen, shore, (244, 252, 252))
    ridge(pen, [(x, y + 0.018) for x, y in shore], (206, 176, 132))
    sand = [(x, y + 0.035) for x, y in shore]
    ridge(pen, sand, (238, 212, 160))
    ridge(pen, [(x, y + 0.14 + 0.03 * math.sin(9 * x)) for x, y in sand], (246, 222, 172))
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


def draw_forest(view: View) -> None:
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
            _trunk(pen, x, h + 0.02 + 0.04 * depth, wide, trunk, is_near=depth == 2)
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
            ridge(pen, hills(rng, h, 0.015), (118, 160, 88))
            _bushes(pen, rng, h)
    ridge(pen, hills(rng, h + 0.07, 0.012), (122, 150, 82))
    ridge(pen, hills(rng, h + 0.2, 0.015), (136, 158, 88))
    for _ in range(12):
        tuft(pen, rng.random(), rng.uniform(h + 0.12, 1.0), rng.uniform(0.7, 1.3), (84, 124, 62))
    _mushrooms(pen, rng, h)
    grass_corners(pen, rng, (44, 92, 50))


def _trunk(pen: Pen, x: float, foot: float, wide: float, bark: RGB, *, is_near: bool) -> None:
    """Draw one trunk up to the top of the picture; a near one has a shaded side."""
    left, right = x - wide, x + wide
    roots = [(x + wide * 1.9, foot + 0.02), (x - wide * 1.9, foot + 0.02)]
    crown = [(x - wide * 0.7, -0.02), (x + wide * 0.7, -0.02)]
    pen.poly([*crown, (right, foot), *roots, (left, foot)], bark)
    if is_near:
        shade = [(x + wide * 0.2, -0.02), crown[1], (right, foot), (x + wide * 0.4, foot)]
        pen.poly(shade, darker(bark, 0.22))


def _bushes(pen: Pen, rng: random.Random, h: float) -> None:
    for i in range(8):
        pen.oval(
            i / 7 + rng.uniform(-0.05, 0.05),
            h + 0.005,
            rng.uniform(0.05, 0.09),
            rng.uniform(0.03, 0.055),
            (78, 132, 74),
            steps=14,
        )


def _mushrooms(pen: Pen, rng: random.Random, h: float) -> None:
    """Set three red mushrooms to the sides, where no object hides them."""
    for _ in range(3):
        x, y = (
            rng.choice((rng.uniform(0.02, 0.22), rng.uniform(0.78, 0.98))),
            rng.uniform(h + 0.16, 0.96),
        )
        pen.poly(rounded(box(x - 0.009, y - 0.035, x + 0.009, y), 0.004), (244, 236, 216))
        pen.poly([*arc(x, y - 0.03, 0.032, 0.03, 180, 360)], (206, 72, 56))
        for dx, dy in ((-0.014, -0.038), (0.01, -0.046), (0.018, -0.034)):
            pen.oval(x + dx, y + dy, 0.004, 0.003, (250, 240, 226), steps=6)


def draw_desert(view: View) -> None:
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
        _mesa(pen, x, top, wide, h + 0.03)
        x += wide + rng.uniform(0.04, 0.22)
    for i, fill in enumerate(((226, 164, 96), (236, 180, 108), (244, 198, 126))):
        y = h + 0.02 + 0.1 * i
        crest = (rng.uniform(0.2, 0.8), y - 0.045)
        dune = [
            (-0.1, y + 0.03),
            (crest[0] * 0.5, y + 0.005),
            crest,
            (crest[0] + (1.1 - crest[0]) * 0.5, y + 0.015),
            (1.1, y + 0.04),
        ]
        ridge(pen, dune, fill)
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


def _mesa(pen: Pen, x: float, top: float, wide: float, foot: float) -> None:
    pen.poly(
        [(x, foot), (x + wide * 0.14, top), (x + wide * 0.8, top), (x + wide, foot)],
        (206, 128, 92),
    )
    pen.poly(
        [
            (x + wide * 0.55, top),
            (x + wide * 0.8, top),
            (x + wide, foot),
            (x + wide * 0.65, foot),
        ],
        (176, 100, 78),
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


def draw_mountains(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.58 + view.sky
    fade(
        view.canvas,
        0,
        h,
        [(92, 152, 214), (152, 196, 232), (220, 234, 244)]
        if rng.random() < 0.65
        else [(150, 158, 206), (222, 196, 214), (252, 228, 214)],
    )
    clouds(view, (244, 248, 252), 0.2)
    for depth, (rock, count, high) in enumerate(
        (((150, 172, 204), 3, 0.42), ((100, 122, 160), 2, 0.36))
    ):
        for i in range(count):
            x = (i + rng.uniform(0.2, 0.8)) / count
            top, half = h - high * rng.uniform(0.75, 1.1), rng.uniform(0.26, 0.36)
            _peak(pen, (x, top), half, h, rock, 0.42 + 0.1 * depth)
    ridge(pen, hills(rng, h, 0.02), (226, 236, 246))
    for i in range(9):
        x = (i + rng.random()) / 9
        pine(
            pen,
            x,
            h + 0.03 + rng.uniform(-0.01, 0.02),
            rng.uniform(0.4, 0.6),
            (66, 106, 104),
            (230, 240, 248),
        )
    ridge(pen, hills(rng, h + 0.07, 0.02, 4), (214, 228, 242))
    for x in (rng.uniform(0.02, 0.1), rng.uniform(0.9, 0.99)):
        pine(pen, x, h + 0.16, rng.uniform(0.9, 1.2), (46, 92, 88), (244, 248, 252))
    ridge(pen, hills(rng, h + 0.16, 0.018, 4), (228, 238, 248))
    ridge(pen, hills(rng, h + 0.3, 0.016, 3), (240, 246, 252))
    for _ in range(26):
        x, y, r = rng.random(), rng.random(), rng.uniform(0.003, 0.0065)
        pen.oval(x, y, r, r, (255, 255, 255), steps=8)


def _peak(pen: Pen, tip: Point, half: float, h: float, rock: RGB, s: float) -> None:
    """Draw one mountain with its shaded side; snow covers the share `s` of its height."""
    x, top = tip
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


_WATER: Final[tuple[RGB, ...]] = ((126, 220, 228), (46, 160, 200), (24, 104, 164), (18, 78, 136))


def draw_under_water(view: View) -> None:
    pen, rng, h = view.pen, view.rng, 0.78 + view.sky * 0.4
    fade(view.canvas, 0, 1, _WATER)
    for i in range(4):
        x = rng.uniform(-0.1, 0.95)
        wide, reach = rng.uniform(0.04, 0.08), rng.uniform(0.6, 0.8)
        _sunbeam(pen, x, wide, reach, 0.34 - 0.05 * (i % 2))
    ridge(pen, hills(rng, h - 0.1, 0.035, 5), (24, 98, 150))
    ridge(pen, hills(rng, h - 0.03, 0.02, 5), (44, 116, 152))
    ridge(pen, hills(rng, h + 0.02, 0.012, 5), (196, 190, 150))
    ridge(pen, hills(rng, h + 0.1, 0.012, 4), (214, 206, 164))
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


def _sunbeam(pen: Pen, x: float, wide: float, reach: float, strength: float) -> None:
    """Draw a shaft of light in thin slices, each nearer to the colour of its depth."""
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


def draw_night(view: View) -> None:
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
    ridge(pen, hills(rng, h - 0.06, 0.05, 4), (54, 58, 118))
    ridge(pen, hills(rng, h, 0.025, 5), (38, 46, 92))
    for i in range(6):
        pine(pen, (i + rng.random()) / 6, h + 0.03, rng.uniform(0.4, 0.7), (24, 34, 70))
    ridge(pen, hills(rng, h + 0.06, 0.015, 4), (44, 62, 92))
    ridge(pen, hills(rng, h + 0.2, 0.015, 4), (54, 76, 102))
    for _ in range(10):
        tuft(pen, rng.random(), rng.uniform(h + 0.12, 1.0), rng.uniform(0.6, 1.1), (34, 52, 82))
    for _ in range(8):
        x, y = rng.random(), rng.uniform(h - 0.05, 0.95)
        pen.oval(x, y, 0.008, 0.008, (120, 128, 96), steps=10)
        pen.oval(x, y, 0.0045, 0.0045, (252, 246, 150), steps=8)
    grass_corners(pen, rng, (18, 30, 58))


def draw_meadow(view: View) -> None:
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
    clouds(view, (255, 255, 255), 0.26)
    ridge(pen, hills(rng, h - 0.07, 0.04, 4), (150, 196, 176))
    ridge(pen, hills(rng, h - 0.01, 0.035, 4), (132, 192, 112))
    for i in range(4):
        tree(pen, (i + rng.random()) / 4, h + 0.015, rng.uniform(0.35, 0.6), (74, 144, 84))
    ridge(pen, hills(rng, h + 0.06, 0.02, 4), (122, 190, 88))
    if rng.random() < 0.6:
        y = h + 0.09
        for i in range(9):
            x = i / 8
            pen.poly(box(x - 0.008, y - 0.07, x + 0.008, y + 0.012), (244, 238, 226))
        for dy in (-0.05, -0.022):
            pen.line([(-0.02, y + dy), (1.02, y + dy)], 0.011, (244, 238, 226), caps=False)
    ridge(pen, hills(rng, h + 0.13, 0.015, 4), (112, 182, 78))
    ridge(pen, hills(rng, h + 0.28, 0.015, 4), (126, 194, 86))
    for _ in range(22):
        tuft(
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
    grass_corners(pen, rng, (66, 136, 52))
