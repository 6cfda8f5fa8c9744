"""From a scene to pixels: place, light, object, style.

A scene and a size determine every byte; nothing is read from a clock, a file or a
font. Everything is laid out in shares of the picture, so that a small picture is a
reduced large one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from PIL import Image, ImageChops, ImageFilter

from synthreview.generation.generators.sketch.art import PAINTS, Art
from synthreview.generation.generators.sketch.objects import SHAPES, Pose
from synthreview.generation.generators.sketch.patterns import lay_pattern
from synthreview.generation.generators.sketch.pen import RGB, Pen, darker, lighter, luminance, mix
from synthreview.generation.generators.sketch.places import PLACES, Place, camera, draw_place
from synthreview.generation.generators.sketch.scene import Scene, drawn_colour, shown_action
from synthreview.generation.generators.sketch.styles import STYLES, Drawing
from synthreview.generation.generators.sketch.touches import TOUCHES, Region, draw_touch

# Raise this whenever any picture changes: scorers trained on the pictures name it.
RENDERER_VERSION: Final = "sketch-1"

_SHARP: Final = 2  # drawn this much larger, then reduced: the anti-aliasing
# Strokes and grain need some pixels: smaller pictures are drawn at a multiple and reduced.
_SMALLEST_PX: Final = 192
# What of a unit's surroundings an object's layer must hold: left, top, right, bottom.
_REACH: Final = (0.85, 1.55, 0.85, 0.6)


# The light of the hour, as what it leaves of white at the top left and bottom right.
_HOURS: Final[tuple[tuple[RGB, RGB], ...]] = (
    ((255, 255, 255), (255, 255, 255)),
    ((255, 250, 232), (244, 232, 226)),
    ((248, 252, 255), (228, 238, 250)),
    ((255, 255, 250), (232, 232, 240)),
    ((255, 240, 220), (238, 226, 232)),
    ((240, 236, 234), (255, 252, 240)),
)


@cache
def _wash(size_px: int, hour: tuple[RGB, RGB]) -> Image.Image:
    """Return the light of an hour over the whole picture: a diagonal gradient to multiply with."""
    corner = Image.new("RGB", (2, 2))
    corner.putdata([hour[0], mix(*hour, 0.5), mix(*hour, 0.5), hour[1]])
    return corner.resize((size_px, size_px), Image.Resampling.BICUBIC)


def render_scene(
    scene: Scene,
    size_px: int,
    parts: Sequence[Part] | None = None,
    touched: Region | None = None,
) -> Image.Image:
    """Return the picture of a scene, RGB and square.

    `parts` are the objects in it, far to near, where they are not the scene's own: a repair
    moves nothing that it does not name. `touched` is where its last touch lies.
    """
    times = max(1, -(-_SMALLEST_PX // size_px))
    image, mask = _compose(scene, size_px * times, parts, touched)
    drawing = Drawing(image, mask, scene.seed, paint_shows=scene.colour is not None)
    styled = STYLES[scene.style](drawing)
    if scene.unreadable:
        styled = _ruined(styled, scene.seed)
    return styled.reduce(times) if times > 1 else styled


def render_background(environment: str | None, style: str, seed: int, size_px: int) -> Image.Image:
    """Return the place in its style, with no object in it."""
    return render_scene(Scene(None, environment, style, seed=seed), size_px)


def render_cutout(scene: Scene, size_px: int, parts: Sequence[Part] | None = None) -> Image.Image:
    """Return the objects of a scene alone, in its style, on nothing: RGBA and square."""
    image, mask = _compose(scene, size_px, parts)
    drawing = Drawing(image, mask, scene.seed, paint_shows=scene.colour is not None)
    styled = STYLES[scene.style](drawing)
    styled.putalpha(mask)
    return styled


def _compose(
    scene: Scene,
    size_px: int,
    parts: Sequence[Part] | None = None,
    touched: Region | None = None,
) -> tuple[Image.Image, Image.Image]:
    """Return the unstyled drawing and the mask of its objects."""
    place = PLACES[scene.environment]
    canvas = draw_place(scene.environment, scene.seed, size_px * _SHARP)
    chosen = parts_of(scene) if parts is None else parts
    layers = [_object_layer(part, place, canvas, spot) for part, spot in chosen]
    image = canvas.reduce(_SHARP)
    if scene.style in {"photo-like", "black and white"}:
        image = image.filter(ImageFilter.BoxBlur(size_px * 0.0032))
    mask = Image.new("L", image.size)
    _touch(image, scene, touched, behind=True)
    for layer, corner in layers:
        _place_layer(image, mask, layer, corner, place)
    _touch(image, scene, touched, behind=False)
    hour = random.Random(f"light/{scene.seed}").choice(_HOURS)
    return ImageChops.multiply(image, _wash(size_px, hour)), mask


def _touch(image: Image.Image, scene: Scene, touched: Region | None, *, behind: bool) -> None:
    """Draw the scene's touches, those behind its objects or those before them."""
    for number, words in enumerate(scene.touches):
        paint, _, name = words.rpartition(" ")
        if TOUCHES[name].is_behind != behind:
            continue
        is_last = number == len(scene.touches) - 1
        region = touched if touched and is_last else TOUCHES[name].spots[0]
        draw_touch(image, name, region, paint, scene.seed)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where an object stands: centre, ground line, width, and whether it looks left."""

    x: float
    base: float
    width: float
    flip: bool
    tilt: float
    afloat: bool = False


Part = tuple[Scene, Spot]


def parts_of(scene: Scene) -> list[Part]:
    """Return the objects to draw, far to near, each with its spot."""
    if scene.object is None:
        return []
    place = PLACES[scene.environment]
    rng = random.Random(f"spot/{scene.seed}")
    width = SHAPES[scene.object].width * rng.uniform(0.84, 1.05)
    x, base = rng.uniform(0.4, 0.6), rng.uniform(*place.base)
    flip, tilt = rng.random() < 0.5, rng.uniform(-2, 2)
    afloat = scene.environment == "beach" and (scene.object == "boat" or scene.action == "leaping")
    if afloat:
        base = 0.62 + camera(scene.seed)
    if scene.intruder is None:
        return [(scene, Spot(x, base, width, flip, tilt, afloat))]
    side = rng.choice((-1, 1))
    other = Scene(scene.intruder, scene.environment, scene.style, seed=scene.seed + 1)
    other_width = SHAPES[scene.intruder].width * 0.68
    return [
        (other, Spot(0.5 + side * 0.27, base - 0.03, other_width, not flip, 0.0)),
        (scene, Spot(0.5 - side * 0.17, base, width * 0.78, flip, tilt)),
    ]


def _object_layer(
    scene: Scene, place: Place, canvas: Image.Image, spot: Spot
) -> tuple[Image.Image, tuple[int, int]]:
    """Draw the object on a transparent layer of its own, and its traces on the canvas."""
    assert scene.object is not None
    shape = SHAPES[scene.object]
    action = shown_action(scene) or ""
    pose = shape.poses.get(action, Pose())
    lift = pose.lift - (shape.drop if scene.missing_part and abs(pose.tilt) < 45 else 0.0)
    unit = spot.width * canvas.width
    ground = spot.base * canvas.height
    origin = (spot.x * canvas.width, ground - lift * unit)
    left, top = (round((origin[k] - _REACH[k] * unit) / _SHARP) for k in (0, 1))
    wide, high = (round((_REACH[k] + _REACH[k + 2]) * unit / _SHARP) * _SHARP for k in (0, 1))
    paint = PAINTS[drawn_colour(scene)]
    layer = Image.new("RGBA", (wide, high), (*darker(paint, 0.7), 0))
    mask = Image.new("L", (wide, high)) if scene.look else None
    here = (origin[0] - left * _SHARP, origin[1] - top * _SHARP)
    if shape.shadow:
        _shadow(canvas, (origin[0], ground), unit * shape.shadow, lift, place)
    tilt, pivot = pose.tilt + spot.tilt, (0, pose.pivot)
    flat = (here[0], ground - top * _SHARP)
    art = Art(
        pen=Pen(layer, scale=unit, origin=here, angle=tilt, pivot=pivot, flip=spot.flip, mask=mask),
        level=Pen(layer, scale=unit, origin=flat, flip=spot.flip),
        back=Pen(canvas, scale=unit, origin=origin, flip=spot.flip),
        paint=paint,
        action=action,
        broken=scene.missing_part,
        rng=random.Random(f"object/{scene.seed}"),
        air=place.air,
        wet=place.wet,
        afloat=spot.afloat,
    )
    shape.draw(art)
    if scene.look and mask is not None:
        lay_pattern(layer, mask, scene.look, paint, unit)
    return layer.reduce(_SHARP), (left, top)


def _shadow(
    canvas: Image.Image, foot: tuple[float, float], half: float, lift: float, place: Place
) -> None:
    """Lay a soft shadow on the ground; the higher the object, the smaller and paler."""
    wide = round(half * 2.5 * (1 - 0.35 * min(1, max(0, lift))))
    high = max(4, round(wide * 0.2))
    soft = Image.radial_gradient("L").point(
        [max(0, min(255, round((205 - x) * 1.5))) for x in range(256)]
    )
    strength = 0.72 * (1 - 0.5 * min(1, max(0, lift)))
    mask = soft.resize((wide, high), Image.Resampling.BILINEAR).point(
        [round(x * strength) for x in range(256)]
    )
    canvas.paste(place.shadow, (round(foot[0] - wide / 2), round(foot[1] - high * 0.55)), mask)


def _place_layer(
    image: Image.Image, mask: Image.Image, layer: Image.Image, corner: tuple[int, int], place: Place
) -> None:
    """Put an object's layer into the picture: halo, light on its body, then itself."""
    size = image.width
    crop = layer.getbbox()
    if crop is None:
        return
    pad = round(size * 0.03)
    left, top = corner[0] + crop[0] - pad, corner[1] + crop[1] - pad
    layer = layer.crop((crop[0] - pad, crop[1] - pad, crop[2] + pad, crop[3] + pad))
    alpha = layer.getchannel("A")
    grown = alpha.filter(ImageFilter.BoxBlur(size * 0.0045)).point(
        [min(255, x * 4) for x in range(256)]
    )
    around = image.crop((left, top, left + layer.width, top + layer.height))
    body = _lit(layer.convert("RGB"), alpha, size, place)
    colour, behind = _mean_within(body, alpha), luminance(_mean(around))
    near = abs(luminance(colour) - behind) < 56
    is_dim = behind < 128
    glow: RGB = (255, 250, 232) if is_dim else (52, 48, 78)
    halo = alpha.filter(ImageFilter.BoxBlur(size * 0.02)).filter(ImageFilter.BoxBlur(size * 0.012))
    strength = (0.62 if near else 0.35) if is_dim else (0.45 if near else 0.26)
    around.paste(glow, mask=halo.point([min(255, round(x * strength * 1.1)) for x in range(256)]))
    around.paste(lighter(colour, 0.6) if near and is_dim else darker(colour, 0.64), mask=grown)
    around.paste(body, mask=alpha)
    image.paste(around, (left, top))
    mask.paste(255, (left, top), grown)


def _mean(image: Image.Image) -> RGB:
    r, g, b = image.resize((1, 1), Image.Resampling.BOX).tobytes()
    return r, g, b


def _mean_within(image: Image.Image, mask: Image.Image) -> RGB:
    """Return the mean colour where the mask is white."""
    share = max(1, mask.resize((1, 1), Image.Resampling.BOX).tobytes()[0])
    total = _mean(Image.composite(image, Image.new("RGB", image.size), mask))
    r, g, b = (min(255, round(channel * 255 / share)) for channel in total)
    return r, g, b


def _lit(body: Image.Image, alpha: Image.Image, size: int, place: Place) -> Image.Image:
    """Return the object's body with light from the top left and the place's own tint."""
    soft = alpha.filter(ImageFilter.BoxBlur(size * 0.011))
    soft = soft.filter(ImageFilter.BoxBlur(size * 0.011))
    step = max(1, round(size * 0.012))
    relief = ImageChops.subtract(
        ImageChops.offset(soft, -step, -step), ImageChops.offset(soft, step, step), 1.0, 128
    )
    lit = ImageChops.overlay(
        body,
        relief.point(
            [max(44, min(205, 128 + round((x - 128) * 0.75))) for x in range(256)]
        ).convert("RGB"),
    )
    if place.tint != (255, 255, 255):
        lit = ImageChops.multiply(lit, Image.new("RGB", lit.size, place.tint))
    return lit


def _ruined(image: Image.Image, seed: int) -> Image.Image:
    """Return the picture past reading: blurred, smeared or broken into shifted bands."""
    rng = random.Random(f"ruin/{seed}")
    size = image.width
    kind = rng.choice(("blurred", "smeared", "broken"))
    if kind == "blurred":
        return image.resize((9, 9), Image.Resampling.BOX).resize(
            (size, size), Image.Resampling.BICUBIC
        )
    if kind == "smeared":
        return (
            image.resize((7, size), Image.Resampling.BOX)
            .resize((size, size), Image.Resampling.BICUBIC)
            .resize((size, 30), Image.Resampling.BOX)
            .resize((size, size), Image.Resampling.BICUBIC)
        )
    cells = 8
    side = size // cells
    tiles = [(i % cells * side, i // cells * side) for i in range(cells * cells)]
    mixed = tiles[:]
    rng.shuffle(mixed)
    broken = Image.new("RGB", image.size)
    for (x0, y0), (x1, y1) in zip(tiles, mixed, strict=True):
        broken.paste(image.crop((x0, y0, x0 + side, y0 + side)), (x1, y1))
    return broken
