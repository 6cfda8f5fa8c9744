"""The share of audits that reaches the target soonest, from what was seen so far.

While the queue still finds many bad images, looking where it points lowers the rate of what is
left, and audits made later need to rule out less; once the rest looks clean, only audits bring the
bound down. The share depends on the past alone, so that each audit stays a uniform draw and the
certificate holds whatever this rule does: it can only be slow, never wrong.
Plain NumPy; knows nothing of Django. docs/certificate.md says what it saves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from synthreview.review.certificate import Look, Stream, fading_rate

FloatArray = npt.NDArray[np.float64]

# Some audits while the queue works, so that the rate of the rest is known; some of the queue while
# audits are drawn, so that it is noticed when it finds again.
LEAST, MOST = 0.1, 0.9
AUDITS_BEFORE = 5
QUEUE_WINDOW = 60
QUEUE_PRIOR = 5.0
# What a bet that follows the rate loses against the best one, in the log of the stake.
LOSS = 1.2


def audit_share(
    looks: Sequence[Look],
    *,
    population: int,
    target: float,
    alpha: float = 0.05,
    start: float = 0.2,
) -> float:
    """Return the share of the next cards that should be audits; 0..1.

    `start` holds until a few audits have told something.
    """
    audits = np.array(
        [look.is_bad is not False for look in looks if look.stream is Stream.AUDIT], dtype=bool
    )
    if len(audits) < AUDITS_BEFORE:
        return start
    rate = float(fading_rate(audits, target / 4)[-1])
    found = [
        bool(look.is_bad)
        for look in looks
        if look.stream is not Stream.AUDIT and look.is_bad is not None
    ][-QUEUE_WINDOW:]
    hits = (sum(found) + rate * QUEUE_PRIOR) / (len(found) + QUEUE_PRIOR)
    unreviewed = population - len(looks)
    if unreviewed <= 0 or hits <= rate:  # the queue finds no more than chance: audits do both
        return MOST
    return LEAST if queue_first(rate, hits, unreviewed, target=target, alpha=alpha) else MOST


def queue_first(rate: float, hits: float, unreviewed: int, *, target: float, alpha: float) -> bool:
    """Return whether looking where the queue points first leads to fewer looks in all.

    Args:
        rate: share of bad images among the unreviewed.
        hits: share of bad images among those that the queue shows now; above `rate`.
    """
    bad = rate * unreviewed
    queued = np.concatenate(([0.0], np.geomspace(1, unreviewed, 48)))
    # The queue finds less and less: each find lowers its hits in proportion to what is left.
    rest = bad * np.exp(-hits * queued / bad) / np.maximum(unreviewed - queued, 1)
    looks = queued + np.minimum(_audits(rest, target, alpha), np.maximum(unreviewed - queued, 0))
    best = int(np.argmin(looks))
    # Where nothing certifies before the end, the queue at least finds the bad ones sooner.
    return bool(queued[best] > 1 or looks[best] >= 0.999 * unreviewed)


def _audits(rates: FloatArray, target: float, alpha: float) -> FloatArray:
    """Return about how many audits rule `target` out at these rates; infinite at it or above.

    A stake grows by the Kullback-Leibler divergence of the two rates per draw at best.
    """
    below = np.clip(rates, 1e-9, target * 0.95)
    growth = below * np.log(below / target) + (1 - below) * np.log((1 - below) / (1 - target))
    return np.where(rates < target * 0.95, (LOSS - np.log(alpha)) / growth, np.inf)
