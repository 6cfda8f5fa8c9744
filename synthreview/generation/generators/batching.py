"""Large orders that a service does later and cheaper: what such a generator offers besides.

The order is one batch of requests, each under a key of ours. It is sent once, found again by
its own key where an answer was lost, looked at until it has ended, and its results are read,
each a drawing or the error that it ended in.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from synthreview.generation.generators.base import DrawRequest, DrawResult
from synthreview.lib.outcomes import ServiceError


@dataclass(frozen=True, slots=True)
class BatchOffer:
    """What may be ordered as a batch: `price` and `promise` are words for the page."""

    capabilities: frozenset[str]
    price: str
    promise: str
    most_requests: int


@dataclass(frozen=True, slots=True)
class BatchLook:
    """How far a batch is. `state` is the service's own word, `said` what went wrong.

    `is_whole`: it ended by itself, so that a request without a result is a riddle; where it is
    false after the end (stopped, expired, refused) what has no result was not done.
    """

    state: str
    is_ended: bool = False
    is_whole: bool = False
    done: int = 0
    failed: int = 0
    said: str = ""
    ends_at: dt.datetime | None = None


@dataclass(frozen=True, slots=True)
class BatchItem:
    """The result of one request."""

    key: str
    result: DrawResult | ServiceError


@runtime_checkable
class Batching(Protocol):
    """A generator that also takes batches. All may raise the errors of lib/outcomes.py."""

    def batch_offer(self) -> BatchOffer | None:
        """Say what may be ordered so; None: nothing. Raises nothing, asks nobody."""
        ...

    def estimate_batched_micro_usd(self, request: DrawRequest) -> int:
        """Return an upper bound of what the request costs within a batch. Raises nothing."""
        ...

    def send_batch(self, requests: Mapping[str, DrawRequest], *, key: str) -> str:
        """Order the requests, by their keys; return the service's name of the batch.

        Raises OutcomeUnknownError where it may have been ordered: `find_batch` tells.
        """
        ...

    def find_batch(self, key: str) -> str | None:
        """Return the service's name of the batch that was sent under `key`; None: it has none."""
        ...

    def look_at_batch(self, name: str) -> BatchLook:
        """Return how far it is."""
        ...

    def stop_batch(self, name: str) -> None:
        """Ask the service to do no more of it; what is done is charged and comes."""
        ...

    def batch_results(self, name: str, requests: Mapping[str, DrawRequest]) -> Iterator[BatchItem]:
        """Yield the results of a batch that has ended, in any order, those of `requests` only."""
        ...
