"""The car, the boat and the bicycle."""

from __future__ import annotations

import math

from synthreview.generation.generators.sketch.art import (
    CREAM,
    GLASS,
    STEEL,
    TYRE,
    WOOD,
    Art,
    dust,
    speed_lines,
)
from synthreview.generation.generators.sketch.pen import (
    Pen,
    arc,
    box,
    darker,
    lighter,
    path,
    rounded,
    smooth,
)


def draw_car(art: Art) -> None:
    pen, moving = art.pen, art.action == "driving"
    if moving:
        speed_lines(art, (-0.36, -0.27, -0.17))
        dust(art, -0.47)
    body = path(
        "-.49 -.085, -.5 -.2, -.47 -.245, -.34 -.265, -.2 -.405, .1 -.41, "
        ".25 -.275, .45 -.235, .5 -.17, .495 -.085"
    )
    pen.poly(rounded(body, 0.05), art.paint, paint=True)
    pen.poly(rounded(path("-.5 -.13, .5 -.13, .495 -.075, -.49 -.075"), 0.02), art.dark, paint=True)
    pen.poly(
        rounded(path("-.46 -.238, -.3 -.258, .24 -.262, .44 -.225, .44 -.215, -.46 -.225"), 0.01),
        art.light,
        paint=True,
    )
    for window in (
        path("-.175 -.375, -.045 -.38, -.045 -.28, -.275 -.275"),
        path("-.015 -.38, .085 -.378, .19 -.28, -.015 -.28"),
    ):
        pen.poly(rounded(window, 0.02), GLASS)
    if moving:
        pen.oval(0.045, -0.312, 0.035, 0.042, (120, 82, 62))
    pen.poly(path("-.14 -.378, -.1 -.378, -.18 -.277, -.22 -.277"), lighter(GLASS, 0.6))
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


def draw_boat(art: Art) -> None:
    pen, back = art.pen, art.back
    water = (92, 158, 196)
    if not (art.wet or art.afloat):
        back.oval(0, 0.005, 0.72, 0.085, water)
        back.oval(0, -0.005, 0.66, 0.062, lighter(water, 0.22))
    if art.action == "sailing":
        speed_lines(art, (-0.66, -0.5, -0.34), start=-0.56)
        back.poly(smooth(path("-.7 .02, -.5 -.06, -.3 -.02, -.3 .04, -.6 .05")), (240, 248, 250))
    _rigging(art)
    hull = path("-.5 -.2, .56 -.235, .47 -.1, .34 .03, -.36 .03, -.46 -.07")
    pen.poly(rounded(hull, 0.05), art.paint, paint=True)
    pen.poly(path("-.5 -.2, .56 -.235, .54 -.185, -.485 -.15"), art.second())
    pen.poly(rounded(path("-.44 -.05, .43 -.05, .34 .03, -.36 .03"), 0.03), art.dark, paint=True)
    pen.line([(-0.46, -0.1), (0.47, -0.115)], 0.01, art.deep)
    if art.action == "sinking":
        art.level.erase(box(-0.85, 0.015, 0.85, 0.6))
    else:
        _waterline(pen)


def _rigging(art: Art) -> None:
    """Draw the mast and what stands on deck; when broken, a splintered stump."""
    pen = art.pen
    if art.broken:
        pen.poly(path("-.032 -.2, -.032 -.3, -.018 -.27, -.008 -.315, 0 -.28, 0 -.2"), WOOD)
        return
    pen.poly(box(-0.032, -0.98, 0.0, -0.18), WOOD)
    if art.action == "floating":
        _cabin(art)
    else:
        _sails(art)
    pen.poly(path("-.016 -.98, .16 -.945, -.016 -.9"), art.paint, paint=True)


def _cabin(art: Art) -> None:
    """Draw the furled sail on its boom, and the cabin."""
    pen = art.pen
    pen.line([(-0.02, -0.3), (0.4, -0.33)], 0.03, WOOD)
    pen.blob(path("-.02 -.34, .1 -.385, .3 -.38, .41 -.35, .3 -.32, .1 -.31"), CREAM)
    for x in (0.08, 0.2, 0.31):
        pen.line([(x, -0.385), (x, -0.315)], 0.012, art.deep)
    pen.poly(rounded(box(-0.36, -0.36, -0.1, -0.18), 0.03), CREAM)
    pen.poly(rounded(box(-0.39, -0.385, -0.07, -0.345), 0.015), art.dark, paint=True)
    for x in (-0.29, -0.17):
        pen.oval(x, -0.27, 0.032, 0.036, GLASS)


def _sails(art: Art) -> None:
    """Draw both sails; under way the wind fills them."""
    pen = art.pen
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


def _waterline(pen: Pen) -> None:
    waves = [(-0.56 + 0.07 * i, 0.015 + (0.014 if i % 2 else -0.014)) for i in range(17)]
    pen.poly([*smooth(waves, 3, closed=False), (0.5, 0.06), (-0.5, 0.06)], (214, 236, 246))


def draw_bicycle(art: Art) -> None:
    pen, moving = art.pen, art.action == "riding"
    if moving:
        speed_lines(art, (-0.52, -0.36, -0.2), start=-0.56)
        dust(art, -0.5)
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
    pen.blob(path("-.26 -.6, -.2 -.635, -.06 -.61, -.04 -.59, -.14 -.575, -.24 -.57"), (74, 50, 40))
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
