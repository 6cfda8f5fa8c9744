"""Where a folder keeps DALL·E Mini's files, under either of the two names that they go by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from synthreview.lib.outcomes import PermanentError

MINI, MEGA = "mini", "mega"
SIZES: Final = (MEGA, MINI)
FILES: Final = {
    "vocab": "vocab.json",
    "merges": "merges.txt",
    "encoder": "encoder.pt",
    "decoder": "decoder.pt",
    "detokenizer": "detoker.pt",
}


@dataclass(frozen=True, slots=True)
class Weights:
    """The five files of one model."""

    size: str
    vocab: Path
    merges: Path
    encoder: Path
    decoder: Path
    detokenizer: Path

    @property
    def files(self) -> dict[str, str]:
        """The files' paths by what they are, as text."""
        return {name: str(getattr(self, name)) for name in FILES}


def find_weights(root: str, size: str = "") -> Weights:
    """Return the files of the model; the larger one where both are there and none is named.

    Raises PermanentError: which folder or files are missing.
    """
    folder = Path(root).expanduser()
    if size not in ("", *SIZES):
        raise PermanentError(f"size {size!r} is not known; choose {MINI} or {MEGA}.")
    if not folder.is_dir():
        raise PermanentError(f"There is no folder {str(folder)!r} with DALL·E Mini's weights.")
    missing: dict[str, list[str]] = {}
    for candidate in [size] if size else SIZES:
        for layout in _layouts(folder, candidate):
            lacking = [str(file) for file in layout.values() if not file.is_file()]
            if not lacking:
                return Weights(candidate, **layout)
            missing[candidate] = min(lacking, missing.get(candidate, lacking), key=len)
    fewest = min(missing.values(), key=len)
    raise PermanentError(f"{folder} lacks files of DALL·E Mini: {', '.join(fewest)}.")


def _layouts(folder: Path, size: str) -> Iterator[dict[str, Path]]:
    """Give the two ways in which the files lie: min-dalle's own, and the hub's."""
    own = {name: folder / f"dalle_bart_{size}" / file for name, file in FILES.items()}
    yield {**own, "detokenizer": folder / "vqgan" / FILES["detokenizer"]}
    mark = "_mini" if size == MINI else ""
    hub = {name: folder / file.replace(".", f"{mark}.") for name, file in FILES.items()}
    yield {**hub, "detokenizer": folder / FILES["detokenizer"]}
