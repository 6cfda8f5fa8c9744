"""Local models through diffusers: text to image, variations, fusion, inpainting."""

from synthreview.generation.generators.diffusers.adapter import DiffusersGenerator

__all__ = ["DiffusersGenerator"]
