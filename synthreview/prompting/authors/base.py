"""What every author of captions is: one small contract.

Adapters live beside this file, one file each. They know nothing of Django, touch no
row and read no setting.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Ask for `count` captions of one class by one template.

    `axes` maps a slot to its choices, as (name, words in the caption).
    `seed` makes the choice repeatable; captions in `avoid` (normal form) are not wanted again.
    """

    class_name: str
    template: str
    axes: Mapping[str, Sequence[tuple[str, str]]]
    count: int
    seed: int = 0
    avoid: frozenset[str] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption and the words of each slot in it."""

    text: str
    slots: Mapping[str, str]


class AuthorError(Exception):
    """The author could not write; the message says what to do next."""


class Author(Protocol):
    """A writer of captions. Instances are built from the `AUTHORS` setting."""

    title: str
    version: str

    def write(self, request: WriteRequest) -> list[Caption]:
        """Return up to `count` captions, fewer where no more differ. Raises AuthorError."""
        ...

    def health(self) -> list[str]:
        """Return what is wrong, one plain sentence each; empty when all is well."""
        ...
