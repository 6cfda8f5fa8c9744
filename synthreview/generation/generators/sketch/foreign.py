"""What Sketch can do with a picture that it did not draw: emulate, by plain image processing.

It cannot understand a photograph. A variation is a new crop, mirrored, in other light; a
fusion lays the middle of one picture over the other; an edit draws onto the masked region.
Each says so in the image's facts.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Final

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from synthreview.generation.generators.sketch.render import (
    parts_of,
    render_background,
    render_cutout,
)
from synthreview.generation.generators.sketch.repainting import spot_in
from synthreview.generation.generators.sketch.scene import MAX_SEED, Scene
from synthreview.generation.generators.sketch.touches import TOUCHES, draw_touch, region_for
from synthreview.generation.generators.sketch.understanding import Understood
from synthreview.generation.generators.sketch.vocabulary import ACTIONS_OF

VARIED: Final = "not understood, so not redrawn: cropped anew, mirrored, in other light"
FUSED: Final = "not understood, so not redrawn: the middle of the first laid over the second"
REPAINTED: Final = "not understood: the masked region is drawn onto it"
_LEAST_DRAWN_PX: Final = 256


@dataclass(frozen=True, slots=True)
class Source:
    """One input: its pixels (RGB), and its scene where Sketch drew it itself."""

    pixels: Image.Image
    scene: Scene | None


def vary(picture: Image.Image, seed: int, size_px: int) -> Image.Image:
    """Return a sibling: another crop, perhaps mirrored, in other light; square."""
    rng = random.Random(f"vary/{seed}")
    side = min(picture.size) * rng.uniform(0.78, 0.94)
    left, top = (rng.uniform(0, length - side) for length in picture.size)
    turned = picture.rotate(
        rng.uniform(-4, 4),
        Image.Resampling.BICUBIC,
        center=(left + side / 2, top + side / 2),
        fillcolor=_mean(picture),
    )
    image = turned.resize(
        (size_px, size_px), Image.Resampling.LANCZOS, box=(left, top, left + side, top + side)
    )
    if rng.random() < 0.5:
        image = ImageOps.mirror(image)
    image = ImageEnhance.Brightness(image).enhance(rng.uniform(0.8, 1.2))
    image = ImageEnhance.Color(image).enhance(rng.uniform(0.75, 1.3))
    warmth = rng.uniform(-0.08, 0.08)
    red, green, blue = image.split()
    shifted = (red.point(_scaled(1 + warmth)), green, blue.point(_scaled(1 - warmth)))
    return Image.merge("RGB", shifted)


def fuse(subject: Source, setting: Source, seed: int, size_px: int) -> Image.Image:
    """Return the subject of the first on the setting of the second; square."""
    rng = random.Random(f"fuse/{seed}")
    style = "photo-like"
    if setting.scene is not None:
        style = setting.scene.style
        place = setting.scene.environment
        ground = render_background(place, style, rng.randrange(MAX_SEED), size_px)
    else:
        ground = squared(setting.pixels, size_px)
    if subject.scene is not None and subject.scene.object is not None:
        alone = Scene(
            subject.scene.object,
            None,
            style,
            subject.scene.colour,
            subject.scene.action,
            subject.scene.look,
            seed=rng.randrange(MAX_SEED),
        )
        return _laid(ground, render_cutout(alone, size_px))
    middle = squared(subject.pixels, size_px)
    mask = Image.new("L", (size_px, size_px))
    reach = size_px * rng.uniform(0.3, 0.38)
    x, y = size_px * rng.uniform(0.45, 0.55), size_px * rng.uniform(0.48, 0.56)
    ImageDraw.Draw(mask).ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(size_px * 0.045))
    return Image.composite(middle, ground, mask)


def repaint(
    picture: Image.Image, mask: Image.Image, asks: Understood, kind: str, seed: int
) -> Image.Image:
    """Return the picture with the white of the mask drawn anew; the rest stays to the pixel."""
    rng = random.Random(f"repaint/{seed}")
    own_seed = rng.randrange(MAX_SEED)
    if kind in ("place", "backdrop"):
        side = max(max(picture.size), _LEAST_DRAWN_PX)
        place = render_background(asks.environment, asks.style or "photo-like", own_seed, side)
        new = ImageOps.fit(place, picture.size, Image.Resampling.LANCZOS)
    elif kind in TOUCHES:
        new = picture.copy()
        draw_touch(new, kind, region_for(kind, mask), asks.colour or "", own_seed)
    else:
        new = fill(picture, mask)
    if kind in ("add", "replace") and asks.object is not None:
        under = picture if kind == "add" else new
        action = asks.action or rng.choice(ACTIONS_OF[asks.object])
        style = asks.style or "photo-like"
        scene = Scene(asks.object, None, style, asks.colour, action, asks.look, seed=own_seed)
        new = _object_in(under, mask, scene)
    return Image.composite(new, picture, mask)


def fill(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """Return the picture with the masked region filled smoothly from what surrounds it."""
    known = Image.merge("RGBA", (*picture.split(), ImageOps.invert(mask)))
    result = Image.new("RGBA", picture.size, (*_mean(picture), 255))
    # From coarse to fine: averages of what is known only, for alpha is premultiplied.
    for step in (64, 32, 16, 8, 4, 2):
        small = max(1, picture.width // step), max(1, picture.height // step)
        level = known.convert("RGBa").resize(small, Image.Resampling.BOX)
        level = level.resize(picture.size, Image.Resampling.BICUBIC).convert("RGBA")
        certain = level.getchannel("A").point([0] * 128 + [255] * 128)
        level.putalpha(certain.filter(ImageFilter.BoxBlur(step / 2)))
        result = Image.alpha_composite(result, level)
    return result.convert("RGB")


def squared(picture: Image.Image, size_px: int) -> Image.Image:
    """Return the middle of the picture as a square of that size."""
    return ImageOps.fit(picture, (size_px, size_px), Image.Resampling.LANCZOS)


def _object_in(under: Image.Image, mask: Image.Image, scene: Scene) -> Image.Image:
    """Return `under` with the scene's object standing in the mask's box."""
    side = max(max(mask.size), _LEAST_DRAWN_PX)
    square = Image.new("L", (side, side))
    square.paste(mask.resize(_within(mask.size, side)), (0, 0))
    part = parts_of(scene)[-1][0]
    cutout = render_cutout(scene, side, [(part, spot_in(square))])
    width, height = _within(mask.size, side)
    return _laid(under, cutout.crop((0, 0, width, height)).resize(mask.size))


def _within(size: tuple[int, int], side: int) -> tuple[int, int]:
    scale = side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _laid(under: Image.Image, cutout: Image.Image) -> Image.Image:
    return Image.alpha_composite(under.convert("RGBA"), cutout).convert("RGB")


def _mean(picture: Image.Image) -> tuple[int, int, int]:
    red, green, blue = picture.resize((1, 1), Image.Resampling.BOX).tobytes()
    return red, green, blue


def _scaled(factor: float) -> list[int]:
    return [min(255, round(value * factor)) for value in range(256)]
