"""Which split an image belongs to: by its family, so that no family is ever parted.

Stable under growth: a family's split depends on its own name alone, so that an image keeps
its split when the dataset grows. Shares are therefore met on average, not to the image.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping

SPLITS = ("train", "validation", "test")


def parse_ratio(text: str) -> dict[str, float]:
    """Return shares of "80/10/10" (train/validation/test), adding up to 1.

    Raises ValueError with what is wrong and an example.
    """
    try:
        numbers = [float(part) for part in text.split("/")]
    except ValueError:
        raise ValueError(f"{text!r} is no ratio; write for example 80/10/10.") from None
    if len(numbers) > len(SPLITS) or min(numbers) < 0 or not 0 < sum(numbers) < float("inf"):
        raise ValueError(
            f"{text!r}: give up to three shares of train/validation/test, for example 80/10/10."
        )
    shares = dict(zip(SPLITS, numbers, strict=False))
    return {split: share / sum(numbers) for split, share in shares.items() if share > 0}


def ratio_text(shares: Mapping[str, float]) -> str:
    """Return shares in words: "train 80 %, test 20 %"; a database may have mixed their order."""
    return ", ".join(f"{split} {shares[split]:.0%}" for split in SPLITS if split in shares)


def split_of(family: uuid.UUID, shares: Mapping[str, float]) -> str:
    """Return the split of a family, by a number in 0..1 that only the family decides."""
    digest = hashlib.sha256(family.bytes).digest()
    number = int.from_bytes(digest[:8], "big") / 2**64
    reached = 0.0
    asked = [split for split in SPLITS if split in shares]  # a database may have mixed their order
    for split in asked:
        reached += shares[split]
        if number < reached:
            return split
    return asked[-1]  # rounding left a crumb above the last bound
