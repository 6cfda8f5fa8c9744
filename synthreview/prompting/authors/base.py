"""What every author of captions is: one small contract, and the errors it may raise.

Adapters live beside this file, one file each. They know nothing of Django, touch no
row, read no setting and never retry a failed call by themselves: the job that calls
them does that, so that nothing is paid twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Ask for `count` captions of one class by one template; a frozen value.

    `axes` maps a slot to its choices, as (name, words in the caption).
    `seed` makes the choice repeatable; captions in `avoid` (normal form) are not wanted again.
    `strategy` is "balanced", "pairwise" or "grid" (prompting/choosing.py), and `forbidden` holds
    pairs of (axis, name) that must not meet. `more_templates` take turns with `template`, and
    `synonyms` with the class name; `turns` says which template each caption takes, by number.
    `open_slot` is the slot that a language model fills with words of its own; where the
    template lacks it, or it is empty, the model writes whole captions.
    `gaps` are the combinations that coverage lacks, as {axis: name of the value}: asked first.
    `approved` and `rejected` are captions whose images people took or threw out; `instruction`
    is the curator's own wish. All three are empty where the curator does not share them.
    """

    class_name: str
    template: str
    axes: Mapping[str, Sequence[tuple[str, str]]]
    count: int
    seed: int = 0
    avoid: frozenset[str] = field(default_factory=frozenset)
    technique: str = "plain"
    synonyms: tuple[str, ...] = ()
    language: str = "en"
    open_slot: str = "action"
    gaps: tuple[Mapping[str, str], ...] = ()
    approved: tuple[str, ...] = ()
    rejected: tuple[str, ...] = ()
    instruction: str = ""
    strategy: str = "balanced"
    forbidden: tuple[tuple[tuple[str, str], ...], ...] = ()
    more_templates: tuple[str, ...] = ()
    turns: tuple[int, ...] = ()

    @property
    def templates(self) -> tuple[str, ...]:
        return (self.template, *self.more_templates)


@dataclass(frozen=True, slots=True)
class Caption:
    """One caption, the words of each slot in it, and the template that it was made from, if any."""

    text: str
    slots: Mapping[str, str]
    template: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Usage:
    """What writing took. `cost_usd` is None where tokens were used and no price is known."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost_usd: Decimal | None = Decimal(0)

    def __add__(self, other: Usage) -> Usage:
        known = self.cost_usd is not None and other.cost_usd is not None
        return Usage(
            self.requests + other.requests,
            self.tokens_in + other.tokens_in,
            self.tokens_out + other.tokens_out,
            (self.cost_usd or Decimal(0)) + (other.cost_usd or Decimal(0)) if known else None,
        )


@dataclass(frozen=True, slots=True)
class WriteResult:
    """The captions of one request, what they took, and the model that says it wrote them.

    `notes` are plain sentences for the curator (the server ignored the schema, say).
    """

    captions: tuple[Caption, ...]
    usage: Usage = field(default_factory=Usage)
    model: str = ""
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Caption]:
        return iter(self.captions)

    def __len__(self) -> int:
        return len(self.captions)


class AuthorError(Exception):
    """The author could not write; the message says what to do next.

    Itself and its direct children will not pass by themselves (`permanent`). `usage` is what
    was used up before it failed: it is paid all the same.

        AuthorError                 wrong configuration or request
          RefusedError              the model or its provider will not write this
          OutOfCreditError          the account is empty: a person must act
          TransientAuthorError      the same request may succeed later
            RateLimitedError        …after `retry_after_s`
            BadAnswerError          an answer came and no caption could be read from it
    """

    permanent = True

    def __init__(self, message: str, *, usage: Usage | None = None) -> None:
        super().__init__(message)
        self.usage = usage or Usage()


class RefusedError(AuthorError):
    """The model or its provider will not write this; asking again changes nothing."""


class OutOfCreditError(AuthorError):
    """The account is empty or at its limit: a person must act."""


class TransientAuthorError(AuthorError):
    """The same request may succeed later."""

    permanent = False


class RateLimitedError(TransientAuthorError):
    """Too many requests; `retry_after_s` is what the server asked for, if it did."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, usage: Usage | None = None
    ) -> None:
        super().__init__(message, usage=usage)
        self.retry_after_s = retry_after_s


class BadAnswerError(TransientAuthorError):
    """An answer came, and no caption could be read from it."""


class Author(Protocol):
    """A writer of captions. Instances are built from the `AUTHORS` setting.

    `needs_worker`: it waits for a server or loads a model, so a page must not call `write`.
    """

    title: str
    version: str
    needs_worker: bool

    def write(self, request: WriteRequest) -> WriteResult:
        """Return up to `count` captions, fewer where no more differ. Raises AuthorError."""
        ...

    def health(self) -> list[str]:
        """Return what is wrong, one plain sentence each; empty when all is well."""
        ...
