"""The embedded generator: a small drawn world that needs no key, no network and no GPU.

It understands prompts over a fixed vocabulary, draws what they ask with Pillow, and
makes mistakes on purpose. Imports neither Django nor torch.
"""

from synthreview.generation.generators.sketch.adapter import SketchGenerator

__all__ = ["SketchGenerator"]
