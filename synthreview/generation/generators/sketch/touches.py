"""Small edits of the drawn world that are no object of it: a shadow, a branch, a puddle, …

A touch is drawn into a region of a picture, in shares of it, after what stands behind it and
before the picture's style. What the words of an edit mean stands here too. No scene, no mask.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageFilter, ImageOps

from synthreview.generation.generators.sketch.art import PAINTS
from synthreview.generation.generators.sketch.pen import RGB, Pen, Point, arc, box, darker, lighter

Region = tuple[float, float, float, float]  # left, top, right, bottom, in shares of the picture
Draw = Callable[[Image.Image, Region, RGB, random.Random], None]


@dataclass(frozen=True, slots=True)
class Touch:
    """One kind of small edit.

    `words` find it in an instruction. `spots` are where it may lie, the usual one first.
    `is_behind`: what stands in the picture hides it. `paint` is its colour where none is asked;
    "" says that a colour means nothing to it.
    """

    words: re.Pattern[str]
    draw: Draw
    spots: tuple[Region, ...]
    paint: str = ""
    is_behind: bool = False


def draw_touch(image: Image.Image, name: str, region: Region, paint: str, seed: int) -> None:
    """Draw a touch into the picture (RGB, square or not) in place."""
    touch = TOUCHES[name]
    rng = random.Random(f"touch/{name}/{seed}")
    touch.draw(image, region, PAINTS[paint or touch.paint or "grey"], rng)


def touch_in(text: str) -> tuple[str, int] | None:
    """Return the touch that an instruction names first, and where; None where it names none."""
    found = {name: touch.words.search(text) for name, touch in TOUCHES.items()}
    starts = [(match.start(), name) for name, match in found.items() if match]
    return min(starts)[::-1] if starts else None


def paint_of(text: str, name: str) -> str:
    """Return the colour that stands right before a touch's word: "a red box"; "" for none."""
    match = TOUCHES[name].words.search(text)
    before = text[: match.start()].split() if match and TOUCHES[name].paint else []
    return before[-1] if before and before[-1] in PAINTS else ""


def region_for(name: str, mask: Image.Image) -> Region:
    """Return where a touch lies that is to be seen through the white of a mask.

    A mask of one place is filled; of a wide one the first usual spot that it leaves open.
    """
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    wide, high = (right - left) / mask.width, (bottom - top) / mask.height
    if wide * high <= 0.3 or min(wide, high) <= 0.3:
        return left / mask.width, top / mask.height, right / mask.width, bottom / mask.height
    spots = TOUCHES[name].spots
    open_enough = (spot for spot in spots if _openness(mask, spot) > 0.6)
    return next(open_enough, max(spots, key=lambda spot: _openness(mask, spot)))


def _openness(mask: Image.Image, region: Region) -> float:
    """Return which share of a region is white in the mask."""
    cut = mask.crop(_pixels(region, mask.size))
    return cut.resize((1, 1), Image.Resampling.BOX).tobytes()[0] / 255


def _pixels(region: Region, size: tuple[int, int]) -> tuple[int, int, int, int]:
    left, top, right, bottom = region
    x0, y0 = math.floor(left * size[0]), math.floor(top * size[1])
    return x0, y0, max(x0 + 2, round(right * size[0])), max(y0 + 2, round(bottom * size[1]))


def _pen(image: Image.Image, region: Region) -> Pen:
    """Return a pen whose unit square, from -1 to 1, fills the region without being bent."""
    left, top, right, bottom = _pixels(region, image.size)
    half = min(right - left, bottom - top) / 2
    return Pen(image, scale=half, origin=((left + right) / 2, (top + bottom) / 2))


def _soft(image: Image.Image, region: Region, strength: float, blur: float) -> Image.Image:
    """Return a blurred ellipse that fills the region, as a mask of the picture."""
    mask = Image.new("L", image.size)
    ImageDraw.Draw(mask).ellipse(_pixels(region, image.size), fill=round(255 * strength))
    return mask.filter(ImageFilter.GaussianBlur(min(image.size) * blur))


# --- The touches ----------------------------------------------------------------------


def _shadow(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    left, top, right, bottom = region
    middle, low = (left + right) / 2, bottom - (bottom - top) * 0.28
    image.paste((26, 22, 44), mask=_soft(image, (left, low, right, bottom), 0.62, 0.008))
    long = (middle, top + (bottom - top) * 0.35, right, bottom - (bottom - top) * 0.1)
    image.paste((26, 22, 44), mask=_soft(image, long, 0.34, 0.012))


def _box(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    pen = _pen(image, region)
    pen.poly([(-0.8, -0.35), (0.35, -0.35), (0.35, 0.85), (-0.8, 0.85)], paint)
    pen.poly([(-0.8, -0.35), (-0.35, -0.8), (0.8, -0.8), (0.35, -0.35)], lighter(paint, 0.3))
    pen.poly([(0.35, -0.35), (0.8, -0.8), (0.8, 0.4), (0.35, 0.85)], darker(paint, 0.35))
    tape = lighter(paint, 0.6)
    pen.poly([(-0.32, -0.35), (-0.12, -0.35), (-0.12, 0.85), (-0.32, 0.85)], tape)
    pen.poly([(-0.32, -0.35), (0.13, -0.8), (0.33, -0.8), (-0.12, -0.35)], lighter(tape, 0.4))


def _branch(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    left, top, right, bottom = _pixels(region, image.size)
    pen = Pen(image, scale=max(right - left, 2), origin=(left, (top + bottom) / 2))
    sag = (bottom - top) / max(1, right - left) * 0.32
    points: list[Point] = [
        (0, -sag), (0.3, -sag * 0.2), (0.62, sag * 0.15), (1, sag * rng.uniform(0.5, 1))
    ]  # fmt: skip
    pen.line(points, 0.035, (84, 58, 40), curve=True)
    for number in range(9):
        along = 0.08 + number * 0.105
        side = -1 if number % 2 else 1
        x, y = along, -sag + 2 * sag * along * 0.8
        tip = (x + 0.05, y + side * 0.09)
        pen.line([(x, y), tip], 0.014, (84, 58, 40))
        green = darker((96, 150, 62), rng.uniform(0, 0.35))
        pen.oval(tip[0], tip[1], 0.055, 0.03, green, turn=side * rng.uniform(15, 50))


def _puddle(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    left, top, right, bottom = _pixels(region, image.size)
    top = max(top, bottom - (right - left) // 2)  # it lies flat on the ground
    high = bottom - top
    above = image.crop((left, max(0, top - high), right, top))
    mirrored = ImageOps.flip(above.resize((right - left, high)))
    water = Image.new("RGB", mirrored.size, (96, 138, 176))
    mirrored = Image.blend(mirrored.filter(ImageFilter.BoxBlur(high * 0.02)), water, 0.42)
    shape = Image.new("L", mirrored.size)
    edge = [
        (mirrored.width / 2 + x * rng.uniform(0.9, 1), high / 2 + y * rng.uniform(0.88, 1))
        for x, y in arc(0, 0, mirrored.width / 2, high / 2, steps=14)
    ]
    ImageDraw.Draw(shape).polygon(edge, fill=255)
    shape = shape.filter(ImageFilter.GaussianBlur(max(0.6, high * 0.015)))
    rim = shape.filter(ImageFilter.MaxFilter(5))
    image.paste((58, 66, 84), (left, top), rim.point([round(x * 0.55) for x in range(256)]))
    image.paste(mirrored, (left, top), shape)


def _person(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    pen = _pen(image, region)
    skin, trousers = (198, 148, 112), (52, 58, 86)
    for side in (-1, 1):
        pen.line([(side * 0.12, 0.2), (side * 0.17, 0.92)], 0.19, trousers)
        pen.line([(side * 0.24, -0.36), (side * 0.36, 0.16)], 0.13, paint)
        pen.oval(side * 0.37, 0.22, 0.07, 0.08, skin)
    pen.blob([(-0.29, -0.42), (0.29, -0.42), (0.25, 0.3), (-0.25, 0.3)], paint)
    pen.oval(0, -0.68, 0.21, 0.25, skin)
    pen.poly(arc(0, -0.72, 0.23, 0.24, 180, 360), (66, 46, 34))


def _sky(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    left, top, right, bottom = _pixels(region, image.size)
    horizon = round(image.height * 0.46)
    bottom = max(top + 2, bottom if top >= horizon else min(bottom, horizon))
    storm = Image.new("RGB", (right - left, bottom - top), (62, 68, 84))
    draw = ImageDraw.Draw(storm)
    for _ in range(26):
        x, y = rng.uniform(-0.1, 1) * storm.width, rng.uniform(-0.2, 0.75) * storm.height
        reach = rng.uniform(0.1, 0.24) * storm.width
        grey = rng.randrange(44, 108)
        draw.ellipse((x, y, x + reach, y + reach * 0.42), fill=(grey, grey + 4, grey + 16))
    storm = storm.filter(ImageFilter.GaussianBlur(storm.width * 0.018))
    x = storm.width * rng.uniform(0.2, 0.8)
    bolt: list[Point] = [
        (x, 0.05), (x - storm.width * 0.05, 0.4), (x + storm.width * 0.02, 0.42),
        (x - storm.width * 0.04, 0.9),
    ]  # fmt: skip
    points = [(x, y * storm.height) for x, y in bolt]
    ImageDraw.Draw(storm).line(points, fill=(252, 246, 190), width=max(1, storm.width // 110))
    fade = Image.linear_gradient("L").point([255] * 128 + [511 - 2 * x for x in range(128, 256)])
    image.paste(storm, (left, top), fade.resize(storm.size))


def _sticker(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    pen = _pen(image, region)
    turn = rng.uniform(-20, 20)
    pen.oval(0.03, 0.05, 0.82, 0.82, (70, 66, 80))
    pen.oval(0, 0, 0.82, 0.82, (252, 252, 248))
    pen.oval(0, 0, 0.7, 0.7, paint)
    star = [
        (
            math.cos(math.radians(turn - 90 + 36 * i)) * (0.52 if i % 2 == 0 else 0.22),
            math.sin(math.radians(turn - 90 + 36 * i)) * (0.52 if i % 2 == 0 else 0.22),
        )
        for i in range(10)
    ]
    pen.poly(star, (255, 244, 206))


def _patch(image: Image.Image, region: Region, paint: RGB, rng: random.Random) -> None:
    pen = _pen(image, region)
    edge = [(x * rng.uniform(0.7, 0.98), y * rng.uniform(0.7, 0.98)) for x, y in arc(0, 0, 1, 1)]
    pen.blob(edge, paint, steps=3)
    for number in range(5):
        y = -0.55 + number * 0.27
        reach = 0.75 * math.sqrt(max(0.05, 1 - y * y)) * 0.8
        pen.line([(-reach, y + 0.06), (reach, y - 0.06)], 0.06, lighter(paint, 0.35))
    pen.poly(box(-0.06, -0.06, 0.06, 0.06), darker(paint, 0.4))


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})\b")


_ON_IT: Final = (0.43, 0.5, 0.6, 0.67)
_SIDES: Final = ((0.72, 0.6, 0.97, 0.88), (0.03, 0.6, 0.28, 0.88), (0.72, 0.05, 0.97, 0.33))

TOUCHES: Final[dict[str, Touch]] = {
    "shadow": Touch(
        _words("shadows?"), _shadow, ((0.3, 0.68, 0.98, 0.96), (0.02, 0.76, 0.98, 0.99)),
        is_behind=True,
    ),
    "box": Touch(_words("box", "boxes", "crate", "parcel"), _box, _SIDES, "red"),
    "branch": Touch(
        _words("branch", "branches", "twig", "twigs"), _branch,
        ((0.15, 0.42, 0.95, 0.62), (0.0, 0.02, 1.0, 0.2), (0.0, 0.8, 1.0, 0.98)),
    ),
    "puddle": Touch(
        _words("puddle", "puddles", "water on the ground"), _puddle,
        ((0.2, 0.78, 0.8, 0.97), (0.02, 0.86, 0.98, 0.99)),
    ),
    "person": Touch(
        _words("person", "people", "man", "woman", "somebody", "someone"), _person,
        ((0.74, 0.36, 0.98, 0.66), (0.02, 0.36, 0.26, 0.66)), "blue", is_behind=True,
    ),
    "sky": Touch(_words("sky", "clouds?", "storm"), _sky, ((0.0, 0.0, 1.0, 0.46),), is_behind=True),
    "sticker": Touch(_words("sticker", "stickers", "decal"), _sticker, (_ON_IT, *_SIDES), "yellow"),
    "patch": Touch(
        _words("small part", "spot", "patch", "hole"), _patch, (_ON_IT, *_SIDES), "purple"
    ),
}  # fmt: skip
