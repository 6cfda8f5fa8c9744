"""The queue judged on images whose truth is known: what a policy would have made people look at.

Runs what the product runs: the same order, the same model, the same certificate. Each seed is one
review of all images, from nothing; what is left to chance (ties, exploration, audits) differs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t as student

from synthreview.review.certificate import Look, Stream, running_bound
from synthreview.review.ranking.model import Decided, Ranker
from synthreview.review.ranking.orders import Policy, explored, first_order
from synthreview.review.ranking.schedule import next_model_at
from synthreview.review.ranking.table import BoolArray, FloatArray, ImageTable, IntArray

FIND = (0.8, 0.9, 0.95, 0.99)
AFTER = (0.1, 0.2, 0.5)
CERTIFY = (0.05, 0.02, 0.01)
AUDIT_SHARE = 0.2
ALPHA = 0.05
CURVE_POINTS = 50


# --- One review -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Review:
    """All N images in the order in which they came before people; `is_audit`: (N,), in order."""

    order: IntArray
    is_audit: BoolArray
    models: int = 0


def review(
    table: ImageTable,
    is_bad: BoolArray,
    policy: Policy,
    rng: np.random.Generator,
    *,
    audit_share: float = 0.0,
    ranker: Ranker | None = None,
) -> Review:
    """Review every image under `policy`, with so many audits among the cards.

    `ranker`: one of this table, to spare its features' being computed again.
    """
    queue = Queue(first_order(policy, table, rng), rng, audit_share)
    if policy is not Policy.LEARNED:
        queue.hand_out(len(table))
        return queue.reviewed()
    ranker = ranker or Ranker(table)
    models = 0
    while len(queue.handed) < len(table):
        cards = next_model_at(len(queue.handed)) - len(queue.handed)
        queue.explore(cards)
        queue.hand_out(cards)
        fitted = ranker.fit(queue.decided(is_bad), calibrated=False)
        if fitted is not None:
            models += 1
            queue.put_in_order(fitted.log_odds)
    return queue.reviewed(models)


class Queue:
    """The images that wait, best first, and those handed out, as the product's queue has them."""

    def __init__(self, order: IntArray, rng: np.random.Generator, audit_share: float) -> None:
        self.waiting = order
        self.handed: list[int] = []
        self._audits: list[bool] = []
        self._is_random = np.zeros(len(order), dtype=bool)
        self._audit_share = audit_share
        self._rng = rng

    def explore(self, cards: int) -> None:
        """Put some images among the next cards by lot."""
        self.waiting, drawn = explored(self.waiting, cards, self._rng)
        self._is_random[drawn] = True

    def hand_out(self, cards: int) -> None:
        """Hand out the next cards; each is an audit with the chance that the policy says."""
        is_audit = self._rng.random(min(cards, len(self.waiting))) < self._audit_share
        if not is_audit.any():
            self.handed += self.waiting[: len(is_audit)].tolist()
            self._audits += [False] * len(is_audit)
            self.waiting = self.waiting[len(is_audit) :]
            return
        lots = iter(self._rng.permutation(self.waiting).tolist())
        queue = iter(self.waiting.tolist())
        gone: set[int] = set()
        for by_lot in is_audit.tolist():
            image = next(i for i in (lots if by_lot else queue) if i not in gone)
            gone.add(image)
            self.handed.append(image)
            self._audits.append(by_lot)
            self._is_random[image] |= by_lot
        self.waiting = self.waiting[~np.isin(self.waiting, list(gone))]

    def decided(self, is_bad: BoolArray) -> Decided:
        """Return what is known now."""
        known = np.zeros(len(is_bad), dtype=bool)
        known[self.handed] = True
        return Decided(known, is_bad, self._is_random)

    def put_in_order(self, log_odds: FloatArray) -> None:
        """Let the likeliest bad come first; among equals the order stays."""
        self.waiting = self.waiting[np.argsort(-log_odds[self.waiting], kind="stable")]

    def reviewed(self, models: int = 0) -> Review:
        return Review(np.array(self.handed), np.array(self._audits, dtype=bool), models)


# --- What a review shows ----------------------------------------------------------


def share_to_find(order: IntArray, is_bad: BoolArray, share: float) -> float:
    """Return what share of all images must be looked at until `share` of the bad are found."""
    found = np.cumsum(is_bad[order])
    wanted = math.ceil(round(share * int(found[-1]), 9))
    return float(np.searchsorted(found, wanted) + 1) / len(order)


def found_after(order: IntArray, is_bad: BoolArray, share: float) -> float:
    """Return what share of the bad are found once `share` of all images are looked at."""
    looks = math.floor(round(share * len(order), 9))
    return float(is_bad[order[:looks]].sum() / is_bad.sum())


def looks_to_certify(
    done: Review, is_bad: BoolArray, target: float, *, alpha: float = ALPHA
) -> int:
    """Return after how many looks the running certificate says that at most `target` is wrong.

    What would be exported is all but the rejected. The bound never rises from one look to the
    next, so that the first moment is found by halving.
    """
    looks = [
        Look(Stream.AUDIT if is_audit else Stream.TARGETED, bool(is_bad[image]))
        for image, is_audit in zip(done.order, done.is_audit, strict=True)
    ]

    def is_certified(count: int) -> bool:
        bound = running_bound(looks[:count], population=len(looks), target=target, alpha=alpha)
        return bound.error <= target

    low, high = -1, len(looks)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_certified(middle) else (middle, high)
    return high


# --- Many reviews -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over seeds with its 95 % interval (Student's t); one seed has none."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Mean:
        mean = statistics.fmean(values)
        if len(values) < 2:
            return cls(mean, mean, mean)
        reach = student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5
        return cls(mean, float(mean - reach), float(mean + reach))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy costs; every share is of all images, but `found_after`'s, of the bad.

    `curve`: share of the bad found at CURVE_POINTS + 1 even steps over the images.
    """

    policy: str
    share_to_find: dict[float, Mean]
    found_after: dict[float, Mean]
    reviews_to_certify: dict[float, Mean]
    curve: list[float]


def replay(
    table: ImageTable,
    is_bad: BoolArray,
    *,
    policies: Iterable[Policy] = tuple(Policy),
    seeds: int = 20,
    certify: Sequence[float] = CERTIFY,
    on_review: Callable[[], object] = lambda: None,
) -> list[Outcome]:
    """Replay each policy `seeds` times; `on_review` is told of each seed that is done."""
    outcomes = []
    ranker: Ranker | None = None
    for policy in policies:
        if policy is Policy.LEARNED:
            ranker = Ranker(table)
        orders, certified = [], []
        for seed in range(seeds):
            rng = np.random.default_rng([seed, 0])
            orders.append(review(table, is_bad, policy, rng, ranker=ranker).order)
            if certify:
                rng = np.random.default_rng([seed, 1])
                done = review(table, is_bad, policy, rng, audit_share=AUDIT_SHARE, ranker=ranker)
                certified.append([looks_to_certify(done, is_bad, e) for e in certify])
            on_review()
        counts = {target: [row[i] for row in certified] for i, target in enumerate(certify)}
        outcomes.append(outcome_of(policy.value, orders, is_bad, counts))
    return outcomes


def outcome_of(
    policy: str,
    orders: Sequence[IntArray],
    is_bad: BoolArray,
    certified: Mapping[float, Sequence[float]] | None = None,
) -> Outcome:
    """Return the figures of several reviews of the same images."""
    steps = np.linspace(0, 1, CURVE_POINTS + 1)
    return Outcome(
        policy=policy,
        share_to_find={
            q: Mean.of([share_to_find(order, is_bad, q) for order in orders]) for q in FIND
        },
        found_after={
            q: Mean.of([found_after(order, is_bad, q) for order in orders]) for q in AFTER
        },
        reviews_to_certify={e: Mean.of(counts) for e, counts in (certified or {}).items()},
        curve=[float(np.mean([found_after(o, is_bad, q) for o in orders])) for q in steps],
    )


def perfect(is_bad: BoolArray) -> Outcome:
    """Return what an order would cost that knew the truth."""
    return outcome_of("perfect", [np.argsort(~is_bad, kind="stable")], is_bad)
