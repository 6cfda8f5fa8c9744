"""Generators behind a server that speaks the OpenAI images protocol.

One adapter for all of them; what differs between kinds of servers stands in `profiles`.
Imports no Django; the official SDK is loaded on first use.
"""

from synthreview.generation.generators.openai.adapter import OpenAIGenerator

__all__ = ["OpenAIGenerator"]
