"""A model's folder: what it can do, and whether it may be loaded, read from its small files.

No torch and no diffusers: pages ask this too. Only safetensors are taken; the other formats
can run code when they are opened.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from synthreview.generation.generators.base import FUSION, INPAINT, TEXT, VARIATION
from synthreview.generation.generators.diffusers.families import (
    FAMILIES,
    FAMILY_OF,
    KANDINSKY,
    KARLO,
    Family,
)
from synthreview.lib.outcomes import PermanentError

INDEX: Final = "model_index.json"
DEFAULT_PX: Final = 1024  # what today's models draw, where the folder does not say
MASKED_CHANNELS: Final = 9  # latents, the masked picture's latents, and the mask
# Parts that have settings and no weights, by the end of their class's name.
WITHOUT_WEIGHTS: Final = (
    "Tokenizer",
    "TokenizerFast",
    "Scheduler",
    "Processor",
    "ProcessorFast",
    "FeatureExtractor",
)
WEIGHTS_NAME: Final = re.compile(
    r"(?:diffusion_pytorch_model|pytorch_model|model)"
    r"(?:\.(?P<early>[a-z]\w*))?(?:-\d{5}-of-\d{5})?(?:\.(?P<late>[a-z]\w*))?\.safetensors"
)
RUNS_CODE: Final = (".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle")


@dataclass(frozen=True, slots=True)
class Parts:
    """A folder whose every part is there and may be loaded.

    `names` are the parts' names. `variant` is what of the weights' file names must be asked
    for ("fp16"), `weights` the files that will be read.
    """

    path: Path
    class_name: str
    names: frozenset[str]
    variant: str
    weights: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model that can draw: what it is called, what it is, what it can do."""

    parts: Parts
    name: str
    revision: str
    family: Family
    able: frozenset[str]
    native_px: int
    licence: str

    @property
    def path(self) -> Path:
        return self.parts.path


def find_folder(model: str, revision: str = "") -> tuple[Path, str]:
    """Return the folder of a model and its revision ("" of a folder of one's own).

    A name on the Hugging Face hub must have been downloaded before: a worker must not begin
    to fetch gigabytes in the middle of a run. Raises PermanentError.
    """
    path = Path(model).expanduser()
    if path.is_dir():
        return path, ""
    if model.startswith((".", "/", "~")) or model.count("/") != 1:
        raise PermanentError(f"There is no model folder {model!r}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        found = snapshot_download(model, revision=revision or None, local_files_only=True)
    except HFValidationError:
        raise PermanentError(f"{model!r} is no name on the Hugging Face hub.") from None
    except LocalEntryNotFoundError:
        pinned = f" --revision {revision}" if revision else ""
        raise PermanentError(
            f"The model {model!r} is not on this machine: run "
            f'`hf download {model}{pinned} --exclude "*.bin" "*.ckpt" "*.msgpack" "*.onnx*"`.'
        ) from None
    return Path(found), Path(found).name


def read_folder(model: str, *, revision: str = "", wants_half: bool = False) -> ModelFolder:
    """Read what a model is and can do. Raises PermanentError: what is wrong, and what to do."""
    path, found_revision = find_folder(model, revision)
    family = _family(_read_json(path / INDEX).get("_class_name"), path)
    parts = read_parts(path, wants_half=wants_half)
    return ModelFolder(
        parts=parts,
        name=model if found_revision else path.name,
        revision=found_revision,
        family=family,
        able=_able(family, parts),
        native_px=_native_px(family, path),
        licence=read_licence(path),
    )


def read_parts(path: Path, *, wants_half: bool) -> Parts:
    """Check a folder's parts and choose their weights. Raises PermanentError."""
    index = _read_json(path / INDEX)
    classes = _parts(index)
    variant, weights = _weights(path, classes, wants_half=wants_half)
    return Parts(path, str(index.get("_class_name")), frozenset(classes), variant, weights)


def _read_json(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise PermanentError(
            f"{file.parent} is no model folder of diffusers: it holds no {file.name}."
        ) from None
    except (OSError, ValueError) as error:
        raise PermanentError(f"{file} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise PermanentError(f"{file} cannot be read: it holds no JSON object.")
    return found


def _family(class_name: object, path: Path) -> Family:
    """Return the family of a pipeline class; code that comes with a model is never run."""
    family = FAMILY_OF.get(class_name) if isinstance(class_name, str) else None
    if family is None:
        known = ", ".join(family.title for family in FAMILIES)
        raise PermanentError(
            f"{path} is a {class_name!r}, which is not offered; these are: {known}."
        )
    return family


def _parts(index: Mapping[str, Any]) -> dict[str, str]:
    """Return {name: class} of the parts that the model has."""
    return {
        name: entry[1]
        for name, entry in index.items()
        if isinstance(entry, list) and len(entry) == 2 and all(isinstance(e, str) for e in entry)
    }


def _weights(
    path: Path, parts: Mapping[str, str], *, wants_half: bool
) -> tuple[str, tuple[Path, ...]]:
    """Return the variant to ask for and the weights' files. Raises PermanentError."""
    by_part: dict[str, dict[str, list[Path]]] = {}
    for name, class_name in parts.items():
        folder = path / name
        if not folder.is_dir():
            raise PermanentError(f"{path} lacks the part {name!r} that its {INDEX} names.")
        if not class_name.endswith(WITHOUT_WEIGHTS):
            by_part[name] = weights_in(folder)
    variants = {variant for found in by_part.values() for variant in found if variant}
    only = {variant for found in by_part.values() if "" not in found for variant in found}
    variant = "fp16" if wants_half and "fp16" in variants else min(only, default="")
    chosen = []
    for name, found in by_part.items():
        if variant not in found and "" not in found:
            raise PermanentError(f"{path / name} holds no weights of the variant {variant!r}.")
        chosen += found.get(variant) or found[""]
    return variant, tuple(chosen)


def weights_in(folder: Path) -> dict[str, list[Path]]:
    """Return the safetensors files of one part by their variant ("" for none).

    Raises PermanentError where there are none, or only others.
    """
    found: dict[str, list[Path]] = {}
    for file in sorted(folder.iterdir()):
        if match := WEIGHTS_NAME.fullmatch(file.name):
            found.setdefault(match["early"] or match["late"] or "", []).append(file)
    if found:
        return found
    if unsafe := next((f for f in sorted(folder.iterdir()) if f.suffix in RUNS_CODE), None):
        raise PermanentError(
            f"{unsafe} is refused: {unsafe.suffix} files can run code when they are opened. "
            "Take the model's safetensors, or convert it with diffusers' `save_pretrained`."
        )
    raise PermanentError(f"{folder} holds no weights (*.safetensors).")


def _able(family: Family, parts: Parts) -> frozenset[str]:
    """Return what these weights can be asked for."""
    if family.name == KARLO:
        able = {TEXT} if "prior" in parts.names else set()
        return frozenset(able | ({VARIATION, FUSION} if "image_encoder" in parts.names else set()))
    if _config(parts.path, "unet").get("in_channels") == MASKED_CHANNELS:
        return frozenset({INPAINT})
    return family.able


def _native_px(family: Family, path: Path) -> int:
    """Return the side of the pictures that the model was trained on, as its settings say."""
    if family.name == KARLO:
        return int(_config(path, "super_res_last").get("sample_size") or 256)
    sample = _config(path, "unet").get("sample_size") or _config(path, "transformer").get(
        "sample_size"
    )
    coder = _config(path, "movq" if family.name == KANDINSKY else "vae")
    levels = coder.get("block_out_channels")
    if not isinstance(sample, int) or not isinstance(levels, list):
        return DEFAULT_PX
    return int(sample * 2 ** (len(levels) - 1))


def _config(path: Path, part: str) -> dict[str, Any]:
    file = path / part / "config.json"
    return _read_json(file) if file.is_file() else {}


def read_licence(path: Path) -> str:
    """Return the licence that a model's card tells, or the first line of its licence file."""
    card = path / "README.md"
    text = card.read_text(encoding="utf-8", errors="replace")[:20_000] if card.is_file() else ""
    if head := re.match(r"---\s*\n(.*?)\n---", text, re.DOTALL):
        told = dict(re.findall(r"^(license\w*):[ \t]*(\S.*?)[ \t]*$", head[1], re.MULTILINE))
        named = {key: value.strip("\"'") for key, value in told.items()}
        name = named.get("license_name") or named.get("license", "")
        link = named.get("license_link", "")
        if name:
            return f"{name} ({link})" if link else name
    for file in sorted(path.glob("LICEN[SC]E*")):
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
        if first := next((line.strip() for line in lines if line.strip()), ""):
            return first[:120]
    return ""


def weights_sha256(files: Iterable[Path]) -> str:
    """Return one SHA-256 over the files' names and their own SHA-256, in their order.

    The hub's cache names large files by theirs; others are read: about 3 s per GB.
    """
    whole = hashlib.sha256()
    for file in files:
        kept_as = file.resolve().name
        if not re.fullmatch(r"[0-9a-f]{64}", kept_as):
            with file.open("rb") as opened:
                kept_as = hashlib.file_digest(opened, "sha256").hexdigest()
        whole.update(f"{kept_as}  {file.parent.name}/{file.name}\n".encode())
    return whole.hexdigest()
