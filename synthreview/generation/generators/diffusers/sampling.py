"""What all techniques share: steps that are watched, seeds, sizes, pictures in and out.

Imports torch: for workers only.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch
from PIL import Image

from synthreview.generation.generators.base import INPAINT, OnStep
from synthreview.generation.generators.diffusers.options import INPAINT_STRENGTH, VARIATION_STRENGTH
from synthreview.generation.generators.diffusers.order import Order
from synthreview.lib.outcomes import PermanentError, RefusedError, StoppedError

Facts = dict[str, Any]
Drawn = tuple[list[Image.Image], Facts]
BY_TEXT: Final = "text to image"
BY_INPAINT: Final = "inpainting; outside the mask the picture is its source, to the pixel"


class Steps:
    """Stands where pipelines have their progress bar: counts, and breaks off when told to."""

    def __init__(self, on_step: OnStep) -> None:
        self._on_step = on_step
        self.done = self.total = 0

    def watch(self, pipeline: Any) -> Any:
        """Let the pipeline report here; all of them have this bar, and not all have callbacks."""
        pipeline.progress_bar = self._bar
        return pipeline

    def _bar(self, iterable: Sequence[Any] | None = None, total: int | None = None) -> Bar:
        items = () if iterable is None else iterable  # a tensor is neither true nor false
        self.total = self.done + (len(items) if total is None else total)
        return Bar(self._step, items)

    def _step(self, count: int = 1) -> None:
        self.done += count
        self.total = max(self.total, self.done)
        if not self._on_step(self.done, self.total):
            raise StoppedError(f"Stopped after step {self.done} of {self.total}.")


class Bar:
    """As much of a tqdm as pipelines use."""

    def __init__(self, update: Callable[..., None], iterable: Iterable[Any]) -> None:
        self.update = update
        self._iterable = iterable

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        for item in self._iterable:
            yield item
            self.update()


def chance(seeds: Iterable[int]) -> list[torch.Generator]:
    """Return one source of chance per image; on the CPU, so that devices draw alike."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def default_of(pipeline: Any, argument: str) -> Any:
    """Return what a pipeline takes for an argument that nobody gave."""
    return inspect.signature(type(pipeline).__call__).parameters[argument].default


def strength_of(pipeline: Any, order: Order) -> float:
    """Return the strength of an order. Raises PermanentError where no step would be left."""
    usual = INPAINT_STRENGTH if order.capability == INPAINT else VARIATION_STRENGTH
    strength = float(order.options.get("strength") or usual)
    steps = int(order.options.get("steps") or default_of(pipeline, "num_inference_steps"))
    if int(steps * strength) < 1:
        raise PermanentError(
            f"{steps} steps at strength {strength:g} leave none to draw: their product must "
            "be 1 or more."
        )
    return strength


def square(order: Order) -> dict[str, int]:
    """Return the size of a picture that comes from none."""
    return {"width": order.size_px, "height": order.size_px}


def fitted(picture: Image.Image, long_side_px: int, multiple: int) -> Image.Image:
    """Return the picture at that size and its own shape, sides rounded to the multiple."""
    scale = long_side_px / max(picture.size)
    width, height = (
        max(multiple, round(side * scale / multiple) * multiple) for side in picture.size
    )
    if (width, height) == picture.size:
        return picture
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def masked(order: Order, size: tuple[int, int]) -> Image.Image:
    """Return the mask of an order at the size of what is drawn."""
    assert order.mask is not None
    return order.mask.resize(size, Image.Resampling.NEAREST)


def pasted(source: Image.Image, mask: Image.Image, drawn: Image.Image) -> Image.Image:
    """Return the source, with what was drawn where the mask is white and nowhere else."""
    if drawn.size != source.size:
        drawn = drawn.resize(source.size, Image.Resampling.LANCZOS)
    return Image.composite(drawn, source, mask)


def pictures_of(answer: Any) -> tuple[list[Image.Image], Facts]:
    """Return a pipeline's pictures. Raises RefusedError (its safety checker), PermanentError."""
    values = np.asarray(answer.images, dtype=np.float32)
    if not np.isfinite(values).all():
        raise PermanentError(
            "The numbers overflowed and the picture is lost: this model needs `precision` full."
        )
    flagged = getattr(answer, "nsfw_content_detected", None)
    if flagged and any(flagged):
        raise RefusedError(
            f"The model's own safety checker blacked out {sum(flagged)} of {len(flagged)} images. "
            "Another seed or caption may pass."
        )
    pixels = (values * 255).round().clip(0, 255).astype(np.uint8)
    safety = "passed the model's checker" if flagged is not None else "not checked by the model"
    return [Image.fromarray(each) for each in pixels], {"safety": safety}


def given(options: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Return those options that were set, under the names that a pipeline has for them."""
    found = {argument: options.get(name) for name, argument in names.items()}
    return {argument: value for argument, value in found.items() if value is not None}
