"""The city, the kitchen, the library, and the plain backdrop.

No place shows anything that is one of the objects, not even small: a caption must stay true.
"""

from __future__ import annotations

import random

from synthreview.generation.generators.sketch.landscape import View, clouds
from synthreview.generation.generators.sketch.pen import (
    RGB,
    Pen,
    box,
    darker,
    fade,
    lighter,
    rounded,
)


def draw_city(view: View) -> None:
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
    clouds(view, (250, 236, 232) if dusk else (250, 252, 254), 0.2)
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


def draw_kitchen(view: View) -> None:
    pen, rng = view.pen, view.rng
    h = 0.64 + view.sky * 0.5
    wall = rng.choice(((248, 232, 204), (214, 232, 222), (232, 224, 236), (246, 220, 204)))
    fade(view.canvas, 0, h, [darker(wall, 0.05), wall])
    _tiles(pen, h, darker(wall, 0.12))
    left = rng.random() < 0.5
    _window(pen, rng, 0.06 if left else 0.6)
    _shelves(pen, rng, 0.52 if left else 0.05)
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


def _shelves(pen: Pen, rng: random.Random, sx: float) -> None:
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


def _window(pen: Pen, rng: random.Random, wx: float) -> None:
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


def _tiles(pen: Pen, h: float, joint: RGB) -> None:
    for i in range(1, 8):
        pen.line([(-0.02, h - 0.055 * i), (1.02, h - 0.055 * i)], 0.004, joint, caps=False)
        for j in range(7):
            x = (j + 0.5 * (i % 2)) / 6.5
            pen.line(
                [(x, h - 0.055 * i), (x, h - 0.055 * (i - 1))],
                0.004,
                joint,
                caps=False,
            )


def draw_library(view: View) -> None:
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


def draw_backdrop(view: View) -> None:
    """A photographer's plain paper: what is drawn when the environment is missing."""
    hue = view.rng.choice(((214, 216, 220), (226, 220, 208), (204, 214, 218)))
    fade(view.canvas, 0, 0.68, [lighter(hue, 0.45), hue])
    fade(view.canvas, 0.68, 1, [darker(hue, 0.06), lighter(hue, 0.2)])
