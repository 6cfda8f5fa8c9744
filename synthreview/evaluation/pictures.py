"""Pictures as learners see them: as they are, with a misleading word on them, elsewhere.

The changed copies are made of the test images alone and never stored; the same picture and view
give the same pixels.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

from synthreview.catalog.storage import blobs
from synthreview.evaluation.frozen import Part, chance_of
from synthreview.generation.generators.base import TYPOGRAPHIC, DrawRequest
from synthreview.generation.services import generator
from synthreview.lib.images import THUMB, decode
from synthreview.lib.outcomes import PermanentError

PLAIN, TYPED, MOVED = "plain", "typographic", "surroundings"
TITLES = {
    PLAIN: "as they are",
    TYPED: "with another class's name written on them",
    MOVED: "with the surroundings of another picture",
}
LONG_SIDE_PX = 512  # of a changed copy
LONGEST_WORD = 40
MIDDLE = 0.72  # of each side: the ellipse that stays


@dataclass(frozen=True, slots=True)
class View:
    """What is done to a picture: `kind`, with the word to write or the other picture's checksum."""

    kind: str = PLAIN
    detail: str = ""

    @property
    def key(self) -> str:
        """Return what tells it from other views of the same picture, within 80 characters."""
        return f"{self.kind}:{self.detail}"[:80] if self.detail else self.kind


def views_of(test: Part, class_names: Sequence[str]) -> dict[str, list[View]]:
    """Return kind → the view of each test image.

    The word is the name of another class, the surroundings are those of a test image of another
    class, both by a lot that the picture's checksum decides. One class alone has neither.
    """
    views = {PLAIN: [View()] * len(test)}
    labels = sorted(set(test.labels))
    if len(labels) < 2:
        return views
    by_class = {
        label: [sha for sha, own in zip(test.sha256, test.labels, strict=True) if own == label]
        for label in labels
    }
    typed, moved = [], []
    for sha256, own in zip(test.sha256, test.labels, strict=True):
        names = [name for number, name in enumerate(class_names) if number != own]
        word = names[int(chance_of("word", sha256) * len(names))]
        typed.append(View(TYPED, word[:LONGEST_WORD]))
        others = [label for label in labels if label != own]
        pool = by_class[others[int(chance_of("class", sha256) * len(others))]]
        moved.append(View(MOVED, pool[int(chance_of("place", sha256) * len(pool))]))
    return views | {TYPED: typed, MOVED: moved}


def picture(sha256: str, view: View) -> Image.Image:
    """Return a stored picture as the view shows it, in RGB. Raises OSError, BadImageError."""
    pixels = decode(blobs().read(sha256)).pixels
    if view.kind == PLAIN:
        return pixels
    pixels.thumbnail((LONG_SIDE_PX, LONG_SIDE_PX), Image.Resampling.LANCZOS)
    if view.kind == TYPED:
        return _with_word(pixels, view.detail, seed=int(sha256[:7], 16))
    behind = decode(blobs().read(view.detail)).pixels
    return _elsewhere(pixels, behind)


def small_pixels(sha256: str, view: View, side_px: int) -> npt.NDArray[np.uint8]:
    """Return (S, S, 3) bytes of the picture's middle square. Raises OSError, BadImageError."""
    if view.kind == PLAIN and blobs().exists(sha256, THUMB):
        shown = decode(blobs().read(sha256, THUMB)).pixels
    else:
        shown = picture(sha256, view)
    side = min(shown.size)
    left, top = (shown.width - side) // 2, (shown.height - side) // 2
    square = shown.resize(
        (side_px, side_px), Image.Resampling.BICUBIC, (left, top, left + side, top + side)
    )
    return np.asarray(square, dtype=np.uint8)


def _with_word(pixels: Image.Image, word: str, *, seed: int) -> Image.Image:
    """Return the picture with the word on it, as the typographic technique puts it there.

    Where the font cannot write the word the picture stays as it is.
    """
    buffer = io.BytesIO()
    pixels.save(buffer, "PNG", compress_level=1)
    wish = DrawRequest(
        prompt="", capability=TYPOGRAPHIC, images=(buffer.getvalue(),), slots={"word": word},
        seed=seed,
    )  # fmt: skip
    try:
        drawn = generator("typographic").draw(wish, idempotency_key="")
    except PermanentError:
        return pixels
    return decode(drawn.images[0].data).pixels


def _elsewhere(pixels: Image.Image, behind: Image.Image) -> Image.Image:
    """Return the picture's middle, an ellipse with a soft edge, on the other picture.

    A crude way to change the background: what stands outside the middle is lost, and what of the
    old background lies inside it stays.
    """
    width, height = pixels.size
    mask = Image.new("L", pixels.size, 0)
    rest_x, rest_y = width * (1 - MIDDLE) / 2, height * (1 - MIDDLE) / 2
    ImageDraw.Draw(mask).ellipse((rest_x, rest_y, width - rest_x, height - rest_y), fill=255)
    mask = mask.filter(ImageFilter.GaussianBlur(min(width, height) * 0.03))
    return Image.composite(pixels, behind.resize(pixels.size, Image.Resampling.BICUBIC), mask)
