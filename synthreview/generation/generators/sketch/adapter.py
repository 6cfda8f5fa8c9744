"""The embedded generator as every other generator is: a request in, encoded images out."""

from __future__ import annotations

import io
import random
from typing import Any, Final

from PIL import Image

from synthreview.generation.generators.base import (
    TEXT,
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
    Option,
)
from synthreview.generation.generators.sketch import vocabulary
from synthreview.generation.generators.sketch.render import RENDERER_VERSION, render_scene
from synthreview.generation.generators.sketch.scene import (
    MAX_SEED,
    sample_fault,
    scene_asked,
    scene_drawn,
)
from synthreview.generation.generators.sketch.understanding import Understood, understand
from synthreview.lib.outcomes import PermanentError

SIZES_PX: Final = (256, 512, 768, 1024)
IMAGES_PER_CALL: Final = 16
DEFAULT_FAULT_RATE: Final = 0.15


class SketchGenerator:
    """Draws a small cartoon world from the prompt's meaning, and errs on purpose.

    The same request with the same seed gives the same bytes, so that drawing again
    after a crash costs nothing and changes nothing; the idempotency key is not
    needed for that and is accepted for the contract's sake.
    """

    title = "Sketch (demonstration)"
    notice = (
        "Sketch is a demonstration generator: it draws a small cartoon world "
        "and makes mistakes on purpose. Its images are not training data for the real world."
    )
    model = "sketch"

    def __init__(self, *, fault_rate: float = DEFAULT_FAULT_RATE) -> None:
        """Keep the fault rate for runs that set none. Raises PermanentError outside 0..1."""
        self._fault_rate = _checked_rate(fault_rate)

    def capabilities(self) -> Capabilities:
        """Say what can be asked."""
        return Capabilities(
            able=frozenset({TEXT}),
            sizes_px=SIZES_PX,
            images_per_call=IMAGES_PER_CALL,
            takes_seed=True,
            takes_idempotency_key=True,
            options=(
                Option(
                    "fault_rate",
                    "Faults on purpose",
                    "number",
                    default=DEFAULT_FAULT_RATE,
                    least=0,
                    most=1,
                    help="How often Sketch draws something other than the caption says.",
                ),
            ),
        )

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        """Return 0: drawing costs processor time only."""
        return 0

    def health(self) -> Health:
        """Return nothing wrong: there is no key, no network and no device to fail."""
        return Health()

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Draw the request; image i has the seed of the request plus i.

        Raises:
            PermanentError: an unknown object, technique, size, option, or a count or
                seed out of range; the message says what is allowed.
        """
        fault_rate = self._checked(request)
        understood = understand(request.prompt)
        if understood.object is None:
            raise PermanentError(_unknown_object(understood))
        first = random.SystemRandom().randrange(MAX_SEED) if request.seed is None else request.seed
        images = tuple(
            _draw_one(understood, first + i, request.size_px, fault_rate)
            for i in range(request.count)
        )
        return DrawResult(images=images, model=self.model, model_version=RENDERER_VERSION)

    def _checked(self, request: DrawRequest) -> float:
        """Return the fault rate of a request that can be drawn, or raise PermanentError."""
        if request.capability != TEXT:
            raise PermanentError(f"capability {request.capability!r}: Sketch offers text only")
        if request.size_px not in SIZES_PX:
            raise PermanentError(f"size {request.size_px} px: Sketch draws {_listed(SIZES_PX)} px")
        if not 1 <= request.count <= IMAGES_PER_CALL:
            raise PermanentError(
                f"{request.count} images in one call: Sketch draws 1 to {IMAGES_PER_CALL}"
            )
        if request.seed is not None and request.seed < 0:
            raise PermanentError(f"seed {request.seed}: Sketch takes 0 and above")
        unknown = sorted(set(request.options) - {"fault_rate"})
        if unknown:
            raise PermanentError(f"option {_listed(unknown)}: Sketch knows fault_rate only")
        return _checked_rate(request.options.get("fault_rate", self._fault_rate))


def _checked_rate(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise PermanentError(f"fault_rate {value!r}: give a number from 0 to 1")
    return float(value)


def _listed(values: Any) -> str:
    return ", ".join(str(value) for value in values)


def _unknown_object(understood: Understood) -> str:
    known = f"Sketch knows these objects: {_listed(vocabulary.OBJECT_NAMES)}."
    if understood.unknown_words:
        return f"Sketch does not know: {_listed(understood.unknown_words)}. {known}"
    return f"The prompt names no object to draw. {known}"


def _draw_one(understood: Understood, seed: int, size_px: int, fault_rate: float) -> DrawnImage:
    asked = scene_asked(understood, seed)
    fault = sample_fault(understood, seed, fault_rate)
    drawn = scene_drawn(asked, fault)
    return DrawnImage(
        data=encode_png(render_scene(drawn, size_px)),
        media_type="image/png",
        seed=seed,
        revised_prompt=_revised_prompt(understood),
        private={
            "asked": asked.as_dict(),
            "drawn": drawn.as_dict(),
            "fault": fault,
            "bad": fault is not None,
            "unknown_words": list(understood.unknown_words),
        },
    )


def _revised_prompt(understood: Understood) -> str | None:
    """Return what was understood, where the prompt said more; nothing of what was drawn."""
    if not understood.unknown_words:
        return None
    said = (
        understood.style,
        understood.colour,
        understood.action,
        understood.object,
        understood.environment,
    )
    drawn = _listed(word for word in said if word)
    return f"{drawn} (not understood: {_listed(understood.unknown_words)})"


def encode_png(image: Image.Image) -> bytes:
    """Return the image as PNG with no metadata; compressed lightly, for speed."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
