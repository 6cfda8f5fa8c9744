"""DALL·E Mini through min-dalle: captions to pictures of 256 px, in a process of its own."""

from synthreview.generation.generators.dalle_mini.adapter import DalleMiniGenerator

__all__ = ["DalleMiniGenerator"]
