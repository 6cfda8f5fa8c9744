"""The dog, the bird and the fish."""

from __future__ import annotations

from collections.abc import Sequence

from synthreview.generation.generators.sketch.art import INK, Art, dust, speed_lines
from synthreview.generation.generators.sketch.pen import Point, arc, lighter, mix, path, smooth


def draw_dog(art: Art) -> None:
    {"running": _dog_running, "sleeping": _dog_sleeping}.get(art.action, _dog_sitting)(art)


def _dog_sitting(art: Art) -> None:
    pen = art.pen
    pen.line(path("-.2 -.08, -.36 -.12, -.42 -.26"), 0.06, art.dark, curve=True, paint=True)
    if not art.broken:
        pen.line([(0.1, -0.3), (0.12, -0.03)], 0.075, art.dark, paint=True)
        pen.oval(0.15, -0.028, 0.06, 0.03, art.dark)
    pen.blob(
        path("-.28 -.02, -.3 -.18, -.16 -.4, 0 -.56, .16 -.5, .17 -.3, .1 -.1, .02 -.01"),
        art.paint,
        paint=True,
    )
    pen.blob(path(".1 -.5, .165 -.42, .16 -.24, .09 -.22, .07 -.38"), lighter(art.paint, 0.4))
    if not art.broken:
        pen.line([(0.13, -0.32), (0.17, -0.04)], 0.08, art.paint, paint=True)
        pen.oval(0.2, -0.03, 0.068, 0.034, art.light)
        pen.oval(-0.14, -0.13, 0.155, 0.14, mix(art.paint, art.dark, 0.35), paint=True)
        pen.oval(-0.02, -0.03, 0.11, 0.035, art.light)
    _collar(art, path("-.03 -.52, .07 -.485, .16 -.51"))
    _dog_head(art, 0.08, -0.67, 1.2)


def _dog_running(art: Art) -> None:
    pen = art.pen
    speed_lines(art, (-0.5, -0.36, -0.22), start=-0.54)
    dust(art, -0.42)
    far = art.dark
    if not art.broken:
        pen.line(path(".16 -.3, .28 -.17, .36 -.02"), 0.07, far, curve=True, paint=True)
        pen.line(path("-.2 -.3, -.3 -.16, -.24 -.02"), 0.07, far, curve=True, paint=True)
    pen.line(path("-.27 -.4, -.4 -.5, -.47 -.62"), 0.055, art.paint, curve=True, paint=True)
    pen.blob(
        path(
            "-.32 -.36, -.26 -.47, -.05 -.48, .18 -.53, .3 -.46, .26 -.3, .08 -.25, "
            "-.12 -.27, -.26 -.26"
        ),
        art.paint,
        paint=True,
    )
    pen.blob(path(".2 -.3, .06 -.26, -.1 -.28, .04 -.31"), lighter(art.paint, 0.4))
    if not art.broken:
        pen.line(path(".2 -.34, .38 -.24, .5 -.14"), 0.075, art.paint, curve=True, paint=True)
        pen.line(path("-.22 -.34, -.36 -.22, -.5 -.1"), 0.085, art.paint, curve=True, paint=True)
        for x, y in ((0.52, -0.135), (-0.51, -0.095), (0.37, -0.02), (-0.23, -0.02)):
            pen.oval(x, y, 0.05, 0.032, art.light)
    _collar(art, [(0.22, -0.54), (0.3, -0.46)])
    _dog_head(art, 0.33, -0.58, 1.15)


def _dog_sleeping(art: Art) -> None:
    pen = art.pen
    pen.blob(
        path("-.46 -.1, -.4 -.27, -.18 -.36, .06 -.32, .2 -.18, .24 -.01, -.1 0, -.4 0"),
        art.paint,
        paint=True,
    )
    pen.oval(-0.2, -0.13, 0.17, 0.13, mix(art.paint, art.dark, 0.35), paint=True)
    pen.line(path("-.42 -.06, -.3 -.025, -.06 -.03"), 0.055, art.dark, curve=True, paint=True)
    pen.line([(0.12, -0.04), (0.4, -0.035)], 0.07, art.light)
    _dog_head(art, 0.24, -0.17, 1.15, asleep=True)
    for x, y, s in ((0.36, -0.42, 0.05), (0.44, -0.55, 0.065), (0.54, -0.7, 0.085)):
        art.back.line([(x, y), (x + s, y), (x, y + s), (x + s, y + s)], 0.018, art.air)


def _collar(art: Art, points: Sequence[Point]) -> None:
    hue = (206, 52, 52) if not (art.paint[0] > 180 and art.paint[1] < 120) else (48, 110, 200)
    art.pen.line(points, 0.034, hue)


def _dog_head(art: Art, x: float, y: float, size: float = 1.0, *, asleep: bool = False) -> None:
    pen, faceless = art.pen, art.broken and asleep

    def p(points: Sequence[Point]) -> list[Point]:
        return [(x + px * size, y + py * size) for px, py in points]

    muzzle = lighter(art.paint, 0.45)
    if not faceless:
        pen.blob(p(path("-.1 -.1, -.05 -.16, .01 -.13, 0 -.02")), art.deep)
    pen.blob(
        p(path("-.13 .02, -.12 -.1, -.02 -.15, .09 -.1, .12 0, .06 .1, -.06 .11")),
        art.paint,
        paint=True,
    )
    pen.blob(p(path(".04 -.04, .14 -.035, .215 -.005, .2 .06, .1 .09, .03 .06")), muzzle)
    if faceless:
        return
    pen.oval(x + 0.205 * size, y - 0.005 * size, 0.03 * size, 0.024 * size, INK)
    pen.line(p([(0.2, 0.04), (0.13, 0.055)]), 0.009, INK)
    if asleep:
        pen.line(p(path(".015 -.045, .045 -.032, .075 -.045")), 0.012, INK, curve=True)
    else:
        pen.oval(x + 0.05 * size, y - 0.055 * size, 0.026 * size, 0.03 * size, (252, 252, 250))
        pen.oval(x + 0.056 * size, y - 0.052 * size, 0.018 * size, 0.022 * size, INK)
        pen.poly(smooth(p(path(".11 .075, .15 .07, .155 .14, .125 .15")), 4), (238, 110, 124))
    pen.blob(
        p(path("-.08 -.12, -.02 -.1, -.035 .02, -.09 .09, -.15 .04, -.14 -.06")),
        art.dark if min(art.paint) < 200 else (150, 120, 96),
    )


def draw_bird(art: Art) -> None:
    if art.action == "flying":
        _bird_flying(art)
        _bird_head(art, 0.33, -0.33)
    else:
        _bird_sitting(art)
        _bird_head(art, 0.19, -0.53)


def _bird_flying(art: Art) -> None:
    pen = art.pen
    speed_lines(art, (-0.34, -0.24), start=-0.58)
    if not art.broken:
        pen.blob(
            path(".02 -.3, -.02 -.56, -.2 -.76, -.3 -.74, -.26 -.5, -.16 -.3"),
            art.dark,
            paint=True,
        )
    pen.poly(
        smooth(
            path("-.24 -.26, -.44 -.36, -.52 -.33, -.46 -.25, -.53 -.17, -.42 -.16, -.22 -.17"),
            4,
        ),
        art.dark,
        paint=True,
    )
    pen.blob(
        path("-.28 -.22, -.1 -.34, .14 -.37, .3 -.4, .4 -.32, .32 -.2, .1 -.09, -.12 -.11"),
        art.paint,
        paint=True,
    )
    pen.blob(path("-.08 -.14, .12 -.19, .3 -.22, .12 -.1, -.04 -.105"), lighter(art.paint, 0.5))
    if not art.broken:
        wing = path(".14 -.27, .12 -.5, 0 -.76, -.12 -.9, -.2 -.82, -.2 -.66, -.16 -.44, -.1 -.25")
        pen.blob(wing, mix(art.paint, art.dark, 0.3), paint=True)
        for i in range(3):
            pen.line(
                [(-0.08 + 0.06 * i, -0.34), (-0.16 + 0.075 * i, -0.7 + 0.07 * i)],
                0.014,
                art.deep,
            )


def _bird_sitting(art: Art) -> None:
    pen = art.pen
    pen.line(path("-.46 -.03, -.1 -.06, .2 -.035, .46 -.06"), 0.06, (112, 76, 50), curve=True)
    pen.blob(path(".3 -.06, .4 -.16, .47 -.13, .42 -.04"), (84, 150, 70))
    pen.poly(
        smooth(path("-.2 -.26, -.4 -.08, -.47 .06, -.38 .07, -.18 -.12"), 4),
        art.dark,
        paint=True,
    )
    for x in (0.0, 0.1):
        pen.line([(x, -0.16), (x + 0.01, -0.06)], 0.022, (226, 140, 40))
    pen.blob(
        path("-.28 -.18, -.18 -.4, 0 -.55, .16 -.64, .3 -.56, .31 -.36, .2 -.17, 0 -.1, -.16 -.11"),
        art.paint,
        paint=True,
    )
    pen.blob(path(".29 -.42, .26 -.24, .14 -.14, 0 -.13, .1 -.28"), lighter(art.paint, 0.5))
    if not art.broken:
        pen.blob(
            path(".06 -.42, .08 -.28, -.06 -.16, -.3 -.1, -.22 -.26, -.08 -.42"),
            art.dark,
            paint=True,
        )
        pen.line([(0.0, -0.26), (-0.18, -0.15)], 0.014, art.deep)


def _bird_head(art: Art, x: float, y: float) -> None:
    pen = art.pen
    if not art.broken:
        pen.poly([(x + 0.11, y - 0.06), (x + 0.27, y + 0.0), (x + 0.1, y + 0.045)], (244, 166, 40))
        pen.line([(x + 0.11, y + 0.0), (x + 0.25, y + 0.002)], 0.009, (170, 96, 24))
    pen.oval(x, y, 0.13, 0.12, art.paint, paint=True)
    pen.oval(x + 0.04, y - 0.025, 0.032, 0.034, (252, 252, 250))
    pen.oval(x + 0.048, y - 0.023, 0.021, 0.024, INK)
    pen.oval(x + 0.055, y - 0.032, 0.007, 0.008, (255, 255, 255), steps=8)


def draw_fish(art: Art) -> None:
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
            path("-.26 -.3, -.46 -.52, -.53 -.5, -.45 -.3, -.53 -.1, -.46 -.08"),
            art.dark,
            paint=True,
        )
        for y in (-0.42, -0.3, -0.18):
            pen.line([(-0.34, -0.3 + (y + 0.3) * 0.4), (-0.47, y)], 0.01, art.deep)
        pen.blob(path("-.16 -.46, -.08 -.62, .06 -.61, .2 -.48, 0 -.42"), art.dark, paint=True)
        pen.blob(path("-.08 -.1, -.04 .02, .06 .01, .12 -.1"), art.dark, paint=True)
    pen.blob(
        path("-.34 -.3, -.16 -.46, .1 -.52, .36 -.44, .5 -.29, .36 -.15, .1 -.07, -.16 -.13"),
        art.paint,
        paint=True,
    )
    pen.blob(
        path("-.2 -.16, .1 -.16, .42 -.2, .3 -.115, .1 -.075, -.12 -.11"), lighter(art.paint, 0.42)
    )
    for x in (-0.12, 0.0, 0.12):
        for i in range(3):
            cy = -0.4 + 0.085 * i
            dx = 0.04 if i % 2 else 0.0
            pen.line(arc(x + dx, cy, 0.045, 0.045, -80, 80), 0.011, art.dark)
    pen.line(arc(0.17, -0.3, 0.09, 0.17, -70, 70), 0.016, art.deep)
    if not art.broken:
        pen.blob(path(".1 -.27, -.04 -.22, -.09 -.12, .02 -.13, .12 -.21"), art.dark, paint=True)
    pen.oval(0.35, -0.34, 0.056, 0.058, (252, 252, 250))
    pen.oval(0.362, -0.338, 0.033, 0.036, INK)
    pen.oval(0.372, -0.352, 0.012, 0.012, (255, 255, 255), steps=10)
    pen.line(path(".49 -.27, .44 -.24, .4 -.24"), 0.013, art.deep, curve=True)
