"""Inpainting a picture of the drawn world: only the masked region changes, to the pixel.

The edited scene is drawn whole, in the same seed, place and pose, so that what is redrawn
meets its surroundings, shadows included; then the mask decides what of it is taken.
"""

from __future__ import annotations

from dataclasses import replace

from PIL import Image

from synthreview.generation.generators.sketch.deriving import IGNORED_EDIT, Told
from synthreview.generation.generators.sketch.render import Part, Spot, parts_of, render_scene
from synthreview.generation.generators.sketch.scene import Scene
from synthreview.generation.generators.sketch.touches import TOUCHES, region_for


def repaint(
    source: Image.Image, mask: Image.Image, base: Scene, kind: str, told: Told
) -> Image.Image:
    """Return `source` with the white of `mask` (L, same size) redrawn as `told` says.

    Args:
        source: RGB and square, the picture of `base` at any size.
        kind: what the edit is, see `deriving.read_edit`.
    """
    if told.fault == IGNORED_EDIT:
        return source.copy()
    touched = region_for(kind, mask) if kind in TOUCHES else None
    redrawn = render_scene(told.drawn, source.width, _parts(base, kind, told, mask), touched)
    return Image.composite(redrawn, source, mask)


def _parts(base: Scene, kind: str, told: Told, mask: Image.Image) -> list[Part]:
    """Return the objects of the edited picture, each where it stood or where the mask is."""
    drawn, old = told.drawn, parts_of(base)
    if kind == "remove":
        return []
    if kind == "alone":
        return old[-1:]
    if kind == "add" and drawn.intruder is not None and drawn.object is not None:
        new = replace(drawn, object=drawn.intruder, intruder=None, colour=None, action=None)
        return [*old, (replace(new, look=None, missing_part=False), spot_in(mask))]
    if kind in ("add", "replace"):
        return [*old[:-1], (replace(drawn, intruder=None), spot_in(mask))]
    # The same objects in the same spots, in the new place or look.
    return [
        (replace(part, environment=drawn.environment, style=drawn.style), spot)
        if part.object != base.object
        else (replace(drawn, intruder=None), spot)
        for part, spot in old
    ]


def spot_in(mask: Image.Image) -> Spot:
    """Return where an object stands that fills the white of a mask, on its lower edge."""
    left, top, right, bottom = mask.getbbox() or (0, 0, *mask.size)
    wide, high = (right - left) / mask.width, (bottom - top) / mask.height
    return Spot(
        x=(left + right) / 2 / mask.width,
        base=bottom / mask.height - high * 0.06,
        width=max(0.06, min(wide * 0.94, high * 0.92)),
        flip=False,
        tilt=0.0,
    )
