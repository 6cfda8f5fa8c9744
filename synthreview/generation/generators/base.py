"""What every generator is: one small contract, and the errors it may raise.

Adapters live beside this file, one file (or folder) each. They know nothing of
Django, touch no row, read no setting and never retry by themselves: the job
that calls them does that, so that no call is paid twice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """One request for `count` images; a frozen value that can be logged and repeated.

    `technique` is one of the capabilities. `images` are the inputs of variation,
    fusion and inpaint, as encoded bytes; `mask` is a PNG in mode L, white = repaint.
    `options` are the run's own settings for this generator (for example the
    embedded generator's fault rate).
    """

    prompt: str
    count: int = 1
    size_px: int = 512
    seed: int | None = None
    technique: str = "text"
    images: tuple[bytes, ...] = ()
    mask: bytes | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One encoded image and what the generator tells about it.

    `private` never reaches reviewers, scorers or exports: the embedded generator
    puts the truth of its picture there, for benchmarks and tests.
    """

    data: bytes
    media_type: str
    seed: int | None = None
    revised_prompt: str | None = None
    private: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrawResult:
    """The answer to one request: exactly `count` images and what they cost."""

    images: tuple[DrawnImage, ...]
    model: str
    model_version: str
    cost_usd: Decimal = Decimal(0)


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can do. `techniques`: text, variation, fusion, inpaint."""

    techniques: frozenset[str]
    sizes_px: tuple[int, ...]
    images_per_call: int = 1
    takes_seed: bool = False
    takes_idempotency_key: bool = False


class Generator(Protocol):
    """A source of images. Instances are built from the `GENERATORS` setting."""

    title: str
    notice: str  # shown on pages and in exports; empty where there is nothing to say

    def capabilities(self) -> Capabilities:
        """Say what can be asked; called before a run is made. Raises nothing."""
        ...

    def estimate_usd(self, request: DrawRequest) -> Decimal:
        """Return an upper bound of what the request costs. Raises nothing."""
        ...

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Draw `request.count` images, or raise one of the errors below."""
        ...

    def health(self) -> list[str]:
        """Return what is wrong, one plain sentence each; empty when all is well."""
        ...


class GeneratorError(Exception):
    """Base of everything a generator raises; itself a fault that will not pass by itself."""


class PermanentError(GeneratorError):
    """Wrong request or configuration: the same call will fail again."""


class RefusedError(PermanentError):
    """The provider's policy refused the prompt; not charged."""


class OutOfCreditError(GeneratorError):
    """The account is empty: pause the run, ask a person."""


class TransientError(GeneratorError):
    """Nothing was charged and the same call may succeed later."""


class RateLimitedError(TransientError):
    """Too many calls; `retry_after_s` is what the provider asked for, if it did."""

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class OutcomeUnknownError(GeneratorError):
    """The bytes left and no proof of the outcome came back: it may have been charged."""
