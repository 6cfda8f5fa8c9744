"""CLIPSeg: finds in a picture what a few words name. Safetensors only, nothing is downloaded.

Source: Lüddecke and Ecker 2022, "Image Segmentation Using Text and Image Prompts"; published as
`CIDAS/clipseg-rd64-refined`. It tells a chance for each place of a grid of 352 px, which is
brought to the picture's size.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Final

from PIL import Image

from synthreview.generation.generators.base import Health
from synthreview.generation.generators.diffusers.folder import RUNS_CODE, find_folder
from synthreview.lib.outcomes import PermanentError

MODEL_TYPE: Final = "clipseg"


class ClipSegSegmenter:
    """One model, loaded once and kept.

    Args:
        model: a folder with CLIPSeg in it, or its name on the Hugging Face hub if it was
            downloaded before.
        device: "cpu", "cuda", …
    """

    def __init__(self, *, model: str, device: str = "cpu") -> None:
        self.title = f"CLIPSeg ({Path(model).name})"
        self._model_name = model
        self._device = device
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def find(self, picture: Image.Image, words: str) -> Image.Image:
        """Return where the thing is, as a picture of chances. Raises PermanentError."""
        import numpy as np
        import torch

        model, processor = self._model()
        inputs = processor(
            text=[words], images=[picture.convert("RGB")], return_tensors="pt", padding=True,
            truncation=True,
        )  # fmt: skip
        with torch.inference_mode():
            logits = model(**inputs.to(self._device)).logits
        chances = torch.sigmoid(logits.float().reshape(logits.shape[-2:])).cpu().numpy()
        small = Image.fromarray(np.round(chances * 255).astype(np.uint8), "L")
        return small.resize(picture.size, Image.Resampling.BILINEAR)

    def health(self) -> Health:
        """Look whether the model is there and may be loaded; loads nothing."""
        try:
            folder = _folder_of(self._model_name)
        except PermanentError as error:
            return Health((str(error),))
        return Health(facts=(f"Subjects are found by the model in {folder.name}.",))

    def _model(self) -> tuple[Any, Any]:
        with self._lock:
            if self._loaded is None:
                self._loaded = _load(self._model_name, self._device)
            return self._loaded


def _folder_of(name: str) -> Path:
    """Return the model's folder, which has safetensors in it. Raises PermanentError."""
    folder, _ = find_folder(name)
    if not list(folder.glob("*.safetensors")):
        kinds = sorted({path.suffix for path in folder.iterdir() if path.suffix in RUNS_CODE})
        has = f"it has {', '.join(kinds)}, which can run code" if kinds else "it has no weights"
        raise PermanentError(f"{name!r} has no weights as safetensors: {has}.")
    return folder


def _load(name: str, device: str) -> tuple[Any, Any]:
    """Return the model and its processor. Raises PermanentError."""
    folder = _folder_of(name)
    try:
        from transformers import AutoConfig, CLIPSegForImageSegmentation, CLIPSegProcessor

        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        if config.model_type != MODEL_TYPE:
            raise PermanentError(f"{name!r} is a {config.model_type}, and CLIPSeg is needed.")
        model: Any = CLIPSegForImageSegmentation.from_pretrained(
            folder, use_safetensors=True, local_files_only=True
        )
        processor = CLIPSegProcessor.from_pretrained(folder, local_files_only=True)
    except ImportError as error:
        raise PermanentError(f"transformers is needed to segment: {error}") from error
    except PermanentError:
        raise
    except Exception as error:  # whatever transformers and safetensors pass on of a bad file
        said = " ".join(str(error).split())[:300]
        raise PermanentError(f"{name!r} cannot be loaded: {said}") from error
    return model.to(device).eval(), processor
