"""How each object stands in a picture, and which function draws it.

The functions live in `vehicles`, `animals` and `things`. They draw in unit
coordinates: the ground is y = 0, up is negative, the object looks to the right and
is about one unit wide. `Art.pen` draws the object itself, `Art.back` what lies behind
it (motion lines, steam, dust, bubbles). Every action and every missing part shows.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from synthreview.generation.generators.sketch.animals import draw_bird, draw_dog, draw_fish
from synthreview.generation.generators.sketch.art import Art
from synthreview.generation.generators.sketch.things import (
    draw_ball,
    draw_chair,
    draw_cup,
    draw_flower,
    draw_house,
    draw_umbrella,
)
from synthreview.generation.generators.sketch.vehicles import draw_bicycle, draw_boat, draw_car


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
    "car": Shape(draw_car, 0.58, 0.54, {"driving": Pose(-3.0, 0.01)}, drop=0.06),
    "boat": Shape(draw_boat, 0.54, 0.0, {"sailing": Pose(-9.0), "sinking": Pose(24.0, -0.1)}),
    "house": Shape(draw_house, 0.6, 0.5, {}),
    "dog": Shape(draw_dog, 0.56, 0.36, {"running": Pose(-4.0, 0.04)}),
    "bird": Shape(draw_bird, 0.56, 0.3, {"flying": Pose(-8.0, 0.34, -0.3)}),
    "fish": Shape(
        draw_fish, 0.55, 0.34, {"swimming": Pose(0.0, 0.12), "leaping": Pose(-32.0, 0.24, -0.3)}
    ),
    "chair": Shape(
        draw_chair,
        0.5,
        0.4,
        {"leaning": Pose(-17.0, 0.02, 0.0), "toppled": Pose(86.0, -0.16, -0.55)},
        drop=0.36,
    ),
    "cup": Shape(draw_cup, 0.5, 0.42, {"leaning": Pose(68.0, 0.0, -0.34)}),
    "umbrella": Shape(
        draw_umbrella,
        0.58,
        0.16,
        {"open": Pose(10.0), "closed": Pose(24.0), "floating": Pose(-20.0, 0.36, -0.5)},
    ),
    "ball": Shape(draw_ball, 0.44, 0.4, {"bouncing": Pose(0.0, 0.55)}),
    "bicycle": Shape(draw_bicycle, 0.6, 0.46, {"riding": Pose(-3.0, 0.01), "leaning": Pose(-14.0)}),
    "flower": Shape(draw_flower, 0.5, 0.2, {}),
}
