"""The kinds of model that diffusers can draw with here, and what each can be asked for.

A folder's `model_index.json` names a pipeline class; the class names the family. This is
known without torch, because pages ask it too; a test compares it with diffusers' own
AutoPipeline tables and the signatures of their pipelines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from synthreview.generation.generators.base import FUSION, INPAINT, TEXT, VARIATION

# How a capability is done, where the model was not made for it; shown before a run.
BY_STRENGTH: Final = "image to image: noise is laid over the picture and drawn away again"
BY_EDIT: Final = "an edit of one picture by the caption"
BY_TWO_EDIT: Final = "an edit with both pictures as input"
BY_IP_ADAPTER: Final = "IP-Adapter: the picture's CLIP embedding stands beside the caption"
BY_TWO_IP_ADAPTER: Final = "IP-Adapter: both pictures' CLIP embeddings stand beside the caption"
BY_EMBEDDING: Final = "the picture's CLIP image embedding, drawn anew"
BY_MIXED_EMBEDDING: Final = "interpolation of the two pictures' CLIP image embeddings"

ALL_OF_IMAGES: Final = frozenset({TEXT, VARIATION, INPAINT})


@dataclass(frozen=True, slots=True)
class Family:
    """One kind of model.

    classes: the pipelines of model_index.json, all over the same kind of weights.
    edits: pictures go in as references for an instruction, without a strength.
    guidance: the pipeline's argument for it.
    has_schedulers: the scheduler may be exchanged for another of SCHEDULERS.
    half: the type of 16 bits with which it was trained and does not overflow.
    multiple_px: sides are multiples of that.
    """

    name: str
    title: str
    classes: tuple[str, ...]
    able: frozenset[str]
    takes_negative_prompt: bool = True
    guidance: str = "guidance_scale"
    edits: bool = False
    has_schedulers: bool = False
    half: str = "bfloat16"
    multiple_px: int = 16


def _named(stem: str, *kinds: str) -> tuple[str, ...]:
    return tuple(f"{stem}{kind}Pipeline" for kind in kinds)


KANDINSKY: Final = "kandinsky22"
KARLO: Final = "unclip"
FAMILIES: Final = (
    Family(
        "stable-diffusion",
        "Stable Diffusion",
        _named("StableDiffusion", "", "Img2Img", "Inpaint"),
        ALL_OF_IMAGES,
        has_schedulers=True,
        half="float16",
        multiple_px=8,
    ),
    Family(
        "stable-diffusion-xl",
        "Stable Diffusion XL",
        _named("StableDiffusionXL", "", "Img2Img", "Inpaint"),
        ALL_OF_IMAGES,
        has_schedulers=True,
        half="float16",
        multiple_px=8,
    ),
    Family(
        "stable-diffusion-3",
        "Stable Diffusion 3",
        _named("StableDiffusion3", "", "Img2Img", "Inpaint"),
        ALL_OF_IMAGES,
    ),
    Family(
        "lcm",
        "Latent consistency",
        _named("LatentConsistencyModel", "", "Img2Img"),
        frozenset({TEXT, VARIATION}),
        takes_negative_prompt=False,
        half="float16",
        multiple_px=8,
    ),
    Family(
        "flux",
        "Flux",
        _named("Flux", "", "Img2Img", "Inpaint"),
        ALL_OF_IMAGES,
        takes_negative_prompt=False,
    ),
    Family(
        "flux2-klein",
        "Flux 2 klein",
        _named("Flux2Klein", ""),
        frozenset({TEXT, VARIATION, FUSION}),
        takes_negative_prompt=False,
        edits=True,
    ),
    Family(
        "flux2",
        "Flux 2",
        _named("Flux2", ""),
        frozenset({TEXT, VARIATION, FUSION}),
        takes_negative_prompt=False,
        edits=True,
    ),
    Family(
        "qwenimage",
        "Qwen-Image",
        _named("QwenImage", "", "Img2Img", "Inpaint"),
        ALL_OF_IMAGES,
        guidance="true_cfg_scale",
    ),
    Family("z-image", "Z-Image", _named("ZImage", "", "Img2Img", "Inpaint"), ALL_OF_IMAGES),
    Family(
        KANDINSKY,
        "Kandinsky 2.2",
        _named("KandinskyV22", "", "Img2Img", "Inpaint"),
        frozenset({TEXT, VARIATION, FUSION}),
        half="float16",
        multiple_px=64,
    ),
    Family(
        "kandinsky3",
        "Kandinsky 3",
        _named("Kandinsky3", "", "Img2Img"),
        frozenset({TEXT, VARIATION}),
        half="float16",
        multiple_px=64,
    ),
    Family("pixart-alpha", "PixArt Alpha", _named("PixArtAlpha", ""), frozenset({TEXT})),
    Family("pixart-sigma", "PixArt Sigma", _named("PixArtSigma", ""), frozenset({TEXT})),
    Family("sana", "Sana", _named("Sana", ""), frozenset({TEXT}), multiple_px=32),
    Family("chroma", "Chroma", _named("Chroma", ""), frozenset({TEXT})),
    Family(
        KARLO,
        "Karlo (unCLIP)",
        _named("UnCLIP", "", "ImageVariation"),
        frozenset({TEXT, VARIATION, FUSION}),
        takes_negative_prompt=False,
        guidance="decoder_guidance_scale",
        half="float16",
    ),
)
FAMILY_OF: Final = {name: family for family in FAMILIES for name in family.classes}
# IP-Adapter takes several pictures at once on these.
WITH_IP_ADAPTER: Final = frozenset({"stable-diffusion", "stable-diffusion-xl"})

# Schedulers by the names that people use, for the families that can exchange theirs.
SCHEDULERS: Final[dict[str, tuple[str, dict[str, object]]]] = {
    "ddim": ("DDIMScheduler", {}),
    "dpm++-2m": ("DPMSolverMultistepScheduler", {}),
    "dpm++-2m-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
