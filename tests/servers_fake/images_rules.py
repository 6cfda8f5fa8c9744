"""What each kind of images server takes and refuses: the rules that the fake keeps.

OpenAI's own are the SDK's request types, extra fields forbidden, so they move with the pinned
SDK; what those types cannot say (sizes, transparency, limits) and what the compatible servers
do otherwise is written from their documentation and source (November 2026).
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import pydantic
from openai.types import image_create_variation_params as variation_params
from openai.types import image_edit_params as edit_params
from openai.types import image_generate_params as generate_params
from PIL import Image, ImageOps

Body = dict[str, Any]
Files = dict[str, list[tuple[str, bytes, str]]]  # field -> (file name, bytes, media type)
LEGACY_SIZES = ("256x256", "512x512", "1024x1024")
GENERATIONS, EDITS, VARIATIONS = "generations", "edits", "variations"
INPAINTING, BATCH, DRAW = "inpainting", "batch", "draw"


class RefusalError(Exception):
    """The server does not take the request."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


@dataclass(frozen=True)
class Ask:
    """A request that the server takes: what it is to draw. `mask` is white = repaint."""

    route: str
    prompt: str
    count: int
    size: tuple[int, int]
    seed: int | None = None
    images: list[Image.Image] = field(default_factory=list)
    mask: Image.Image | None = None
    by_url: bool = False


def _checker(params: Any) -> pydantic.TypeAdapter[Any]:
    params.__pydantic_config__ = {"extra": "forbid", "arbitrary_types_allowed": True}
    return pydantic.TypeAdapter(params)


SDK_TYPES = {
    GENERATIONS: _checker(generate_params.ImageGenerateParamsNonStreaming),
    EDITS: _checker(edit_params.ImageEditParamsNonStreaming),
    VARIATIONS: _checker(variation_params.ImageCreateVariationParams),
}


def _checked_by_sdk(route: str, fields: Body, files: Files, more: Mapping[str, type] = {}) -> Body:
    """Return the fields as the SDK's types read them, and those of `more` beside them."""
    extra = {name: fields[name] for name in more if name in fields}
    sent: Body = {name: value for name, value in fields.items() if name not in more}
    for name, given in files.items():
        sent[name.removesuffix("[]")] = given if name.endswith("[]") else given[0]
    try:
        read: Body = SDK_TYPES[route].validate_python(sent)
        # A form knows text only, so numbers are read from it as the types say.
        extra = {
            name: pydantic.TypeAdapter(more[name]).validate_python(extra[name]) for name in extra
        }
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RefusalError(
            400, f"Invalid value: {where}: {first['msg']}", "invalid_value"
        ) from None
    return {**read, **extra}


def opened(data: bytes, what: str = "image") -> Image.Image:
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "JPEG", "WEBP"]) as image:
            image.load()
            return image.copy()
    except (OSError, ValueError):
        raise RefusalError(400, f"Invalid {what} file", "invalid_image_file") from None


def size_of(text: object) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", str(text))
    if not match:
        raise RefusalError(400, f"Invalid size {text!r}", "invalid_value")
    return int(match[1]), int(match[2])


def _count(fields: Body, most: int = 10) -> int:
    count = fields.get("n") or 1
    if not 1 <= count <= most:
        raise RefusalError(400, f"Invalid 'n': {count}; 1 to {most} are taken", "invalid_value")
    return int(count)


def _pictures(files: Files) -> list[Image.Image]:
    return [opened(data) for name in ("image", "image[]") for _, data, _ in files.get(name, [])]


# --- OpenAI -------------------------------------------------------------------------


def openai(route: str, fields: Body, files: Files) -> Ask:
    if route not in (GENERATIONS, EDITS):
        raise RefusalError(404, "The model `x` does not exist or the endpoint is retired", None)
    read = _checked_by_sdk(route, fields, files)
    for legacy in ("response_format", "style"):
        if legacy in read:
            raise RefusalError(400, f"Unknown parameter: '{legacy}'.", "unknown_parameter")
    if len(read["prompt"]) > 32_000:
        raise RefusalError(400, "Prompt too long", "string_above_max_length")
    size = size_of(read.get("size", "1024x1024"))
    is_right = all(side % 16 == 0 and 256 <= side <= 3840 for side in size)
    if not is_right or max(size) > 3 * min(size):
        raise RefusalError(400, f"Invalid size {read['size']}", "invalid_value")
    images = _pictures(files)
    if len(images) > 16:
        raise RefusalError(400, "At most 16 images", "invalid_value")
    for given in files.get("image", []) + files.get("image[]", []):
        if given[2] not in ("image/png", "image/jpeg", "image/webp"):
            raise RefusalError(400, f"unsupported mimetype ('{given[2]}')", "unsupported_file")
    mask = _transparent_mask(files, images)
    return Ask(route, read["prompt"], _count(read), size, None, images, mask)


def _transparent_mask(files: Files, images: list[Image.Image]) -> Image.Image | None:
    if not files.get("mask"):
        return None
    data = files["mask"][0][1]
    mask = opened(data, "mask")
    if mask.format not in (None, "PNG") or not data.startswith(b"\x89PNG"):
        raise RefusalError(400, "The mask must be a PNG", "invalid_image_file")
    if len(data) >= 4_000_000 or mask.mode != "RGBA" or mask.size != images[0].size:
        raise RefusalError(
            400, "Invalid mask: an alpha channel, the image's size and < 4 MB are needed", None
        )
    return ImageOps.invert(mask.getchannel("A"))


def dall_e_2(route: str, fields: Body, files: Files) -> Ask:
    if route not in (GENERATIONS, EDITS, VARIATIONS):
        raise RefusalError(404, "Unknown route", None)
    read = _checked_by_sdk(route, fields, files)
    if read.get("size", "1024x1024") not in LEGACY_SIZES:
        raise RefusalError(400, f"{read['size']} is not one of {LEGACY_SIZES}", None)
    if len(read.get("prompt", "")) > 1000:
        raise RefusalError(400, "Prompt too long", "string_above_max_length")
    images = _pictures(files)
    for name in ("image", "mask"):
        for _, data, media_type in files.get(name, []):
            picture = opened(data)
            if media_type != "image/png" or picture.width != picture.height or len(data) > 4e6:
                raise RefusalError(400, "A square PNG of less than 4 MB is needed", None)
    by_url = read.get("response_format", "url") == "url"
    size = size_of(read.get("size", "1024x1024"))
    mask = _transparent_mask(files, images)
    return Ask(route, read.get("prompt", ""), _count(read), size, None, images, mask, by_url)


def litellm(route: str, fields: Body, files: Files) -> Ask:
    return openai(route, fields, files)


# --- Compatible servers --------------------------------------------------------------

DIFFUSION = {
    "seed": int,
    "negative_prompt": str,
    "num_inference_steps": pydantic.conint(ge=1, le=200),
    "guidance_scale": pydantic.confloat(ge=0, le=20),
}


def vllm_omni(route: str, fields: Body, files: Files) -> Ask:
    if route not in (GENERATIONS, EDITS):
        raise RefusalError(404, "Not Found")
    images = _pictures(files)
    if (route == EDITS) != bool(images):
        raise RefusalError(422, "Field 'image' or 'url' is required")
    standard = {name: given for name, given in files.items() if name != "mask_image"}
    read = _checked_by_sdk(route, fields, standard, DIFFUSION)
    if read.get("response_format", "b64_json") != "b64_json":
        raise RefusalError(422, "Only 'b64_json' response format is supported")
    mask = None
    if "mask_image" in files:
        mask = opened(files["mask_image"][0][1], "mask").convert("L")
    size = size_of(read["size"])
    return Ask(route, read["prompt"], _count(read), size, read.get("seed"), images, mask)


def sglang(route: str, fields: Body, files: Files) -> Ask:
    if route not in (GENERATIONS, EDITS):
        raise RefusalError(404, "Not Found")
    images = _pictures(files)
    if (route == EDITS) != bool(images):
        raise RefusalError(422, "Field 'image' or 'url' is required")
    read = _checked_by_sdk(route, fields, files, DIFFUSION)
    size = size_of(read["size"])
    # Its edits take a mask and do not look at it.
    by_url = read.get("response_format", "b64_json") == "url"
    return Ask(route, read["prompt"], _count(read), size, read.get("seed"), images, by_url=by_url)


EXTRA_ARGS = re.compile(r"<sd_cpp_extra_args>(.*?)</sd_cpp_extra_args>")
SD_CPP_ARGS = {"seed", "negative_prompt", "strength", "sample_params"}


def sd_server(route: str, fields: Body, files: Files) -> Ask:
    if route not in (GENERATIONS, EDITS):
        raise RefusalError(404, "Not Found")
    known = {"prompt", "n", "size", "output_format", "output_compression"}
    if unknown := set(fields) - known:  # the server ignores them, so nobody must send them
        raise RefusalError(400, f"would be ignored: {sorted(unknown)}")
    images = _pictures(files)
    found = EXTRA_ARGS.search(fields.get("prompt", ""))
    arguments = json.loads(found[1]) if found else {}
    if unknown := set(arguments) - SD_CPP_ARGS:
        raise RefusalError(400, f"invalid sd_cpp_extra_args {sorted(unknown)}")
    prompt = EXTRA_ARGS.sub("", fields.get("prompt", "")).strip()
    if not prompt:
        raise RefusalError(400, "prompt required")
    mask = opened(files["mask"][0][1], "mask").convert("L") if "mask" in files else None
    seed = arguments.get("seed")
    count = _count({"n": int(fields.get("n", 1))}, most=8)
    return Ask(route, prompt, count, size_of(fields["size"]), seed, images, mask)


def localai(route: str, fields: Body, files: Files) -> Ask:
    if route == INPAINTING:
        if set(fields) - {"model", "prompt", "steps"} or not (fields["model"] and fields["prompt"]):
            raise RefusalError(400, "missing or unknown field")
        images = _pictures(files)
        mask = opened(files["mask"][0][1], "mask").convert("L")
        return Ask(route, fields["prompt"], 1, (512, 512), 0, images, mask, by_url=True)
    if route != GENERATIONS:
        raise RefusalError(404, "Not Found")
    read = _checked_by_sdk(route, fields, files, {"seed": int, "step": int, "file": str})
    images = []
    if "file" in read:
        try:
            images = [opened(base64.b64decode(read["file"], validate=True))]
        except binascii.Error:
            raise RefusalError(400, "invalid file") from None
    prompt = read["prompt"].split("|")[0]
    by_url = read.get("response_format") != "b64_json"
    size = size_of(read.get("size", "512x512"))
    return Ask(route, prompt, _count(read), size, read.get("seed"), images, by_url=by_url)


# --- The project's own contract, docs/generators-http.md -------------------------------


def own_http(route: str, fields: Body, files: Files) -> Ask:
    names = {
        "contract", "capability", "prompt", "negative_prompt", "count", "size_px", "seed",
        "images", "mask", "slots", "options",
    }  # fmt: skip
    if route != DRAW or set(fields) != names or fields["contract"] != 1:
        raise RefusalError(400, f"the fields are {sorted(names)}", "wrong")
    images = [opened(base64.b64decode(text, validate=True)) for text in fields["images"]]
    mask = None
    if fields["mask"] is not None:
        mask = opened(base64.b64decode(fields["mask"], validate=True), "mask").convert("L")
    side = fields["size_px"]
    keeps_size = fields["capability"] in ("inpaint", "typographic")
    size = images[0].size if keeps_size else (side, side)
    return Ask(route, fields["prompt"], fields["count"], size, fields["seed"], images, mask)


RULES: dict[str, Callable[[str, Body, Files], Ask]] = {
    "openai": openai,
    "dall-e-2": dall_e_2,
    "vllm-omni": vllm_omni,
    "sglang": sglang,
    "sd-server": sd_server,
    "litellm": litellm,
    "localai": localai,
    "http": own_http,
}
