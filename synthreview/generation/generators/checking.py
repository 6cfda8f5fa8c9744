"""What every adapter checks before it draws: the request against what the generator can do.

All that is wrong with a request is a PermanentError that names the value and the allowed
ones: the same request will never work. Knows nothing of Django.
"""

from __future__ import annotations

import io
import math
from collections.abc import Mapping
from typing import Any

from PIL import Image

from synthreview.generation.generators.base import (
    INPAINT,
    INPUTS,
    Capabilities,
    DrawRequest,
    Option,
)
from synthreview.lib.images import BadImageError, DecodedImage, decode
from synthreview.lib.outcomes import PermanentError

MAX_SEED = 2**63 - 1  # what a database column holds
MAX_PROMPT_CHARS = 32_000


def check_request(request: DrawRequest, can: Capabilities, title: str) -> dict[str, Any]:
    """Return the run's options, checked and with their defaults. Raises PermanentError."""
    if request.capability not in can.able:
        raise PermanentError(
            f"{title} cannot do {request.capability!r}; it can do {listed(sorted(can.able))}."
        )
    if request.size_px not in can.sizes_px:
        raise PermanentError(f"size {request.size_px} px: {title} draws {listed(can.sizes_px)} px")
    if not 1 <= request.count <= can.images_per_call:
        raise PermanentError(
            f"{request.count} images in one call: {title} draws 1 to {can.images_per_call}"
        )
    if request.seed is not None and not 0 <= request.seed <= MAX_SEED:
        raise PermanentError(f"seed {request.seed}: {title} takes 0 to {MAX_SEED}")
    if request.negative_prompt and not can.takes_negative_prompt:
        raise PermanentError(f"{title} takes no negative prompt: leave it empty")
    for text in (request.prompt, request.negative_prompt):
        if len(text) > MAX_PROMPT_CHARS or "\0" in text:
            raise PermanentError(
                f"a prompt has at most {MAX_PROMPT_CHARS:,} characters and none of them is NUL"
            )
    needed = INPUTS[request.capability]
    if len(request.images) != needed:
        raise PermanentError(
            f"{request.capability} starts from {needed} images; {len(request.images)} were given"
        )
    if (request.mask is not None) != (request.capability == INPAINT):
        raise PermanentError("a mask belongs to inpainting, and inpainting needs one")
    return check_options(request.options, can.options, title)


def check_options(
    given: Mapping[str, Any], known: tuple[Option, ...], title: str
) -> dict[str, Any]:
    """Return every known option with its given or default value. Raises PermanentError."""
    names = [option.name for option in known]
    if unknown := sorted(set(given) - set(names)):
        takes = f"{title} knows {listed(names)} only" if names else f"{title} takes no option"
        raise PermanentError(f"option {listed(unknown)}: {takes}")
    return {option.name: _checked(option, given) for option in known}


def _checked(option: Option, given: Mapping[str, Any]) -> Any:
    value = given.get(option.name, option.default)
    if value is None or (option.name not in given):
        return option.default
    if option.kind == "number":
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        least = -math.inf if option.least is None else option.least
        most = math.inf if option.most is None else option.most
        if not is_number or not math.isfinite(value) or not least <= value <= most:
            raise PermanentError(
                f"{option.name} {value!r}: give a number from {least:g} to {most:g}"
            )
    elif option.kind == "choice":
        if value not in option.choices:
            raise PermanentError(f"{option.name} {value!r}: choose {listed(option.choices)}")
    elif not isinstance(value, str) or len(value) > MAX_PROMPT_CHARS:
        raise PermanentError(f"{option.name} {str(value)[:40]!r}: give a text")
    return value


def read_inputs(request: DrawRequest) -> tuple[DecodedImage, ...]:
    """Return the request's images, decoded safely. Raises PermanentError."""
    pictures = []
    for number, data in enumerate(request.images, 1):
        try:
            pictures.append(decode(data))
        except BadImageError as error:
            raise PermanentError(f"input image {number} cannot be used: {error}") from error
    return tuple(pictures)


def read_mask(data: bytes, size: tuple[int, int]) -> Image.Image:
    """Return the mask in mode L, white = repaint, of exactly that size.

    Raises PermanentError: not a PNG, another size, or nothing white in it.
    """
    try:
        mask = decode(data).pixels.convert("L")
    except BadImageError as error:
        raise PermanentError(f"the mask cannot be used: {error}") from error
    if mask.size != size:
        raise PermanentError(
            f"the mask is {mask.width} × {mask.height} px and its image {size[0]} × {size[1]}: "
            "they must be of one size"
        )
    if not mask.getbbox():
        raise PermanentError("the mask is black all over: paint white what is to be redrawn")
    return mask


def encode_png(image: Image.Image, *, compress_level: int = 1) -> bytes:
    """Return PNG bytes without metadata; compressed lightly, for speed."""
    buffer = io.BytesIO()
    clean = image.copy()
    clean.info.clear()
    clean.save(buffer, "PNG", compress_level=compress_level)
    return buffer.getvalue()


def listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)
