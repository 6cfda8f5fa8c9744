"""Safe decoding of images from outside, and the renditions that browsers get."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image, ImageOps

MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
EXTENSIONS = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
MAX_PIXELS = 40_000_000
MAX_BYTES = 50_000_000
# Long sides of the renditions, in pixels: the grid's and the review page's.
THUMB, VIEW = "thumb", "view"
RENDITIONS_PX = {THUMB: 320, VIEW: 1280}
JPEG_QUALITY = 90
# How they are made, for whoever must know: a change of it changes scores.
RENDITIONS_TITLE = (
    f"{'/'.join(map(str, RENDITIONS_PX.values()))} px JPEG {JPEG_QUALITY}, box and Hamming"
)


class BadImageError(ValueError):
    """The bytes are no image that we take; the message says why, in plain words."""


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An image as pixels (RGB, upright), and what its file says of itself."""

    pixels: Image.Image
    media_type: str
    width: int
    height: int


def decode(data: bytes, *, least_px: int = 0) -> DecodedImage:
    """Decode PNG, JPEG or WebP bytes of one frame and at most 40 megapixels.

    `least_px`: a JPEG may come as a half, a quarter or an eighth of its size, but with no side
    below so many pixels; that takes a fraction of the time. 0 = as it is.
    The claim of size is checked before any pixel is decoded: Pillow alone only warns.
    Raises BadImageError.
    """
    if len(data) > MAX_BYTES:
        raise BadImageError(f"the file is larger than {MAX_BYTES // 1_000_000} MB")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=list(MEDIA_TYPES)) as image:
                return _checked(image, least_px)
    except Image.DecompressionBombError:
        raise BadImageError("too many pixels: at most 40 megapixels are taken") from None
    except BadImageError:
        raise
    except (OSError, ValueError, SyntaxError, MemoryError) as error:
        raise BadImageError(
            "not a PNG, JPEG or WebP image, or a damaged one"
            if "cannot identify" in str(error)
            else f"damaged image: {error}"
        ) from error


def _checked(image: Image.Image, least_px: int) -> DecodedImage:
    if image.width * image.height > MAX_PIXELS:
        raise BadImageError(
            f"too many pixels: {image.width} × {image.height}; at most 40 megapixels are taken"
        )
    if getattr(image, "n_frames", 1) > 1:
        raise BadImageError("an animation: only single images are taken")
    media_type = MEDIA_TYPES[str(image.format)]
    if least_px:
        image.draft("RGB", (least_px, least_px))
    image.load()
    pixels = ImageOps.exif_transpose(image)
    return DecodedImage(_as_rgb(pixels), media_type, pixels.width, pixels.height)


def _as_rgb(image: Image.Image) -> Image.Image:
    """Return RGB pixels; see-through parts lie on white, not on hidden colours."""
    if image.mode == "RGB":
        return image.copy()
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        background = Image.new("RGBA", rgba.size, "white")
        return Image.alpha_composite(background, rgba).convert("RGB")
    if image.mode.startswith("I;16"):
        image = image.convert("I").point(lambda value: value / 256)
    return image.convert("RGB")


def smallest_rendition(width: int, height: int, least_px: int) -> str | None:
    """Return the smallest rendition of a picture whose shorter side has `least_px` or more.

    None where only the original will do.
    """
    for name, long_side_px in RENDITIONS_PX.items():
        if min(width, height) * min(1.0, long_side_px / max(width, height)) >= least_px:
            return name
    return None


def rendition(image: Image.Image, long_side_px: int) -> bytes:
    """Return JPEG bytes of at most that size, without any metadata.

    JPEG is written six times as fast as WebP and a third larger; every image gets two. Hamming
    scales down in less than half of Lanczos' time, and to look at there is no difference. In
    thumbnails nobody judges an edge: box filter and halved colour take two thirds of the time.
    """
    is_thumb = long_side_px <= RENDITIONS_PX[THUMB]
    small = image
    if max(image.size) > long_side_px:
        small = image.copy()
        by = Image.Resampling.BOX if is_thumb else Image.Resampling.HAMMING
        small.thumbnail((long_side_px, long_side_px), by, reducing_gap=2.0)
    buffer = io.BytesIO()
    small.save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling="4:2:0" if is_thumb else "4:4:4")
    return buffer.getvalue()
