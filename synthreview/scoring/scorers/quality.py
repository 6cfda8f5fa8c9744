"""The quality judge: is the picture sharp, well lit, filled, and without a frame around it?

It reads the pixels alone, knows nothing of the caption, and needs no model: a few figures of
NumPy on a copy of 256 pixels. Each is 0 (a fault that anyone sees) to 1 (nothing to object to);
the smallest one is the image's value. Where the thresholds lie was chosen on drawn images and
photographs by eye, so that each says what kind of fault it is, not how bad it is for training.

It does not read text: letters in a picture look like any other fine structure to these figures.
The judges `text` and `vqa` do.
Knows nothing of Django.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from .base import FloatArray, ScorerCard, ScoreRequest, ScoreResult

SIDE = 256
GREY = npt.NDArray[np.float32]

BLANK_STD = 2.0  # grey levels: below it there is nothing to see
FULL_STD = 24.0
SHARP_LEVELS = 12.0  # the steepest hundredth of a sharp picture's edges, in grey levels
DARK, LIGHT = 6, 249
CLIPPED_FROM, CLIPPED_ALL = 0.4, 0.95  # share of pixels without any detail left
FLAT_LINE = 2.0  # grey levels of deviation within a row or column of a border
BORDER_FROM, BORDER_ALL = 0.08, 0.5  # share of the area


class QualityScorer:
    """Scores sharpness, exposure, contrast and borders from the pixels."""

    def card(self) -> ScorerCard:
        """Return the identity; the checksum is this file's, because it is the whole judge."""
        source = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
        return ScorerCard(
            name="Quality",
            model="pixels",
            tag="1",
            weights_sha256=source,
            preprocessing=f"long side {SIDE} px, box, grey by ITU-R 601",
            parts=frozenset(PARTS),
            side_px=SIDE,
        )

    def health(self) -> list[str]:
        """Return nothing: there is no model that could be missing."""
        return []

    def prepare(self, image: Image.Image) -> dict[str, float]:
        """Measure ahead: NumPy and Pillow leave Python's lock while they compute."""
        return measure(image)

    def score(self, requests: Sequence[ScoreRequest]) -> list[ScoreResult]:
        """Score each image by itself."""
        return [_result(request.prepared or measure(request.image)) for request in requests]


def _result(parts: dict[str, float]) -> ScoreResult:
    none: FloatArray = np.zeros(0, dtype=np.float32)
    return ScoreResult(
        similarity=None,
        match=None,
        parts=parts,
        class_probabilities=none,
        class_margin=None,
        value=min(parts.values()),
        embedding=None,
    )


def measure(image: Image.Image) -> dict[str, float]:
    """Return each part of the quality, 0..1."""
    grey = _grey(image)
    return {name: float(np.clip(part(grey), 0, 1)) for name, part in PARTS.items()}


def is_blank(image: Image.Image) -> bool:
    """Return whether there is nothing to see: one colour, but for noise of a grey level or two."""
    return float(_grey(image).std()) < BLANK_STD


def _grey(image: Image.Image) -> GREY:
    """Return the picture in grey levels 0..255, its long side at most SIDE."""
    scale = SIDE / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.BOX, reducing_gap=2)
    return np.asarray(image.convert("L"), dtype=np.float32)


def _contrast(grey: GREY) -> float:
    """Return 0 for a blank picture, 1 from a deviation of FULL_STD grey levels on."""
    return (float(grey.std()) - BLANK_STD) / (FULL_STD - BLANK_STD)


def _sharpness(grey: GREY) -> float:
    """Return how steep the steepest hundredth of the edges are.

    The second difference along rows and columns: a blurred edge has none, whatever its height.
    A picture of few edges is judged by those it has. Source: the variance of the Laplacian
    (Pech-Pacheco et al. 2000), of which the highest values are taken in place of the mean.
    """
    if min(grey.shape) < 3:
        return 0.0
    across = np.abs(np.diff(grey, 2, axis=0)).ravel()
    along = np.abs(np.diff(grey, 2, axis=1)).ravel()
    return float(np.quantile(np.concatenate((across, along)), 0.99)) / SHARP_LEVELS


def _exposure(grey: GREY) -> float:
    """Return 1 while less than CLIPPED_FROM of the pixels are black, or are white; 0 at all."""
    clipped = max(float((grey <= DARK).mean()), float((grey >= LIGHT).mean()))
    return 1 - (clipped - CLIPPED_FROM) / (CLIPPED_ALL - CLIPPED_FROM)


def _borders(grey: GREY) -> float:
    """Return 1 without a plain frame, 0 where it takes half of the picture.

    Rows and columns at the edge count as a frame while they are of one grey, and of the same on
    both opposite sides: a plain sky above a street is none.
    """
    inner = 1.0
    for lines in (grey, grey.T):
        first, last = _plain(lines), _plain(lines[::-1])
        is_frame = first and last and abs(float(lines[0].mean() - lines[-1].mean())) < 2 * FLAT_LINE
        if is_frame and first < len(lines):
            inner *= 1 - (first + last) / len(lines)
    return 1 - (1 - inner - BORDER_FROM) / (BORDER_ALL - BORDER_FROM)


def _plain(lines: GREY) -> int:
    """Return how many lines from the first on are of one grey, the same in all of them."""
    is_plain = (lines.std(axis=1) < FLAT_LINE) & (
        np.abs(lines.mean(axis=1) - lines[0].mean()) < FLAT_LINE
    )
    return len(lines) if is_plain.all() else int(np.argmin(is_plain))


PARTS = {
    "sharpness": _sharpness,
    "exposure": _exposure,
    "contrast": _contrast,
    "borders": _borders,
}
