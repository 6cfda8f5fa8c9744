"""No generator: a misleading word put on an existing picture, with Pillow alone.

It took CLIP an apple with a note "iPod" for an iPod; such pictures are made here. Imports
neither Django nor torch.
"""

from synthreview.generation.generators.typographic.adapter import TypographicGenerator

__all__ = ["TypographicGenerator"]
