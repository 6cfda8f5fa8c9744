"""Masks of inpainting: PNG in mode L, white = repaint. One internal form for every generator."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from synthreview.lib.decoding import prepare
from synthreview.lib.images import BadImageError, decode

WHITE, BLACK = 255, 0
# A subject that was found fills at least and at most so much of its picture.
LEAST_SUBJECT, MOST_SUBJECT = 0.005, 0.97


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
    prepare(data)  # in a child first: it is a stranger's
    mask = decode(data).pixels.convert("L").resize(size, Image.Resampling.NEAREST)
    return checked(mask)


def around(found: Image.Image) -> bytes:
    """Return the mask that keeps what was found (L, 255 = surely) and repaints all around it.

    What is kept reaches a little further, so that its edge is not repainted. Raises BadImageError
    where next to nothing was found, or next to everything.
    """
    kept = found.point([BLACK] * 128 + [WHITE] * 128)
    share = kept.resize((1, 1), Image.Resampling.BOX).tobytes()[0] / WHITE
    if not LEAST_SUBJECT <= share <= MOST_SUBJECT:
        raise BadImageError(f"what was found fills {share:.0%} of the picture: that is no subject")
    reach = max(3, round(min(kept.size) * 0.015)) | 1
    return as_png(ImageOps.invert(kept.filter(ImageFilter.MaxFilter(reach))))


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
