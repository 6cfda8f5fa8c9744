"""From what a server answered to checked images: the SDK checks nothing of it.

A 200 with missing, short, broken or wrong-sized pictures is an error that may have been paid.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from synthreview.generation.generators.checking import encode_png
from synthreview.generation.generators.openai.prices import Tokens
from synthreview.lib.images import BadImageError, decode

# What of an answer is kept for the bill; the pictures are kept elsewhere.
KEPT = ("created", "background", "model", "output_format", "quality", "size", "usage", "id")
Fetch = Callable[[str], bytes]


class BadAnswerError(ValueError):
    """The answer holds no usable pictures; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One image of an answer."""

    data: bytes
    media_type: str
    revised_prompt: str | None


def json_of(body: bytes) -> dict[str, Any]:
    """Return the answer as an object. Raises BadAnswerError."""
    try:
        content = json.loads(body)
    except ValueError:
        raise BadAnswerError("it is no JSON") from None
    if not isinstance(content, dict):
        raise BadAnswerError("it is no JSON object")
    return content


def pictures_of(
    content: Mapping[str, Any], *, count: int, size: tuple[int, int], prompt: str, fetch: Fetch
) -> list[Picture]:
    """Return exactly `count` pictures of exactly that size. Raises BadAnswerError.

    Args:
        fetch: gets a picture by its address; raises BadAnswerError.
    """
    rows = content.get("data")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise BadAnswerError("it has no list of pictures")
    if len(rows) != count:
        raise BadAnswerError(f"it has {len(rows)} pictures, {count} were asked")
    return [_picture(number, row, size, prompt, fetch) for number, row in enumerate(rows, 1)]


def _picture(
    number: int, row: Mapping[str, Any], size: tuple[int, int], prompt: str, fetch: Fetch
) -> Picture:
    encoded, url = row.get("b64_json"), row.get("url")
    if isinstance(encoded, str) and encoded:
        try:
            data = base64.b64decode(encoded.rpartition(",")[2], validate=True)
        except (binascii.Error, ValueError):
            raise BadAnswerError(f"picture {number} is no base64") from None
    elif isinstance(url, str) and url:
        data = fetch(url)
    else:
        raise BadAnswerError(f"picture {number} has neither data nor an address")
    try:
        decoded = decode(data)
    except BadImageError as error:
        raise BadAnswerError(f"picture {number}: {error}") from error
    if (decoded.width, decoded.height) != size:
        raise BadAnswerError(
            f"picture {number} is {decoded.width} × {decoded.height} px, "
            f"{size[0]} × {size[1]} were asked"
        )
    revised = row.get("revised_prompt")
    if not isinstance(revised, str) or revised.strip() in ("", prompt.strip()):
        revised = None
    return Picture(data, decoded.media_type, revised[:4000] if revised else None)


def pasted(picture: Picture, source: Image.Image, mask: Image.Image) -> Picture:
    """Return the source with the masked part of a picture in it, both of one size."""
    whole = Image.composite(decode(picture.data).pixels, source, mask)
    return Picture(encode_png(whole), "image/png", picture.revised_prompt)


def tokens_of(content: Mapping[str, Any]) -> Tokens | None:
    """Return what an answer says that it used; None where it does not, or says nought."""
    usage = content.get("usage")
    if not isinstance(usage, Mapping):
        return None
    details = usage.get("input_tokens_details")
    details = details if isinstance(details, Mapping) else {}
    whole, output = _count(usage.get("input_tokens")), _count(usage.get("output_tokens"))
    if whole is None or not output:
        return None
    text, image = _count(details.get("text_tokens")), _count(details.get("image_tokens"))
    if text is None or image is None or text + image < whole:
        # What is not told apart counts as the dearer kind.
        text, image = 0, whole
    return Tokens(text, image, output)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def kept_of(content: Mapping[str, Any], headers: Mapping[str, str]) -> dict[str, Any]:
    """Return the answer without its pictures, for the spool and for whoever audits the bill."""
    raw = {name: content[name] for name in KEPT if name in content}
    if request_id := headers.get("x-request-id"):
        raw["request_id"] = request_id[:200]
    kept: dict[str, Any] = json.loads(json.dumps(raw))
    return kept if len(str(kept)) < 20_000 else {}
