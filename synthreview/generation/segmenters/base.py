"""What every segmenter is: one small contract."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from synthreview.generation.generators.base import Health


class Segmenter(Protocol):
    """Finds what words name. Instances are built from the `SEGMENTER` setting."""

    title: str

    def find(self, picture: Image.Image, words: str) -> Image.Image:
        """Return where the thing is: mode L, the picture's size, 255 = surely, 0 = surely not.

        Loads its model on first use. Raises PermanentError: no such model, or it cannot be used.
        """
        ...

    def health(self) -> Health:
        """Look whether it would work; loads no model. Raises nothing."""
        ...
