"""The generator for DALL·E Mini; min-dalle and torch are loaded by its child process only.

Knows nothing of Django.
"""

from __future__ import annotations

import base64
import binascii
import importlib.util
import random
from typing import Any, Final

from synthreview.generation.generators.base import (
    TEXT,
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
    OnStep,
    Option,
    go_on,
)
from synthreview.generation.generators.checking import MAX_SEED, check_request
from synthreview.generation.generators.dalle_mini.talking import Talk
from synthreview.generation.generators.dalle_mini.weights import Weights, find_weights
from synthreview.lib.outcomes import PermanentError, StoppedError

SIDE_PX: Final = 256
PACKAGE: Final = "min_dalle"
CHILD: Final = "synthreview.generation.generators.dalle_mini.child"
OPTIONS: Final = (
    Option(
        "guidance",
        "Guidance",
        "number",
        default=16,
        least=1,
        most=64,
        help="How closely to keep to the caption.",
    ),
    Option(
        "temperature",
        "Temperature",
        "number",
        default=1,
        least=0.1,
        most=4,
        help="Above 1 more varied, below 1 more alike.",
    ),
    Option(
        "top_k",
        "Choices per token",
        "number",
        default=256,
        least=1,
        most=16_384,
        help="Among how many of the likeliest tokens is drawn by lot.",
    ),
)


class DalleMiniGenerator:
    """Draws captions with DALL·E Mini or Mega; the same seed gives the same picture.

    Args:
        root: the folder with the weights; see `weights` for the names of the files.
        size: "mini", "mega", or empty for the larger one that is there.
        device: "cpu", "cuda", "cuda:1".
        timeout_s: after this long the child is ended; of loading and of each picture.
        threads: CPU threads of the child; 0 leaves them to it, which takes all.
    """

    notice = ""

    def __init__(
        self,
        *,
        root: str,
        size: str = "",
        device: str = "cpu",
        timeout_s: float = 900,
        threads: int = 0,
        title: str = "DALL·E Mini",
    ) -> None:
        self.title = title
        self._root, self._size = root, size
        self._device, self._timeout_s, self._threads = device, timeout_s, threads
        self._talk: Talk | None = None
        self._version = ""

    def capabilities(self) -> Capabilities:
        """Say what can be asked: nothing where the weights are missing; `health` says which."""
        try:
            find_weights(self._root, self._size)
        except PermanentError:
            return Capabilities(able=frozenset(), sizes_px=(SIDE_PX,))
        return Capabilities(
            able=frozenset({TEXT}),
            sizes_px=(SIDE_PX,),
            images_per_call=4,
            takes_seed=True,
            takes_idempotency_key=True,  # drawing the same again costs nothing
            options=OPTIONS,
        )

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        """Return 0: drawing costs the machine's time only."""
        return 0

    def health(self) -> Health:
        """Say which packages and files are missing, and which size it is; loads nothing."""
        faults = _missing_packages()
        try:
            weights = find_weights(self._root, self._size)
        except PermanentError as error:
            return Health(faults=(*faults, str(error)))
        return Health(faults=tuple(faults), facts=(f"DALL·E {weights.size.title()}, {SIDE_PX} px",))

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Draw `request.count` images, one after the other. Raises PermanentError."""
        return self.draw_watched(request, idempotency_key=idempotency_key, on_step=go_on)

    def draw_watched(
        self, request: DrawRequest, *, idempotency_key: str, on_step: OnStep
    ) -> DrawResult:
        """Draw, and tell of every token; once told to stop, the child is ended at once."""
        options = check_request(request, self.capabilities(), self.title)
        if faults := self.health().faults:
            raise PermanentError(" ".join(faults))
        weights = find_weights(self._root, self._size)
        first = random.SystemRandom().randrange(2**32) if request.seed is None else request.seed
        seeds = [(first + i) & MAX_SEED for i in range(request.count)]
        try:
            talk = self._talking(weights)
            images = [
                self._drawn(
                    talk,
                    {**options, "prompt": request.prompt, "seed": seed},
                    watch=_Watch(on_step, number, request.count),
                )
                for number, seed in enumerate(seeds)
            ]
        except BaseException:
            self.close()  # what is half done would be taken for the next answer
            raise
        return DrawResult(
            images=tuple(images),
            model=f"dalle-{weights.size}",
            model_version=f"weights {self._version[:32]}",
            raw={"weights_sha256": self._version, "device": self._device},
        )

    def close(self) -> None:
        """End the child process, if there is one."""
        if self._talk is not None:
            self._talk.close()
            self._talk = None

    def _talking(self, weights: Weights) -> Talk:
        """Return the child, started and with its model loaded."""
        if self._talk is None or not self._talk.is_alive:
            self._talk = Talk(CHILD)
            self._talk.say(
                {"files": weights.files, "device": self._device, "threads": self._threads}
            )
            self._version = str(self._heard(self._talk, go_on)["version"])
        return self._talk

    def _drawn(self, talk: Talk, order: dict[str, Any], watch: OnStep) -> DrawnImage:
        seed = order["seed"]
        # min-dalle takes 0 for "no seed": all are moved by one, so that no two fall together.
        talk.say({**order, "seed": seed + 1})
        answer = self._heard(talk, watch)
        try:
            data = base64.b64decode(answer["png"], validate=True)
        except (KeyError, TypeError, binascii.Error) as error:
            raise PermanentError(f"{self.title} gave no picture.") from error
        facts = {
            "by": "text to image",
            "min_dalle_seed": seed + 1,
            **{option.name: order[option.name] for option in OPTIONS},
        }
        return DrawnImage(data=data, media_type="image/png", seed=seed, facts=facts)

    def _heard(self, talk: Talk, watch: OnStep) -> dict[str, Any]:
        """Return the child's next answer. Raises StoppedError, PermanentError."""
        try:
            for message in talk.heard(self._timeout_s):
                if "step" not in message:
                    break
                if not watch(message["step"], message["of"]):
                    raise StoppedError(f"Stopped after token {message['step']} of {message['of']}.")
        except TimeoutError:
            raise PermanentError(
                f"{self.title} was not done after {self._timeout_s:g} s and was ended: raise its "
                "`timeout_s`, or give it a faster device."
            ) from None
        except EOFError as error:
            raise PermanentError(f"{self.title}'s process ended: {error}") from error
        if message.get("is_full"):
            raise PermanentError(
                f"Out of memory on {self._device}: {self.title} does not fit. Take the smaller "
                "model (`size`), or another device."
            )
        if "error" in message:
            raise PermanentError(f"{self.title} cannot draw this: {message['error']}")
        return message


class _Watch:
    """Counts the tokens of one picture among those of all."""

    def __init__(self, on_step: OnStep, number: int, count: int) -> None:
        self._on_step, self._number, self._count = on_step, number, count

    def __call__(self, done: int, total: int) -> bool:
        return self._on_step(self._number * total + done, self._count * total)


def _missing_packages() -> list[str]:
    if importlib.util.find_spec(PACKAGE) is not None:
        return []
    return ["min_dalle missing: run `pip install synthreview[dalle-mini]`."]
