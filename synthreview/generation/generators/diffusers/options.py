"""What a run may set for a local model; pages and commands make their fields of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from synthreview.generation.generators.base import FUSION, INPAINT, Option
from synthreview.generation.generators.diffusers.families import KANDINSKY, SCHEDULERS
from synthreview.generation.generators.diffusers.order import EMBEDDING, STRENGTH
from synthreview.generation.generators.diffusers.setups import Setup

VARIATION_STRENGTH: Final = 0.6
INPAINT_STRENGTH: Final = 1.0

STEPS: Final = Option(
    "steps",
    "Steps",
    "number",
    least=1,
    most=200,
    help="More take longer. Empty: as many as the model's makers chose.",
)
GUIDANCE: Final = Option(
    "guidance",
    "Guidance",
    "number",
    least=0,
    most=30,
    help="How closely to keep to the caption. Turbo and distilled models take 0 or 1.",
)
SCHEDULER: Final = Option(
    "scheduler",
    "Scheduler",
    "choice",
    choices=tuple(SCHEDULERS),
    help="Empty: the model's own.",
)
VARIATION_BY: Final = Option(
    "variation_by",
    "Variations by",
    "choice",
    help="strength: draw the picture over; embedding, ip-adapter: draw what its embedding says.",
)
STRENGTH_OPTION: Final = Option(
    "strength",
    "Strength",
    "number",
    least=0.05,
    most=1,
    help="How far to leave the picture: near 0 keeps it, 1 draws anew. Empty: "
    f"{VARIATION_STRENGTH} for variations, {INPAINT_STRENGTH:g} for what is painted over.",
)
IMAGE_WEIGHT: Final = Option(
    "image_weight",
    "Weight of the pictures",
    "number",
    default=0.7,
    least=0,
    most=1.5,
    help="Of the pictures beside the caption, with IP-Adapter.",
)
BALANCE: Final = Option(
    "balance",
    "Share of the second picture",
    "number",
    default=0.5,
    least=0,
    most=1,
    help="0: the first picture alone; 1: the second alone.",
)
CAPTION_SHARE: Final = Option(
    "caption_share",
    "Share of the caption",
    "number",
    default=0.2,
    least=0,
    most=1,
    help="How much the caption counts beside the pictures.",
)


def options_of(setup: Setup, defaults: Mapping[str, Any]) -> tuple[Option, ...]:
    """Return the settings that a run may give this model; `defaults` by an option's name."""
    family, ways = setup.family, setup.variation_ways
    has_strength = STRENGTH in ways or (INPAINT in setup.able and family.name != KANDINSKY)
    mixes = EMBEDDING in ways and FUSION in setup.able
    wanted = {
        STEPS: True,
        GUIDANCE: True,
        SCHEDULER: family.has_schedulers,
        replace(VARIATION_BY, default=next(iter(ways), None), choices=ways): len(ways) > 1,
        STRENGTH_OPTION: has_strength,
        IMAGE_WEIGHT: setup.ip_adapter is not None,
        BALANCE: mixes,
        CAPTION_SHARE: mixes and family.name == KANDINSKY,
    }
    return tuple(
        replace(option, default=defaults.get(option.name, option.default))
        for option, is_offered in wanted.items()
        if is_offered
    )
