"""An order in, pictures out, by whatever kind of model it is. For workers only."""

from __future__ import annotations

from synthreview.generation.generators.base import OnStep
from synthreview.generation.generators.diffusers import embeddings, usual
from synthreview.generation.generators.diffusers.families import KANDINSKY, KARLO
from synthreview.generation.generators.diffusers.order import Order
from synthreview.generation.generators.diffusers.pipelines import LoadedModel
from synthreview.generation.generators.diffusers.sampling import Drawn, Steps, pasted

DRAW_WITH = {KANDINSKY: embeddings.draw_kandinsky, KARLO: embeddings.draw_karlo}


def draw(model: LoadedModel, order: Order, on_step: OnStep) -> Drawn:
    """Draw an order; return its pictures, and what is worth knowing of how they were made.

    Raises StoppedError, RefusedError, PermanentError, and what torch and diffusers raise.
    """
    steps = Steps(on_step)
    draw_with = DRAW_WITH.get(model.setup.family.name, usual.draw)
    pictures, facts = draw_with(model, order, steps)
    if order.mask is not None:
        pictures = [pasted(order.pictures[0], order.mask, picture) for picture in pictures]
    chosen = {name: order.options.get(name) for name in ("guidance", "scheduler")}
    used = {name: value for name, value in chosen.items() if value is not None}
    return pictures, {**facts, "steps": steps.done, **used}
