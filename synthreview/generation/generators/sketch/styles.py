"""How a finished drawing is turned into each style.

Every style is a function from the drawing (RGB), the object's mask (L) and a seed to
an image of the same size. Textures are made once per size and moved by the seed, so
that a style costs milliseconds; they are made in shares of the picture, so that
small and large pictures agree.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageOps

U8 = NDArray[np.uint8]
Indices = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a style works on. `paint_shows`: a colour was asked, so pencil may be coloured."""

    image: Image.Image
    mask: Image.Image
    seed: int
    paint_shows: bool

    @property
    def size(self) -> int:
        """The side of the picture in pixels."""
        return self.image.width


@cache
def _noise(size: int, cells: int, key: int) -> Image.Image:
    """Return soft grey noise (L), about `cells` lumps per side, whose edges meet when shifted."""
    grid = np.random.default_rng(key).integers(0, 256, (cells, cells), dtype=np.uint8)
    wrapped = Image.fromarray(np.pad(grid, 3, mode="wrap"))
    return wrapped.resize((size, size), Image.Resampling.BICUBIC, box=(3, 3, cells + 3, cells + 3))


def _moved(tile: Image.Image, seed: int) -> Image.Image:
    """Return a texture mirrored and shifted by the seed, so that no two pictures share it."""
    rng = random.Random(f"texture/{seed}")
    if rng.random() < 0.5:
        tile = ImageOps.mirror(tile)
    return ImageChops.offset(tile, rng.randrange(tile.width), rng.randrange(tile.height))


@cache
def _vignette(size: int, strength: int) -> Image.Image:
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    far = axis[None, :] ** 2 + axis[:, None] ** 2
    return Image.fromarray(
        (255 - strength * np.clip(far - 0.5, 0, 1.5) / 1.5).astype(np.uint8)
    ).convert("RGB")


@cache
def _grain(size: int, strength: int) -> Image.Image:
    rng = np.random.default_rng(11)
    fine = rng.normal(0, 1, (min(size, 512), min(size, 512)))
    tile = Image.fromarray(np.clip(255 - strength + strength / 2.2 * fine, 0, 255).astype(np.uint8))
    return tile.resize((size, size)).convert("RGB")


def _photo(drawing: Drawing) -> Image.Image:
    image = ImageChops.multiply(drawing.image, _vignette(drawing.size, 72))
    return ImageChops.multiply(image, _moved(_grain(drawing.size, 6), drawing.seed))


def _black_and_white(drawing: Drawing) -> Image.Image:
    grey = ImageOps.autocontrast(drawing.image.convert("L"), cutoff=1)
    curve = [round(255 * min(1, max(0, (x / 255 - 0.5) * 1.02 + 0.54))) for x in range(256)]
    image = ImageChops.multiply(grey.point(curve).convert("RGB"), _vignette(drawing.size, 100))
    return ImageChops.multiply(image, _moved(_grain(drawing.size, 16), drawing.seed))


@cache
def _hatching(size: int) -> tuple[Image.Image, Image.Image, Image.Image]:
    """Return three layers of pencil strokes (L, white paper), from light to dense."""
    layers = []
    for key, (gap, lean) in enumerate(((0.017, 0.6), (0.014, 1.1), (0.012, -0.8))):
        rng = random.Random(key)
        big = size * 2
        layer = Image.new("L", (big, big), 255)
        draw = ImageDraw.Draw(layer)
        for row in range(int(-1.2 / gap), int(2.2 / gap)):
            x = -0.2
            while x < 1.2:
                reach = rng.uniform(0.05, 0.14)
                y = row * gap + rng.uniform(-0.3, 0.3) * gap
                tone = rng.randint(96, 168)
                draw.line(
                    (
                        x * big,
                        (y + x * lean) * big,
                        (x + reach) * big,
                        (y + (x + reach) * lean) * big,
                    ),
                    fill=tone,
                    width=max(1, round(big * 0.0032)),
                )
                x += reach + rng.uniform(0, 0.02)
        layers.append(layer.reduce(2))
    return layers[0], layers[1], layers[2]


def _pencil(drawing: Drawing) -> Image.Image:
    size = drawing.size
    grey = drawing.image.convert("L").filter(ImageFilter.BoxBlur(size * 0.001))
    lifted = grey.point([round(64 + x * 0.75) for x in range(256)])
    ringed = ImageChops.invert(grey)
    lines = _dodge(grey, ringed.filter(ImageFilter.BoxBlur(size * 0.008)))
    paper = Image.new("L", (size, size), 255)
    for layer, below, soft in zip(_hatching(size), (178, 122, 76), (40, 36, 30), strict=True):
        tone = [max(0, min(255, round((below + soft - x) / soft * 255))) for x in range(256)]
        paper = ImageChops.multiply(
            paper, Image.composite(layer, Image.new("L", (size, size), 255), lifted.point(tone))
        )
    page = ImageChops.multiply(paper, lines)
    page = Image.composite(
        page, page.point([round(255 - (255 - x) * 0.62) for x in range(256)]), drawing.mask
    )
    colour = ImageOps.colorize(page, (58, 56, 62), (250, 247, 238))
    if drawing.paint_shows:
        crayon = ImageEnhance.Color(drawing.image).enhance(1.25)
        crayon = Image.blend(crayon, Image.new("RGB", (size, size), (255, 255, 255)), 0.22)
        stroke = ImageChops.multiply(
            drawing.mask,
            _moved(_noise(size, 160, 5), drawing.seed).point(
                [min(255, 130 + x) for x in range(256)]
            ),
        )
        colour = Image.composite(ImageChops.multiply(colour, crayon), colour, stroke)
    return colour


def _dodge(base: Image.Image, blurred: Image.Image) -> Image.Image:
    """Return base / (1 - blurred): white where tone is flat, dark along edges."""
    top = np.asarray(base, dtype=np.float32) * 255
    low = 256 - np.asarray(blurred, dtype=np.float32)
    ratio = np.clip(top / low, 0, 255)
    return Image.fromarray(np.clip(255 - (255 - ratio) * 2.4, 30, 255).astype(np.uint8))


@cache
def _wobble(size: int) -> Indices:
    """Return for each pixel the flat index that a wet brush takes its colour from."""
    reach = size * 0.009
    dx, dy = (
        (np.asarray(_noise(size, cells, key), dtype=np.float32) / 255 - 0.5) * reach * 2
        for cells, key in ((28, 21), (28, 22))
    )
    fx, fy = (
        (np.asarray(_noise(size, cells, key), dtype=np.float32) / 255 - 0.5) * reach * 0.8
        for cells, key in ((96, 23), (96, 24))
    )
    rows, columns = np.mgrid[0:size, 0:size].astype(np.float32)
    x = np.clip(columns + dx + fx, 0, size - 1).astype(np.int32)
    y = np.clip(rows + dy + fy, 0, size - 1).astype(np.int32)
    flat: Indices = y * size + x
    return flat


def _gather(image: Image.Image, indices: Indices) -> Image.Image:
    """Return the image whose pixel i is pixel `indices[i]` of the given one."""
    packed = np.asarray(image.convert("RGBX")).view(np.uint32).reshape(-1)
    taken = packed[indices].view(np.uint8).reshape(image.height, image.width, 4)
    return Image.frombuffer("RGBX", image.size, taken.tobytes(), "raw", "RGBX", 0, 1).convert("RGB")


def _watercolour(drawing: Drawing) -> Image.Image:
    size = drawing.size
    wet = _gather(drawing.image, _wobble(size)).filter(ImageFilter.BoxBlur(size * 0.0016))
    broad = (
        wet.reduce(4)
        .filter(ImageFilter.BoxBlur(size * 0.004))
        .resize((size, size), Image.Resampling.BILINEAR)
    )
    pigment = ImageChops.subtract(
        broad, wet, 1, 0
    )  # darker than its surroundings: where pigment gathers
    pooled = ImageChops.subtract(
        Image.blend(wet, broad, 0.35), pigment.point([round(x * 0.55) for x in range(256)] * 3)
    )
    washed = Image.blend(pooled, Image.new("RGB", (size, size), (255, 255, 255)), 0.2)
    blotches = _moved(_noise(size, 9, 31), drawing.seed).point(
        [min(70, round(x * 0.3)) for x in range(256)]
    )
    washed = Image.composite(
        Image.new("RGB", (size, size), (255, 255, 252)),
        washed,
        ImageChops.subtract(blotches, drawing.mask.point([round(x * 0.2) for x in range(256)])),
    )
    washed = ImageChops.multiply(washed, _paper(size))
    return Image.composite(
        washed,
        ImageChops.multiply(Image.new("RGB", (size, size), (252, 250, 243)), _paper(size)),
        _moved_edge(size, drawing.seed),
    )


@cache
def _paper(size: int) -> Image.Image:
    rough = Image.blend(_noise(size, min(size, 256), 41), _noise(size, 96, 42), 0.4)
    return rough.point([228 + round(x * 27 / 255) for x in range(256)]).convert("RGB")


@cache
def _edge(size: int) -> Image.Image:
    """Return where the wash ends before the sheet does: white inside, ragged border."""
    rows = np.linspace(0, 1, size, dtype=np.float32)
    inset = np.minimum(
        np.minimum(rows[:, None], 1 - rows[:, None]), np.minimum(rows[None, :], 1 - rows[None, :])
    )
    ragged = inset + (np.asarray(_noise(size, 22, 51), dtype=np.float32) / 255 - 0.5) * 0.045
    ragged += (np.asarray(_noise(size, 90, 52), dtype=np.float32) / 255 - 0.5) * 0.02
    return Image.fromarray((np.clip((ragged - 0.028) * 140, 0, 1) * 255).astype(np.uint8))


def _moved_edge(size: int, seed: int) -> Image.Image:
    edge = _edge(size)
    turns = (
        None,
        Image.Transpose.FLIP_LEFT_RIGHT,
        Image.Transpose.ROTATE_180,
        Image.Transpose.FLIP_TOP_BOTTOM,
    )
    turn = turns[seed % 4]
    return edge if turn is None else edge.transpose(turn)


PIXEL_GRID: Final = 64


def _pixel(drawing: Drawing) -> Image.Image:
    size = drawing.size
    small = drawing.image.resize((PIXEL_GRID, PIXEL_GRID), Image.Resampling.BOX)
    mask = drawing.mask.resize((PIXEL_GRID, PIXEL_GRID), Image.Resampling.BOX).point(
        [0] * 110 + [255] * 146
    )
    small = ImageEnhance.Color(small).enhance(1.35)
    levels = np.asarray(small, dtype=np.int16) + (_bayer() - 8)[:, :, None]
    small = Image.fromarray((np.clip((levels + 16) // 32 * 32, 0, 255)).astype(np.uint8))
    outline = ImageChops.subtract(mask.filter(ImageFilter.MaxFilter(3)), mask)
    small.paste((28, 22, 44), mask=outline)
    return small.resize((size, size), Image.Resampling.NEAREST)


@cache
def _bayer() -> NDArray[np.int16]:
    cell = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], dtype=np.int16)
    return np.tile(cell, (PIXEL_GRID // 4, PIXEL_GRID // 4))


@cache
def _strokes(size: int, length: float, count: int, key: int) -> tuple[Indices, Image.Image]:
    """Return brush strokes: where each pixel takes its colour from, and their relief (L)."""
    rng = random.Random(key)
    canvas = Image.new("I", (size, size), -1)
    relief = Image.new("L", (size, size), 128)
    ink, bump = ImageDraw.Draw(canvas), ImageDraw.Draw(relief)
    for _ in range(count):
        x, y = rng.random(), rng.random()
        lean = 0.5 + 0.6 * np.sin(3 * x + 2 * y) + rng.uniform(-0.45, 0.45)
        half, thick = length * rng.uniform(0.35, 0.6), length * rng.uniform(0.1, 0.17)
        dx, dy = float(np.cos(lean)) * half, float(np.sin(lean)) * half
        nx, ny = -dy / half * thick, dx / half * thick
        shape = [
            (x - dx, y - dy),
            (x - dx * 0.6 + nx, y - dy * 0.6 + ny),
            (x + dx * 0.7 + nx, y + dy * 0.7 + ny),
            (x + dx, y + dy),
            (x + dx * 0.7 - nx, y + dy * 0.7 - ny),
            (x - dx * 0.6 - nx, y - dy * 0.6 - ny),
        ]
        pixels = [(px * size, py * size) for px, py in shape]
        ink.polygon(pixels, fill=min(size - 1, int(y * size)) * size + min(size - 1, int(x * size)))
        tone = rng.randint(104, 150)
        crest = min(1.0, size / 400)
        bump.polygon(pixels, fill=tone)
        bump.line([pixels[1], pixels[2]], fill=tone + round(46 * crest), width=max(1, size // 400))
        bump.line([pixels[5], pixels[4]], fill=tone - round(40 * crest), width=max(1, size // 400))
    chosen = np.asarray(canvas, dtype=np.int32).reshape(-1)
    own = np.arange(size * size, dtype=np.int32)
    return np.where(chosen < 0, own, chosen).reshape(size, size), relief.filter(
        ImageFilter.BoxBlur(size * 0.0008)
    )


def _oil(drawing: Drawing) -> Image.Image:
    size = drawing.size
    rich = ImageEnhance.Color(drawing.image).enhance(1.2)
    coarse, coarse_relief = _strokes(size, 0.062, 5200, 61)
    fine, fine_relief = _strokes(size, 0.014, 34000, 62)
    mask = drawing.mask
    image = Image.composite(_gather(rich, fine), _gather(rich, coarse), mask)
    relief = Image.composite(fine_relief, coarse_relief, mask).convert("RGB")
    return ImageChops.overlay(image, relief)


STYLES: Final[dict[str, Callable[[Drawing], Image.Image]]] = {
    "photo-like": _photo,
    "pencil sketch": _pencil,
    "watercolour": _watercolour,
    "pixel art": _pixel,
    "oil": _oil,
    "black and white": _black_and_white,
}
