"""How often the running certificate is wrong, by simulation: at most 5 % of runs may be.

    python -m benchmarks.certificate_validity [--runs 2000] [--seed 0] [--jobs 2]
    make certificate-validity

Each run reviews a population in an order that may use everything but the lots, looks at the bound
after every review, and counts as a failure when the truth was ruled out at any moment. Writes the
figure docs/images/certificate-validity.svg and the table of docs/certificate.md, between its
markers. It takes hours: what is done is kept under var/, and a second start goes on from there.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.figures import dot_plot
from synthreview.review.certificate import (
    REMOVED,
    History,
    Look,
    Stream,
    fractions,
    log_stake,
    running_bound,
    stake_paths,
)
from synthreview.review.reviewer_error import FOR_AUDITS, Trials, true_bound
from synthreview.review.steering import audit_share

Generator = np.random.Generator
BoolArray = npt.NDArray[np.bool_]
ALPHA = 0.05
TARGET = 0.02
LOOKS = 400
PROMPT = 14  # images of one prompt lie side by side
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "certificate.md"
FIGURE = ROOT / "docs" / "images" / "certificate-validity.svg"
KEPT = ROOT / "var" / "certificate-validity.jsonl"
STUDIED = ("certificate", "reviewer_error", "steering")  # what the figures are figures of
MARKS = ("<!-- validity: begin -->", "<!-- validity: end -->")

# --- The queue's order --------------------------------------------------------------
# Each gets the truth, so that the hostile ones can play against the bound; lowest first.

Order = Callable[[BoolArray, Generator], npt.NDArray[np.float64]]


def by_score(bad: BoolArray, rng: Generator) -> npt.NDArray[np.float64]:
    """The bad score lower, on average: the queue that we want."""
    return rng.normal(size=len(bad)) - 1.5 * bad


def hiding(bad: BoolArray, rng: Generator) -> npt.NDArray[np.float64]:
    """A queue that shows good images first, so that the bad stay hidden."""
    return bad + rng.uniform(0, 0.1, len(bad))


def revealing(bad: BoolArray, rng: Generator) -> npt.NDArray[np.float64]:
    """A queue that shows bad images first."""
    return ~bad + rng.uniform(0, 0.1, len(bad))


ORDERS: dict[str, Order] = {"by score": by_score, "hides bad": hiding, "finds bad": revealing}


# --- One review ---------------------------------------------------------------------


@dataclass
class Review:
    """One population under review; `step` hands out one image and answers with its look.

    `share` is that of the audits; None adapts it. `removes` takes images out unseen: "prompts"
    the rest of a prompt of which two were found bad, "good" and "bad" (which no one could do
    without knowing the truth) now and then some unseen of that kind.
    """

    bad: BoolArray
    order: Order
    share: float | None
    rng: Generator
    removes: str = ""
    target: float = TARGET

    def __post_init__(self) -> None:
        self.looks: list[Look] = []
        self.gone = np.zeros(len(self.bad), dtype=bool)
        self.removed = np.zeros(len(self.bad), dtype=bool)
        count = min(len(self.bad), 4 * LOOKS)
        self.queue = self._first(self.order(self.bad, self.rng), count)
        self.lots = self._first(self.rng.random(len(self.bad)), count)
        self.found_of_prompt: dict[int, int] = {}
        self.present_share = 0.2 if self.share is None else self.share

    @staticmethod
    def _first(keys: npt.NDArray[np.float64], count: int) -> Iterator[int]:
        lowest = np.argpartition(keys, count - 1)[:count] if count < len(keys) else slice(None)
        chosen = np.arange(len(keys))[lowest]
        return iter(chosen[np.argsort(keys[chosen])].tolist())

    @property
    def bad_left(self) -> int:
        return int(self.bad[~self.gone].sum())

    def step(self) -> int | None:
        """Hand out one image; return its number, None where all are gone."""
        if len(self.looks) == len(self.bad):
            return None
        if self.share is None and len(self.looks) % 10 == 0:
            self.present_share = audit_share(
                self.looks, population=len(self.bad), target=self.target
            )
        is_audit = bool(self.rng.random() < self.present_share)
        index = next((i for i in (self.lots if is_audit else self.queue) if not self.gone[i]), None)
        if index is None:
            return None
        self.gone[index] = True
        stream = Stream.AUDIT if is_audit else Stream.TARGETED
        self.looks.append(Look(stream, bool(self.bad[index])))
        if self.removes:
            self._remove(index)
        return index

    def _remove(self, index: int) -> None:
        if self.removes == "prompts":
            prompt = index // PROMPT
            self.found_of_prompt[prompt] = self.found_of_prompt.get(prompt, 0) + self.bad[index]
            if self.found_of_prompt[prompt] != 2 or not self.bad[index]:
                return
            rest = np.arange(prompt * PROMPT, min((prompt + 1) * PROMPT, len(self.bad)))
        else:
            if self.rng.random() > 0.05:
                return
            kind = self.bad if self.removes == "bad" else ~self.bad
            rest = np.flatnonzero(kind & ~self.gone)[:5]
        rest = rest[~self.gone[rest]]
        self.gone[rest] = self.removed[rest] = True
        self.looks.extend([REMOVED] * len(rest))

    def is_ever_ruled_out(self, count: int) -> bool:
        """Review `count` images; return whether the truth was ruled out after any of them."""
        limit = -np.log(ALPHA)
        for _ in range(count):
            if self.step() is None:
                break
            # Without removals the last look's stake remembers all before it.
            if self.removes and self.looks[-1].stream is Stream.AUDIT and self._stake() >= limit:
                return True
        return self._stake() >= limit

    def _stake(self) -> float:
        history = History.of(self.looks, len(self.bad))
        return log_stake(history, fractions(history, self.target), self.bad_left)


def population_of(size: int, rate: float, rng: Generator) -> BoolArray:
    """Return which images are bad: exactly that share, in prompts of unequal quality."""
    prompts = -(-size // PROMPT)
    odds = np.repeat(rng.gumbel(size=prompts), PROMPT)[:size] + rng.gumbel(size=size)
    count = round(size * rate)
    bad = np.zeros(size, dtype=bool)
    if count:
        bad[np.argpartition(odds, -count)[-count:]] = True
    return bad


def failure_share(
    *,
    population: int,
    rate: float,
    order: Order,
    audit_share: float | None,
    runs: int,
    rng: Generator,
    removes: str = "",
    looks: int = LOOKS,
) -> float:
    """Return the share of runs in which the true number of bad images was ever ruled out."""
    failures = 0
    for _ in range(runs):
        bad = population_of(population, rate, rng)
        review = Review(bad, order, audit_share, rng, removes)
        failures += review.is_ever_ruled_out(min(population, looks))
    return failures / runs


def present_stake(review: Review) -> float:
    """Return the log of the stake against the truth as it stands now."""
    history = History.of(review.looks, len(review.bad))
    if not history.audits:
        return 0.0
    paths = stake_paths(history, fractions(history, review.target), review.bad_left)
    return float(paths[-1])


def cohorts_failure_share(
    *,
    sizes: tuple[int, int],
    rates: tuple[float, float],
    runs: int,
    rng: Generator,
    looks: int = 300,
) -> float:
    """Return the share of runs in which the bound over two cohorts was ever too low.

    The second one comes after a third of the looks; the next card is of either by chance. It is
    too low where the stakes of the true numbers, multiplied, reach the limit.
    """
    failures = 0
    for _ in range(runs):
        cohorts = [
            Review(population_of(size, rate, rng), by_score, 0.5, rng)
            for size, rate in zip(sizes, rates, strict=True)
        ]
        for number in range(looks):
            present = cohorts if number >= looks // 3 else cohorts[:1]
            if present[int(rng.integers(len(present)))].step() is None:
                break
            if sum(map(present_stake, present)) >= -np.log(ALPHA):
                failures += 1
                break
    return failures / runs


def true_failure_share(
    *,
    population: int,
    rate: float,
    miss_rates: tuple[float, ...],
    runs: int,
    rng: Generator,
    gold_share: float = 0.1,
    order: Order = by_score,
    audit_share: float | None = 0.5,
    looks: int = LOOKS,
    every: int = 5,
    removes: str = "",
) -> float:
    """Return the share of runs in which more of the truly bad would leave than the bound says.

    The reviewers take turns at random; each misses bad images at a rate of their own and calls
    3 % of the good ones bad. Gold images, all bad, are mixed in. Looked at after every fifth one.
    """
    failures = 0
    rates = np.array(miss_rates)
    for _ in range(runs):
        truth = population_of(population, rate, rng)
        who = rng.integers(len(rates), size=population)
        missed = truth & (rng.random(population) < rates[who])
        alarmed = ~truth & (rng.random(population) < 0.03)
        called = (truth & ~missed) | alarmed
        review = Review(called, order, audit_share, rng, removes)
        work = np.zeros(len(rates))
        gold = np.zeros((len(rates), 2), dtype=int)
        for number in range(min(looks, population)):
            index = review.step()
            if index is None:
                break
            work[who[index]] += 1
            if rng.random() < gold_share:
                person = int(rng.integers(len(rates)))
                gold[person, int(rng.random() >= rates[person])] += 1
            if number % every:
                continue
            bound = running_bound(
                review.looks, population=population, target=TARGET, alpha=ALPHA * FOR_AUDITS
            )
            trials = {
                str(person): Trials(int(miss), int(hit)) for person, (miss, hit) in enumerate(gold)
            }
            weights = {str(person): share for person, share in enumerate(work / work.sum())}
            whole = true_bound(bound, trials, weights, alpha=ALPHA)
            exported = truth & ~review.removed & ~(review.gone & called)
            if whole.error * bound.exported < exported.sum() - 1e-9:
                failures += 1
                break
    return failures / runs


def peeked_clopper_pearson(*, rate: float, runs: int, rng: Generator, draws: int = 400) -> float:
    """Return how often a 95 % upper bound of fixed size fails that is looked at after each draw."""
    from scipy.stats import beta

    bad = np.cumsum(rng.random((runs, draws)) < rate, axis=1)
    counts = np.arange(1, draws + 1)
    upper = beta.ppf(1 - ALPHA, bad + 1, counts - bad + 0.0)
    upper = np.where(bad == counts, 1.0, upper)
    return float((upper < rate).any(axis=1).mean())


# --- All of it ------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table: a group, what is special, and how to run it."""

    group: str
    population: str
    rate: str
    what: str
    run: Callable[..., float]


def rows() -> list[Row]:
    """Return every scenario."""
    found = []
    for population in (200, 2_000, 100_000):
        for rate in (0.0, 0.01, 0.05, 0.3):
            plain = functools.partial(failure_share, population=population, rate=rate)
            size, bad = f"{population:,}", f"{rate:.0%}"
            for name, order in ORDERS.items():
                run = functools.partial(plain, order=order, audit_share=0.5)
                found.append(Row("half audits", size, bad, name, run))
            run = functools.partial(plain, order=by_score, audit_share=None)
            found.append(Row("audits adapt", size, bad, "by score", run))
            run = functools.partial(plain, order=hiding, audit_share=None)
            found.append(Row("audits adapt", size, bad, "hides bad", run))
            for removes in ("prompts", "bad", "good"):
                run = functools.partial(
                    plain, order=by_score, audit_share=0.5, removes=removes, looks=250
                )
                found.append(Row("removed unseen", size, bad, REMOVAL[removes], run))
    for sizes, rates in (
        ((2_000, 300), (0.02, 0.02)),
        ((2_000, 2_000), (0.05, 0.01)),
        ((300, 20_000), (0.3, 0.05)),
    ):
        run = functools.partial(cohorts_failure_share, sizes=sizes, rates=rates)
        bad = " + ".join(f"{rate:.0%}" for rate in rates)
        found.append(
            Row("two cohorts", " + ".join(f"{size:,}" for size in sizes), bad, "by score", run)
        )
    for population, rate, misses, removes in (
        (500, 0.05, (0.1,), ""),
        (2_000, 0.05, (0.05, 0.2), ""),
        (2_000, 0.15, (0.02, 0.3), ""),
        (2_000, 0.15, (0.1, 0.1, 0.4), "prompts"),
        (10_000, 0.3, (0.05, 0.1), ""),
    ):
        run = functools.partial(
            true_failure_share,
            population=population,
            rate=rate,
            miss_rates=misses,
            removes=removes,
            audit_share=None,
        )
        what = "miss " + ", ".join(f"{miss:.0%}" for miss in misses)
        what += ", prompts removed" if removes else ""
        found.append(Row("reviewers err", f"{population:,}", f"{rate:.0%}", what, run))
    return found


REMOVAL = {
    "prompts": "prompts with two found bad",
    "bad": "bad ones, now and then",
    "good": "good ones, now and then",
}


def _share_of(task: tuple[Row, int, int]) -> float:
    row, runs, seed = task
    return row.run(runs=runs, rng=np.random.default_rng(seed))


def _key_of(task: tuple[Row, int, int]) -> str:
    """Return what a figure hangs on: the scenario, and every line that it ran."""
    row, runs, seed = task
    code = hashlib.sha256(Path(__file__).read_bytes())
    for name in STUDIED:
        code.update((ROOT / "synthreview" / "review" / f"{name}.py").read_bytes())
    what = [row.group, row.population, row.rate, row.what, runs, seed]
    return json.dumps([*what, code.hexdigest()])


def shares(tasks: list[tuple[Row, int, int]], jobs: int) -> Iterator[float]:
    """Yield the share of failures of each, keeping it at once."""
    KEPT.parent.mkdir(exist_ok=True)
    lines = KEPT.read_text().splitlines() if KEPT.exists() else []
    kept = {line["key"]: line["share"] for line in map(json.loads, lines)}
    keys = [_key_of(task) for task in tasks]
    with ProcessPoolExecutor(jobs) as pool, KEPT.open("a") as journal:
        left = [task for task, key in zip(tasks, keys, strict=True) if key not in kept]
        found = pool.map(_share_of, left)
        for key in keys:
            if key not in kept:
                kept[key] = next(found)
                journal.write(json.dumps({"key": key, "share": kept[key]}) + "\n")
                journal.flush()
            yield kept[key]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    scenarios = rows()
    seeds = [arguments.seed * 10_000 + number for number in range(len(scenarios))]
    tasks = [(row, arguments.runs, seed) for row, seed in zip(scenarios, seeds, strict=True)]
    lines = [
        "| what | images | truly bad | the queue, the removal or the reviewers | failures |",
        "|---|---:|---:|---|---:|",
    ]
    points: dict[str, list[float]] = {}
    for row, share in zip(scenarios, shares(tasks, arguments.jobs), strict=True):
        lines.append(f"| {row.group} | {row.population} | {row.rate} | {row.what} | {share:.2%} |")
        points.setdefault(row.group, []).append(share)
        print(lines[-1], flush=True)
    rng = np.random.default_rng(arguments.seed)
    for rate in (0.01, 0.05, 0.3):
        share = peeked_clopper_pearson(rate=rate, runs=arguments.runs, rng=rng)
        name = "for comparison: a fixed-size interval, looked at after each audit"
        lines.append(f"| {name} | unlimited | {rate:.0%} | at random | {share:.2%} |")
        points.setdefault("fixed-size interval, peeked at", []).append(share)
        print(lines[-1], flush=True)
    FIGURE.write_text(
        dot_plot(
            points,
            title="Share of runs in which the truth was ever ruled out",
            limit=ALPHA,
            limit_label="promised: 5 % at most",
        )
    )
    before, _, rest = PAGE.read_text().partition(MARKS[0])
    _, _, after = rest.partition(MARKS[1])
    PAGE.write_text(f"{before}{MARKS[0]}\n" + "\n".join(lines) + f"\n{MARKS[1]}{after}")


if __name__ == "__main__":
    main()
