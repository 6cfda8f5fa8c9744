"""Models in memory: loaded once, one at a time, their pipelines over one set of weights.

Imports torch and diffusers: for workers only.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from diffusers.pipelines.deprecated.unclip.text_proj import UnCLIPTextProjModel
from safetensors import SafetensorError

from synthreview.generation.generators.base import INPAINT, TEXT, VARIATION
from synthreview.generation.generators.diffusers.families import KANDINSKY, KARLO, SCHEDULERS
from synthreview.generation.generators.diffusers.folder import INDEX, Parts, weights_sha256
from synthreview.generation.generators.diffusers.setups import Setup
from synthreview.lib.outcomes import PermanentError, ServiceError

AUTO: Final = {
    TEXT: "AutoPipelineForText2Image",
    VARIATION: "AutoPipelineForImage2Image",
    INPAINT: "AutoPipelineForInpainting",
}
# AutoPipeline wants to fetch Kandinsky's prior from the hub; these take the one we load.
DECODERS: Final = {
    TEXT: "KandinskyV22Pipeline",
    VARIATION: "KandinskyV22Img2ImgPipeline",
    INPAINT: "KandinskyV22InpaintPipeline",
}
# What loading and drawing raise for wrong folders, options and sizes.
FAULTS: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    SafetensorError,
    TypeError,
    ValueError,
)
OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "cannot allocate memory")


class LoadedModel:
    """A model in memory.

    `version` says which weights they are, `provenance` what drew and by which libraries.
    """

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self._pipelines: dict[str, Any] = {}
        self._has_ip_adapter = False
        self.prior = self._load_prior(setup.prior) if setup.prior else None
        base = TEXT if TEXT in setup.able else min(setup.able & AUTO.keys())
        self._pipelines[base] = self._load_base(base)
        self._base = self._pipelines[base]
        self._scheduler = getattr(self._base, "scheduler", None)
        files = (*setup.folder.parts.weights, *setup.further_weights)
        checksum = weights_sha256(files)
        revision = f"revision {setup.folder.revision[:12]}, " if setup.folder.revision else ""
        self.version = f"{revision}weights {checksum[:32]}"
        self.provenance = {
            "model": setup.folder.name,
            "revision": setup.folder.revision,
            "weights_sha256": checksum,
            "licence": setup.folder.licence,
            "diffusers": diffusers.__version__,
            "transformers": transformers.__version__,
            "torch": torch.__version__,
            "device": setup.device,
            "precision": str(self.dtype).removeprefix("torch."),
        }

    @functools.cached_property
    def dtype(self) -> torch.dtype:
        """The type of the weights."""
        found: torch.dtype = (
            getattr(torch, self.setup.family.half) if self.setup.is_half else torch.float32
        )
        return found

    def pipeline(self, kind: str, *, scheduler: str | None = None) -> Any:
        """Return the pipeline of TEXT, VARIATION or INPAINT, with a fresh scheduler.

        All have the same weights. Raises PermanentError: a scheduler this model cannot take.
        """
        if kind not in self._pipelines:
            self._pipelines[kind] = self._share(kind)
        pipeline = self._pipelines[kind]
        if self._scheduler is not None:
            pipeline.scheduler = self._fresh_scheduler(scheduler)
        return pipeline

    def with_ip_adapter(self, pipeline: Any, weight: float) -> Any:
        """Give the pipeline the IP-Adapter, which all that share its weights then have."""
        adapter, encoder = self.setup.ip_adapter, self.setup.image_encoder
        assert adapter is not None
        assert encoder is not None
        if not self._has_ip_adapter:
            # Left to itself it would also take an encoder in a format that can run code.
            seeing: Any = transformers.CLIPVisionModelWithProjection.from_pretrained(
                encoder, use_safetensors=True, local_files_only=True, dtype=self.dtype
            )
            pipeline.register_modules(image_encoder=seeing.to(self.setup.device))
            pipeline.load_ip_adapter(
                str(adapter.parent),
                subfolder="",
                weight_name=adapter.name,
                image_encoder_folder=None,
                local_files_only=True,
            )
            self._has_ip_adapter = True
        pipeline.set_ip_adapter_scale(weight)
        return pipeline

    def without_ip_adapter(self) -> None:
        """Take the adapter out again: with it, the model draws nothing without a picture."""
        if self._has_ip_adapter:
            self._pipelines[TEXT].unload_ip_adapter()
            self._has_ip_adapter = False

    def _load_base(self, kind: str) -> Any:
        if self.setup.family.name == KARLO:
            return _karlo(self.setup.folder.parts, self.dtype).to(self.setup.device)
        names = DECODERS if self.setup.family.name == KANDINSKY else AUTO
        return self._from_pretrained(getattr(diffusers, names[kind]), self.setup.folder.parts)

    def _load_prior(self, parts: Parts) -> Any:
        return self._from_pretrained(diffusers.KandinskyV22PriorPipeline, parts)

    def _from_pretrained(self, kind: Any, parts: Parts) -> Any:
        return kind.from_pretrained(
            str(parts.path),
            dtype=self.dtype,
            variant=parts.variant or None,
            use_safetensors=True,
            local_files_only=True,
        ).to(self.setup.device)

    def _share(self, kind: str) -> Any:
        if self.setup.family.name == KARLO:
            return _karlo_variation(self._base, self.setup.folder.parts, self.dtype)
        if self.setup.family.name == KANDINSKY:
            return getattr(diffusers, DECODERS[kind])(**self._base.components)
        self.without_ip_adapter()
        return getattr(diffusers, AUTO[kind]).from_pipe(self._base)

    def _fresh_scheduler(self, name: str | None) -> Any:
        """Return a scheduler that no earlier drawing has touched."""
        assert self._scheduler is not None
        if not name:
            return type(self._scheduler).from_config(self._scheduler.config)
        class_name, settings = SCHEDULERS[name]
        # Latent consistency fits all of them, and diffusers does not list it.
        able = {"LCMScheduler", *(kind.__name__ for kind in self._scheduler.compatibles)}
        if class_name not in able:
            known = ", ".join(key for key, (kind, _) in SCHEDULERS.items() if kind in able)
            raise PermanentError(
                f"scheduler {name!r} does not fit {self.setup.folder.name}; "
                f"these do: {known or 'its own only'}."
            )
        return getattr(diffusers, class_name).from_config(self._scheduler.config, **settings)


_resident: LoadedModel | None = None


def load(setup: Setup) -> LoadedModel:
    """Return the model, from memory where it is the last one; another one is let go of first.

    Raises whatever a wrong folder makes diffusers raise: call it within `clear_errors`.
    """
    global _resident
    if _resident is not None and _resident.setup == setup:
        return _resident
    _resident = None
    free_memory()
    if setup.device.startswith("cuda") and not torch.cuda.is_available():
        raise PermanentError(
            "There is no CUDA device here: set SYNTHREVIEW_DEVICE to cpu, or install its driver."
        )
    if setup.threads:
        torch.set_num_threads(setup.threads)
    diffusers.utils.logging.disable_progress_bar()  # a log is no terminal
    diffusers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    _resident = LoadedModel(setup)
    return _resident


def free_memory() -> None:
    """Give back what is no longer used."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


@contextlib.contextmanager
def clear_errors(what: str, setup: Setup) -> Iterator[None]:
    """Turn what torch and diffusers raise into PermanentError, in words; all of it would recur."""
    try:
        yield
    except ServiceError:
        raise
    except (*FAULTS, MemoryError) as error:
        said = " ".join(str(error).split())[:300] or type(error).__name__
        is_full = isinstance(error, (MemoryError, torch.OutOfMemoryError))
        if is_full or any(words in said.lower() for words in OUT_OF_MEMORY):
            free_memory()
            precision = "half" if setup.is_half else "full"
            raise PermanentError(
                f"Out of memory on {setup.device}: {setup.folder.name} in {precision} precision "
                f"cannot draw {what} at once. Draw fewer at once (`batch`) or smaller ones."
            ) from error
        raise PermanentError(f"{setup.folder.name} cannot draw this: {said}") from error


# --- Karlo: its published folder can no longer be loaded as a whole -----------------


def _karlo(parts: Parts, dtype: torch.dtype) -> Any:
    """Return the base pipeline of Karlo: text to image, or variations where it has no prior."""
    kind = "UnCLIPPipeline" if "prior" in parts.names else "UnCLIPImageVariationPipeline"
    return _from_components(getattr(diffusers, kind), parts, dtype, {})


def _karlo_variation(base: Any, parts: Parts, dtype: torch.dtype) -> Any:
    kind = diffusers.UnCLIPImageVariationPipeline
    return _from_components(kind, parts, dtype, base.components).to(base.device)


def _from_components(kind: Any, parts: Parts, dtype: torch.dtype, loaded: dict[str, Any]) -> Any:
    """Build a pipeline part by part; diffusers 0.42 does not find the class of `text_proj`."""
    index = json.loads((parts.path / INDEX).read_text(encoding="utf-8"))
    components = {}
    for name in sorted(kind._get_signature_types()):
        library, class_name = index[name]
        components[name] = loaded.get(name) or _component(
            parts.path / name, library, class_name, dtype
        )
    return kind(**components)


def _component(folder: Path, library: str, class_name: str, dtype: torch.dtype) -> Any:
    if class_name == UnCLIPTextProjModel.__name__:
        kind: Any = UnCLIPTextProjModel
    else:
        kind = getattr({"diffusers": diffusers, "transformers": transformers}[library], class_name)
    settings: dict[str, Any] = {"local_files_only": True}
    if issubclass(kind, torch.nn.Module):
        settings |= {"use_safetensors": True, "dtype": dtype}
    return kind.from_pretrained(str(folder), **settings)
