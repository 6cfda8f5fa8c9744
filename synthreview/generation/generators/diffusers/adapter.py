"""The generator for diffusion models on this machine; the worker draws, pages only ask.

What a model can do is read from its folder's small files. torch and diffusers are imported
when something is drawn, never with this module. Knows nothing of Django.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

from synthreview.generation.generators.base import (
    FUSION,
    VARIATION,
    Capabilities,
    DrawnImage,
    DrawRequest,
    DrawResult,
    Health,
    OnStep,
    go_on,
)
from synthreview.generation.generators.checking import check_options, encode_png
from synthreview.generation.generators.diffusers import families
from synthreview.generation.generators.diffusers.families import KANDINSKY, KARLO
from synthreview.generation.generators.diffusers.options import options_of
from synthreview.generation.generators.diffusers.order import order_of
from synthreview.generation.generators.diffusers.setups import Setup, read_setup
from synthreview.lib.outcomes import PermanentError

BATCH_ON_CPU, BATCH_ELSEWHERE = 1, 4
PACKAGES = ("torch", "diffusers", "transformers", "accelerate")


class DiffusersGenerator:
    """Draws with one model of diffusers; the same seed gives the same picture.

    Args:
        model: a folder as diffusers saves it, or OWNER/NAME on the Hugging Face hub that was
            downloaded before.
        revision: of a hub name: a branch, a tag or a commit.
        prior: Kandinsky 2.2 only: the folder or name of its prior.
        ip_adapter: Stable Diffusion and XL: an IP-Adapter's .safetensors file, for fusion.
        image_encoder: that adapter's image encoder; `image_encoder` beside the file otherwise.
        device: "cpu", "cuda", "cuda:1", "mps".
        precision: "full", "half", or "auto": full on a CPU, half elsewhere.
        batch: images drawn at once; 0: 1 on a CPU, 4 elsewhere.
        sizes_px: the sizes offered, where the folder's own is not wanted.
        steps, guidance, scheduler: what runs take that set none; the model's own otherwise.
        threads: CPU threads of torch for the whole process; 0 leaves them alone.
    """

    def __init__(
        self,
        *,
        model: str,
        revision: str = "",
        prior: str = "",
        ip_adapter: str = "",
        image_encoder: str = "",
        device: str = "cpu",
        precision: str = "auto",
        batch: int = 0,
        sizes_px: Sequence[int] = (),
        steps: int | None = None,
        guidance: float | None = None,
        scheduler: str = "",
        threads: int = 0,
        title: str = "",
    ) -> None:
        self.title = title or f"Local model {Path(model).name}"
        self._sources = {
            "model": model,
            "revision": revision,
            "prior": prior,
            "ip_adapter": ip_adapter,
            "image_encoder": image_encoder,
            "device": device,
            "precision": precision,
            "threads": threads,
        }
        self._batch = batch or (BATCH_ON_CPU if device == "cpu" else BATCH_ELSEWHERE)
        self._sizes_px = tuple(sizes_px)
        given = {"steps": steps, "guidance": guidance, "scheduler": scheduler or None}
        self._defaults = {name: value for name, value in given.items() if value is not None}

    @property
    def notice(self) -> str:
        """The licence of the model, where its card tells one."""
        try:
            licence = self._setup().folder.licence
        except PermanentError:
            return ""
        return f"{self.title}: the model's licence is {licence}." if licence else ""

    def capabilities(self) -> Capabilities:
        """Say what can be asked: nothing of a model that cannot be loaded; `health` says why."""
        try:
            setup = self._setup()
        except PermanentError:
            return Capabilities(able=frozenset(), sizes_px=self._sizes_px or (512,))
        return Capabilities(
            able=setup.able,
            sizes_px=self._sizes_px or setup.sizes_px,
            images_per_call=self._batch,
            takes_seed=True,
            takes_negative_prompt=setup.family.takes_negative_prompt,
            takes_idempotency_key=True,  # drawing the same again costs nothing
            emulated=_emulated(setup),
            options=options_of(setup, self._defaults),
        )

    def estimate_micro_usd(self, request: DrawRequest) -> int:
        """Return 0: drawing costs the machine's time only."""
        return 0

    def health(self) -> Health:
        """Say what is wrong with packages and folders, and what the model is; loads nothing."""
        faults = missing_packages()
        try:
            setup = self._setup()
        except PermanentError as error:
            return Health(faults=(*faults, str(error)))
        try:
            check_options(self._defaults, options_of(setup, {}), self.title)
        except PermanentError as error:
            faults.append(str(error))
        licence = setup.folder.licence or "not told by its folder"
        facts = (f"{setup.family.title}, {setup.folder.native_px} px", f"licence: {licence}")
        return Health(faults=tuple(faults), facts=facts)

    def draw(self, request: DrawRequest, *, idempotency_key: str) -> DrawResult:
        """Draw `request.count` images. Raises PermanentError, RefusedError."""
        return self.draw_watched(request, idempotency_key=idempotency_key, on_step=go_on)

    def draw_watched(
        self, request: DrawRequest, *, idempotency_key: str, on_step: OnStep
    ) -> DrawResult:
        """Draw, and tell of every step; raises StoppedError within a step once told to."""
        setup = self._setup()
        order = order_of(request, self.capabilities(), self.title)
        if missing := missing_packages():
            raise PermanentError(*missing)
        from synthreview.generation.generators.diffusers import drawing, pipelines

        with pipelines.clear_errors(f"{order.count} images of {order.size_px} px", setup):
            model = pipelines.load(setup)
            pictures, facts = drawing.draw(model, order, on_step)
        return DrawResult(
            images=tuple(
                DrawnImage(data=encode_png(picture), media_type="image/png", seed=seed, facts=facts)
                for picture, seed in zip(pictures, order.seeds, strict=True)
            ),
            model=setup.folder.name,
            model_version=model.version,
            raw=model.provenance,
        )

    def _setup(self) -> Setup:
        return read_setup(**self._sources)  # type: ignore[arg-type]


def _emulated(setup: Setup) -> dict[str, str]:
    """Say how what the model was not made for is done."""
    family = setup.family
    if family.name == KARLO:  # made for variations; DALL·E 2 fused by this same way
        named = {FUSION: families.BY_MIXED_EMBEDDING}
    elif family.name == KANDINSKY:
        named = {VARIATION: families.BY_EMBEDDING, FUSION: families.BY_MIXED_EMBEDDING}
    elif family.edits:
        named = {VARIATION: families.BY_EDIT, FUSION: families.BY_TWO_EDIT}
    else:
        named = {VARIATION: families.BY_STRENGTH, FUSION: families.BY_TWO_IP_ADAPTER}
    return {capability: how for capability, how in named.items() if capability in setup.able}


def missing_packages() -> list[str]:
    """Return a sentence where the packages of local models are not installed."""
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if not missing:
        return []
    return [f"{', '.join(missing)} missing: run `pip install synthreview[diffusers]`."]
