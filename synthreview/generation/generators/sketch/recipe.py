"""How a picture was asked for, kept inside its own file, so that Sketch can go on from it.

A recipe repeats what the picture's history says anyway: what was understood of the prompt,
the seed, the fault rate, and the recipes of the pictures it came from. It never says what
was drawn, nor whether that was right: whoever wants to know must draw it again, as he could
from caption and seed. Renditions drop it; only original files carry it, in one PNG chunk.
"""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from PIL import Image, PngImagePlugin

from synthreview.generation.generators.base import FUSION, INPAINT, INPUTS, TEXT, VARIATION
from synthreview.generation.generators.sketch import vocabulary
from synthreview.generation.generators.sketch.touches import TOUCHES
from synthreview.generation.generators.sketch.understanding import Understood
from synthreview.generation.generators.sketch.vocabulary import ACTIONS_OF

CHUNK: Final = "synthreview-sketch-recipe"
VERSION: Final = 1
# A picture with more ancestors than fit carries none: Sketch then takes it for a foreign one.
MAX_BYTES: Final = 16_000
MAX_DEPTH: Final = 40
_MOST_SEED: Final = 2**64  # of a call's highest seed and its images

_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "object": vocabulary.OBJECT_NAMES,
    "environment": vocabulary.ENVIRONMENT_NAMES,
    "style": vocabulary.STYLE_NAMES,
    "colour": vocabulary.COLOUR_NAMES,
    "action": vocabulary.names(vocabulary.ACTIONS),
    "look": vocabulary.LOOKS,
}
# What `turns` may say: of a variation any of them, of an edit exactly one.
TURNS: Final[dict[str, frozenset[str]]] = {
    TEXT: frozenset(),
    VARIATION: frozenset({"environment", "colour", "style"}),
    FUSION: frozenset(),
    INPAINT: frozenset(
        {"remove", "alone", "backdrop", "place", "add", "replace", "change", *TOUCHES}
    ),
}


@dataclass(frozen=True, slots=True)
class Recipe:
    """One act of drawing. `turns` are what a variation changes or an edit does, by name."""

    act: str
    seed: int
    fault_rate: float
    asks: Understood = field(default_factory=Understood)
    turns: tuple[str, ...] = ()
    of: tuple[Recipe, ...] = ()


def write_recipe(image: Image.Image, recipe: Recipe | None) -> bytes:
    """Return the picture as PNG with its recipe in it; compressed lightly, for speed."""
    buffer = io.BytesIO()
    text = (
        ""
        if recipe is None
        else json.dumps({"version": VERSION, **_as_json(recipe)}, separators=(",", ":"))
    )
    notes = PngImagePlugin.PngInfo()
    if text and len(text) <= MAX_BYTES:
        notes.add_text(CHUNK, text)
    image.save(buffer, "PNG", compress_level=1, pnginfo=notes)
    return buffer.getvalue()


def read_recipe(data: bytes) -> Recipe | None:
    """Return the recipe in a file that was decoded safely before, or None.

    None: not a picture of Sketch, a later version's, or one that somebody meddled with.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            image.load()
            text = getattr(image, "text", {}).get(CHUNK, "")
        if not text or len(text) > MAX_BYTES:
            return None
        content = json.loads(text)
        if content.pop("version") != VERSION:
            return None
        return _from_json(content, depth=0)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _as_json(recipe: Recipe) -> dict[str, Any]:
    asks = {name: word for name, word in asdict(recipe.asks).items() if word and name in _WORDS}
    content: dict[str, Any] = {"act": recipe.act, "seed": recipe.seed, "faults": recipe.fault_rate}
    if asks:
        content["asks"] = asks
    if recipe.turns:
        content["turns"] = list(recipe.turns)
    if recipe.of:
        content["of"] = [_as_json(one) for one in recipe.of]
    return content


def _from_json(content: dict[str, Any], *, depth: int) -> Recipe:
    """Return a checked recipe. Raises ValueError, TypeError, KeyError, AttributeError."""
    act, seed, faults = content["act"], content["seed"], content["faults"]
    asks, turns, of = content.get("asks", {}), content.get("turns", []), content.get("of", [])
    is_sound = (
        depth <= MAX_DEPTH
        and type(seed) is int
        and 0 <= seed <= _MOST_SEED
        and isinstance(faults, (int, float))
        and 0 <= faults <= 1
        and all(word in _WORDS[name] for name, word in asks.items())
        and set(turns) <= TURNS[act]
        and (act != INPAINT or len(turns) == 1)
        and ("object" in asks or not (act == TEXT or {"add", "replace"} & set(turns)))
        and ("action" not in asks or act != TEXT or asks["action"] in ACTIONS_OF[asks["object"]])
        and len(of) == INPUTS[act]
    )
    if not is_sound:
        raise ValueError("no recipe of ours")
    parents = tuple(_from_json(one, depth=depth + 1) for one in of)
    return Recipe(act, seed, float(faults), Understood(**asks), tuple(turns), parents)
