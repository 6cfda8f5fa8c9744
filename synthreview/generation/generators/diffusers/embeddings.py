"""Kandinsky 2.2 and Karlo: a prior draws an image embedding, a decoder the picture of it.

So two pictures are fused by mixing their embeddings, as DALL·E 2 did. For workers only.
"""

from __future__ import annotations

from typing import Any

import torch

from synthreview.generation.generators.base import FUSION, INPAINT, TEXT, VARIATION
from synthreview.generation.generators.diffusers import families
from synthreview.generation.generators.diffusers.order import STRENGTH, Order
from synthreview.generation.generators.diffusers.pipelines import LoadedModel
from synthreview.generation.generators.diffusers.sampling import (
    BY_INPAINT,
    BY_TEXT,
    Drawn,
    Facts,
    Steps,
    chance,
    fitted,
    given,
    masked,
    pictures_of,
    square,
    strength_of,
)

KANDINSKY_ARGUMENTS = {"steps": "num_inference_steps", "guidance": "guidance_scale"}
KARLO_ARGUMENTS = {"steps": "decoder_num_inference_steps", "guidance": "decoder_guidance_scale"}


def draw_kandinsky(model: LoadedModel, order: Order, steps: Steps) -> Drawn:
    """Draw by Kandinsky 2.2's prior and decoder."""
    assert model.prior is not None
    prior = steps.watch(model.prior)
    redraws = order.options.get("variation_by") == STRENGTH
    mixes = order.capability == FUSION or (order.capability == VARIATION and not redraws)
    embeddings, facts = _mixed(prior, order) if mixes else _worded(prior, order)
    kind = TEXT if mixes else order.capability
    pipeline = model.pipeline(kind)
    inputs: dict[str, Any] = square(order)
    if kind != TEXT:
        picture = fitted(order.pictures[0], order.size_px, model.setup.family.multiple_px)
        inputs = {"width": picture.width, "height": picture.height}
        inputs["image"] = [picture] * order.count  # one for each embedding
    if kind == VARIATION:
        inputs["strength"] = strength_of(pipeline, order)
        facts = {"by": families.BY_STRENGTH, "strength": inputs["strength"]}
    elif kind == INPAINT:
        inputs["mask_image"] = [masked(order, picture.size)] * order.count
        facts = {"by": BY_INPAINT}
    answer = steps.watch(pipeline)(
        **embeddings,
        **inputs,
        **given(order.options, KANDINSKY_ARGUMENTS),
        generator=chance(order.seeds),
        output_type="np",
    )
    pictures, safety = pictures_of(answer)
    return pictures, {**facts, **safety}


def _worded(prior: Any, order: Order) -> tuple[dict[str, Any], Facts]:
    """Return the caption's embeddings, one by one: what a seed gives hangs on no batch."""
    negative = order.negative_prompt or None
    drawn = [
        prior(order.prompt, negative_prompt=negative, generator=generator)
        for generator in chance(order.seeds)
    ]
    return _stacked(drawn), {"by": BY_TEXT}


def _mixed(prior: Any, order: Order) -> tuple[dict[str, Any], Facts]:
    """Return the embeddings of one or two pictures, mixed with the caption's."""
    fuses = order.capability == FUSION
    balance = float(order.options["balance"])
    caption = float(order.options["caption_share"]) if order.prompt else 0.0
    shares = [1 - balance, balance] if fuses else [1.0]
    weights = [share * (1 - caption) for share in shares]
    sources: list[Any] = list(order.pictures)
    if caption:
        sources, weights = [*sources, order.prompt], [*weights, caption]
    drawn = [
        prior.interpolate(
            sources, weights, negative_prompt=order.negative_prompt, generator=generator
        )
        for generator in chance(order.seeds)
    ]
    if fuses:
        how = {"by": families.BY_MIXED_EMBEDDING, "balance": balance}
    else:
        how = {"by": families.BY_EMBEDDING}
    return _stacked(drawn), {**how, "caption_share": caption}


def _stacked(drawn: list[Any]) -> dict[str, Any]:
    """Return the embeddings of several answers of the prior as one batch."""
    return {
        name: torch.cat([getattr(answer, name) for answer in drawn])
        for name in ("image_embeds", "negative_image_embeds")
    }


def draw_karlo(model: LoadedModel, order: Order, steps: Steps) -> Drawn:
    """Draw by Karlo: a prior, a decoder and two upscalers."""
    arguments = {
        **given(order.options, KARLO_ARGUMENTS),
        "generator": chance(order.seeds),
        "num_images_per_prompt": order.count,
        "output_type": "np",
    }
    pipeline = steps.watch(
        model.pipeline(order.capability if order.capability == TEXT else VARIATION)
    )
    facts: Facts
    if order.capability == TEXT:
        answer, facts = pipeline(order.prompt, **arguments), {"by": BY_TEXT}
    elif order.capability == VARIATION:
        answer, facts = pipeline(order.pictures[0], **arguments), {"by": families.BY_EMBEDDING}
    else:
        balance = float(order.options["balance"])
        first, second = (_embedding(pipeline, picture) for picture in order.pictures)
        mixed = slerp(first, second, balance)
        answer = pipeline(image_embeddings=mixed, **arguments)
        facts = {"by": families.BY_MIXED_EMBEDDING, "balance": balance}
    pictures, safety = pictures_of(answer)
    return pictures, {**facts, **safety}


def _embedding(pipeline: Any, picture: Any) -> torch.Tensor:
    encoder = pipeline.image_encoder
    pixels = pipeline.feature_extractor(images=picture, return_tensors="pt").pixel_values
    with torch.no_grad():
        found: torch.Tensor = encoder(pixels.to(encoder.device, encoder.dtype)).image_embeds
    return found


def slerp(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """Return the point at `share` of the way from `first` (1, D) to `second`, along the sphere.

    Lengths are mixed evenly. Source: DALL·E 2 (Ramesh et al. 2022), section 3.2.
    """
    a, b = first.float(), second.float()
    long_a, long_b = a.norm(), b.norm()
    a, b = a / long_a, b / long_b
    angle = torch.arccos((a * b).sum().clamp(-1, 1))
    if angle < 1e-4:
        mixed = a
    else:
        mixed = (((1 - share) * angle).sin() * a + (share * angle).sin() * b) / angle.sin()
    found: torch.Tensor = mixed * ((1 - share) * long_a + share * long_b)
    return found.to(first.dtype)
