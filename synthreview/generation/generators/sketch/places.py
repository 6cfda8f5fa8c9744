"""The environments: which function draws each, where its ground is and how it lights an object.

(0, 0) is the top left corner of the picture and (1, 1) the bottom right.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image

from synthreview.generation.generators.sketch.built_places import (
    draw_backdrop,
    draw_city,
    draw_kitchen,
    draw_library,
)
from synthreview.generation.generators.sketch.landscape import View
from synthreview.generation.generators.sketch.pen import RGB, Pen
from synthreview.generation.generators.sketch.wild_places import (
    draw_beach,
    draw_desert,
    draw_forest,
    draw_meadow,
    draw_mountains,
    draw_night,
    draw_under_water,
)


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


PLACES: Final[dict[str | None, Place]] = {
    None: Place(draw_backdrop, (0.8, 0.86), (120, 124, 132), (160, 166, 176)),
    "beach": Place(draw_beach, (0.83, 0.92), (150, 116, 78), (255, 255, 255), (255, 252, 244)),
    "forest": Place(draw_forest, (0.84, 0.92), (58, 76, 42), (246, 250, 226), (250, 255, 240)),
    "city": Place(draw_city, (0.86, 0.92), (62, 62, 74), (246, 246, 250)),
    "desert": Place(draw_desert, (0.83, 0.92), (160, 104, 58), (255, 250, 232), (255, 250, 236)),
    "snowy mountains": Place(
        draw_mountains, (0.83, 0.92), (140, 160, 196), (120, 150, 190), (246, 250, 255)
    ),
    "kitchen": Place(draw_kitchen, (0.84, 0.92), (110, 70, 42), (255, 255, 255), (255, 252, 246)),
    "under water": Place(
        draw_under_water, (0.86, 0.92), (110, 118, 104), (226, 248, 252), (226, 248, 255), wet=True
    ),
    "night": Place(
        draw_night, (0.84, 0.92), (22, 30, 56), (222, 226, 246), (224, 230, 255), dark=True
    ),
    "meadow": Place(draw_meadow, (0.84, 0.92), (58, 106, 46), (255, 255, 255), (255, 254, 246)),
    "library": Place(
        draw_library, (0.85, 0.92), (66, 38, 30), (255, 246, 224), (255, 248, 232), dark=True
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
