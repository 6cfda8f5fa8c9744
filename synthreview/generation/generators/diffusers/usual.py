"""Techniques of Stable Diffusion, Flux and their like, by AutoPipeline. For workers only."""

from __future__ import annotations

import inspect
from typing import Any

from synthreview.generation.generators.base import FUSION, TEXT, VARIATION
from synthreview.generation.generators.diffusers import families
from synthreview.generation.generators.diffusers.order import IP_ADAPTER, Order
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


def draw(model: LoadedModel, order: Order, steps: Steps) -> Drawn:
    """Draw by the pipeline that the technique asks for."""
    if model.setup.family.edits:
        return _edited(model, order, steps)
    if order.capability == FUSION or (
        order.capability == VARIATION and order.options.get("variation_by") == IP_ADAPTER
    ):
        return _by_ip_adapter(model, order, steps)
    model.without_ip_adapter()
    pipeline = model.pipeline(order.capability, scheduler=order.options.get("scheduler"))
    inputs, facts = _inputs(pipeline, order, model.setup.family.multiple_px)
    return _drawn(steps.watch(pipeline), order, model, inputs, facts)


def _inputs(pipeline: Any, order: Order, multiple: int) -> tuple[dict[str, Any], Facts]:
    """Return what goes in beside the caption."""
    if order.capability == TEXT:
        return square(order), {"by": BY_TEXT}
    picture = fitted(order.pictures[0], order.size_px, multiple)
    strength = strength_of(pipeline, order)
    inputs = {
        # One for each image: otherwise what a seed gives would hang on its place in the batch.
        "image": [picture] * order.count,
        "strength": strength,
        "width": picture.width,
        "height": picture.height,
    }
    if order.capability == VARIATION:
        return inputs, {"by": families.BY_STRENGTH, "strength": strength}
    inputs["mask_image"] = [masked(order, picture.size)] * order.count
    return inputs, {"by": BY_INPAINT, "strength": strength}


def _by_ip_adapter(model: LoadedModel, order: Order, steps: Steps) -> Drawn:
    """Draw a caption with the embeddings of one or two pictures beside it."""
    weight = float(order.options["image_weight"])
    pipeline = model.pipeline(TEXT, scheduler=order.options.get("scheduler"))
    model.with_ip_adapter(pipeline, weight)
    fuses = order.capability == FUSION
    by = families.BY_TWO_IP_ADAPTER if fuses else families.BY_IP_ADAPTER
    inputs = {**square(order), "ip_adapter_image": [list(order.pictures)]}
    facts = {"by": by, "image_weight": weight}
    return _drawn(steps.watch(pipeline), order, model, inputs, facts)


def _edited(model: LoadedModel, order: Order, steps: Steps) -> Drawn:
    """Draw with a model that takes pictures as references for an instruction."""
    by = {TEXT: BY_TEXT, VARIATION: families.BY_EDIT, FUSION: families.BY_TWO_EDIT}
    multiple = model.setup.family.multiple_px
    references = [fitted(picture, order.size_px, multiple) for picture in order.pictures]
    pipeline = steps.watch(model.pipeline(TEXT))
    inputs = {**square(order), "image": references or None}
    return _drawn(pipeline, order, model, inputs, {"by": by[order.capability]})


def _drawn(
    pipeline: Any, order: Order, model: LoadedModel, inputs: dict[str, Any], facts: Facts
) -> Drawn:
    """Call a pipeline and return what came of it."""
    family = model.setup.family
    taken = inspect.signature(type(pipeline).__call__).parameters
    # Stable Diffusion's image to image takes its size from the picture alone.
    inputs = {name: value for name, value in inputs.items() if name in taken}
    if family.takes_negative_prompt and order.negative_prompt:
        inputs["negative_prompt"] = [order.negative_prompt] * order.count
    inputs |= given(order.options, {"steps": "num_inference_steps", "guidance": family.guidance})
    answer = pipeline(
        **inputs,
        prompt=[order.prompt] * order.count,
        generator=chance(order.seeds),
        output_type="np",
    )
    pictures, safety = pictures_of(answer)
    return pictures, {**facts, **safety}
