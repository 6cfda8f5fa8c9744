"""How a flat piece gets into a picture: perspective, light, blur and grain as around it.

A crisp, evenly lit rectangle would give the trick away; the piece takes over what the picture
has. Whatever lies outside the piece and its shadow stays equal to the pixel.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageFilter

from synthreview.generation.generators.typographic.surfaces import RGB, Surface

Point = tuple[float, float]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Placed:
    """The picture with the piece in it, and its four corners in pixels, top left first."""

    image: Image.Image
    corners: tuple[Point, Point, Point, Point]


def place(picture: Image.Image, piece: Image.Image, surface: Surface, rng: random.Random) -> Placed:
    """Return the picture (RGB) with the piece (RGBA, flat) on it."""
    corners = _corners(picture.size, piece, surface, rng)
    layer = _turned(piece, corners, picture.size)
    box = _box(layer, picture.size, margin=round(min(picture.size) * 0.05) + 2)
    around, layer = picture.crop(box), layer.crop(box)
    alpha = layer.getchannel("A")
    blur, grain = blur_of(picture), grain_of(around)
    layer = _lit(layer, around)
    if blur > 0.3:
        soft = ImageFilter.GaussianBlur(blur)
        layer, alpha = layer.convert("RGB").filter(soft), alpha.filter(soft)
    piece_pixels = _grained(layer.convert("RGB"), grain, rng)
    if surface.see_through:
        piece_pixels = _soaked(piece_pixels, around, surface.see_through)
    under = _shadowed(around, alpha, surface, picture.size) if surface.shadow else around
    result = picture.copy()
    result.paste(Image.composite(piece_pixels, under, alpha), box[:2])
    return Placed(result, corners)


# --- Where it goes ----------------------------------------------------------------------


def _corners(
    size: tuple[int, int], piece: Image.Image, surface: Surface, rng: random.Random
) -> tuple[Point, Point, Point, Point]:
    """Return where the piece's corners go: a rectangle, hung askew, turned and kept inside."""
    short = min(size)
    wide = short * rng.uniform(*surface.share)
    high = wide * piece.height / piece.width
    most = short * 0.62
    if high > most:  # a long word on a round sticker, say
        wide, high = wide * most / high, most
    left, top, right, bottom = surface.spot
    x, y = size[0] * rng.uniform(left, right), size[1] * rng.uniform(top, bottom)
    lean = math.radians(rng.uniform(-surface.tilt, surface.tilt))
    turn, nod = (rng.uniform(-surface.depth, surface.depth) for _ in range(2))
    points = []
    for u, v in ((-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)):
        far = 1 + turn * u * 2 + nod * v * 2  # the nearer a corner, the larger
        dx, dy = u * wide * far, v * high * far
        points.append(
            (
                x + dx * math.cos(lean) - dy * math.sin(lean),
                y + dx * math.sin(lean) + dy * math.cos(lean),
            )
        )
    slide_x = _into([point[0] for point in points], size[0])
    slide_y = _into([point[1] for point in points], size[1])
    moved = [(px + slide_x, py + slide_y) for px, py in points]
    return moved[0], moved[1], moved[2], moved[3]


def _into(values: list[float], length: int) -> float:
    """Return by how much to move the values, so that they lie between 0 and the length."""
    if max(values) - min(values) >= length:
        return length / 2 - (max(values) + min(values)) / 2
    return max(0.0, -min(values)) - max(0.0, max(values) - length)


def _turned(piece: Image.Image, corners: tuple[Point, ...], size: tuple[int, int]) -> Image.Image:
    """Return the piece seen in perspective, on a transparent layer of the picture's size."""
    wide, high = float(piece.width), float(piece.height)
    flat = [(0.0, 0.0), (wide, 0.0), (wide, high), (0.0, high)]
    reach = max(math.dist(corners[i], corners[(i + 1) % 4]) for i in range(4))
    shrink = max(piece.size) / max(1.0, reach)
    if shrink > 1.5:  # the transform samples points: what is too fine would flicker
        small = (max(1, round(piece.width / shrink)), max(1, round(piece.height / shrink)))
        flat = [(x / shrink, y / shrink) for x, y in flat]
        piece = piece.resize(small, Image.Resampling.LANCZOS)
    # Premultiplied, or the colour beside the piece would bleed into its edge.
    layer = piece.convert("RGBa").transform(
        size,
        Image.Transform.PERSPECTIVE,
        _coefficients(corners, flat),
        Image.Resampling.BICUBIC,
    )
    return layer.convert("RGBA")


def _coefficients(seen: tuple[Point, ...], flat: list[tuple[float, float]]) -> list[float]:
    """Return Pillow's eight numbers that lead from a seen point to the flat one.

    Source: the eight linear equations of a homography (Hartley and Zisserman, section 4.1).
    """
    rows, values = [], []
    for (x, y), (u, v) in zip(seen, flat, strict=True):
        rows.append([x, y, 1, 0, 0, 0, -u * x, -u * y])
        rows.append([0, 0, 0, x, y, 1, -v * x, -v * y])
        values += [u, v]
    solved = np.linalg.lstsq(np.array(rows, dtype=float), np.array(values, dtype=float), rcond=None)
    return [float(value) for value in solved[0]]


def _box(layer: Image.Image, size: tuple[int, int], margin: int) -> tuple[int, int, int, int]:
    left, top, right, bottom = layer.getchannel("A").getbbox() or (0, 0, 1, 1)
    return (
        max(0, left - margin),
        max(0, top - margin),
        min(size[0], right + margin),
        min(size[1], bottom + margin),
    )


def mean_in(picture: Image.Image, spot: tuple[float, float, float, float]) -> RGB:
    """Return the mean colour where a piece's middle may lie, and a little around that."""
    wide, high = picture.size
    left, top, right, bottom = spot
    box = (
        max(0, round((left - 0.15) * wide)),
        max(0, round((top - 0.08) * high)),
        min(wide, round((right + 0.15) * wide) + 1),
        min(high, round((bottom + 0.08) * high) + 1),
    )
    red, green, blue = picture.resize((1, 1), Image.Resampling.BOX, box=box).tobytes()
    return red, green, blue


# --- As what is around it ---------------------------------------------------------------


def _greys(picture: Image.Image) -> Floats:
    return np.asarray(picture.convert("L"), dtype=np.float64)


def grain_of(picture: Image.Image) -> float:
    """Return the standard deviation of the picture's noise, 0 to 255.

    Source: Immerkær 1996, Fast noise variance estimation; the calmest of 16 parts is taken,
    for texture is no noise.
    """
    grey = _greys(picture)
    if min(grey.shape) < 12:
        return 0.0
    estimates = []
    for row in np.array_split(grey, 4):
        for part in np.array_split(row, 4, axis=1):
            if min(part.shape) < 3:
                continue
            rough = (
                part[:-2, :-2] - 2 * part[:-2, 1:-1] + part[:-2, 2:]
                - 2 * part[1:-1, :-2] + 4 * part[1:-1, 1:-1] - 2 * part[1:-1, 2:]
                + part[2:, :-2] - 2 * part[2:, 1:-1] + part[2:, 2:]
            )  # fmt: skip
            estimates.append(float(np.abs(rough).mean()) * math.sqrt(math.pi / 2) / 6)
    return min(12.0, sorted(estimates)[len(estimates) // 4])


def blur_of(picture: Image.Image) -> float:
    """Return by how many pixels (sigma) the picture's sharpest edges are blurred.

    The steepest edges of a picture in focus rise within a pixel. An edge of height h that was
    blurred by sigma rises by h / (sigma · √(2π)) per pixel at most.
    """
    grey = _greys(picture)
    if min(grey.shape) < 12:
        return 0.0
    steep = np.maximum(np.abs(np.diff(grey, axis=1))[:-1, :], np.abs(np.diff(grey, axis=0))[:, :-1])
    steepest = float(np.quantile(steep, 0.998))
    height = float(np.quantile(grey, 0.99) - np.quantile(grey, 0.01))
    if steepest < 1 or height < 8:
        return 0.0
    sigma = height / (steepest * math.sqrt(2 * math.pi))
    return min(max(0.0, sigma - 0.5), min(picture.size) * 0.006)


def _lit(layer: Image.Image, around: Image.Image) -> Image.Image:
    """Return the piece in the brightness, the colour of light and the shade around it."""
    light = around.resize((3, 3), Image.Resampling.BOX).resize(
        around.size, Image.Resampling.BICUBIC
    )
    tones = np.asarray(light, dtype=np.float64)
    # Half of the way to the local tone: a white paper in the dusk is grey, not black.
    factor = 0.45 + 0.62 * (0.75 * tones.mean(axis=2, keepdims=True) + 0.25 * tones) / 255
    pixels = np.asarray(layer.convert("RGBA"), dtype=np.float64)
    pixels[:, :, :3] = np.clip(pixels[:, :, :3] * np.minimum(1.04, factor), 0, 255)
    return Image.fromarray(pixels.astype(np.uint8), "RGBA")


def _grained(pixels: Image.Image, sigma: float, rng: random.Random) -> Image.Image:
    """Return the pixels with grey noise of that standard deviation, and a trace of paper."""
    noise = np.random.default_rng(rng.randrange(2**63)).normal(
        0, max(0.8, sigma), (pixels.height, pixels.width, 1)
    )
    noisy = np.asarray(pixels, dtype=np.float64) + noise
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def _soaked(pixels: Image.Image, around: Image.Image, share: float) -> Image.Image:
    """Return paint through which the texture of what is behind shows."""
    calm = around.filter(ImageFilter.GaussianBlur(max(1.0, min(around.size) * 0.03)))
    relief = ImageChops.subtract(around, calm, 1.0, 128)
    return Image.blend(ImageChops.hard_light(pixels, relief), around, share)


def _shadowed(
    around: Image.Image, alpha: Image.Image, surface: Surface, size: tuple[int, int]
) -> Image.Image:
    """Return what is behind, darkened softly to the lower right of the piece."""
    step = max(1, round(min(size) * surface.shadow))
    cast = Image.new("L", alpha.size)
    cast.paste(alpha, (step, step))
    cast = cast.filter(ImageFilter.GaussianBlur(step * 0.9)).point(
        [round(value * 0.45) for value in range(256)]
    )
    return Image.composite(Image.new("RGB", around.size, (16, 14, 22)), around, cast)
