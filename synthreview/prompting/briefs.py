"""What an author is told besides the template: one value, kept with the order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from synthreview.prompting.gate import TEXT_THRESHOLD

MAX_INSTRUCTION = 2_000  # characters


@dataclass(frozen=True, slots=True)
class Brief:
    """What a language model is told; of word lists `fills_gaps` and the threshold hold too.

    `open_slot` is the slot that it fills with words of its own; empty: it writes whole captions.
    `fills_gaps`: what the stored captions leave out is asked for first, by name.
    `shares_examples`: it sees captions whose images people approved and rejected. What reviewers
    wrote as free text is never shared. `text_threshold` is the gate's.
    """

    language: str = ""
    open_slot: str = "action"
    instruction: str = ""
    shares_examples: bool = True
    fills_gaps: bool = False
    text_threshold: float = TEXT_THRESHOLD

    def facts(self) -> dict[str, Any]:
        """Return it as plain values."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> Self:
        """Return the brief of such values; what they leave out is as it is by default."""
        return cls(**facts)
