"""Which CLIP a setting names, where its weights lie, and whether they may be loaded.

Turns the text of SYNTHREVIEW_CLIP into the arguments that open_clip takes. Only
safetensors files pass: the other formats are pickles, which can run code when
opened. Imports neither Django nor torch at module level; open_clip is imported
only for names that it alone can resolve.
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .base import ScorerError

EMBEDDED_FOLDER = Path(__file__).resolve().parents[3] / "fixtures" / "demo_clip"
CHECKSUMS_NAME = "SHA256SUMS"
CARD_NAME = "card.json"
CONFIG_NAME = "open_clip_config.json"
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".npy", ".npz", ".pickle", ".pkl", ".pt", ".pth"})
# open_clip prefers these two, in this order, to everything else that a folder may hold.
PREFERRED_WEIGHTS = ("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors")


@dataclass(frozen=True, slots=True)
class ClipSource:
    """One model, said in open_clip's words.

    architecture: `model_name` of open_clip: "ViT-B-32", "local-dir:…" or "hf-hub:…".
    pretrained: `pretrained` of open_clip: a tag or a file; None with the two prefixes.
    weights: the safetensors file that open_clip will read.
    preprocess: `image_…` arguments that correct open_clip's default; usually empty.
    card: content of the folder's card.json; empty where there is none.
    """

    architecture: str
    pretrained: str | None
    weights: Path
    model: str
    tag: str
    preprocess: Mapping[str, Any] = field(default_factory=dict)
    card: Mapping[str, Any] = field(default_factory=dict)


def find_source(spec: str | None, *, embedded: Path = EMBEDDED_FOLDER) -> ClipSource:
    """Return the model that `spec` names; empty means the embedded one.

    May download, for a tag or a hub name. Raises ScorerError: unknown name, missing
    file, file format that can run code, checksum that does not match.
    """
    text = (spec or "").strip()
    if not text:
        return _from_folder(embedded)
    if text.startswith("hf-hub:"):
        return _from_hub(text)
    if text.startswith("local-dir:"):
        return _from_folder(Path(text.removeprefix("local-dir:")).expanduser())
    if Path(text).expanduser().is_dir():
        return _from_folder(Path(text).expanduser())
    return _from_name(text)


def sha256_of(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sums(folder: Path) -> None:
    """Compare each file of SHA256SUMS with its checksum; without that file, do nothing."""
    sums = folder / CHECKSUMS_NAME
    if not sums.is_file():
        return
    for line in sums.read_text(encoding="utf-8").splitlines():
        wanted, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file():
            raise ScorerError(f"{path} is missing although {CHECKSUMS_NAME} lists it.")
        if sha256_of(path) != wanted:
            raise ScorerError(
                f"{path} does not have the checksum in {CHECKSUMS_NAME}: "
                "the file is damaged or was changed; restore it."
            )


def one_line(error: BaseException) -> str:
    """Return an error's text on one line of at most 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


def refuse_pickle(path: Path) -> None:
    """Raise ScorerError unless the file is a safetensors file by name."""
    if path.suffix in PICKLE_SUFFIXES:
        raise ScorerError(
            f"{path} is refused: {path.suffix} files can run code when opened; "
            "convert it to .safetensors."
        )
    if path.suffix != ".safetensors":
        raise ScorerError(f"{path} is not a .safetensors file, the only format that is loaded.")


def _from_folder(folder: Path) -> ClipSource:
    """A folder with open_clip_config.json and its weights, as open_clip's hub pages have it."""
    if not (folder / CONFIG_NAME).is_file():
        raise ScorerError(f"{folder} is no model folder: it holds no {CONFIG_NAME}.")
    check_sums(folder)
    weights = _weights_in(folder)
    card = _read_card(folder)
    return ClipSource(
        architecture=f"local-dir:{folder}",
        pretrained=None,
        weights=weights,
        model=str(card.get("model", folder.name)),
        tag=str(card.get("tag", weights.name)),
        card=card,
    )


def _weights_in(folder: Path) -> Path:
    """Return the one file that open_clip will pick, or refuse where it might pick another."""
    for name in PREFERRED_WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path for path in folder.iterdir() if path.is_file())
    for path in files:
        if path.suffix in PICKLE_SUFFIXES:
            refuse_pickle(path)
    found = [path for path in files if path.suffix == ".safetensors"]
    if not found:
        raise ScorerError(f"{folder} holds no weights: {PREFERRED_WEIGHTS[0]} is missing.")
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ScorerError(
            f"{folder} holds several weights ({names}): name one {PREFERRED_WEIGHTS[0]}."
        )
    return found[0]


def _read_card(folder: Path) -> Mapping[str, Any]:
    path = folder / CARD_NAME
    if not path.is_file():
        return {}
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ScorerError(f"{path} is not readable as JSON: {one_line(error)}") from error
    if not isinstance(card, dict):
        raise ScorerError(f"{path} must hold a JSON object.")
    return card


def _from_hub(text: str) -> ClipSource:
    from open_clip.pretrained import download_pretrained_from_hf

    name = text.removeprefix("hf-hub:")
    try:
        weights = Path(download_pretrained_from_hf(name))
    except Exception as error:  # the hub client raises its own many kinds
        raise ScorerError(f"{text} could not be fetched: {one_line(error)}") from error
    refuse_pickle(weights)
    return ClipSource(text, None, weights, model=name, tag="hub")


def _from_name(text: str) -> ClipSource:
    """`MODEL/TAG` or `MODEL/file.safetensors`; MODEL may itself hold slashes (ViT-B/32)."""
    import open_clip

    known = open_clip.list_models()
    model, rest = _split_name(text, known)
    tags = open_clip.list_pretrained_tags_by_model(model)
    if rest.lower().replace("-", "_") in {tag.lower().replace("-", "_") for tag in tags}:
        return _from_tag(model, rest)
    if Path(rest).suffix or "/" in rest:
        return _from_file(model, Path(rest).expanduser(), tags)
    raise ScorerError(
        f"{text!r} names no known weights of {model}; {_nearest(rest, tags, f'{model}/')}"
    )


def _split_name(text: str, known: list[str]) -> tuple[str, str]:
    """Return the architecture, the longest that fits, and what follows it."""
    pieces = text.split("/")
    for end in range(len(pieces) - 1, 0, -1):
        model = "-".join(pieces[:end])
        if model in known:
            return model, "/".join(pieces[end:])
    whole = "-".join(pieces)
    if whole in known:
        raise ScorerError(f"{text!r} names a model without its weights: write {whole}/TAG.")
    if Path(text).suffix in PICKLE_SUFFIXES:
        refuse_pickle(Path(text))
    if "/" in text and Path(text).is_absolute():
        raise ScorerError(f"{text!r} is neither a model folder nor MODEL/TAG.")
    raise ScorerError(
        f"{text!r} names no known model; {_nearest('-'.join(pieces[:-1]) or text, known)}"
    )


def _nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """Say which known names are nearest to a wrong one, letter case aside."""
    by_lower = {word.lower(): word for word in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=3, cutoff=0.3)
    words = [by_lower[word] for word in near] or sorted(by_lower.values())[:3]
    if not words:
        return "there are none for it: give a .safetensors file."
    return "nearest known: " + ", ".join(prefix + word for word in words) + "."


def _from_tag(model: str, tag: str) -> ClipSource:
    from open_clip.pretrained import download_pretrained, get_pretrained_cfg

    try:
        weights = Path(download_pretrained(get_pretrained_cfg(model, tag)))
    except Exception as error:  # network, hub and file errors alike
        raise ScorerError(f"{model}/{tag} could not be fetched: {one_line(error)}") from error
    refuse_pickle(weights)
    return ClipSource(model, tag, weights, model=model, tag=tag)


def _from_file(model: str, path: Path, tags: list[str]) -> ClipSource:
    refuse_pickle(path)
    if not path.is_file():
        raise ScorerError(f"{path} does not exist (weights of {model}).")
    return ClipSource(
        model,
        str(path),
        path,
        model=model,
        tag=path.name,
        preprocess=_agreed_preprocess(model, tags),
    )


def _agreed_preprocess(model: str, tags: list[str]) -> dict[str, Any]:
    """Return the preprocessing that all published weights of an architecture share.

    open_clip prepares images for a bare file as OpenAI's CLIP wants them, whatever the
    architecture: silently wrong for SigLIP and others. Where the published weights
    disagree among themselves nothing is corrected.
    """
    from open_clip.pretrained import get_pretrained_cfg

    keys = ("mean", "std", "interpolation", "resize_mode")
    configs = [get_pretrained_cfg(model, tag) for tag in tags]
    agreed = {key: configs[0].get(key) for key in keys} if configs else {}
    if any({key: config.get(key) for key in keys} != agreed for config in configs):
        return {}
    return {f"image_{key}": value for key, value in agreed.items() if value is not None}
