"""How often the running certificate is wrong, by simulation: at most 5 % of runs may be.

    python -m benchmarks.certificate_validity [--runs 2000] [--seed 0]

Each run reviews a population in an order that may use everything but the hidden truth of what is
still unseen, looks at the bound after every review, and counts as a failure when the true number
of bad images was ruled out at any moment. The table goes into docs/certificate.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from synthreview.review.certificate import History, Look, Stream, _bets, log_stake

Generator = np.random.Generator
ALPHA = 0.05
# Each order gets the truth, so that the hostile ones can play against the bound.
Order = Callable[[npt.NDArray[np.bool_], Generator], npt.NDArray[np.intp]]


def by_score(bad: npt.NDArray[np.bool_], rng: Generator) -> npt.NDArray[np.intp]:
    """The bad score lower, on average: the queue that we want."""
    return np.argsort(rng.normal(size=len(bad)) - 1.5 * bad)


def hiding(bad: npt.NDArray[np.bool_], rng: Generator) -> npt.NDArray[np.intp]:
    """A queue that shows good images first, so that the bad stay hidden."""
    return np.argsort(bad + rng.uniform(0, 0.1, len(bad)))


def revealing(bad: npt.NDArray[np.bool_], rng: Generator) -> npt.NDArray[np.intp]:
    """A queue that shows bad images first."""
    return np.argsort(~bad + rng.uniform(0, 0.1, len(bad)))


ORDERS: dict[str, Order] = {"by score": by_score, "hides bad": hiding, "finds bad": revealing}


def looks(
    bad: npt.NDArray[np.bool_], order: Order, audit_share: float, count: int, rng: Generator
) -> Iterator[Look]:
    """Yield `count` looks: targeted ones in the queue's order, audits uniformly from the unseen."""
    queue = iter(order(bad, rng))
    lottery = iter(rng.permutation(len(bad)))
    seen: set[int] = set()
    for is_audit in rng.random(count) < audit_share:
        index = next(i for i in (lottery if is_audit else queue) if i not in seen)
        seen.add(index)
        yield Look(Stream.AUDIT if is_audit else Stream.TARGETED, bool(bad[index]))


def failure_share(
    *, population: int, rate: float, order: Order, audit_share: float, runs: int, rng: Generator
) -> float:
    """Return the share of runs in which the true number of bad images was ever ruled out."""
    failures = 0
    for _ in range(runs):
        bad = np.zeros(population, dtype=bool)
        bad[: round(population * rate)] = True
        rng.shuffle(bad)
        count = min(population, 400)
        history = History.of(list(looks(bad, order, audit_share, count, rng)), population)
        left = int(bad.sum()) - history.found_bad
        failures += log_stake(history, _bets(history, 0.02), left) >= -np.log(ALPHA)
    return failures / runs


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    print("| images | truly bad | order of the queue | audits | failures |")
    print("|---:|---:|---|---:|---:|")
    for population in (200, 2_000, 100_000):
        for rate in (0.0, 0.01, 0.05, 0.3):
            for name, order in ORDERS.items():
                share = failure_share(
                    population=population,
                    rate=rate,
                    order=order,
                    audit_share=0.5,
                    runs=arguments.runs if population < 100_000 else arguments.runs // 4,
                    rng=rng,
                )
                print(f"| {population:,} | {rate:.0%} | {name} | half | {share:.2%} |", flush=True)


if __name__ == "__main__":
    main()
