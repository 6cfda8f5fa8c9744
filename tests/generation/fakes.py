"""A generator that follows a script, and keeps its own ledger of what it charged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from synthreview.generation.generators.base import (
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
)
from synthreview.generation.services import generator
from tests.factories import tiny_png

PRICE = 40_000


class ScriptedGenerator:
    """Draws tiny pictures; an exception in `script` is raised in place of the next drawing.

    `charges` holds the idempotency key of each drawing; a repeatable one charges a key once.
    """

    title = "Scripted"
    notice = "Scripted images teach nothing."
    is_repeatable = False
    price = PRICE
    charges: list[str] = []
    requests: list[DrawRequest] = []
    script: list[Any] = []

    def capabilities(self) -> Capabilities:
        return Capabilities(
            able=frozenset({"text", "variation", "fusion"}),
            sizes_px=(256, 512),
            images_per_call=4,
            takes_seed=True,
            takes_idempotency_key=self.is_repeatable,
        )

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        return self.price * request.count

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        self.requests.append(request)
        step = self.script.pop(0) if self.script else None
        if isinstance(step, BaseException):
            raise step
        if not (self.is_repeatable and idempotency_key in self.charges):
            self.charges.append(idempotency_key)
        if isinstance(step, AfterCharge):
            raise step.error
        images = step if isinstance(step, tuple) else self._images(request)
        cost = self.price * request.count
        return DrawResult(images=images, model="scripted", model_version="7", cost_micro_usd=cost)

    def _images(self, request: DrawRequest) -> tuple[DrawnImage, ...]:
        seed = request.seed or 0
        return tuple(
            DrawnImage(tiny_png(seed + i), "image/png", seed=seed + i, private={"drawn": seed + i})
            for i in range(request.count)
        )

    def health(self) -> Health:
        return Health()


class AfterCharge:
    """A step that charges and then breaks off."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


@contextmanager
def scripted(
    settings: Any, *, is_repeatable: bool = False, price: int = PRICE
) -> Iterator[type[ScriptedGenerator]]:
    """Put a fresh scripted generator in place of all others, under the name "scripted"."""

    class Own(ScriptedGenerator):
        charges: list[str] = []
        requests: list[DrawRequest] = []
        script: list[Any] = []

    Own.is_repeatable = is_repeatable
    Own.price = price
    fakes[Own.__name__] = Own
    settings.GENERATORS = {"scripted": {"BACKEND": "tests.generation.fakes.build"}}
    generator.cache_clear()
    yield Own
    generator.cache_clear()


fakes: dict[str, type[ScriptedGenerator]] = {}


def build() -> ScriptedGenerator:
    """What the setting names; gives an instance of the test's own class."""
    return fakes["Own"]()
