"""From a request of ours to what one kind of server is sent: fields, files, and expected size.

Nothing here touches the network. A server's own marks inside a prompt are taken out of ours,
or a caption could set what only the operator may.
"""

from __future__ import annotations

import base64
import io
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image, ImageOps

from synthreview.generation.generators.base import FUSION, INPAINT, VARIATION, DrawRequest
from synthreview.generation.generators.checking import encode_png, read_inputs, read_mask
from synthreview.generation.generators.openai.profiles import Mask, Profile, Route, Where
from synthreview.lib.images import EXTENSIONS
from synthreview.lib.outcomes import PermanentError

if TYPE_CHECKING:
    import openai

File = tuple[str, bytes, str]
SD_CPP_MARK = "sd_cpp_extra_args"
# Said where an instruction is left empty; a derivation by an edit needs words.
VARY = "Another picture of the same subject, in another pose, framing and light."
FUSE = "Use the subject of the first image, in the setting and the style of the second image."
EDIT_PATH = "/images/edits"


@dataclass(frozen=True)
class Wire:
    """What is sent. `call` is the SDK's method: generate, edit, create_variation, or a path.

    `size` is what each image must measure when it comes back. `paste` is the source and its
    mask where the server reads no mask.
    """

    call: str
    size: tuple[int, int]
    prompt: str
    fields: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, File | list[File]] = field(default_factory=dict)
    paste: tuple[Image.Image, Image.Image] | None = None
    notes: tuple[str, ...] = ()

    def send(self, headers: Mapping[str, str]) -> Callable[[openai.OpenAI], Any]:
        """Return what sends it by the SDK; its result has the raw answer."""
        if self.call.startswith("/"):
            return lambda client: _post(client, self, headers)

        def ask(client: openai.OpenAI) -> Any:
            with warnings.catch_warnings():  # create_variation is deprecated, and still ours
                warnings.simplefilter("ignore", DeprecationWarning)
                return getattr(client.images.with_raw_response, self.call)(
                    **self.fields,
                    **self.files,
                    extra_body=dict(self.extra) or None,
                    extra_headers=dict(headers) or None,
                )

        return ask


def _post(client: openai.OpenAI, wire: Wire, headers: Mapping[str, str]) -> Any:
    """Send a form that the SDK has no method for, by its own low-level one."""
    import httpx2

    files: Any = dict(wire.files)
    options: Any = {"headers": {"Content-Type": "multipart/form-data", **headers}}
    return client.post(
        wire.call,
        cast_to=httpx2.Response,
        body={**wire.fields, **wire.extra},
        files=files,
        options=options,
    )


def wire_of(request: DrawRequest, profile: Profile, model: str, options: Mapping[str, Any]) -> Wire:
    """Return what a server of this profile is sent. Raises PermanentError."""
    prompt, extra = _prompt(request, profile, options)
    side = request.size_px
    size = (side, side)
    fields: dict[str, Any] = {**profile.fields, "prompt": prompt, "n": request.count}
    if profile.sends_model:
        fields["model"] = model
    if profile.response_format:
        fields["response_format"] = profile.response_format
    if not request.images:
        fields["size"] = f"{side}x{side}"
        return Wire("generate", size, prompt, fields, extra)
    pictures = read_inputs(request)
    if request.capability == INPAINT:
        return _inpaint(request, profile, pictures[0].pixels, fields, extra)
    fields["size"] = f"{side}x{side}"
    if request.capability == VARIATION and profile.variation is Route.FILE:
        source = base64.b64encode(request.images[0]).decode()
        return Wire("generate", size, prompt, fields, {**extra, "file": source})
    if request.capability == VARIATION and profile.variation is Route.VARIATIONS:
        square, note = _squared(pictures[0].pixels, side)
        del fields["prompt"]
        files: dict[str, File | list[File]] = {"image": _png("image", square)}
        return Wire("create_variation", size, "", fields, extra, files, notes=note)
    sent = [
        (f"image-{number}{EXTENSIONS[picture.media_type]}", data, picture.media_type)
        for number, (data, picture) in enumerate(zip(request.images, pictures, strict=True), 1)
    ]
    files = {"image": sent if len(sent) > 1 else sent[0]}
    return Wire("edit", size, prompt, fields, extra, files)


def _prompt(
    request: DrawRequest, profile: Profile, options: Mapping[str, Any]
) -> tuple[str, dict[str, Any]]:
    """Return the prompt as it is sent, and the fields that are not the protocol's own."""
    prompt = _cleaned(request.prompt.strip(), profile)
    if request.capability == VARIATION:
        prompt = prompt or VARY
    if request.capability == FUSION:
        prompt = f"{prompt.rstrip('.')}. {FUSE}" if prompt else FUSE
    if not prompt:
        raise PermanentError("The prompt is empty: say what is to be drawn.")
    negative = _cleaned(request.negative_prompt.strip(), profile)
    extra: dict[str, Any] = {
        profile.option_fields[name]: _whole(value)
        for name, value in options.items()
        if value is not None
    }
    if profile.seed is Where.FIELD and request.seed is not None:
        extra["seed"] = request.seed % 2**31
    if negative and profile.negative is Where.FIELD:
        extra["negative_prompt"] = negative
    if negative and profile.negative is Where.AFTER_BAR:
        prompt = f"{prompt}|{negative}"
    if profile.seed is Where.SD_CPP:
        return f"{prompt} {_sd_cpp(request, negative, extra)}", {}
    return prompt, extra


def _sd_cpp(request: DrawRequest, negative: str, extra: Mapping[str, Any]) -> str:
    """Return stable-diffusion.cpp's extra arguments, which stand in the prompt."""
    arguments: dict[str, Any] = {}
    if request.seed is not None:
        arguments["seed"] = request.seed % 2**31
    if negative:
        arguments["negative_prompt"] = negative
    if "strength" in extra:
        arguments["strength"] = float(extra["strength"])
    sampling: dict[str, Any] = {}
    if "sample_steps" in extra:
        sampling["sample_steps"] = int(extra["sample_steps"])
    if "txt_cfg" in extra:
        sampling["guidance"] = {"txt_cfg": float(extra["txt_cfg"])}
    if sampling:
        arguments["sample_params"] = sampling
    return f"<{SD_CPP_MARK}>{json.dumps(arguments)}</{SD_CPP_MARK}>"


def _cleaned(text: str, profile: Profile) -> str:
    if profile.seed is Where.SD_CPP:
        # Else a caption could set any argument of the server.
        return text.replace(SD_CPP_MARK, "sd cpp extra args")
    if profile.negative is Where.AFTER_BAR:
        return text.replace("|", "/")
    return text


def _whole(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# --- Inpainting ---------------------------------------------------------------------


def _inpaint(
    request: DrawRequest,
    profile: Profile,
    picture: Image.Image,
    fields: dict[str, Any],
    extra: Mapping[str, Any],
) -> Wire:
    """Return an edit of one region: the picture keeps its size where the server draws such."""
    assert request.mask is not None
    mask = read_mask(request.mask, picture.size)
    size, notes = _edit_size(picture.size, request.size_px, profile)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling.LANCZOS)
        mask = mask.resize(size, Image.Resampling.BILINEAR)
    if not profile.inpaint_path:
        fields["size"] = f"{size[0]}x{size[1]}"
    files: dict[str, File | list[File]] = {"image": _png("image", picture)}
    prompt = str(fields["prompt"])
    if profile.mask is Mask.PASTED:
        return Wire("edit", size, prompt, fields, extra, files, (picture, mask), notes)
    files[profile.mask_field] = _mask_file(mask, profile)
    is_standard = profile.mask_field == "mask" and not profile.inpaint_path
    call = "edit" if is_standard else profile.inpaint_path or EDIT_PATH
    if profile.inpaint_path:  # a route of the server's own, with fields of its own
        fields = {"prompt": fields["prompt"], "model": fields.get("model", "")}
        extra = {"steps": extra["step"]} if "step" in extra else {}
    return Wire(call, size, prompt, fields, extra, files, notes=notes)


def pixels_asked(request: DrawRequest, profile: Profile) -> int:
    """Return how many pixels each image will have that is asked for. Raises nothing."""
    if request.capability == INPAINT and request.source_size:
        try:
            (wide, high), _ = _edit_size(request.source_size, request.size_px, profile)
        except PermanentError:  # it will be refused before anything is sent
            return request.size_px**2
        return wide * high
    return request.size_px**2


def _edit_size(
    size: tuple[int, int], size_px: int, profile: Profile
) -> tuple[tuple[int, int], tuple[str, ...]]:
    """Return what size to ask for, and a note where the picture is scaled for it."""
    wide, high = size
    step = profile.step_px
    takes_any = step and not profile.inpaint_path and max(size) <= 3 * min(size)
    if takes_any and not (wide % step or high % step):
        return size, ()
    # A route of the server's own draws one size only, whatever comes.
    square = (512, 512) if profile.inpaint_path else (size_px, size_px)
    if size == square:
        return size, ()
    if wide == high:
        return square, (f"scaled from {wide} × {high} px before it was edited",)
    raise PermanentError(
        f"the picture is {wide} × {high} px: {profile.title} edits squares"
        + (f", or sides in steps of {profile.step_px} px" if profile.step_px else "")
    )


def _mask_file(mask: Image.Image, profile: Profile) -> File:
    if profile.mask is Mask.WHITE:
        return _png("mask", mask)
    # Black where it is opaque; the protocol looks at the transparency alone.
    see_through = Image.new("RGBA", mask.size, (0, 0, 0, 255))
    see_through.putalpha(ImageOps.invert(mask))
    return _png("mask", see_through)


def _squared(picture: Image.Image, side: int) -> tuple[Image.Image, tuple[str, ...]]:
    """Return the middle of the picture as a square of at most that side, and a note."""
    square = ImageOps.fit(picture, (side, side), Image.Resampling.LANCZOS)
    is_cropped = picture.width != picture.height
    return square, ("its source was cropped to a square",) if is_cropped else ()


def _png(name: str, image: Image.Image) -> File:
    if image.mode != "RGBA":
        return (f"{name}.png", encode_png(image, compress_level=6), "image/png")
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return (f"{name}.png", buffer.getvalue(), "image/png")
