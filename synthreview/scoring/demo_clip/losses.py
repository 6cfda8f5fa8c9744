"""What the training minimises: texts must fit exactly the pictures of which they are true.

Labels are known, so that a text is right for a picture when nothing it states is
wrong, whichever picture it was written for (several positives per row).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .captions import NAMES, SLOTS, UNKNOWN, Text
from .pictures import FREE, UNJUDGED, Truths

_FREE_WEIGHT = 0.1  # a hidden colour fits all eleven names: it must not outweigh the seen ones
_SILENT, _FOREIGN = -8, -9


def fits(truths: Truths, texts: Sequence[Text]) -> tuple[Tensor, Tensor]:
    """Return whether each text is true of each picture, and how much that counts.

    Args:
        truths: (N, 5), see `pictures.Pictures`.
    Returns:
        (N, T) booleans, and (N, T) weights: 0 where it cannot be told.
    """
    wrong = np.zeros((len(truths), len(texts)), dtype=bool)
    unclear, free = wrong.copy(), wrong.copy()
    for k, slot in enumerate(SLOTS):
        stated = np.array([_stated(text, slot) for text in texts])[None]
        seen = truths[:, k : k + 1]
        says = stated != _SILENT
        hidden = (seen == UNJUDGED) & (stated != _FOREIGN)
        if slot == "object":
            hidden |= stated == np.where(truths[:, -1:] < 0, UNJUDGED, truths[:, -1:])
        unclear |= says & hidden
        free |= says & (seen == FREE)
        wrong |= says & ~hidden & (seen != FREE) & (seen != stated)
    weights = np.where(wrong, 1.0, np.where(unclear, 0.0, np.where(free, _FREE_WEIGHT, 1.0)))
    return torch.from_numpy(~wrong), torch.from_numpy(weights).float()


def match_loss(logits: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """Return the sigmoid loss (SigLIP, Zhai et al. 2023), right and wrong pairs weighing alike."""
    each = functional.binary_cross_entropy_with_logits(logits, right.float(), reduction="none")
    positive, negative = weights * right, weights * ~right
    return 0.5 * (_mean(each, positive) + _mean(each, negative))


def contrast_loss(logits: Tensor, right: Tensor, weights: Tensor) -> Tensor:
    """Return InfoNCE with several positives, picture to text and text to picture."""
    open_logits = logits.masked_fill(weights == 0, -1e4)
    true_logits = open_logits.masked_fill(~right, -1e4)
    counted = right & (weights > 0)
    losses = []
    for axis in (0, 1):
        has_any = counted.any(dim=axis)
        loss = torch.logsumexp(open_logits, dim=axis) - torch.logsumexp(true_logits, dim=axis)
        losses.append(loss[has_any].mean() if has_any.any() else loss.sum() * 0)
    return 0.5 * (losses[0] + losses[1])


def class_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Return the cross-entropy over a slot's names, of the pictures that show one."""
    seen = truth >= 0
    return functional.cross_entropy(logits[seen], truth[seen]) if seen.any() else logits.sum() * 0


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1e-6)


def _stated(text: Text, slot: str) -> int:
    name = text.stated(slot)
    if name is None:
        return _SILENT
    return _FOREIGN if name == UNKNOWN else NAMES[slot].index(name)
