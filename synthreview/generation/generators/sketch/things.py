"""The house, the chair, the cup, the umbrella, the ball and the flower."""

from __future__ import annotations

import math
from itertools import pairwise

from synthreview.generation.generators.sketch.art import CREAM, STEEL, Art, dust, speed_lines
from synthreview.generation.generators.sketch.pen import (
    RGB,
    Pen,
    Point,
    arc,
    box,
    darker,
    lighter,
    mix,
    path,
    rounded,
    smooth,
)


def draw_house(art: Art) -> None:
    pen = art.pen
    pane = (255, 214, 92) if art.action == "glowing" else (150, 196, 220)
    roof = (150, 62, 48) if not (art.paint[0] > 150 and art.paint[1] < 110) else (84, 92, 112)
    if not art.broken:
        _chimney(art)
    wall = path("-.38 0, -.38 -.43, 0 -.74, .38 -.43, .38 0")
    if art.broken:
        wall = path(
            "-.38 0, -.38 -.45, -.3 -.4, -.22 -.47, -.1 -.41, .02 -.46, .14 -.4, "
            ".27 -.46, .38 -.41, .38 0"
        )
    pen.poly(wall, art.paint, paint=True)
    pen.poly(box(-0.38, -0.05, 0.38, 0), darker((150, 146, 150), 0.1))
    if not art.broken:
        pen.poly(
            path("-.38 -.43, 0 -.74, .38 -.43, .38 -.37, 0 -.66, -.38 -.37"), art.dark, paint=True
        )
        _roof(pen, roof)
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
    _door(pen, is_open=art.action == "open")
    pen.poly(box(-0.11, -0.018, 0.11, 0.012), (190, 186, 186))


def _chimney(art: Art) -> None:
    """Draw the chimney; who has the lights on has a fire too."""
    art.pen.poly(box(0.2, -0.83, 0.31, -0.55), (158, 96, 78))
    art.pen.poly(box(0.185, -0.86, 0.325, -0.815), (120, 70, 58))
    if art.action == "glowing":
        for i in range(3):
            art.back.oval(
                0.27 + 0.05 * i,
                -0.93 - 0.08 * i,
                0.05 + 0.014 * i,
                0.042 + 0.01 * i,
                mix(art.air, (220, 220, 226), 0.5),
            )


def _roof(pen: Pen, tiles: RGB) -> None:
    pen.poly(path("-.5 -.375, 0 -.8, .5 -.375, .455 -.335, 0 -.7, -.455 -.335"), tiles)
    pen.line(path("-.47 -.372, 0 -.772, .47 -.372"), 0.014, lighter(tiles, 0.25))
    for i in range(1, 6):
        for side in (-1, 1):
            x, y = side * 0.085 * i, -0.735 + 0.0735 * i
            pen.line(
                [(x, y - 0.03), (x - side * 0.004, y + 0.03)],
                0.008,
                darker(tiles, 0.3),
                caps=False,
            )


def _door(pen: Pen, *, is_open: bool) -> None:
    """Draw the door; an open one shows the hall and the light on its floor."""
    pen.poly(rounded(box(-0.085, -0.28, 0.085, 0), 0.02), CREAM)
    if is_open:
        pen.poly(box(-0.068, -0.262, 0.068, 0), (66, 46, 44))
        pen.poly(path("-.068 0, .068 0, .03 -.07, -.03 -.07"), (230, 176, 92))
        pen.poly(path("-.068 -.262, -.19 -.3, -.19 .035, -.068 0"), (146, 92, 52))
        pen.poly(path("-.09 -.235, -.17 -.258, -.17 -.16, -.09 -.15"), (118, 72, 42))
        pen.oval(-0.175, -0.12, 0.012, 0.014, (250, 214, 90))
    else:
        pen.poly(box(-0.068, -0.262, 0.068, 0), (146, 92, 52))
        for y in (-0.235, -0.115):
            pen.poly(box(-0.045, y, 0.045, y + 0.085), (118, 72, 42))
        pen.oval(0.048, -0.132, 0.013, 0.013, (250, 214, 90))


def draw_chair(art: Art) -> None:
    pen = art.pen
    leg = art.dark
    if not art.broken:
        for x0, x1 in ((-0.22, -0.25), (0.28, 0.31)):
            pen.line([(x0, -0.5), (x1, -0.06)], 0.055, darker(leg, 0.25), paint=True)
    pen.poly(path("-.27 -1.12, -.2 -1.12, -.15 -.5, -.22 -.5"), leg, paint=True)
    pen.poly(path(".14 -1.16, .21 -1.16, .24 -.5, .17 -.5"), leg, paint=True)
    for y in (-1.13, -0.93, -0.75):
        high = 0.12 if y < -1.1 else 0.08
        pen.poly(
            rounded(
                [(-0.26, y), (0.2, y - 0.03), (0.205, y + high - 0.03), (-0.25, y + high)], 0.02
            ),
            art.paint,
            paint=True,
        )
    seat = path("-.38 -.42, -.24 -.56, .3 -.57, .4 -.44")
    pen.poly(rounded(seat, 0.03), art.light, paint=True)
    pen.poly(rounded(path("-.38 -.43, .4 -.45, .4 -.37, -.38 -.35"), 0.02), art.paint, paint=True)
    if not art.broken:
        for x0, x1 in ((-0.33, -0.37), (0.35, 0.39)):
            pen.line([(x0, -0.37), (x1, -0.025)], 0.062, art.paint, paint=True)
        pen.line([(-0.35, -0.2), (0.36, -0.21)], 0.035, leg, paint=True)


def draw_cup(art: Art) -> None:
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
        back.blob(path(".1 -.01, .3 -.06, .62 -.04, .72 .03, .5 .075, .2 .07"), (110, 66, 38))
        back.blob(path(".3 -.02, .52 -.02, .5 .02, .3 .02"), (150, 98, 62))
    else:
        pen.oval(-0.02, -0.03, 0.46, 0.06, darker(art.second(), 0.2))
        pen.oval(-0.02, -0.045, 0.46, 0.055, art.second())
        pen.oval(-0.02, -0.05, 0.3, 0.032, darker(art.second(), 0.14))
    if not art.broken:
        pen.line([*arc(0.27, -0.4, 0.2, 0.17, -88, 100)], 0.075, art.dark, paint=True)
    else:
        pen.poly(path(".28 -.58, .36 -.57, .33 -.53, .36 -.5, .28 -.49"), art.dark)
        pen.poly(path(".24 -.28, .32 -.28, .29 -.24, .31 -.21, .22 -.2"), art.dark)
    body = path(
        "-.36 -.68, .32 -.68, .29 -.36, .2 -.08, .12 -.045, -.16 -.045, -.24 -.08, -.33 -.36"
    )
    pen.poly(rounded(body, 0.05), art.paint, paint=True)
    pen.poly(
        rounded(path(".14 -.66, .31 -.67, .28 -.36, .19 -.09, .06 -.06"), 0.04),
        mix(art.paint, art.dark, 0.55),
        paint=True,
    )
    pen.poly(rounded(path("-.3 -.6, -.23 -.6, -.2 -.3, -.24 -.3"), 0.02), art.light, paint=True)
    pen.oval(-0.02, -0.68, 0.345, 0.085, art.light, paint=True)
    inside = (92, 54, 32) if art.action == "steaming" else darker(art.paint, 0.45)
    pen.oval(-0.02, -0.672, 0.295, 0.062, inside)
    if art.action == "steaming":
        pen.oval(-0.06, -0.668, 0.17, 0.026, (138, 88, 54))
    if art.broken:
        pen.erase(
            path(
                "-.4 -.82, -.02 -.82, -.06 -.6, -.14 -.5, -.19 -.56, -.28 -.38, -.33 -.5, -.42 -.46"
            )
        )


def draw_umbrella(art: Art) -> None:
    {"closed": _umbrella_closed}.get(art.action, _umbrella_open)(art)


def _umbrella_open(art: Art) -> None:
    pen = art.pen
    if art.action == "floating":
        for x in (-0.3, 0.0, 0.26):
            art.back.line([(x, 0.1), (x + 0.04, 0.2), (x - 0.02, 0.3)], 0.016, art.air, curve=True)
    if not art.broken:
        pen.line([(0.0, -0.94), (0.0, -0.1)], 0.03, (112, 84, 66))
        pen.line(
            path("0 -.12, 0 -.05, -.05 0, -.11 -.02, -.12 -.09"), 0.048, (96, 62, 40), curve=True
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
    for i, (x0, x1) in enumerate(pairwise(edges)):
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
            path("0 -.16, 0 -.06, -.055 0, -.12 -.025, -.13 -.1"), 0.052, (96, 62, 40), curve=True
        )
    pen.line([(0.0, -1.28), (0.0, -1.16)], 0.032, STEEL)
    pen.poly(
        smooth(
            path(
                "0 -1.2, .075 -.9, .135 -.5, .1 -.34, .04 -.385, 0 -.32, -.05 -.385, "
                "-.1 -.34, -.13 -.5, -.075 -.9"
            ),
            4,
        ),
        art.paint,
        paint=True,
    )
    pen.poly(smooth(path("0 -1.16, .06 -.85, .12 -.5, .08 -.37, .03 -.5"), 4), art.dark, paint=True)
    pen.line(path("-.02 -1.08, -.05 -.7, -.055 -.45"), 0.014, art.light, curve=True)
    pen.line([(-0.115, -0.58), (0.12, -0.6)], 0.034, art.deep)


def draw_ball(art: Art) -> None:
    pen, back, r = art.pen, art.back, 0.46
    cy = -r
    spin = {"rolling": 50.0}.get(art.action, art.rng.choice((0.0, 20.0, 35.0)))
    if art.action == "bouncing":
        for x, bend in ((-0.36, -0.06), (0.36, 0.06)):
            back.line([(x, 0.1), (x + bend, 0.24), (x, 0.38)], 0.03, art.air, curve=True)
        back.line([(0.0, 0.14), (0.0, 0.36)], 0.03, art.air)
    elif art.action == "rolling":
        speed_lines(art, (-0.74, -0.5, -0.26), start=-0.54)
        dust(art, -0.46)
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


def draw_flower(art: Art) -> None:
    pen = art.pen
    wilting, bud = art.action == "wilting", art.action == "closed"
    green = (70, 148, 66) if not wilting else (134, 138, 62)
    stem = path("0 0, -.03 -.4, .02 -.85")
    head: Point = (0.02, -0.9)
    if wilting:
        stem = path("0 0, -.08 -.4, -.02 -.78, .16 -.86, .3 -.72")
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
