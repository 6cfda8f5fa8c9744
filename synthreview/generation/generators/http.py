"""A generator behind one address of the operator's own: a small JSON contract, no Python needed.

docs/generators-http.md is the contract, with an example server. What a service can do is
configuration, since pages ask without waiting for anybody; `health` compares it with what the
service says of itself.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, NoReturn

from synthreview.generation.generators.base import (
    CAPABILITIES,
    KEEPS_SIZE,
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
    Option,
)
from synthreview.generation.generators.checking import check_request, listed, read_inputs, read_mask
from synthreview.lib import web
from synthreview.lib.images import BadImageError, decode
from synthreview.lib.money import dollars, micro_usd
from synthreview.lib.openai_api import GAVE_UP_WAITING, retry_after_s
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    OutOfCreditError,
    PermanentError,
    RateLimitedError,
    RefusedError,
    TransientError,
    UnusableAnswerError,
)

CONTRACT = 1
MAX_ANSWER_BYTES = 128_000_000
HEALTH_TIMEOUT_S = 10


class HttpGenerator:
    """Asks one service by the contract of docs/generators-http.md.

    Args:
        url: where requests are posted, http:// or https://.
        able, sizes_px, images_per_call, takes_seed, takes_negative_prompt, emulated: what the
            service can do; see Capabilities.
        takes_idempotency_key: it does the work and charges once for one key, however often
            it is asked. Calls of unknown outcome are then sent again by themselves.
        options: what a run may set, as {"name": …, "kind": "number", "least": 0, …}; see Option.
        price_usd_per_image: the most that one image costs; what an answer tells counts.
        api_key_env: the environment variable that holds a bearer key; empty: none is sent.
        timeout_s: for the whole call. Keep it under the call's lease.
    """

    def __init__(
        self,
        *,
        url: str,
        title: str = "",
        notice: str = "",
        able: tuple[str, ...] | list[str] = ("text",),
        sizes_px: tuple[int, ...] | list[int] = (512, 1024),
        images_per_call: int = 1,
        takes_seed: bool = False,
        takes_negative_prompt: bool = False,
        takes_idempotency_key: bool = False,
        emulated: Mapping[str, str] | None = None,
        options: tuple[Mapping[str, Any], ...] | list[Mapping[str, Any]] = (),
        price_usd_per_image: str | float = 0,
        api_key_env: str = "",
        timeout_s: float = 240,
    ) -> None:
        """Keep the configuration. Raises PermanentError: an address or a value that is none."""
        try:
            address = web.address_of(url)
            self._price_micro_usd = micro_usd(price_usd_per_image)
        except (web.NotSentError, InvalidOperation) as error:
            raise PermanentError(f"url or price_usd_per_image of {url!r}: {error}") from error
        if unknown := sorted({*able, *(emulated or {})} - set(CAPABILITIES)):
            raise PermanentError(f"{listed(unknown)}: a service is {listed(CAPABILITIES)}")
        if images_per_call < 1 or not sizes_px or min(sizes_px) < 1 or self._price_micro_usd < 0:
            raise PermanentError("images_per_call, sizes_px and the price must be above 0")
        self.title = title or f"Service at {address.host}"[:60]
        self.notice = notice
        self._url, self._shown = url, address.shown
        self._api_key_env, self._timeout_s = api_key_env, timeout_s
        self._capabilities = Capabilities(
            able=frozenset(able),
            sizes_px=tuple(sizes_px),
            images_per_call=images_per_call,
            takes_seed=takes_seed,
            takes_negative_prompt=takes_negative_prompt,
            takes_idempotency_key=takes_idempotency_key,
            emulated=dict(emulated or {}),
            options=tuple(_option(option) for option in options),
            price=f"at most {dollars(self._price_micro_usd)} for one image"
            if self._price_micro_usd
            else "free",
        )

    def capabilities(self) -> Capabilities:
        """Say what the configuration says that the service can do."""
        return self._capabilities

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        """Return the configured price of so many images."""
        return self._price_micro_usd * max(0, request.count)

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Ask the service once for `request.count` images. Raises the errors of lib/outcomes."""
        options = check_request(request, self._capabilities, self.title)
        pictures = read_inputs(request)
        if request.mask is not None:
            read_mask(request.mask, pictures[0].pixels.size)
        size = (request.size_px, request.size_px)
        if request.capability in KEEPS_SIZE:
            size = pictures[0].pixels.size
        try:
            answer = web.exchange(
                "POST",
                self._url,
                headers={
                    "Content-Type": "application/json",
                    "Idempotency-Key": idempotency_key,
                    **self._key_header(),
                },
                body=json.dumps(_as_json(request, options)).encode(),
                timeout_s=self._timeout_s,
                max_bytes=MAX_ANSWER_BYTES,
            )
        except web.NotSentError as error:
            raise TransientError(str(error)) from error
        except web.BrokenOffError as error:
            raise OutcomeUnknownError(str(error)) from error
        if answer.status != 200:
            self._raise_ours(answer)
        return self._result(request, answer.body, size)

    def health(self) -> Health:
        """Look whether the service answers, and whether it can do what is configured."""
        try:
            answer = web.exchange(
                "GET",
                self._url,
                headers=self._key_header(),
                timeout_s=HEALTH_TIMEOUT_S,
                max_bytes=1_000_000,
            )
        except web.WebError as error:
            return Health((str(error),))
        told = _object_of(answer.body)
        if answer.status != 200 or told is None:
            said = f"{self._shown} does not describe itself (HTTP {answer.status})."
            return Health((said,) if answer.status in {401, 403} else (), (said,))
        faults = []
        if told.get("contract") != CONTRACT:
            faults.append(f"{self._shown} does not speak version {CONTRACT} of the contract.")
        able = told.get("able")
        if isinstance(able, list) and (
            lacks := sorted(self._capabilities.able - set(map(str, able)))
        ):
            faults.append(f"{self._shown} cannot do {listed(lacks)}.")
        facts = [f"{name}: {str(told[name])[:100]}" for name in ("title", "model") if name in told]
        return Health(tuple(faults), tuple(facts))

    # --- Answers ------------------------------------------------------------------------

    def _result(self, request: DrawRequest, body: bytes, size: tuple[int, int]) -> DrawResult:
        content = _object_of(body)
        cost = self._cost(request, content)
        try:
            if content is None:
                raise ValueError("it is no JSON object")
            images = _images_of(content, request, size, is_seeded=self._capabilities.takes_seed)
        except ValueError as error:
            raise UnusableAnswerError(
                f"{self._shown} says that it succeeded, but its answer cannot be used: {error}.",
                cost_micro_usd=cost,
            ) from error
        raw = {name: value for name, value in content.items() if name != "images"}
        return DrawResult(
            images=images,
            model=str(content.get("model") or self.title)[:120],
            model_version=str(content.get("model_version") or "")[:120],
            cost_micro_usd=cost,
            raw=raw if len(str(raw)) < 20_000 else {},
        )

    def _cost(self, request: DrawRequest, content: Mapping[str, Any] | None) -> int:
        """Return what the answer says that it cost, else the most that it may."""
        try:
            told = Decimal(str((content or {})["cost_usd"]))
        except (KeyError, InvalidOperation):
            return self.estimate_micro_usd(request)
        is_sound = told.is_finite() and 0 <= told < 1_000_000
        return micro_usd(told) if is_sound else self.estimate_micro_usd(request)

    def _raise_ours(self, answer: web.Answer) -> NoReturn:
        told = (_object_of(answer.body) or {}).get("error")
        told = told if isinstance(told, dict) else {"message": told}
        kind, words = str(told.get("kind") or ""), " ".join(str(told.get("message") or "").split())
        if key := os.environ.get(self._api_key_env, ""):
            words = words.replace(key, "[key]")
        said = f"It says: {words[:300]}" if words else ""
        status, at = answer.status, self._shown
        if kind == "refused":
            raise RefusedError(f"{at} will not draw this. {said}".strip())
        if kind == "out_of_credit" or status == 402:
            raise OutOfCreditError(f"The account at {at} is out of credit. {said}".strip())
        if kind == "rate_limited" or status == 429:
            raise RateLimitedError(
                f"{at} takes no more requests for now. {said}".strip(),
                retry_after_s=retry_after_s(answer.headers),
            )
        if status in GAVE_UP_WAITING:
            raise OutcomeUnknownError(f"A server before {at} gave up waiting (HTTP {status}).")
        if status in {408, 409, 425} or status >= 500:
            raise TransientError(f"{at} failed (HTTP {status}). {said}".strip())
        raise PermanentError(f"{at} did not take the request (HTTP {status}). {said}".strip())

    def _key_header(self) -> dict[str, str]:
        key = os.environ.get(self._api_key_env, "") if self._api_key_env else ""
        return {"Authorization": f"Bearer {key}"} if key else {}


def _as_json(request: DrawRequest, options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "contract": CONTRACT,
        "capability": request.capability,
        "prompt": request.prompt,
        "negative_prompt": request.negative_prompt,
        "count": request.count,
        "size_px": request.size_px,
        "seed": request.seed,
        "images": [base64.b64encode(data).decode() for data in request.images],
        "mask": base64.b64encode(request.mask).decode() if request.mask is not None else None,
        "slots": dict(request.slots),
        "options": {name: value for name, value in options.items() if value is not None},
    }


def _images_of(
    content: Mapping[str, Any], request: DrawRequest, size: tuple[int, int], *, is_seeded: bool
) -> tuple[DrawnImage, ...]:
    """Return exactly the images that were asked. Raises ValueError in plain words."""
    rows = content.get("images")
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it has no list of images")
    if len(rows) != request.count:
        raise ValueError(f"it has {len(rows)} images, {request.count} were asked")
    images = []
    for number, row in enumerate(rows, 1):
        try:
            data = base64.b64decode(str(row.get("data")), validate=True)
            picture = decode(data)
        except binascii.Error:
            raise ValueError(f"image {number} is no base64") from None
        except BadImageError as error:
            raise ValueError(f"image {number}: {error}") from error
        if (picture.width, picture.height) != size:
            raise ValueError(
                f"image {number} is {picture.width} × {picture.height} px, "
                f"{size[0]} × {size[1]} were asked"
            )
        seed, revised, facts = row.get("seed"), row.get("revised_prompt"), row.get("facts")
        is_seed = type(seed) is int and 0 <= seed < 2**63
        images.append(
            DrawnImage(
                data,
                picture.media_type,
                seed=seed if is_seeded and is_seed else None,
                revised_prompt=str(revised)[:4000] if revised else None,
                facts=facts if isinstance(facts, dict) and len(str(facts)) < 4000 else {},
                pixels=picture.pixels,
            )
        )
    return tuple(images)


def _object_of(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except ValueError:
        return None
    return content if isinstance(content, dict) else None


def _option(given: Mapping[str, Any]) -> Option:
    try:
        known = {"title": given["name"], "kind": "text", **given}
        return Option(**{**known, "choices": tuple(known.get("choices", ()))})
    except (KeyError, TypeError) as error:
        raise PermanentError(
            f"An option needs a name, and no more than Option has: {error}"
        ) from error
