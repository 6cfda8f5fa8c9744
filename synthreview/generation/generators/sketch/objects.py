"""How each object is drawn: one function each, in unit coordinates.

The ground is y = 0, up is negative, the object looks to the right and is one unit
wide. `Art.pen` draws the object itself, `Art.back` what lies behind it (motion
lines, steam, dust, bubbles). Every action and every missing part must show.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from synthreview.generation.generators.sketch.pen import (
    RGB,
    Pen,
    Point,
    arc,
    box,
    darker,
    lighter,
    mix,
    rounded,
    smooth,
)

PAINTS: Final[dict[str, RGB]] = {
    "red": (216, 46, 44),
    "orange": (243, 136, 28),
    "yellow": (250, 208, 48),
    "green": (52, 158, 76),
    "blue": (40, 104, 206),
    "purple": (128, 68, 176),
    "pink": (244, 138, 180),
    "brown": (136, 84, 48),
    "black": (46, 46, 54),
    "grey": (142, 148, 156),
    "white": (250, 249, 245),
}
INK: Final[RGB] = (38, 34, 46)
TYRE: Final[RGB] = (44, 42, 50)
STEEL: Final[RGB] = (176, 182, 192)
GLASS: Final[RGB] = (186, 222, 238)
WOOD: Final[RGB] = (150, 100, 60)
CREAM: Final[RGB] = (250, 244, 226)


@dataclass(frozen=True, slots=True)
class Art:
    """What an object's function gets: pens, paint, pose and the seed's own choices."""

    pen: Pen
    level: Pen  # the object's layer without its tilt and lift
    back: Pen
    paint: RGB
    action: str
    broken: bool
    rng: random.Random
    air: RGB  # a colour that shows against the place, for motion lines and steam
    wet: bool = False  # the place is under water
    afloat: bool = False  # it lies in open water: no puddle needed

    @property
    def light(self) -> RGB:
        """The paint where the light falls."""
        return lighter(self.paint, 0.28)

    @property
    def dark(self) -> RGB:
        """The paint in its own shade."""
        return darker(self.paint, 0.26)

    @property
    def deep(self) -> RGB:
        """The paint as a line."""
        return darker(self.paint, 0.55)

    def second(self) -> RGB:
        """Return a light colour beside the paint: cream, or a pale sand beside white."""
        return (224, 208, 182) if min(self.paint) > 200 else CREAM


def _speed_lines(art: Art, heights: tuple[float, ...], start: float = -0.58) -> None:
    for i, y in enumerate(heights):
        reach = 0.16 + 0.1 * ((i * 7) % 3) / 2
        art.back.line([(start - reach, y), (start - 0.02 * (i % 2), y)], 0.016, art.air)


def _dust(art: Art, x: float) -> None:
    puff = mix(art.air, (214, 200, 176), 0.6)
    for dx, y, r in ((0.0, -0.05, 0.06), (-0.09, -0.08, 0.05), (-0.17, -0.05, 0.035)):
        art.back.oval(x + dx, y, r * 1.2, r, puff)


def _car(art: Art) -> None:
    pen, moving = art.pen, art.action == "driving"
    if moving:
        _speed_lines(art, (-0.36, -0.27, -0.17))
        _dust(art, -0.47)
    body = [
        (-0.49, -0.085), (-0.5, -0.2), (-0.47, -0.245), (-0.34, -0.265), (-0.2, -0.405), (0.1, -0.41), (0.25, -0.275),
        (0.45, -0.235), (0.5, -0.17), (0.495, -0.085),
    ]  # fmt: skip
    pen.poly(rounded(body, 0.05), art.paint, paint=True)
    pen.poly(
        rounded([(-0.5, -0.13), (0.5, -0.13), (0.495, -0.075), (-0.49, -0.075)], 0.02),
        art.dark,
        paint=True,
    )
    pen.poly(
        rounded(
            [
                (-0.46, -0.238),
                (-0.3, -0.258),
                (0.24, -0.262),
                (0.44, -0.225),
                (0.44, -0.215),
                (-0.46, -0.225),
            ],
            0.01,
        ),
        art.light,
        paint=True,
    )
    for window in (
        [(-0.175, -0.375), (-0.045, -0.38), (-0.045, -0.28), (-0.275, -0.275)],
        [(-0.015, -0.38), (0.085, -0.378), (0.19, -0.28), (-0.015, -0.28)],
    ):
        pen.poly(rounded(window, 0.02), GLASS)
    if moving:
        pen.oval(0.045, -0.312, 0.035, 0.042, (120, 82, 62))
    pen.poly(
        [(-0.14, -0.378), (-0.1, -0.378), (-0.18, -0.277), (-0.22, -0.277)], lighter(GLASS, 0.6)
    )
    pen.line([(-0.03, -0.27), (-0.03, -0.1)], 0.008, art.deep)
    pen.line([(0.02, -0.215), (0.06, -0.215)], 0.014, art.deep)
    pen.oval(0.47, -0.185, 0.026, 0.028, (255, 240, 170))
    pen.oval(
        -0.485,
        -0.2,
        0.014,
        0.03,
        (255, 96, 84) if max(art.paint) - min(art.paint) < 120 else (255, 200, 190),
    )
    for x in (-0.285, 0.29):
        if art.broken:
            pen.erase(arc(x, -0.075, 0.115, 0.105))
        else:
            pen.oval(x, -0.09, 0.118, 0.112, darker(art.paint, 0.8))
            _wheel(pen, x, -0.095, 0.097, moving)
    pen.poly(rounded(box(0.44, -0.115, 0.515, -0.08), 0.015), STEEL)
    pen.poly(rounded(box(-0.515, -0.115, -0.44, -0.08), 0.015), STEEL)


def _wheel(pen: Pen, x: float, y: float, r: float, moving: bool) -> None:
    pen.oval(x, y, r, r, TYRE)
    pen.oval(x, y, r * 0.6, r * 0.6, STEEL)
    if moving:
        pen.oval(x, y, r * 0.42, r * 0.42, lighter(STEEL, 0.4))
    else:
        for i in range(5):
            turn = math.radians(72 * i - 90)
            pen.line(
                [(x, y), (x + math.cos(turn) * r * 0.5, y + math.sin(turn) * r * 0.5)],
                r * 0.14,
                (112, 116, 128),
            )
    pen.oval(x, y, r * 0.2, r * 0.2, (96, 98, 110))


def _boat(art: Art) -> None:
    pen, back = art.pen, art.back
    water = (92, 158, 196)
    if not (art.wet or art.afloat):
        back.oval(0, 0.005, 0.72, 0.085, water)
        back.oval(0, -0.005, 0.66, 0.062, lighter(water, 0.22))
    if art.action == "sailing":
        _speed_lines(art, (-0.66, -0.5, -0.34), start=-0.56)
        back.poly(
            smooth([(-0.7, 0.02), (-0.5, -0.06), (-0.3, -0.02), (-0.3, 0.04), (-0.6, 0.05)]),
            (240, 248, 250),
        )
    if not art.broken:
        pen.poly(box(-0.032, -0.98, 0.0, -0.18), WOOD)
        if art.action == "floating":
            pen.line([(-0.02, -0.3), (0.4, -0.33)], 0.03, WOOD)
            pen.blob(
                [
                    (-0.02, -0.34),
                    (0.1, -0.385),
                    (0.3, -0.38),
                    (0.41, -0.35),
                    (0.3, -0.32),
                    (0.1, -0.31),
                ],
                CREAM,
            )
            for x in (0.08, 0.2, 0.31):
                pen.line([(x, -0.385), (x, -0.315)], 0.012, art.deep)
            pen.poly(rounded(box(-0.36, -0.36, -0.1, -0.18), 0.03), CREAM)
            pen.poly(rounded(box(-0.39, -0.385, -0.07, -0.345), 0.015), art.dark, paint=True)
            for x in (-0.29, -0.17):
                pen.oval(x, -0.27, 0.032, 0.036, GLASS)
        else:
            full = 0.12 if art.action == "sailing" else 0.03
            pen.poly(
                smooth(
                    [
                        (0.015, -0.95),
                        (0.2 + full, -0.6),
                        (0.42, -0.27),
                        (0.2, -0.245),
                        (0.015, -0.26),
                        (0.015, -0.6),
                    ],
                    4,
                ),
                CREAM,
            )
            pen.poly(
                [
                    (0.015, -0.62),
                    (0.2 + full * 0.86, -0.6),
                    (0.27 + full * 0.8, -0.5),
                    (0.015, -0.5),
                ],
                art.paint,
                paint=True,
            )
            pen.poly(
                smooth(
                    [
                        (-0.05, -0.88),
                        (-0.2 - full * 0.3, -0.55),
                        (-0.4, -0.28),
                        (-0.2, -0.26),
                        (-0.05, -0.28),
                        (-0.05, -0.6),
                    ],
                    4,
                ),
                (236, 228, 208),
            )
        pen.poly([(-0.016, -0.98), (0.16, -0.945), (-0.016, -0.9)], art.paint, paint=True)
    else:
        pen.poly(
            [
                (-0.032, -0.2),
                (-0.032, -0.3),
                (-0.018, -0.27),
                (-0.008, -0.315),
                (0.0, -0.28),
                (0.0, -0.2),
            ],
            WOOD,
        )
    hull = [(-0.5, -0.2), (0.56, -0.235), (0.47, -0.1), (0.34, 0.03), (-0.36, 0.03), (-0.46, -0.07)]
    pen.poly(rounded(hull, 0.05), art.paint, paint=True)
    pen.poly([(-0.5, -0.2), (0.56, -0.235), (0.54, -0.185), (-0.485, -0.15)], art.second())
    pen.poly(
        rounded([(-0.44, -0.05), (0.43, -0.05), (0.34, 0.03), (-0.36, 0.03)], 0.03),
        art.dark,
        paint=True,
    )
    pen.line([(-0.46, -0.1), (0.47, -0.115)], 0.01, art.deep)
    if art.action == "sinking":
        art.level.erase(box(-0.85, 0.015, 0.85, 0.6))
    else:
        _waterline(pen)


def _waterline(pen: Pen) -> None:
    waves = [(-0.56 + 0.07 * i, 0.015 + (0.014 if i % 2 else -0.014)) for i in range(17)]
    pen.poly([*smooth(waves, 3, closed=False), (0.5, 0.06), (-0.5, 0.06)], (214, 236, 246))


def _house(art: Art) -> None:
    pen = art.pen
    glow = art.action == "glowing"
    pane = (255, 214, 92) if glow else (150, 196, 220)
    roof = (150, 62, 48) if not (art.paint[0] > 150 and art.paint[1] < 110) else (84, 92, 112)
    if not art.broken:
        pen.poly(box(0.2, -0.83, 0.31, -0.55), (158, 96, 78))
        pen.poly(box(0.185, -0.86, 0.325, -0.815), (120, 70, 58))
        if glow:
            for i in range(3):
                art.back.oval(
                    0.27 + 0.05 * i,
                    -0.93 - 0.08 * i,
                    0.05 + 0.014 * i,
                    0.042 + 0.01 * i,
                    mix(art.air, (220, 220, 226), 0.5),
                )
    wall = [(-0.38, 0), (-0.38, -0.43), (0, -0.74), (0.38, -0.43), (0.38, 0)]
    if art.broken:
        wall = [
            (-0.38, 0),
            (-0.38, -0.45),
            (-0.3, -0.4),
            (-0.22, -0.47),
            (-0.1, -0.41),
            (0.02, -0.46),
            (0.14, -0.4),
            (0.27, -0.46),
            (0.38, -0.41),
            (0.38, 0),
        ]
    pen.poly(wall, art.paint, paint=True)
    pen.poly(box(-0.38, -0.05, 0.38, 0), darker((150, 146, 150), 0.1))
    if not art.broken:
        pen.poly(
            [(-0.38, -0.43), (0, -0.74), (0.38, -0.43), (0.38, -0.37), (0, -0.66), (-0.38, -0.37)],
            art.dark,
            paint=True,
        )
        pen.poly(
            [
                (-0.5, -0.375),
                (0, -0.8),
                (0.5, -0.375),
                (0.455, -0.335),
                (0, -0.7),
                (-0.455, -0.335),
            ],
            roof,
        )
        pen.line([(-0.47, -0.372), (0, -0.772), (0.47, -0.372)], 0.014, lighter(roof, 0.25))
        for i in range(1, 6):
            for side in (-1, 1):
                x, y = side * 0.085 * i, -0.735 + 0.0735 * i
                pen.line(
                    [(x, y - 0.03), (x - side * 0.004, y + 0.03)],
                    0.008,
                    darker(roof, 0.3),
                    caps=False,
                )
        pen.oval(0, -0.545, 0.062, 0.062, CREAM)
        pen.oval(0, -0.545, 0.045, 0.045, pane)
    for x in (-0.24, 0.24):
        pen.poly(box(x - 0.09, -0.33, x + 0.09, -0.15), CREAM)
        pen.poly(box(x - 0.07, -0.31, x + 0.07, -0.17), pane)
        pen.line([(x, -0.31), (x, -0.17)], 0.014, CREAM, caps=False)
        pen.line([(x - 0.07, -0.24), (x + 0.07, -0.24)], 0.014, CREAM, caps=False)
        pen.poly(box(x - 0.1, -0.145, x + 0.1, -0.115), (120, 84, 60))
    for x in (-0.3, 0.3):
        for dx, r in ((-0.06, 0.05), (0.05, 0.055), (0.0, 0.065)):
            pen.oval(x + dx, -0.035, r, r * 0.8, (70, 138, 70) if dx else (92, 160, 82), steps=16)
    pen.poly(rounded(box(-0.085, -0.28, 0.085, 0), 0.02), CREAM)
    if art.action == "open":
        pen.poly(box(-0.068, -0.262, 0.068, 0), (66, 46, 44))
        pen.poly([(-0.068, 0), (0.068, 0), (0.03, -0.07), (-0.03, -0.07)], (230, 176, 92))
        pen.poly([(-0.068, -0.262), (-0.19, -0.3), (-0.19, 0.035), (-0.068, 0)], (146, 92, 52))
        pen.poly([(-0.09, -0.235), (-0.17, -0.258), (-0.17, -0.16), (-0.09, -0.15)], (118, 72, 42))
        pen.oval(-0.175, -0.12, 0.012, 0.014, (250, 214, 90))
    else:
        pen.poly(box(-0.068, -0.262, 0.068, 0), (146, 92, 52))
        for y in (-0.235, -0.115):
            pen.poly(box(-0.045, y, 0.045, y + 0.085), (118, 72, 42))
        pen.oval(0.048, -0.132, 0.013, 0.013, (250, 214, 90))
    pen.poly(box(-0.11, -0.018, 0.11, 0.012), (190, 186, 186))


def _dog_head(art: Art, x: float, y: float, size: float = 1.0, *, asleep: bool = False) -> None:
    pen, faceless = art.pen, art.broken and asleep

    def p(points: list[Point]) -> list[Point]:
        return [(x + px * size, y + py * size) for px, py in points]

    muzzle = lighter(art.paint, 0.45)
    if not faceless:
        pen.blob(p([(-0.1, -0.1), (-0.05, -0.16), (0.01, -0.13), (0.0, -0.02)]), art.deep)
    pen.blob(
        p(
            [
                (-0.13, 0.02),
                (-0.12, -0.1),
                (-0.02, -0.15),
                (0.09, -0.1),
                (0.12, 0.0),
                (0.06, 0.1),
                (-0.06, 0.11),
            ]
        ),
        art.paint,
        paint=True,
    )
    pen.blob(
        p([(0.04, -0.04), (0.14, -0.035), (0.215, -0.005), (0.2, 0.06), (0.1, 0.09), (0.03, 0.06)]),
        muzzle,
    )
    if faceless:
        return
    pen.oval(x + 0.205 * size, y - 0.005 * size, 0.03 * size, 0.024 * size, INK)
    pen.line(p([(0.2, 0.04), (0.13, 0.055)]), 0.009, INK)
    if asleep:
        pen.line(p([(0.015, -0.045), (0.045, -0.032), (0.075, -0.045)]), 0.012, INK, curve=True)
    else:
        pen.oval(x + 0.05 * size, y - 0.055 * size, 0.026 * size, 0.03 * size, (252, 252, 250))
        pen.oval(x + 0.056 * size, y - 0.052 * size, 0.018 * size, 0.022 * size, INK)
        pen.poly(
            smooth(p([(0.11, 0.075), (0.15, 0.07), (0.155, 0.14), (0.125, 0.15)]), 4),
            (238, 110, 124),
        )
    pen.blob(
        p(
            [
                (-0.08, -0.12),
                (-0.02, -0.1),
                (-0.035, 0.02),
                (-0.09, 0.09),
                (-0.15, 0.04),
                (-0.14, -0.06),
            ]
        ),
        art.dark if min(art.paint) < 200 else (150, 120, 96),
    )


def _dog(art: Art) -> None:
    {"running": _dog_running, "sleeping": _dog_sleeping}.get(art.action, _dog_sitting)(art)


def _collar(art: Art, points: list[Point]) -> None:
    hue = (206, 52, 52) if not (art.paint[0] > 180 and art.paint[1] < 120) else (48, 110, 200)
    art.pen.line(points, 0.034, hue)


def _dog_sitting(art: Art) -> None:
    pen = art.pen
    pen.line(
        [(-0.2, -0.08), (-0.36, -0.12), (-0.42, -0.26)], 0.06, art.dark, curve=True, paint=True
    )
    if not art.broken:
        pen.line([(0.1, -0.3), (0.12, -0.03)], 0.075, art.dark, paint=True)
        pen.oval(0.15, -0.028, 0.06, 0.03, art.dark)
    pen.blob(
        [
            (-0.28, -0.02),
            (-0.3, -0.18),
            (-0.16, -0.4),
            (0.0, -0.56),
            (0.16, -0.5),
            (0.17, -0.3),
            (0.1, -0.1),
            (0.02, -0.01),
        ],
        art.paint,
        paint=True,
    )
    pen.blob(
        [(0.1, -0.5), (0.165, -0.42), (0.16, -0.24), (0.09, -0.22), (0.07, -0.38)],
        lighter(art.paint, 0.4),
    )
    if not art.broken:
        pen.line([(0.13, -0.32), (0.17, -0.04)], 0.08, art.paint, paint=True)
        pen.oval(0.2, -0.03, 0.068, 0.034, art.light)
        pen.oval(-0.14, -0.13, 0.155, 0.14, mix(art.paint, art.dark, 0.35), paint=True)
        pen.oval(-0.02, -0.03, 0.11, 0.035, art.light)
    _collar(art, [(-0.03, -0.52), (0.07, -0.485), (0.16, -0.51)])
    _dog_head(art, 0.08, -0.67, 1.2)


def _dog_running(art: Art) -> None:
    pen = art.pen
    _speed_lines(art, (-0.5, -0.36, -0.22), start=-0.54)
    _dust(art, -0.42)
    far = art.dark
    if not art.broken:
        pen.line([(0.16, -0.3), (0.28, -0.17), (0.36, -0.02)], 0.07, far, curve=True, paint=True)
        pen.line([(-0.2, -0.3), (-0.3, -0.16), (-0.24, -0.02)], 0.07, far, curve=True, paint=True)
    pen.line(
        [(-0.27, -0.4), (-0.4, -0.5), (-0.47, -0.62)], 0.055, art.paint, curve=True, paint=True
    )
    pen.blob(
        [
            (-0.32, -0.36),
            (-0.26, -0.47),
            (-0.05, -0.48),
            (0.18, -0.53),
            (0.3, -0.46),
            (0.26, -0.3),
            (0.08, -0.25),
            (-0.12, -0.27),
            (-0.26, -0.26),
        ],
        art.paint,
        paint=True,
    )
    pen.blob([(0.2, -0.3), (0.06, -0.26), (-0.1, -0.28), (0.04, -0.31)], lighter(art.paint, 0.4))
    if not art.broken:
        pen.line(
            [(0.2, -0.34), (0.38, -0.24), (0.5, -0.14)], 0.075, art.paint, curve=True, paint=True
        )
        pen.line(
            [(-0.22, -0.34), (-0.36, -0.22), (-0.5, -0.1)], 0.085, art.paint, curve=True, paint=True
        )
        for x, y in ((0.52, -0.135), (-0.51, -0.095), (0.37, -0.02), (-0.23, -0.02)):
            pen.oval(x, y, 0.05, 0.032, art.light)
    _collar(art, [(0.22, -0.54), (0.3, -0.46)])
    _dog_head(art, 0.33, -0.58, 1.15)


def _dog_sleeping(art: Art) -> None:
    pen = art.pen
    pen.blob(
        [
            (-0.46, -0.1),
            (-0.4, -0.27),
            (-0.18, -0.36),
            (0.06, -0.32),
            (0.2, -0.18),
            (0.24, -0.01),
            (-0.1, 0.0),
            (-0.4, 0.0),
        ],
        art.paint,
        paint=True,
    )
    pen.oval(-0.2, -0.13, 0.17, 0.13, mix(art.paint, art.dark, 0.35), paint=True)
    pen.line(
        [(-0.42, -0.06), (-0.3, -0.025), (-0.06, -0.03)], 0.055, art.dark, curve=True, paint=True
    )
    pen.line([(0.12, -0.04), (0.4, -0.035)], 0.07, art.light)
    _dog_head(art, 0.24, -0.17, 1.15, asleep=True)
    for x, y, s in ((0.36, -0.42, 0.05), (0.44, -0.55, 0.065), (0.54, -0.7, 0.085)):
        art.back.line([(x, y), (x + s, y), (x, y + s), (x + s, y + s)], 0.018, art.air)


def _bird(art: Art) -> None:
    pen = art.pen
    belly = lighter(art.paint, 0.5)
    flying = art.action == "flying"
    if flying:
        _speed_lines(art, (-0.34, -0.24), start=-0.58)
        if not art.broken:
            pen.blob(
                [
                    (0.02, -0.3),
                    (-0.02, -0.56),
                    (-0.2, -0.76),
                    (-0.3, -0.74),
                    (-0.26, -0.5),
                    (-0.16, -0.3),
                ],
                art.dark,
                paint=True,
            )
        pen.poly(
            smooth(
                [
                    (-0.24, -0.26),
                    (-0.44, -0.36),
                    (-0.52, -0.33),
                    (-0.46, -0.25),
                    (-0.53, -0.17),
                    (-0.42, -0.16),
                    (-0.22, -0.17),
                ],
                4,
            ),
            art.dark,
            paint=True,
        )
        pen.blob(
            [
                (-0.28, -0.22),
                (-0.1, -0.34),
                (0.14, -0.37),
                (0.3, -0.4),
                (0.4, -0.32),
                (0.32, -0.2),
                (0.1, -0.09),
                (-0.12, -0.11),
            ],
            art.paint,
            paint=True,
        )
        pen.blob(
            [(-0.08, -0.14), (0.12, -0.19), (0.3, -0.22), (0.12, -0.1), (-0.04, -0.105)], belly
        )
        if not art.broken:
            wing = [
                (0.14, -0.27),
                (0.12, -0.5),
                (0.0, -0.76),
                (-0.12, -0.9),
                (-0.2, -0.82),
                (-0.2, -0.66),
                (-0.16, -0.44),
                (-0.1, -0.25),
            ]
            pen.blob(wing, mix(art.paint, art.dark, 0.3), paint=True)
            for i in range(3):
                pen.line(
                    [(-0.08 + 0.06 * i, -0.34), (-0.16 + 0.075 * i, -0.7 + 0.07 * i)],
                    0.014,
                    art.deep,
                )
        head = (0.33, -0.33)
    else:
        art.pen.line(
            [(-0.46, -0.03), (-0.1, -0.06), (0.2, -0.035), (0.46, -0.06)],
            0.06,
            (112, 76, 50),
            curve=True,
        )
        pen.blob([(0.3, -0.06), (0.4, -0.16), (0.47, -0.13), (0.42, -0.04)], (84, 150, 70))
        pen.poly(
            smooth([(-0.2, -0.26), (-0.4, -0.08), (-0.47, 0.06), (-0.38, 0.07), (-0.18, -0.12)], 4),
            art.dark,
            paint=True,
        )
        for x in (0.0, 0.1):
            pen.line([(x, -0.16), (x + 0.01, -0.06)], 0.022, (226, 140, 40))
        pen.blob(
            [
                (-0.28, -0.18),
                (-0.18, -0.4),
                (0.0, -0.55),
                (0.16, -0.64),
                (0.3, -0.56),
                (0.31, -0.36),
                (0.2, -0.17),
                (0.0, -0.1),
                (-0.16, -0.11),
            ],
            art.paint,
            paint=True,
        )
        pen.blob([(0.29, -0.42), (0.26, -0.24), (0.14, -0.14), (0.0, -0.13), (0.1, -0.28)], belly)
        if not art.broken:
            pen.blob(
                [
                    (0.06, -0.42),
                    (0.08, -0.28),
                    (-0.06, -0.16),
                    (-0.3, -0.1),
                    (-0.22, -0.26),
                    (-0.08, -0.42),
                ],
                art.dark,
                paint=True,
            )
            pen.line([(0.0, -0.26), (-0.18, -0.15)], 0.014, art.deep)
        head = (0.19, -0.53)
    _bird_head(art, *head)


def _bird_head(art: Art, x: float, y: float) -> None:
    pen = art.pen
    if not art.broken:
        pen.poly([(x + 0.11, y - 0.06), (x + 0.27, y + 0.0), (x + 0.1, y + 0.045)], (244, 166, 40))
        pen.line([(x + 0.11, y + 0.0), (x + 0.25, y + 0.002)], 0.009, (170, 96, 24))
    pen.oval(x, y, 0.13, 0.12, art.paint, paint=True)
    pen.oval(x + 0.04, y - 0.025, 0.032, 0.034, (252, 252, 250))
    pen.oval(x + 0.048, y - 0.023, 0.021, 0.024, INK)
    pen.oval(x + 0.055, y - 0.032, 0.007, 0.008, (255, 255, 255), steps=8)


def _fish(art: Art) -> None:
    pen, back = art.pen, art.back
    water = (120, 190, 222)
    if art.action == "leaping" and not art.wet:
        back.oval(-0.05, 0.12, 0.52, 0.075, water)
        back.oval(-0.05, 0.11, 0.4, 0.048, lighter(water, 0.4))
        for x, y, r in (
            (-0.42, 0.0, 0.035),
            (-0.52, -0.12, 0.026),
            (-0.3, 0.02, 0.03),
            (0.3, 0.02, 0.03),
            (0.42, -0.1, 0.024),
            (-0.56, -0.26, 0.02),
        ):
            back.oval(x, y, r, r * 1.4, lighter(water, 0.35))
    elif art.wet:
        for x, y, r in ((0.6, -0.5, 0.04), (0.66, -0.64, 0.03), (0.58, -0.76, 0.05)):
            back.ring(x, y, r, 0.012, (236, 250, 255))
        for x, y, r in (
            ((-0.5, 0.02, 0.05), (-0.36, 0.12, 0.035), (-0.6, 0.14, 0.03))
            if art.action == "leaping"
            else ()
        ):
            back.ring(x, y, r, 0.012, (236, 250, 255))
    else:
        back.oval(0, -0.3, 0.68, 0.42, lighter(water, 0.1))
        back.oval(0, -0.3, 0.64, 0.385, lighter(water, 0.35))
        back.line(arc(0, -0.3, 0.56, 0.32, 190, 235), 0.03, (250, 254, 255))
    if not art.broken:
        pen.blob(
            [
                (-0.26, -0.3),
                (-0.46, -0.52),
                (-0.53, -0.5),
                (-0.45, -0.3),
                (-0.53, -0.1),
                (-0.46, -0.08),
            ],
            art.dark,
            paint=True,
        )
        for y in (-0.42, -0.3, -0.18):
            pen.line([(-0.34, -0.3 + (y + 0.3) * 0.4), (-0.47, y)], 0.01, art.deep)
        pen.blob(
            [(-0.16, -0.46), (-0.08, -0.62), (0.06, -0.61), (0.2, -0.48), (0.0, -0.42)],
            art.dark,
            paint=True,
        )
        pen.blob([(-0.08, -0.1), (-0.04, 0.02), (0.06, 0.01), (0.12, -0.1)], art.dark, paint=True)
    pen.blob(
        [
            (-0.34, -0.3),
            (-0.16, -0.46),
            (0.1, -0.52),
            (0.36, -0.44),
            (0.5, -0.29),
            (0.36, -0.15),
            (0.1, -0.07),
            (-0.16, -0.13),
        ],
        art.paint,
        paint=True,
    )
    pen.blob(
        [(-0.2, -0.16), (0.1, -0.16), (0.42, -0.2), (0.3, -0.115), (0.1, -0.075), (-0.12, -0.11)],
        lighter(art.paint, 0.42),
    )
    for x in (-0.12, 0.0, 0.12):
        for i in range(3):
            cy = -0.4 + 0.085 * i
            dx = 0.04 if i % 2 else 0.0
            pen.line(arc(x + dx, cy, 0.045, 0.045, -80, 80), 0.011, art.dark)
    pen.line(arc(0.17, -0.3, 0.09, 0.17, -70, 70), 0.016, art.deep)
    if not art.broken:
        pen.blob(
            [(0.1, -0.27), (-0.04, -0.22), (-0.09, -0.12), (0.02, -0.13), (0.12, -0.21)],
            art.dark,
            paint=True,
        )
    pen.oval(0.35, -0.34, 0.056, 0.058, (252, 252, 250))
    pen.oval(0.362, -0.338, 0.033, 0.036, INK)
    pen.oval(0.372, -0.352, 0.012, 0.012, (255, 255, 255), steps=10)
    pen.line([(0.49, -0.27), (0.44, -0.24), (0.4, -0.24)], 0.013, art.deep, curve=True)


def _chair(art: Art) -> None:
    pen = art.pen
    leg = art.dark
    if not art.broken:
        for x0, x1 in ((-0.22, -0.25), (0.28, 0.31)):
            pen.line([(x0, -0.5), (x1, -0.06)], 0.055, darker(leg, 0.25), paint=True)
    pen.poly([(-0.27, -1.12), (-0.2, -1.12), (-0.15, -0.5), (-0.22, -0.5)], leg, paint=True)
    pen.poly([(0.14, -1.16), (0.21, -1.16), (0.24, -0.5), (0.17, -0.5)], leg, paint=True)
    for y in (-1.13, -0.93, -0.75):
        high = 0.12 if y < -1.1 else 0.08
        pen.poly(
            rounded(
                [(-0.26, y), (0.2, y - 0.03), (0.205, y + high - 0.03), (-0.25, y + high)], 0.02
            ),
            art.paint,
            paint=True,
        )
    seat = [(-0.38, -0.42), (-0.24, -0.56), (0.3, -0.57), (0.4, -0.44)]
    pen.poly(rounded(seat, 0.03), art.light, paint=True)
    pen.poly(
        rounded([(-0.38, -0.43), (0.4, -0.45), (0.4, -0.37), (-0.38, -0.35)], 0.02),
        art.paint,
        paint=True,
    )
    if not art.broken:
        for x0, x1 in ((-0.33, -0.37), (0.35, 0.39)):
            pen.line([(x0, -0.37), (x1, -0.025)], 0.062, art.paint, paint=True)
        pen.line([(-0.35, -0.2), (0.36, -0.21)], 0.035, leg, paint=True)


def _cup(art: Art) -> None:
    pen, back = art.pen, art.back
    if art.action == "steaming":
        for x, lean in ((-0.16, 0.0), (-0.01, 0.03), (0.14, -0.02)):
            points = [
                (x, -0.76),
                (x + 0.06 + lean, -0.88),
                (x - 0.05, -1.0),
                (x + 0.05, -1.14),
                (x, -1.24),
            ]
            back.line(points, 0.038, mix(art.air, (240, 240, 244), 0.4), curve=True)
    if art.action == "leaning":
        back.blob(
            [(0.1, -0.01), (0.3, -0.06), (0.62, -0.04), (0.72, 0.03), (0.5, 0.075), (0.2, 0.07)],
            (110, 66, 38),
        )
        back.blob([(0.3, -0.02), (0.52, -0.02), (0.5, 0.02), (0.3, 0.02)], (150, 98, 62))
    else:
        pen.oval(-0.02, -0.03, 0.46, 0.06, darker(art.second(), 0.2))
        pen.oval(-0.02, -0.045, 0.46, 0.055, art.second())
        pen.oval(-0.02, -0.05, 0.3, 0.032, darker(art.second(), 0.14))
    if not art.broken:
        pen.line([*arc(0.27, -0.4, 0.2, 0.17, -88, 100)], 0.075, art.dark, paint=True)
    else:
        pen.poly(
            [(0.28, -0.58), (0.36, -0.57), (0.33, -0.53), (0.36, -0.5), (0.28, -0.49)], art.dark
        )
        pen.poly(
            [(0.24, -0.28), (0.32, -0.28), (0.29, -0.24), (0.31, -0.21), (0.22, -0.2)], art.dark
        )
    body = [
        (-0.36, -0.68),
        (0.32, -0.68),
        (0.29, -0.36),
        (0.2, -0.08),
        (0.12, -0.045),
        (-0.16, -0.045),
        (-0.24, -0.08),
        (-0.33, -0.36),
    ]
    pen.poly(rounded(body, 0.05), art.paint, paint=True)
    pen.poly(
        rounded([(0.14, -0.66), (0.31, -0.67), (0.28, -0.36), (0.19, -0.09), (0.06, -0.06)], 0.04),
        mix(art.paint, art.dark, 0.55),
        paint=True,
    )
    pen.poly(
        rounded([(-0.3, -0.6), (-0.23, -0.6), (-0.2, -0.3), (-0.24, -0.3)], 0.02),
        art.light,
        paint=True,
    )
    pen.oval(-0.02, -0.68, 0.345, 0.085, art.light, paint=True)
    inside = (92, 54, 32) if art.action == "steaming" else darker(art.paint, 0.45)
    pen.oval(-0.02, -0.672, 0.295, 0.062, inside)
    if art.action == "steaming":
        pen.oval(-0.06, -0.668, 0.17, 0.026, (138, 88, 54))
    if art.broken:
        pen.erase(
            [
                (-0.4, -0.82),
                (-0.02, -0.82),
                (-0.06, -0.6),
                (-0.14, -0.5),
                (-0.19, -0.56),
                (-0.28, -0.38),
                (-0.33, -0.5),
                (-0.42, -0.46),
            ]
        )


def _umbrella(art: Art) -> None:
    {"closed": _umbrella_closed}.get(art.action, _umbrella_open)(art)


def _umbrella_open(art: Art) -> None:
    pen = art.pen
    if art.action == "floating":
        for x in (-0.3, 0.0, 0.26):
            art.back.line([(x, 0.1), (x + 0.04, 0.2), (x - 0.02, 0.3)], 0.016, art.air, curve=True)
    if not art.broken:
        pen.line([(0.0, -0.94), (0.0, -0.1)], 0.03, (112, 84, 66))
        pen.line(
            [(0.0, -0.12), (0.0, -0.05), (-0.05, 0.0), (-0.11, -0.02), (-0.12, -0.09)],
            0.048,
            (96, 62, 40),
            curve=True,
        )
    pen.line([(0.0, -1.02), (0.0, -0.92)], 0.03, STEEL)
    hem, top = -0.52, -0.97
    edges = (-0.5, -0.3, -0.1, 0.1, 0.3, 0.5)
    under = [
        (-0.5, hem),
        *[(x, hem - 0.05) for x in (-0.3, -0.1, 0.1, 0.3)],
        (0.5, hem),
        (0.3, hem - 0.12),
        (-0.3, hem - 0.12),
    ]
    pen.poly(under, darker(art.paint, 0.5))
    other = (
        mix(art.paint, art.second(), 0.62) if min(art.paint) > 200 else mix(art.paint, CREAM, 0.3)
    )
    for i, (x0, x1) in enumerate(zip(edges, edges[1:], strict=False)):
        left = _rib(x0, hem, top)
        right = _rib(x1, hem, top)
        scallop = smooth([(x1, hem), ((x0 + x1) / 2, hem - 0.055), (x0, hem)], 5, closed=False)
        fill = other if i % 2 else (art.paint if i < 3 else mix(art.paint, art.dark, 0.3))
        pen.poly([*left, *reversed(right), *scallop], fill, paint=i % 2 == 0)
    for x in edges[1:-1]:
        pen.line(_rib(x, hem, top), 0.009, art.deep)


def _rib(x: float, hem: float, top: float) -> list[Point]:
    return [
        (x * math.sin(math.radians(a)), top + (hem - top) * (1 - math.cos(math.radians(a))))
        for a in range(90, -1, -10)
    ]


def _umbrella_closed(art: Art) -> None:
    pen = art.pen
    if not art.broken:
        pen.line([(0.0, -0.45), (0.0, -0.14)], 0.036, (112, 84, 66))
        pen.line(
            [(0.0, -0.16), (0.0, -0.06), (-0.055, -0.0), (-0.12, -0.025), (-0.13, -0.1)],
            0.052,
            (96, 62, 40),
            curve=True,
        )
    pen.line([(0.0, -1.28), (0.0, -1.16)], 0.032, STEEL)
    pen.poly(
        smooth(
            [
                (0.0, -1.2),
                (0.075, -0.9),
                (0.135, -0.5),
                (0.1, -0.34),
                (0.04, -0.385),
                (0.0, -0.32),
                (-0.05, -0.385),
                (-0.1, -0.34),
                (-0.13, -0.5),
                (-0.075, -0.9),
            ],
            4,
        ),
        art.paint,
        paint=True,
    )
    pen.poly(
        smooth([(0.0, -1.16), (0.06, -0.85), (0.12, -0.5), (0.08, -0.37), (0.03, -0.5)], 4),
        art.dark,
        paint=True,
    )
    pen.line([(-0.02, -1.08), (-0.05, -0.7), (-0.055, -0.45)], 0.014, art.light, curve=True)
    pen.line([(-0.115, -0.58), (0.12, -0.6)], 0.034, art.deep)


def _ball(art: Art) -> None:
    pen, back, r = art.pen, art.back, 0.46
    cy = -r
    spin = {"rolling": 50.0}.get(art.action, art.rng.choice((0.0, 20.0, 35.0)))
    if art.action == "bouncing":
        for x, bend in ((-0.36, -0.06), (0.36, 0.06)):
            back.line([(x, 0.1), (x + bend, 0.24), (x, 0.38)], 0.03, art.air, curve=True)
        back.line([(0.0, 0.14), (0.0, 0.36)], 0.03, art.air)
    elif art.action == "rolling":
        _speed_lines(art, (-0.74, -0.5, -0.26), start=-0.54)
        _dust(art, -0.46)
    pen.oval(0, cy, r, r, art.second(), steps=40)
    for i in range(3):
        _ball_panel(pen, cy, r, spin + 120 * i, art.paint)
    pen.oval(*_on_ball(0.12, spin, cy, r), 0.075, 0.075, art.dark, paint=True)
    pen.blob(
        [(-0.25, cy - 0.26), (-0.12, cy - 0.36), (-0.05, cy - 0.34), (-0.2, cy - 0.2)],
        lighter(art.paint, 0.75),
    )
    if art.broken:
        pen.erase(
            [
                (0.02, cy + 0.02),
                (0.16, cy - 0.18),
                (0.12, cy - 0.26),
                (0.3, cy - 0.52),
                (0.62, cy - 0.5),
                (0.62, cy + 0.3),
                (0.36, cy + 0.14),
                (0.3, cy + 0.2),
            ]
        )


def _on_ball(out: float, spin: float, cy: float, r: float) -> Point:
    turn = math.radians(spin - 70)
    return out * r * math.cos(turn) * 1.3, cy + out * r * math.sin(turn) * 1.3


def _ball_panel(pen: Pen, cy: float, r: float, start: float, fill: RGB) -> None:
    hub = _on_ball(0.12, start, cy, r)
    edge = arc(0, cy, r, r, start, start + 60, steps=60)
    (x0, y0), (x1, y1) = edge[0], edge[-1]
    bulge = 0.16
    mid0 = (
        (hub[0] + x0) / 2 + bulge * (y0 - hub[1]) * 0.5,
        (hub[1] + y0) / 2 - bulge * (x0 - hub[0]) * 0.5,
    )
    mid1 = (
        (hub[0] + x1) / 2 + bulge * (y1 - hub[1]) * 0.5,
        (hub[1] + y1) / 2 - bulge * (x1 - hub[0]) * 0.5,
    )
    side0 = smooth([hub, mid0, (x0, y0)], 4, closed=False)
    side1 = smooth([(x1, y1), mid1, hub], 4, closed=False)
    pen.poly([*side0, *edge, *side1], fill, paint=True)


def _bicycle(art: Art) -> None:
    pen, moving = art.pen, art.action == "riding"
    if moving:
        _speed_lines(art, (-0.52, -0.36, -0.2), start=-0.56)
        _dust(art, -0.5)
    if art.action == "leaning":
        art.back.poly(box(-0.34, -0.95, -0.26, 0.02), (126, 88, 58))
        art.back.poly(box(-0.31, -0.95, -0.26, 0.02), (98, 66, 44))
    rear, front, r = (-0.29, -0.215), (0.3, -0.215), 0.195
    for x, y in (rear,) if art.broken else (rear, front):
        if moving:
            pen.oval(x, y, r * 0.86, r * 0.86, (206, 210, 216))
        pen.ring(x, y, r, 0.036, TYRE)
        for i in range(0 if moving else 8):
            turn = math.radians(45 * i + 12)
            pen.line(
                [(x, y), (x + math.cos(turn) * r * 0.93, y + math.sin(turn) * r * 0.93)],
                0.008,
                (120, 124, 134),
                caps=False,
            )
        pen.oval(x, y, 0.03, 0.03, STEEL)
    crank, seat, head = (-0.045, -0.2), (-0.13, -0.52), (0.2, -0.53)
    tube = 0.04
    for a, b in ((rear, crank), (rear, seat)):
        pen.line([a, b], tube * 0.8, art.dark, paint=True)
    for a, b in (
        (seat, crank),
        ((-0.12, -0.48), (0.205, -0.49)),
        (crank, (0.215, -0.46)),
        (head, front),
    ):
        pen.line([a, b], tube, art.paint, paint=True)
    pen.line([seat, (-0.145, -0.58)], 0.026, STEEL)
    pen.blob(
        [
            (-0.26, -0.6),
            (-0.2, -0.635),
            (-0.06, -0.61),
            (-0.04, -0.59),
            (-0.14, -0.575),
            (-0.24, -0.57),
        ],
        (74, 50, 40),
    )
    pen.line(
        [head, (0.18, -0.63), (0.25, -0.68), (0.34, -0.66), (0.35, -0.6)],
        0.034,
        (74, 72, 82),
        curve=True,
    )
    pen.oval(*crank, 0.062, 0.062, STEEL)
    pen.oval(*crank, 0.035, 0.035, (96, 98, 110))
    pen.line([crank, (0.01, -0.1)], 0.022, (96, 98, 110))
    pen.line([(-0.03, -0.095), (0.05, -0.095)], 0.03, TYRE)


def _flower(art: Art) -> None:
    pen = art.pen
    wilting, bud = art.action == "wilting", art.action == "closed"
    green = (70, 148, 66) if not wilting else (134, 138, 62)
    stem: list[Point] = [(0.0, 0.0), (-0.03, -0.4), (0.02, -0.85)]
    head: Point = (0.02, -0.9)
    if wilting:
        stem = [(0.0, 0.0), (-0.08, -0.4), (-0.02, -0.78), (0.16, -0.86), (0.3, -0.72)]
        head = (0.32, -0.6)
    if not art.broken:
        pen.line(stem, 0.05, green, curve=True)
        drop = 0.12 if wilting else 0.0
        pen.blob(
            [
                (-0.02, -0.14),
                (-0.16, -0.34 + drop),
                (-0.38, -0.42 + 2.4 * drop),
                (-0.3, -0.22 + drop),
                (-0.14, -0.1),
            ],
            green,
        )
        pen.blob(
            [
                (-0.02, -0.24),
                (0.12, -0.42 + drop),
                (0.34, -0.5 + 2.4 * drop),
                (0.28, -0.3 + drop),
                (0.12, -0.18),
            ],
            darker(green, 0.15),
        )
        pen.line([(-0.06, -0.17), (-0.28, -0.34 + 1.7 * drop)], 0.012, darker(green, 0.35))
        pen.line([(0.03, -0.27), (0.25, -0.42 + 1.7 * drop)], 0.012, darker(green, 0.4))
    if bud:
        _bud(art, *head, green)
    elif wilting:
        _drooping(art, *head, green)
    else:
        _petals(art, *head)


def _petals(art: Art, x: float, y: float) -> None:
    count, reach = 8, 0.24
    for ring, fill in ((0, art.dark), (1, art.paint)):
        for i in range(count):
            turn = 360 / count * (i + 0.5 * (1 - ring)) - 90
            px, py = math.cos(math.radians(turn)), math.sin(math.radians(turn))
            art.pen.oval(
                x + px * reach,
                y + py * reach,
                0.2 if ring else 0.22,
                0.095,
                fill,
                turn=turn,
                paint=True,
                steps=20,
            )
            if ring:
                art.pen.line(
                    [(x + px * 0.14, y + py * 0.14), (x + px * 0.32, y + py * 0.32)],
                    0.014,
                    art.light,
                )
    middle = (
        (250, 204, 60)
        if not (art.paint[0] > 225 and 120 < art.paint[1] < 230 and art.paint[2] < 80)
        else (122, 72, 36)
    )
    art.pen.oval(x, y, 0.125, 0.125, darker(middle, 0.2))
    art.pen.oval(x - 0.008, y - 0.012, 0.105, 0.105, middle)
    for i in range(7):
        turn = i * 2.4
        art.pen.oval(
            x + math.cos(turn) * 0.025 * math.sqrt(i),
            y + math.sin(turn) * 0.025 * math.sqrt(i),
            0.013,
            0.013,
            darker(middle, 0.32),
            steps=8,
        )


def _bud(art: Art, x: float, y: float, green: RGB) -> None:
    pen = art.pen
    pen.blob(
        [
            (x - 0.17, y - 0.04),
            (x - 0.15, y - 0.26),
            (x - 0.04, y - 0.42),
            (x + 0.08, y - 0.28),
            (x + 0.06, y - 0.02),
        ],
        art.dark,
        paint=True,
    )
    pen.blob(
        [
            (x + 0.17, y - 0.04),
            (x + 0.15, y - 0.26),
            (x + 0.04, y - 0.42),
            (x - 0.08, y - 0.28),
            (x - 0.06, y - 0.02),
        ],
        art.dark,
        paint=True,
    )
    pen.blob(
        [
            (x, y - 0.4),
            (x + 0.11, y - 0.2),
            (x + 0.1, y + 0.0),
            (x, y + 0.05),
            (x - 0.1, y + 0.0),
            (x - 0.11, y - 0.2),
        ],
        art.paint,
        paint=True,
    )
    pen.line([(x - 0.02, y - 0.3), (x - 0.05, y - 0.1)], 0.016, art.light)
    pen.blob(
        [
            (x, y + 0.1),
            (x - 0.15, y + 0.02),
            (x - 0.18, y - 0.12),
            (x - 0.06, y - 0.02),
            (x, y - 0.1),
            (x + 0.06, y - 0.02),
            (x + 0.18, y - 0.12),
            (x + 0.15, y + 0.02),
        ],
        green,
    )


def _drooping(art: Art, x: float, y: float, green: RGB) -> None:
    faded = mix(art.paint, (150, 120, 96), 0.18)
    for i, turn in enumerate((150, 125, 30, 55, 105, 78, 90)):
        px, py = math.cos(math.radians(turn)), math.sin(math.radians(turn))
        fill = mix(faded, art.dark, 0.5) if i % 2 else faded
        art.pen.oval(
            x + px * 0.16, y + py * 0.18 - 0.02, 0.18, 0.075, fill, turn=turn, paint=True, steps=20
        )
    art.pen.oval(x, y - 0.05, 0.1, 0.075, green)
    for px, py, turn in ((0.3, -0.02, 15), (0.02, 0.015, -20), (0.46, 0.01, 40)):
        art.back.oval(px, py, 0.085, 0.035, faded, turn=turn)


@dataclass(frozen=True, slots=True)
class Pose:
    """How an action holds an object: turned clockwise around `pivot`, raised by `lift` units.

    `pivot` is a height in units (up is negative). A negative lift lowers what turning
    around its middle would leave in the air.
    """

    tilt: float = 0.0
    lift: float = 0.0
    pivot: float = 0.0


@dataclass(frozen=True, slots=True)
class Shape:
    """How an object sits in a picture.

    `width`: the share of the picture's width that one unit takes. `shadow`: half the
    width of its shadow, in units. `drop`: how far it sinks when its part is missing.
    """

    draw: Callable[[Art], None]
    width: float
    shadow: float
    poses: dict[str, Pose]
    drop: float = 0.0


SHAPES: Final[dict[str, Shape]] = {
    "car": Shape(_car, 0.58, 0.54, {"driving": Pose(-3.0, 0.01)}, drop=0.06),
    "boat": Shape(_boat, 0.54, 0.0, {"sailing": Pose(-9.0), "sinking": Pose(24.0, -0.1)}),
    "house": Shape(_house, 0.6, 0.5, {}),
    "dog": Shape(_dog, 0.56, 0.36, {"running": Pose(-4.0, 0.04)}),
    "bird": Shape(_bird, 0.56, 0.3, {"flying": Pose(-8.0, 0.34, -0.3)}),
    "fish": Shape(
        _fish, 0.55, 0.34, {"swimming": Pose(0.0, 0.12), "leaping": Pose(-32.0, 0.24, -0.3)}
    ),
    "chair": Shape(
        _chair,
        0.5,
        0.4,
        {"leaning": Pose(-17.0, 0.02, 0.0), "toppled": Pose(86.0, -0.16, -0.55)},
        drop=0.36,
    ),
    "cup": Shape(_cup, 0.5, 0.42, {"leaning": Pose(68.0, 0.0, -0.34)}),
    "umbrella": Shape(
        _umbrella,
        0.58,
        0.16,
        {"open": Pose(10.0), "closed": Pose(24.0), "floating": Pose(-20.0, 0.36, -0.5)},
    ),
    "ball": Shape(_ball, 0.44, 0.4, {"bouncing": Pose(0.0, 0.55)}),
    "bicycle": Shape(_bicycle, 0.6, 0.46, {"riding": Pose(-3.0, 0.01), "leaning": Pose(-14.0)}),
    "flower": Shape(_flower, 0.5, 0.2, {}),
}
