"""What every author of captions is: one small contract, and how an error tells what was used up.

Adapters live beside this file, one file each. They know nothing of Django, touch no
row, read no setting and never retry a failed call by themselves: the job that calls
them does that, so that nothing is paid twice. Their errors are those of `lib.outcomes`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Protocol, TypeVar, runtime_checkable

from synthreview.lib.outcomes import ServiceError


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """Ask for `count` captions of one class by one template; a frozen value.

    `axes` maps a slot to its choices, as (name, words in the caption).
    `seed` makes the choice repeatable; captions in `avoid` (normal form) are not wanted again.
    Of `planned` captions (0: just these) they are those from number `start` on: so an order that
    is divided into answers keeps its design.
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
    start: int = 0
    planned: int = 0

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


Error = TypeVar("Error", bound=ServiceError)


def after(usage: Usage, error: Error) -> Error:
    """Return the error with this usage noted on it, beside what is noted already.

    Tokens that were used up before a failure are paid all the same.
    """
    error.used = usage + used_before(error)
    return error


def used_before(error: ServiceError) -> Usage:
    """Return what was used up before an author failed."""
    return error.used if isinstance(error.used, Usage) else Usage()


@runtime_checkable
class Tunable(Protocol):
    """An author whose model can be fine-tuned. `tuned_where`: "local", or by its "server"."""

    tuned_where: str

    def tuned(self, *, title: str, result: str) -> Author:
        """Return the author of the tuned model: `result` is an adapter's folder, or a name."""
        ...


class Author(Protocol):
    """A writer of captions. Instances are built from the `AUTHORS` setting.

    `needs_worker`: it waits for a server or loads a model, so a page must not call `write`: a
    worker does, `batch` captions at a time, so that each answer is on record.
    """

    title: str
    version: str
    needs_worker: bool
    batch: int

    def write(self, request: WriteRequest) -> WriteResult:
        """Return up to `count` captions, fewer where no more differ. Raises ServiceError."""
        ...

    def estimate_usd(self, request: WriteRequest) -> Decimal | None:
        """Return what writing may cost at most; 0 where it is free, None without a price."""
        ...

    def health(self) -> list[str]:
        """Return what is wrong, one plain sentence each; empty when all is well."""
        ...
