"""Masks of inpainting: PNG in mode L, white = repaint. One internal form for every generator."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw

from synthreview.lib.images import BadImageError, decode

WHITE, BLACK = 255, 0


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle as shares of the picture's width and height, from its upper left corner.

    Raises ValueError outside 0 to 1, or without an area.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        if not (0 <= self.left < self.right <= 1 and 0 <= self.top < self.bottom <= 1):
            raise ValueError(
                "The rectangle lies outside the picture, or has no area: "
                "left and top come before right and bottom, from 0 to 100 %."
            )

    def pixels(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        """Return the corners in pixels, both within the rectangle."""
        width, height = size
        left, top = round(self.left * width), round(self.top * height)
        right, bottom = round(self.right * width) - 1, round(self.bottom * height) - 1
        return left, top, max(left, right), max(top, bottom)


def repaint_box(size: tuple[int, int], box: Box) -> bytes:
    """Return the mask that repaints a rectangle and keeps the rest."""
    mask = Image.new("L", size, BLACK)
    ImageDraw.Draw(mask).rectangle(box.pixels(size), fill=WHITE)
    return as_png(mask)


def keep_middle(size: tuple[int, int], box: Box) -> bytes:
    """Return the mask that keeps an ellipse, where the subject is, and repaints around it."""
    mask = Image.new("L", size, WHITE)
    ImageDraw.Draw(mask).ellipse(box.pixels(size), fill=BLACK)
    return as_png(mask)


def painted(data: bytes, size: tuple[int, int]) -> bytes:
    """Return the mask of a picture that somebody painted: what is light is repainted.

    It is brought to `size`. Raises BadImageError where it is no picture or repaints nothing.
    """
    mask = decode(data).pixels.convert("L").resize(size, Image.Resampling.NEAREST)
    return checked(mask)


def checked(mask: Image.Image) -> bytes:
    """Return a mask of black and white alone. Raises BadImageError where it repaints nothing."""
    sharp = mask.convert("L").point([BLACK] * 128 + [WHITE] * 128)
    if sharp.getbbox() is None:
        raise BadImageError("the mask repaints nothing: paint over what shall change")
    return as_png(sharp)


def as_png(mask: Image.Image) -> bytes:
    file = io.BytesIO()
    mask.save(file, "PNG")
    return file.getvalue()
