"""From recipes to scenes: what a variation, a fusion or an edit asks for, and how it goes wrong.

Nothing here draws. Each act is a function from the scenes of its sources to a new scene; its
faults are those of a text, and two that only a derivation has: the mere copy, and the edit
that did not happen.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

from synthreview.generation.generators.base import FUSION, INPAINT, TEXT, VARIATION
from synthreview.generation.generators.sketch import vocabulary
from synthreview.generation.generators.sketch.recipe import Recipe
from synthreview.generation.generators.sketch.scene import (
    MAX_SEED,
    Scene,
    drawn_colour,
    possible_faults,
    sample_fault,
    scene_asked,
    scene_drawn,
)
from synthreview.generation.generators.sketch.touches import TOUCHES, paint_of, touch_in
from synthreview.generation.generators.sketch.understanding import Understood, understand

MERE_COPY: Final = "mere copy"
IGNORED_EDIT: Final = "ignored edit"


@dataclass(frozen=True, slots=True)
class Told:
    """What a recipe comes to: what was asked, what goes wrong on purpose, what is drawn."""

    asked: Scene
    fault: str | None
    drawn: Scene


@lru_cache(maxsize=512)
def told(recipe: Recipe) -> Told:
    """Return the scene of a recipe, its ancestors' first."""
    sources = tuple(told(one).drawn for one in recipe.of)
    if recipe.act == TEXT:
        asked = scene_asked(recipe.asks, recipe.seed)
        fault = sample_fault(recipe.asks, recipe.seed, recipe.fault_rate)
        return Told(asked, fault, scene_drawn(asked, fault))
    if recipe.act == VARIATION:
        asked = _varied(recipe, sources[0])
    elif recipe.act == FUSION:
        asked = _fused(recipe, sources[0], sources[1])
    else:
        asked = edited(recipe, sources[0])
    fault = _fault_of(recipe, asked)
    if fault in (MERE_COPY, IGNORED_EDIT):
        return Told(asked, fault, sources[0])
    return Told(asked, fault, scene_drawn(asked, fault))


def _fault_of(recipe: Recipe, asked: Scene) -> str | None:
    rng = random.Random(f"{recipe.act}/fault/{recipe.seed}")
    if rng.random() >= recipe.fault_rate:
        return None
    if recipe.act == INPAINT:
        wrong = {"place": "wrong environment", "replace": "wrong object"}.get(recipe.turns[0])
        if recipe.turns[0] == "change" and recipe.asks.colour and asked.style != "black and white":
            wrong = "wrong colour"
        return rng.choice([IGNORED_EDIT, *([wrong] if wrong else [])])
    if asked.object is None:
        return MERE_COPY
    shown = Understood(
        object=asked.object,
        environment=asked.environment,
        style=asked.style,
        colour=recipe.asks.colour,
    )
    return rng.choice([MERE_COPY, *possible_faults(shown)])


# --- Variation ----------------------------------------------------------------------

# What "in another …" draws anew. Pose, place in the picture, light and camera always are.
_TURNS: Final[dict[str, str]] = {
    "place": "environment",
    "background": "environment",
    "setting": "environment",
    "environment": "environment",
    "colour": "colour",
    "color": "colour",
    "style": "style",
    "medium": "style",
}
_ANOTHER: Final = re.compile(r"\b(?:another|other|different|new)\s+(\w+)")
# Words of an instruction that a new seed answers, or that only point at the source.
_ANSWERED: Final = frozenset(
    """another other different new pose angle view seen light place background setting environment
    colour color style medium kind time day hour weather season size closer nearer farther camera
    distance position variation variations version similar same sibling siblings blend mix fusion
    two both image picture photo like one its it""".split()
)


def read_change(prompt: str) -> tuple[Understood, tuple[str, ...], tuple[str, ...]]:
    """Return what an instruction states, what it wants to be another, and what is not known."""
    asks = understand(prompt)
    found = (_TURNS.get(word) for word in _ANOTHER.findall(prompt.lower()))
    unknown = tuple(w for w in asks.unknown_words if not set(w.split()) <= _ANSWERED)
    return asks, tuple(dict.fromkeys(turn for turn in found if turn)), unknown


def _varied(recipe: Recipe, base: Scene) -> Scene:
    """Return the same scene with another seed and pose, and what the instruction changes."""
    rng = random.Random(f"variation/{recipe.seed}")
    scene = replace(base, seed=rng.randrange(MAX_SEED), colour=_kept_colour(base))
    if base.object is not None:
        able = vocabulary.ACTIONS_OF[base.object]
        scene = replace(scene, action=rng.choice(able))
        if recipe.asks.action in able:
            scene = replace(scene, action=recipe.asks.action)
    return replace(
        scene,
        environment=_turned("environment", vocabulary.ENVIRONMENT_NAMES, recipe, scene, rng),
        colour=_turned("colour", vocabulary.COLOUR_NAMES, recipe, scene, rng),
        style=_turned("style", vocabulary.STYLE_NAMES, recipe, scene, rng) or scene.style,
    )


def _turned(
    name: str, pool: tuple[str, ...], recipe: Recipe, scene: Scene, rng: random.Random
) -> str | None:
    """Return an attribute as the instruction states it, as another one, or as it was."""
    stated: str | None = getattr(recipe.asks, name)
    was: str | None = getattr(scene, name)
    if stated or name not in recipe.turns:
        return stated or was
    return rng.choice([word for word in pool if word != was])


def _kept_colour(base: Scene) -> str | None:
    """Return the paint that a sibling must keep; graphite alone shows none and keeps none."""
    if base.object is None or base.style == "pencil sketch":
        return base.colour
    return drawn_colour(base)


def _fused(recipe: Recipe, subject: Scene, setting: Scene) -> Scene:
    """Return the subject of the first in the setting and the style of the second."""
    rng = random.Random(f"fusion/{recipe.seed}")
    colour = subject.colour if subject.object is None else _kept_colour(subject)
    return replace(
        subject,
        environment=setting.environment,
        style=setting.style,
        colour=colour,
        seed=rng.randrange(MAX_SEED),
    )


# --- Edits --------------------------------------------------------------------------

_REMOVES: Final = re.compile(r"\b(?:removed?|removing|erased?|without|deleted?|gone|no)\b")
_BEHIND: Final = re.compile(r"\b(?:background|behind|surroundings?|setting|scenery)\b")
_BESIDE: Final = re.compile(r"\b(?:beside|next to|neighbours?|neighbors?|around)\b")
_ADDS: Final = re.compile(r"\b(?:add(?:ed|ing)?|put|placed|insert(?:ed)?)\b")
_SUBJECT: Final = re.compile(
    r"^\s*(?:the|a|an|this)\s+(?:same\s+)?[\w\- ]+?\s+(?=with(?:out)?\b|but\b)"
)


_VERBS: Final = frozenset(
    """added replaced removed changed everything remove replace add change erase delete turn turned
    make put painted repainted daylight else""".split()
)


def read_edit(text: str) -> tuple[Understood, tuple[str, ...]]:
    """Return what an instruction names, and its kind as one word; none if nothing is understood.

    remove: the subject; alone: what stands beside it; backdrop: a plain background; place:
    another environment; add, replace: another object; change: another look of the same;
    or the name of a touch.
    """
    words = _SUBJECT.sub("", text.lower())
    asks = understand(words)
    unknown = tuple(word for word in asks.unknown_words if word not in _VERBS)
    asks = replace(asks, unknown_words=unknown)
    removes = _REMOVES.search(words) is not None
    if touch := _touch(words, asks, removes):
        return touch
    if removes and _BESIDE.search(words):
        return asks, ("alone",)
    if removes and _BEHIND.search(words):
        return asks, ("backdrop",)
    if removes:
        return asks, ("remove",)
    if asks.object and _ADDS.search(words):
        return asks, ("add",)
    if asks.environment and (_BEHIND.search(words) or not asks.object):
        return asks, ("place",)
    if asks.object:
        return asks, ("replace",)
    if asks.colour or asks.style or asks.action or asks.look:
        return asks, ("change",)
    return asks, ()


# What is true of every touch, so that it is not reported as unknown.
_SAID_OF_TOUCHES: Final = frozenset("long stormy small part reflection".split())


def _touch(
    words: str, asks: Understood, removes: bool
) -> tuple[Understood, tuple[str, ...]] | None:
    """Return the touch that an instruction is about; no kind where one is to be taken away."""
    found = touch_in(words)
    if found is None or (asks.environment and _BEHIND.search(words)):
        return None
    name, start = found
    if understand(words[:start]).object:  # the object comes first: it is what is added
        return None
    if removes:
        return (asks, ()) if asks.object is None else None
    known = set(TOUCHES[name].words.findall(words)) | _SAID_OF_TOUCHES | {paint_of(words, name)}
    unknown = tuple(
        word for word in asks.unknown_words if not set(word.split()) <= known | set(name.split())
    )
    return Understood(colour=paint_of(words, name) or None, unknown_words=unknown), (name,)


def edited(recipe: Recipe, base: Scene) -> Scene:
    """Return the scene after an edit; the seed, and with it all that is not named, stays."""
    asks, kind = recipe.asks, recipe.turns[0]
    if kind in TOUCHES:
        return replace(base, touches=(*base.touches, f"{asks.colour or ''} {kind}".strip()))
    if kind == "remove":
        return replace(base, object=None, colour=None, action=None, look=None, intruder=None)
    if kind == "alone":
        return replace(base, intruder=None)
    if kind in ("backdrop", "place"):
        return replace(base, environment=asks.environment if kind == "place" else None)
    if kind == "add" and base.object is not None:
        return replace(base, intruder=asks.object)
    if kind in ("add", "replace"):
        assert asks.object is not None
        able = vocabulary.ACTIONS_OF[asks.object]
        rng = random.Random(f"edit/{recipe.seed}")
        action = asks.action if asks.action in able else rng.choice(able)
        colour = asks.colour or rng.choice(vocabulary.NATURAL_COLOURS[asks.object])
        return replace(
            base, object=asks.object, colour=colour, action=action, look=asks.look,
            missing_part=False,
        )  # fmt: skip
    if kind == "change" and base.object is not None:
        able = vocabulary.ACTIONS_OF[base.object]
        return replace(
            base,
            colour=asks.colour or base.colour,
            style=asks.style or base.style,
            look=asks.look or base.look,
            action=asks.action if asks.action in able else base.action,
        )
    return base
