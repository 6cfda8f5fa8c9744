"""What every object is drawn with: paints, materials, the pens of one picture, signs of motion."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from synthreview.generation.generators.sketch.pen import RGB, Pen, darker, lighter, mix

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


def speed_lines(art: Art, heights: tuple[float, ...], start: float = -0.58) -> None:
    for i, y in enumerate(heights):
        reach = 0.16 + 0.1 * ((i * 7) % 3) / 2
        art.back.line([(start - reach, y), (start - 0.02 * (i % 2), y)], 0.016, art.air)


def dust(art: Art, x: float) -> None:
    puff = mix(art.air, (214, 200, 176), 0.6)
    for dx, y, r in ((0.0, -0.05, 0.06), (-0.09, -0.08, 0.05), (-0.17, -0.05, 0.035)):
        art.back.oval(x + dx, y, r * 1.2, r, puff)
