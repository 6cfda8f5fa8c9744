"""Pictures and masks for tests: photographs of the repository, and shapes drawn on the spot."""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw

from synthreview.generation.generators.checking import encode_png

PHOTOS = Path(__file__).parents[2] / "fixtures" / "photos"
ESPRESSO = PHOTOS / "cup" / "espresso.jpg"
DAHLIA = PHOTOS / "flower" / "dahlia.jpg"


def opened(data: bytes) -> Image.Image:
    """The pixels of an encoded picture, RGB."""
    return Image.open(io.BytesIO(data)).convert("RGB")


def mask_png(size: tuple[int, int], box: tuple[int, int, int, int], *, inside: int = 255) -> bytes:
    """A mask that is white in the box and black outside, or the other way round."""
    mask = Image.new("L", size, 255 - inside)
    ImageDraw.Draw(mask).rectangle(box, fill=inside)
    return encode_png(mask)


def changed_box(first: Image.Image, second: Image.Image) -> tuple[int, int, int, int] | None:
    """The smallest box that holds every pixel in which two pictures differ."""
    return ImageChops.difference(first, second).getbbox()


def plain_png(size: tuple[int, int] = (64, 64), colour: str = "teal") -> bytes:
    return encode_png(Image.new("RGB", size, colour))
