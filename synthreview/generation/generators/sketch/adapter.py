"""The embedded generator as every other generator is: a request in, encoded images out."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from PIL import Image

from synthreview.generation.generators.base import (
    FUSION,
    INPAINT,
    TEXT,
    VARIATION,
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
    Option,
)
from synthreview.generation.generators.checking import (
    check_options,
    check_request,
    encode_png,
    listed,
    read_inputs,
    read_mask,
)
from synthreview.generation.generators.sketch import foreign, vocabulary
from synthreview.generation.generators.sketch.deriving import Told, read_change, read_edit, told
from synthreview.generation.generators.sketch.recipe import Recipe, read_recipe, write_recipe
from synthreview.generation.generators.sketch.render import RENDERER_VERSION, render_scene
from synthreview.generation.generators.sketch.repainting import repaint
from synthreview.generation.generators.sketch.scene import MAX_SEED
from synthreview.generation.generators.sketch.touches import TOUCHES
from synthreview.generation.generators.sketch.understanding import Understood, understand
from synthreview.lib.outcomes import PermanentError

SIZES_PX: Final = (256, 512, 768, 1024)
IMAGES_PER_CALL: Final = 16
_FAULTS: Final = Option(
    "fault_rate",
    "Faults on purpose",
    "number",
    default=0.15,
    least=0,
    most=1,
    help="How often Sketch draws something other than what it was asked.",
)
_EMULATED: Final = {
    VARIATION: "Sketch redraws its own pictures; any other is cropped, mirrored and lit anew",
    FUSION: "Sketch redraws its own pictures; of any other the middle is laid over",
}


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

    def __init__(self, *, fault_rate: float = _FAULTS.default) -> None:
        """Keep the fault rate for runs that set none. Raises PermanentError outside 0..1."""
        given = check_options({"fault_rate": fault_rate}, (_FAULTS,), self.title)
        self._option = replace(_FAULTS, default=given["fault_rate"])

    def capabilities(self) -> Capabilities:
        """Say what can be asked."""
        return Capabilities(
            able=frozenset({TEXT, VARIATION, FUSION, INPAINT}),
            sizes_px=SIZES_PX,
            images_per_call=IMAGES_PER_CALL,
            takes_seed=True,
            takes_idempotency_key=True,
            emulated=_EMULATED,
            options=(self._option,),
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
            PermanentError: an unknown object, capability, size or option, a count or seed out
                of range, an input or a mask that cannot be read; the message says what is
                allowed.
        """
        options = check_request(request, self.capabilities(), self.title)
        fault_rate = float(options["fault_rate"])
        draw_one = {
            TEXT: _text,
            VARIATION: _variation,
            FUSION: _fusion,
            INPAINT: _inpaint,
        }[request.capability](request, fault_rate)
        first = random.SystemRandom().randrange(MAX_SEED) if request.seed is None else request.seed
        images = tuple(draw_one(first + i) for i in range(request.count))
        return DrawResult(images=images, model=self.model, model_version=RENDERER_VERSION)


DrawOne = Callable[[int], DrawnImage]  # seed -> image


def _text(request: DrawRequest, fault_rate: float) -> DrawOne:
    understood = understand(request.prompt)
    if understood.object is None:
        raise PermanentError(_unknown_object(understood))

    def draw(seed: int) -> DrawnImage:
        recipe = Recipe(TEXT, seed, fault_rate, replace(understood, unknown_words=()))
        scene = told(recipe)
        picture = render_scene(scene.drawn, request.size_px)
        return DrawnImage(
            data=write_recipe(picture, recipe),
            media_type="image/png",
            seed=seed,
            revised_prompt=_revised_prompt(understood),
            private=_truth(scene, understood.unknown_words),
            pixels=picture,
        )

    return draw


def _variation(request: DrawRequest, fault_rate: float) -> DrawOne:
    (source,) = _sources(request)
    asks, turns, unknown = read_change(request.prompt)
    said = replace(asks, unknown_words=unknown)

    def draw(seed: int) -> DrawnImage:
        if source.recipe is None:
            picture = foreign.vary(source.picture.pixels, seed, request.size_px)
            return _emulated(picture, seed, foreign.VARIED)
        recipe = Recipe(
            VARIATION, seed, fault_rate, replace(asks, unknown_words=()), turns, (source.recipe,)
        )
        return _derived(recipe, request.size_px, said)

    return draw


def _fusion(request: DrawRequest, fault_rate: float) -> DrawOne:
    subject, setting = _sources(request)

    def draw(seed: int) -> DrawnImage:
        if subject.recipe is None or setting.recipe is None:
            picture = foreign.fuse(subject.picture, setting.picture, seed, request.size_px)
            return _emulated(picture, seed, foreign.FUSED)
        recipe = Recipe(FUSION, seed, fault_rate, of=(subject.recipe, setting.recipe))
        return _derived(recipe, request.size_px, Understood())

    return draw


def _inpaint(request: DrawRequest, fault_rate: float) -> DrawOne:
    (source,) = _sources(request)
    picture = source.picture.pixels
    assert request.mask is not None
    mask = read_mask(request.mask, picture.size)
    asks, turns = read_edit(request.slots.get("edit") or request.prompt)
    if not turns:
        raise PermanentError(_unknown_edit(asks))
    is_own = source.recipe is not None and picture.width == picture.height

    def draw(seed: int) -> DrawnImage:
        if not is_own or source.recipe is None or source.picture.scene is None:
            drawn = foreign.repaint(picture, mask, asks, turns[0], seed)
            return _emulated(drawn, seed, foreign.REPAINTED, asks)
        recipe = Recipe(
            INPAINT, seed, fault_rate, replace(asks, unknown_words=()), turns, (source.recipe,)
        )
        scene = told(recipe)
        return DrawnImage(
            data=write_recipe(
                repaint(picture, mask, source.picture.scene, turns[0], scene), recipe
            ),
            media_type="image/png",
            seed=seed,
            revised_prompt=_revised_prompt(asks),
            facts={"made": f"the masked region redrawn ({turns[0]}); the rest as it was"},
            private=_truth(scene, asks.unknown_words),
        )

    return draw


@dataclass(frozen=True, slots=True)
class _Source:
    """One input; its recipe is None where Sketch did not draw it."""

    picture: foreign.Source
    recipe: Recipe | None


def _sources(request: DrawRequest) -> list[_Source]:
    """Return the inputs, safely decoded. Raises PermanentError."""
    sources = []
    for data, decoded in zip(request.images, read_inputs(request), strict=True):
        recipe = read_recipe(data)
        scene = told(recipe).drawn if recipe else None
        sources.append(_Source(foreign.Source(decoded.pixels, scene), recipe))
    return sources


def _derived(recipe: Recipe, size_px: int, said: Understood) -> DrawnImage:
    scene = told(recipe)
    picture = render_scene(scene.drawn, size_px)
    return DrawnImage(
        data=write_recipe(picture, recipe),
        media_type="image/png",
        seed=recipe.seed,
        revised_prompt=_revised_prompt(said),
        facts={"made": "redrawn from what the source shows"},
        private=_truth(scene, said.unknown_words),
        pixels=picture,
    )


def _emulated(
    picture: Image.Image, seed: int, made: str, said: Understood | None = None
) -> DrawnImage:
    return DrawnImage(
        data=encode_png(picture),
        media_type="image/png",
        seed=seed,
        revised_prompt=_revised_prompt(said) if said else None,
        facts={"made": made},
    )


def _truth(scene: Told, unknown_words: Sequence[str]) -> dict[str, Any]:
    return {
        "asked": scene.asked.as_dict(),
        "drawn": scene.drawn.as_dict(),
        "fault": scene.fault,
        "bad": scene.fault is not None,
        "unknown_words": list(unknown_words),
    }


def _unknown_object(understood: Understood) -> str:
    known = f"Sketch knows these objects: {listed(vocabulary.OBJECT_NAMES)}."
    if understood.unknown_words:
        return f"Sketch does not know: {listed(understood.unknown_words)}. {known}"
    return f"The prompt names no object to draw. {known}"


def _unknown_edit(asks: Understood) -> str:
    heard = f"Sketch does not understand: {listed(asks.unknown_words)}. " * bool(asks.unknown_words)
    return (
        f"{heard}Sketch can remove the subject or what stands behind or beside it, put another "
        f"place behind it ({listed(vocabulary.ENVIRONMENT_NAMES)}), add or replace an object "
        f"({listed(vocabulary.OBJECT_NAMES)}), change colour, style or action, and draw a "
        f"{listed(TOUCHES)}."
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
    drawn = listed(word for word in said if word) or "nothing"
    return f"{drawn} (not understood: {listed(understood.unknown_words)})"
