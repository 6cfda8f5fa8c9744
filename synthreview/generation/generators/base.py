"""What every generator is: one small contract.

Adapters live beside this file, one file (or folder) each. They know nothing of
Django, touch no row, read no setting and never retry by themselves: the job
that calls them does that, so that no call is paid twice. What they may raise is
drawn in lib/outcomes.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from PIL import Image

# What a generator can be asked for. The text techniques (plain, environment, style,
# adversarial) are all "text"; the others are their own.
TEXT, VARIATION, FUSION, INPAINT, TYPOGRAPHIC = (
    "text",
    "variation",
    "fusion",
    "inpaint",
    "typographic",
)
CAPABILITIES = (TEXT, VARIATION, FUSION, INPAINT, TYPOGRAPHIC)
# How many images go in, by capability.
INPUTS = {TEXT: 0, VARIATION: 1, FUSION: 2, INPAINT: 1, TYPOGRAPHIC: 1}
# What comes out is as large as what went in: a run of these asks for no size.
KEEPS_SIZE = frozenset({INPAINT, TYPOGRAPHIC})


@dataclass(frozen=True, slots=True)
class DrawRequest:
    """One request for `count` images; a frozen value that can be logged and repeated.

    `capability` is one of CAPABILITIES. `images` are the inputs of all but text, as encoded
    bytes (PNG, JPEG or WebP): of a fusion the subject first, then the setting. `mask` is a
    PNG in mode L of the input's size, white = repaint. `prompt` is a caption, or for the
    others an instruction; `slots` is what its slots say (the word to paste, what to change).
    `options` are the run's own settings for this generator (for example strength).
    `source_size` is the width and height of the first input, for an estimate before its bytes
    are read. Of KEEPS_SIZE the size is the input's, and `size_px` is only what a generator
    falls back to that draws squares of its own sizes: the smallest that holds the input.
    """

    prompt: str
    count: int = 1
    size_px: int = 512
    seed: int | None = None
    capability: str = TEXT
    images: tuple[bytes, ...] = ()
    mask: bytes | None = None
    negative_prompt: str = ""
    slots: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    source_size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class DrawnImage:
    """One encoded image and what the generator tells about it.

    `facts` are shown with the image (safety result, scheduler, …). `private` never reaches
    reviewers, scorers or exports: the embedded generator puts the truth of its picture there,
    for benchmarks and tests. `pixels` is what `data` decodes to (RGB, upright) where the adapter
    has it at hand, because it encoded the picture or decoded it safely: it saves decoding again.
    """

    data: bytes
    media_type: str
    seed: int | None = None
    revised_prompt: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    private: Mapping[str, Any] = field(default_factory=dict)
    pixels: Image.Image | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DrawResult:
    """The answer to one request: exactly `count` images and what they cost.

    `usage` holds what the price was made of (tokens by kind), `raw` the provider's answer
    without the image bytes, for the spool and for whoever audits the bill.
    """

    images: tuple[DrawnImage, ...]
    model: str
    model_version: str
    cost_micro_usd: int = 0
    usage: Mapping[str, int] = field(default_factory=dict)
    raw: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Option:
    """One setting that a run may give this generator; pages and commands make their fields of it.

    `kind` is "number", "text" or "choice"; `least` and `most` bound a number.
    """

    name: str
    title: str
    kind: str
    default: Any = None
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()
    help: str = ""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a generator can do.

    `emulated` says by name how it does a capability that its model lacks ("variation":
    "an edit of one image"): shown before a run, and stored with it; never silently done.
    """

    able: frozenset[str]
    sizes_px: tuple[int, ...]
    images_per_call: int = 1
    takes_seed: bool = False
    takes_negative_prompt: bool = False
    takes_idempotency_key: bool = False
    emulated: Mapping[str, str] = field(default_factory=dict)
    options: tuple[Option, ...] = ()
    price: str = "free"

    def size_for(self, source: tuple[int, int]) -> int:
        """Return the smallest size that holds a source, or the largest that there is."""
        enough = [size for size in self.sizes_px if size >= max(source)]
        return min(enough, default=max(self.sizes_px))


@dataclass(frozen=True, slots=True)
class Health:
    """What is wrong (empty when all is well), and what is worth knowing (models, dates)."""

    faults: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()


class Generator(Protocol):
    """A source of images. Instances are built from the `GENERATORS` setting."""

    title: str
    notice: str  # shown on pages and in exports; empty where there is nothing to say

    def capabilities(self) -> Capabilities:
        """Say what can be asked; called before a run is made. Raises nothing, asks nobody."""
        ...

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        """Return an upper bound of what the request costs. Raises nothing."""
        ...

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Draw `request.count` images, or raise one of lib/outcomes.py."""
        ...

    def health(self) -> Health:
        """Look whether it would work; may ask the network. Raises nothing."""
        ...


# Called after each step with how many are done and how many are known to be needed (the
# number grows where a model works in stages); False asks for a stop.
OnStep = Callable[[int, int], bool]


def go_on(done: int, total: int) -> bool:
    """An OnStep that never stops."""
    return True


@runtime_checkable
class Interruptible(Protocol):
    """A generator that works step by step for so long that people want to watch and stop it.

    It charges nothing, so that work which was stopped is simply gone.
    """

    def draw_watched(
        self, request: DrawRequest, *, idempotency_key: str, on_step: OnStep
    ) -> DrawResult:
        """Draw as `draw` does; raise StoppedError before the next step once `on_step` is False."""
        ...
