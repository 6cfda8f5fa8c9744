"""What differs between kinds of servers that speak the OpenAI images protocol: one table.

Read in each server's own documentation and source in November 2026. No model name stands
here: models end, and are configuration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from synthreview.generation.generators.base import FUSION, INPAINT, TEXT, VARIATION, Option


class Where(StrEnum):
    """Where a server wants a seed or a negative prompt."""

    NOWHERE = "it takes none"
    FIELD = "a field of its own"
    SD_CPP = "in the prompt, as stable-diffusion.cpp's extra arguments"
    AFTER_BAR = "in the prompt, behind a bar"


class Mask(StrEnum):
    """What a server takes as a mask; ours is white where to repaint."""

    TRANSPARENT = "transparent where to repaint"
    WHITE = "white where to repaint"
    PASTED = "it reads none: the whole picture is edited, and we keep the masked part of that"


class Route(StrEnum):
    """How a server is asked for a variation."""

    EDIT = "images.edit with one image"
    VARIATIONS = "images.create_variation"
    FILE = "images.generate with the image in the field `file`"


STEPS = Option("steps", "Steps", "number", least=1, most=200, help="More steps, more time.")
GUIDANCE = Option(
    "guidance", "Guidance", "number", least=0, most=20, help="How closely the prompt is kept to."
)
STRENGTH = Option(
    "strength", "Strength", "number", least=0, most=1, help="How far it may leave its source."
)
QUALITY = Option(
    "quality",
    "Quality",
    "choice",
    default="auto",
    choices=("auto", "low", "medium", "high", "xhigh", "max"),
    help="Costs more, the higher; which of them a model takes, its provider says.",
)

_EDITS = {
    VARIATION: "an edit of one image by the instruction",
    FUSION: "an edit of two images by an instruction",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """One kind of server.

    `sizes_px` are what is offered; `step_px` above 0 says that any size in such steps is
    taken, so that an inpainted picture keeps its own. `option_fields` names the server's field
    of each option. `seeds_count_up`: image i of a call has the seed of the call plus i; where
    it does not, a call asks for one image, or no image could be repeated.
    """

    title: str
    able: frozenset[str] = frozenset({TEXT, VARIATION, FUSION, INPAINT})
    emulated: Mapping[str, str] = field(default_factory=lambda: _EDITS)
    sizes_px: tuple[int, ...] = (256, 512, 768, 1024)
    step_px: int = 16
    images_per_call: int = 1
    is_paid: bool = False
    sends_model: bool = True
    response_format: str = "b64_json"
    fields: Mapping[str, str] = field(default_factory=dict)  # sent with every request
    seed: Where = Where.NOWHERE
    seeds_count_up: bool = False
    negative: Where = Where.NOWHERE
    variation: Route = Route.EDIT
    mask: Mask = Mask.WHITE
    mask_field: str = "mask"
    inpaint_path: str = ""
    squares_only: bool = False
    options: tuple[Option, ...] = ()
    option_fields: Mapping[str, str] = field(default_factory=dict)
    cost_header: str = ""
    has_batches: bool = False


PROFILES: dict[str, Profile] = {
    "openai": Profile(
        "OpenAI",
        sizes_px=(1024, 1536),
        images_per_call=10,
        is_paid=True,
        response_format="",  # refused by its models, which always send base64
        mask=Mask.TRANSPARENT,
        options=(QUALITY,),
        option_fields={"quality": "quality"},
        has_batches=True,
    ),
    "dall-e-2": Profile(
        "OpenAI's first images API, where a server still has it",
        able=frozenset({TEXT, VARIATION, INPAINT}),
        emulated={},
        sizes_px=(256, 512, 1024),
        step_px=0,
        images_per_call=10,
        is_paid=True,
        variation=Route.VARIATIONS,
        mask=Mask.TRANSPARENT,
        squares_only=True,
    ),
    "vllm-omni": Profile(
        "vLLM-Omni",
        fields={"output_format": "png"},  # else its edits are JPEG
        seed=Where.FIELD,
        negative=Where.FIELD,
        mask_field="mask_image",
        options=(STEPS, GUIDANCE),
        option_fields={"steps": "num_inference_steps", "guidance": "guidance_scale"},
    ),
    "sglang": Profile(
        "SGLang",
        fields={"output_format": "png"},
        emulated={
            **_EDITS,
            INPAINT: "an edit of the whole picture, of which only the masked part is kept",
        },
        seed=Where.FIELD,
        negative=Where.FIELD,
        mask=Mask.PASTED,
        options=(STEPS, GUIDANCE),
        option_fields={"steps": "num_inference_steps", "guidance": "guidance_scale"},
    ),
    "sd-server": Profile(
        "stable-diffusion.cpp",
        images_per_call=4,
        sends_model=False,
        response_format="",
        seed=Where.SD_CPP,
        seeds_count_up=True,
        negative=Where.SD_CPP,
        options=(STEPS, GUIDANCE, STRENGTH),
        option_fields={"steps": "sample_steps", "guidance": "txt_cfg", "strength": "strength"},
    ),
    "litellm": Profile(
        "LiteLLM",
        images_per_call=4,
        is_paid=True,
        response_format="",
        mask=Mask.TRANSPARENT,
        options=(QUALITY,),
        option_fields={"quality": "quality"},
        cost_header="x-litellm-response-cost",
    ),
    "localai": Profile(
        "LocalAI",
        able=frozenset({TEXT, VARIATION, INPAINT}),
        emulated={VARIATION: "image to image: the source is the beginning of the drawing"},
        seed=Where.FIELD,
        negative=Where.AFTER_BAR,
        variation=Route.FILE,
        inpaint_path="/images/inpainting",
        options=(STEPS,),
        option_fields={"steps": "step"},
    ),
}
