"""Scenes: the whole content of one picture as a value, how they are sampled, and how they go wrong.

Nothing here draws. A scene and a size determine the picture to the last byte, so
that variation, fusion and repair can be written as functions from scene to scene.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from synthreview.generation.generators.sketch import vocabulary
from synthreview.generation.generators.sketch.understanding import Understood

ANY: Final = "any"
MAX_SEED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Scene:
    """What one picture shows.

    `object` None: nothing stands in the place. `environment` None: a plain backdrop.
    `colour` None: one of the object's natural colours, by the seed. `action` None:
    the object's first action. `look` is a pattern put on the object. `seed` decides
    all that has no name: position, size, flip, light, clutter, camera. `touches` are small
    edits by name, "shadow" or with a colour "red box", see `touches`.
    """

    object: str | None
    environment: str | None
    style: str = "photo-like"
    colour: str | None = None
    action: str | None = None
    look: str | None = None
    intruder: str | None = None
    missing_part: bool = False
    unreadable: bool = False
    seed: int = 0
    touches: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the scene as plain JSON values."""
        return asdict(self)


def shown_colour(scene: Scene) -> str | None:
    """Return the name of the colour that a viewer sees on the object, if any can be seen.

    A black and white picture hides every colour, and so does a pencil sketch
    whose prompt asked for none: graphite only.
    """
    if scene.object is None or scene.style == "black and white":
        return None
    if scene.colour is None and scene.style == "pencil sketch":
        return None
    return drawn_colour(scene)


def drawn_colour(scene: Scene) -> str:
    """Return the name of the paint that the object is drawn with, before its style."""
    if scene.colour is not None:
        return scene.colour
    rng = random.Random(f"colour/{scene.seed}")
    return rng.choice(vocabulary.NATURAL_COLOURS[scene.object or "car"])


def shown_action(scene: Scene) -> str | None:
    """Return the action that a viewer sees: the asked one, or the object's first."""
    if scene.object is None:
        return None
    return scene.action or vocabulary.ACTIONS_OF[scene.object][0]


def sample_scene(
    rng: random.Random,
    *,
    object: str | None = ANY,
    environment: str | None = ANY,
    style: str = ANY,
    colour: str | None = ANY,
    action: str | None = ANY,
) -> Scene:
    """Return a faultless scene; each attribute that is not given is drawn evenly.

    Colour is natural in one of four. None is a value of its own (see `Scene`).
    """
    if object == ANY:
        object = rng.choice(vocabulary.OBJECT_NAMES)
    if environment == ANY:
        environment = rng.choice(vocabulary.ENVIRONMENT_NAMES)
    if style == ANY:
        style = rng.choice(vocabulary.STYLE_NAMES)
    if colour == ANY:
        colour = None if rng.random() < 0.25 else rng.choice(vocabulary.COLOUR_NAMES)
    if action == ANY:
        action = rng.choice(vocabulary.ACTIONS_OF[object]) if object else None
    return Scene(object, environment, style, colour, action, seed=rng.randrange(MAX_SEED))


def scene_asked(understood: Understood, seed: int) -> Scene:
    """Return the faultless scene of a prompt; what it leaves open is decided by the seed."""
    rng = random.Random(f"asked/{seed}")
    if understood.object is None:
        raise ValueError("nothing to draw: the prompt names no known object")
    places = vocabulary.PLAUSIBLE_PLACES[understood.object]
    actions = vocabulary.ACTIONS_OF[understood.object]
    return Scene(
        object=understood.object,
        environment=understood.environment or rng.choice(places),
        style=understood.style or "photo-like",
        colour=understood.colour,
        action=understood.action or rng.choice(actions),
        look=understood.look,
        seed=seed,
    )


def _other(rng: random.Random, choices: tuple[str, ...], *but: str | None) -> str:
    return rng.choice([name for name in choices if name not in but])


def _wrong_object(asked: Scene, rng: random.Random) -> Scene:
    other = _other(rng, vocabulary.OBJECT_NAMES, asked.object)
    return replace(asked, object=other, action=rng.choice(vocabulary.ACTIONS_OF[other]))


def _wrong_environment(asked: Scene, rng: random.Random) -> Scene:
    return replace(asked, environment=_other(rng, vocabulary.ENVIRONMENT_NAMES, asked.environment))


def _missing_environment(asked: Scene, rng: random.Random) -> Scene:
    return replace(asked, environment=None)


# Colours that a reviewer could take for each other at a glance are no clear mistake.
_NEAR: Final = {
    frozenset(pair)
    for pair in (
        ("red", "orange"), ("orange", "yellow"), ("red", "pink"), ("purple", "pink"),
        ("blue", "purple"), ("grey", "white"), ("grey", "black"), ("brown", "orange"),
        ("brown", "red"), ("brown", "black"), ("yellow", "white"),
    )
}  # fmt: skip


def _wrong_colour(asked: Scene, rng: random.Random) -> Scene:
    near = [c for c in vocabulary.COLOUR_NAMES if frozenset((c, asked.colour)) in _NEAR]
    return replace(asked, colour=_other(rng, vocabulary.COLOUR_NAMES, asked.colour, *near))


def _ignored_style(asked: Scene, rng: random.Random) -> Scene:
    if asked.style == "photo-like":
        return replace(asked, style=_other(rng, vocabulary.STYLE_NAMES, "photo-like"))
    return replace(asked, style="photo-like")


def _missing_part(asked: Scene, rng: random.Random) -> Scene:
    return replace(asked, missing_part=True)


def _intruder(asked: Scene, rng: random.Random) -> Scene:
    return replace(asked, intruder=_other(rng, vocabulary.OBJECT_NAMES, asked.object))


def _missing_object(asked: Scene, rng: random.Random) -> Scene:
    return replace(asked, object=None, colour=None, action=None, look=None)


def _unreadable(asked: Scene, rng: random.Random) -> Scene:
    return replace(asked, unreadable=True)


Fault = Callable[[Scene, random.Random], Scene]

FAULTS: Final[dict[str, Fault]] = {
    "wrong object": _wrong_object,
    "wrong environment": _wrong_environment,
    "missing environment": _missing_environment,
    "wrong colour": _wrong_colour,
    "ignored style": _ignored_style,
    "missing part": _missing_part,
    "intruder": _intruder,
    "missing object": _missing_object,
    "unreadable": _unreadable,
}


def possible_faults(understood: Understood) -> tuple[str, ...]:
    """Return the faults that would show: only what was asked can be got wrong.

    A colour cannot be wrong in a black and white picture.
    """
    hidden = {
        "wrong environment": understood.environment is None,
        "missing environment": understood.environment is None,
        "wrong colour": understood.colour is None or understood.style == "black and white",
        "ignored style": understood.style is None,
    }
    return tuple(name for name in FAULTS if not hidden.get(name, False))


def sample_fault(understood: Understood, seed: int, fault_rate: float) -> str | None:
    """Return the fault of the image with this seed, or None: drawn once per image."""
    rng = random.Random(f"fault/{seed}")
    if rng.random() >= fault_rate:
        return None
    return rng.choice(possible_faults(understood))


def scene_drawn(asked: Scene, fault: str | None) -> Scene:
    """Return the scene that is really drawn when `fault` happens to the asked one."""
    if fault is None:
        return asked
    return FAULTS[fault](asked, random.Random(f"{fault}/{asked.seed}"))
