"""The judge that reads: are there words in the picture?

RapidOCR finds where words may stand and reads them; its weights (PP-OCRv6, Apache-2.0) lie inside
its package, so that nothing is fetched. `value` is 1 less how surely the surest word was read:
what was found and cannot be read is no word, since drawn windows and railings look like writing
to its first half. Words are a fault in most pictures and wanted in typographic ones: which of both
it is, the ranking learns from people. Knows nothing of Django.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from .base import FloatArray, ScorerCard, ScoreRequest, ScorerError, ScoreResult

if TYPE_CHECKING:
    from rapidocr import RapidOCR

PACKAGE = "rapidocr"
SIDE = 320
FAINTEST = 0.3  # of what is tried to be read at all
LEAST_LETTERS = 3  # of a word
Pixels = npt.NDArray[np.uint8]


class TextScorer:
    """Scores how surely there is no word in the picture."""

    @functools.cached_property
    def _reader(self) -> RapidOCR:
        """Return the loaded model, on one thread. Raises ScorerError."""
        if faults := self.health():
            raise ScorerError(faults[0])
        from rapidocr import RapidOCR

        return RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.log_level": "error",
                "Global.text_score": 0.0,
                "Det.limit_type": "max",
                "Det.limit_side_len": SIDE,
                "Det.box_thresh": FAINTEST,
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
            }
        )

    @functools.cached_property
    def _card(self) -> ScorerCard:
        settings = self._reader.cfg
        names = [
            f"{part.ocr_version.value}_{part.task_type.value}_{part.model_type.value}"
            for part in (settings.Det, settings.Rec)
        ]
        folder = Path(settings.Global.model_root_dir)
        weights = b"".join((folder / f"{name}.onnx").read_bytes() for name in names)
        return ScorerCard(
            name="Text",
            model=" + ".join(names),
            tag=f"{PACKAGE} {version(PACKAGE)}",
            weights_sha256=hashlib.sha256(weights).hexdigest(),
            preprocessing=f"long side {SIDE} px, box; words of {LEAST_LETTERS} letters",
            side_px=SIDE,
        )

    def card(self) -> ScorerCard:
        """Return the identity. Raises ScorerError."""
        return self._card

    def health(self) -> list[str]:
        """Say so where the package is missing."""
        if importlib.util.find_spec(PACKAGE) is None:
            how = "pip install synthreview[text], or switch SYNTHREVIEW_TEXT off"
            return [f"{PACKAGE} is missing, which reads: {how}."]
        return []

    def prepare(self, image: Image.Image) -> Pixels:
        """Make it small, and blue first, as the model has it."""
        scale = SIDE / max(image.size)
        if scale < 1:
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image = image.resize(size, Image.Resampling.BOX, reducing_gap=2)
        return np.ascontiguousarray(np.asarray(image.convert("RGB"))[:, :, ::-1])

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """Look at each picture by itself."""
        none: FloatArray = np.zeros(0, dtype=np.float32)
        return [
            ScoreResult(
                similarity=None,
                match=None,
                parts={},
                class_probabilities=none,
                class_margin=None,
                value=1 - self._surest(self._pixels_of(request)),
                embedding=None,
            )
            for request in requests
        ]

    def _pixels_of(self, request: ScoreRequest) -> Pixels:
        is_ready = request.prepared is not None
        prepared: Pixels = request.prepared if is_ready else self.prepare(request.image)
        return prepared

    def _surest(self, pixels: Pixels) -> float:
        """Return how surely the surest word was read, 0 where there is none."""
        found: Any = self._reader(pixels)
        if not getattr(found, "txts", None):
            return 0.0
        read = zip(found.txts, found.scores, strict=True)
        sure = [float(score) for words, score in read if _letters(words) >= LEAST_LETTERS]
        return max(sure, default=0.0)


def _letters(words: str) -> int:
    return sum(letter.isalnum() for letter in words)
