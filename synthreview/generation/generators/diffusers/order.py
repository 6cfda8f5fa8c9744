"""One request, checked against what the model can do and made ready to be drawn; no torch."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image

from synthreview.generation.generators.base import Capabilities, DrawRequest
from synthreview.generation.generators.checking import (
    MAX_SEED,
    check_request,
    read_inputs,
    read_mask,
)

# Ways in which a variation is made; the values of an option.
STRENGTH: Final = "strength"
IP_ADAPTER: Final = "ip-adapter"
EMBEDDING: Final = "embedding"
EDIT: Final = "edit"


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be drawn. `seeds` has one seed per image; options that nobody set are None.

    `mask` is white where the picture is painted anew and black elsewhere, of its size.
    """

    capability: str
    prompt: str
    negative_prompt: str
    size_px: int
    seeds: tuple[int, ...]
    pictures: tuple[Image.Image, ...]
    mask: Image.Image | None
    options: Mapping[str, Any]

    @property
    def count(self) -> int:
        return len(self.seeds)


def order_of(request: DrawRequest, can: Capabilities, title: str) -> Order:
    """Return the request as an order. Raises PermanentError; its message says what is allowed."""
    options = check_request(request, can, title)
    pictures = tuple(picture.pixels for picture in read_inputs(request))
    mask = None if request.mask is None else read_mask(request.mask, pictures[0].size)
    first = random.SystemRandom().randrange(2**32) if request.seed is None else request.seed
    return Order(
        capability=request.capability,
        prompt=request.prompt,
        negative_prompt=request.negative_prompt,
        size_px=request.size_px,
        seeds=tuple((first + i) & MAX_SEED for i in range(request.count)),
        pictures=pictures,
        # diffusers knows no half: what is grey is kept or painted, as it falls to it there.
        mask=mask and mask.point(lambda value: 255 if value > 127 else 0),
        options=options,
    )
