"""Everything of which one local model is made, checked without torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synthreview.generation.generators.base import FUSION, INPAINT, TEXT, VARIATION
from synthreview.generation.generators.diffusers.families import (
    KANDINSKY,
    KARLO,
    WITH_IP_ADAPTER,
    Family,
)
from synthreview.generation.generators.diffusers.folder import (
    INDEX,
    ModelFolder,
    Parts,
    find_folder,
    read_folder,
    read_parts,
    weights_in,
)
from synthreview.generation.generators.diffusers.order import EDIT, EMBEDDING, IP_ADAPTER, STRENGTH
from synthreview.lib.outcomes import PermanentError

PRECISIONS: Final = ("auto", "full", "half")
PRIOR_CLASS: Final = "KandinskyV22PriorPipeline"


@dataclass(frozen=True, slots=True)
class Setup:
    """One model with what belongs to it. Two that are equal share one model in memory."""

    folder: ModelFolder
    prior: Parts | None
    ip_adapter: Path | None
    image_encoder: Path | None
    further_weights: tuple[Path, ...]
    device: str
    is_half: bool
    threads: int

    @property
    def family(self) -> Family:
        return self.folder.family

    @property
    def able(self) -> frozenset[str]:
        if self.ip_adapter is not None:
            return self.folder.able | {FUSION}
        return self.folder.able

    @property
    def variation_ways(self) -> tuple[str, ...]:
        """How a variation can be made, the usual way first; empty where none can."""
        if VARIATION not in self.able:
            return ()
        if self.family.name == KARLO:
            return (EMBEDDING,)
        if self.family.name == KANDINSKY:
            return (EMBEDDING, STRENGTH)
        if self.family.edits:
            return (EDIT,)
        return (STRENGTH, IP_ADAPTER) if self.ip_adapter else (STRENGTH,)

    @property
    def sizes_px(self) -> tuple[int, ...]:
        """The model's own size, and those around it that still look right."""
        native, multiple = self.folder.native_px, self.family.multiple_px
        if self.family.name == KARLO:
            return (native,)
        around = (native // 2, native * 3 // 4, native, native * 3 // 2)
        return tuple(sorted({px // multiple * multiple for px in around if px >= multiple}))


def read_setup(
    *,
    model: str,
    revision: str,
    prior: str,
    ip_adapter: str,
    image_encoder: str,
    device: str,
    precision: str,
    threads: int,
) -> Setup:
    """Read folders and settings. Raises PermanentError: what is wrong, and what to do."""
    if precision not in PRECISIONS:
        known = ", ".join(PRECISIONS)
        raise PermanentError(f"precision {precision!r} is not known; choose from {known}.")
    is_half = precision == "half" or (precision == "auto" and device != "cpu")
    folder = read_folder(model, revision=revision, wants_half=is_half)
    prior_parts = _prior(folder, prior, is_half=is_half)
    adapter, encoder, adapter_weights = _ip_adapter(folder, ip_adapter, image_encoder)
    return Setup(
        folder=folder,
        prior=prior_parts,
        ip_adapter=adapter,
        image_encoder=encoder,
        further_weights=(*(prior_parts.weights if prior_parts else ()), *adapter_weights),
        device=device,
        is_half=is_half,
        threads=threads,
    )


def _prior(folder: ModelFolder, prior: str, *, is_half: bool) -> Parts | None:
    if folder.family.name != KANDINSKY:
        if prior:
            raise PermanentError(f"`prior` is for Kandinsky 2.2; {folder.name} takes none.")
        return None
    if not prior:
        raise PermanentError(
            f"{folder.name} is a decoder of Kandinsky 2.2: name its prior too (`prior`)."
        )
    path, _ = find_folder(prior)
    parts = read_parts(path, wants_half=is_half)
    if parts.class_name != PRIOR_CLASS:
        raise PermanentError(f"{path / INDEX} is of a {parts.class_name}, not a {PRIOR_CLASS}.")
    return parts


def _ip_adapter(
    folder: ModelFolder, file: str, encoder: str
) -> tuple[Path | None, Path | None, tuple[Path, ...]]:
    if not file:
        return None, None, ()
    if folder.family.name not in WITH_IP_ADAPTER or TEXT not in folder.able:
        why = " (an inpainting model)" if folder.able == {INPAINT} else ""
        raise PermanentError(
            f"IP-Adapter is offered for Stable Diffusion and XL, not for {folder.name}{why}."
        )
    path = Path(file).expanduser()
    if path.suffix != ".safetensors":
        raise PermanentError(
            f"{path} is refused: only .safetensors files are opened, others can run code."
        )
    if not path.is_file():
        raise PermanentError(f"There is no IP-Adapter {str(path)!r}.")
    encoder_path = Path(encoder).expanduser() if encoder else path.parent / "image_encoder"
    if not (encoder_path / "config.json").is_file():
        raise PermanentError(
            f"The IP-Adapter's image encoder is not in {str(encoder_path)!r}: name its folder "
            "(`image_encoder`)."
        )
    found = weights_in(encoder_path)
    return path, encoder_path, (path, *(found.get("") or next(iter(found.values()))))
