"""How often the running certificate is wrong, by simulation: at most 5 % of runs may be.

    python -m benchmarks.certificate_validity [--runs 2000] [--seed 0] [--jobs 2] [--minutes 8]
    make certificate-validity

Each run reviews a population in an order that may use everything but the lots, looks at the bound
after every review, and counts as a failure when the truth was ruled out at any moment. Runs go
side by side, as arrays. Writes the figure docs/images/certificate-validity.svg and the tables of
docs/certificate.md, between its markers. All of it takes about an hour on one core, so the tables
are the record as well: a start runs the cells that they leave blank, writes each once it is done,
and with --minutes begins no other one after so many. Where the statistics, the runs or the seed are
other than the tables', all cells are run again.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
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
Floats = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int_]
Cell = tuple[str, str, str, str]  # a place in the tables: group, what, images, share of bad
ALPHA = 0.05
LIMIT = -np.log(ALPHA)
AUDITS_ALPHA = ALPHA * FOR_AUDITS
AT_ONCE = 5_000_000  # images of all runs side by side
RATES = (0.0, 0.01, 0.02, 0.05, 0.3)
COLUMNS = tuple(f"{rate:.0%}" for rate in RATES)
TARGET = 0.02
LOOKS = 400
PROMPT = 14  # images of one prompt lie side by side
ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "certificate.md"
FIGURE = ROOT / "docs" / "images" / "certificate-validity.svg"
STUDIED = ("certificate", "reviewer_error", "steering")  # what the figures are figures of
MARKS = ("<!-- validity: begin -->", "<!-- validity: end -->")

# --- The queue's order --------------------------------------------------------------
# Each gets the truth, so that the hostile ones can play against the bound; lowest first.

Order = Callable[[BoolArray, Generator], Floats]


def by_score(bad: BoolArray, rng: Generator) -> Floats:
    """The bad score lower, on average: the queue that we want."""
    return rng.standard_normal(bad.shape, dtype=np.float32) - 1.5 * bad


def hiding(bad: BoolArray, rng: Generator) -> Floats:
    """A queue that shows good images first, so that the bad stay hidden."""
    return bad + 0.1 * rng.random(bad.shape, dtype=np.float32)


def revealing(bad: BoolArray, rng: Generator) -> Floats:
    """A queue that shows bad images first."""
    return ~bad + 0.1 * rng.random(bad.shape, dtype=np.float32)


ORDERS: dict[str, Order] = {"by score": by_score, "hides bad": hiding, "finds bad": revealing}


# --- Many reviews side by side --------------------------------------------------------

LOOKS_OF = (
    Look(Stream.TARGETED, is_bad=False),
    Look(Stream.TARGETED, is_bad=True),
    Look(Stream.AUDIT, is_bad=False),
    Look(Stream.AUDIT, is_bad=True),
    REMOVED,
)
AUDIT, GONE_UNSEEN = 2, 4  # a look's code is its place above; an audit's lies AUDIT higher


class Reviews:
    """R populations of N images under review; `step` hands out one image of each.

    `share` is that of the audits; None adapts it. `removes` takes images out unseen: "prompts"
    the rest of a prompt of which two were found bad, "good" and "bad" (which no one could do
    without knowing the truth) now and then some unseen of that kind.
    """

    def __init__(
        self, bad: BoolArray, order: Order, share: float | None, rng: Generator, removes: str = ""
    ) -> None:
        runs, images = bad.shape
        self.rng, self.share, self.removes = rng, share, removes
        # One more than there are, never gone: the end of the queue.
        self.bad = np.pad(bad, ((0, 0), (0, 1)))
        self.gone = np.zeros_like(self.bad)
        self.removed = np.zeros_like(self.bad)
        self.queue = _first(order(bad, rng), min(images, 4 * LOOKS))
        self.place = np.zeros(runs, dtype=int)
        self.shares = np.full(runs, 0.2 if share is None else share)
        self.codes = np.zeros((runs, min(images, 8 * LOOKS)), dtype=np.int8)
        self.count = np.zeros(runs, dtype=int)  # of codes written
        # Before each code: found + left, which a removal of bad ones lowers.
        self.known = np.zeros(self.codes.shape, dtype=int)
        self.total = bad.sum(axis=1)
        self.found_of_prompt = np.zeros((runs, -(-images // PROMPT)), dtype=np.int8)

    @property
    def images(self) -> int:
        return int(self.bad.shape[1]) - 1

    def step(self, rows: Indices | None = None) -> tuple[Indices, Indices]:
        """Hand out one image in each of `rows` (all); return those that had one left, and which."""
        rows = np.arange(len(self.bad)) if rows is None else rows
        rows = rows[self.count[rows] < self.codes.shape[1]]
        if self.share is None:
            for row in rows[self.count[rows] % 10 == 0]:
                self.shares[row] = audit_share(
                    self.looks(row), population=self.images, target=TARGET
                )
        by_lot = self.rng.random(len(rows)) < self.shares[rows]
        chosen = np.empty(len(rows), dtype=int)
        chosen[by_lot] = self._drawn(rows[by_lot])
        chosen[~by_lot] = self._next_in_queue(rows[~by_lot])
        is_there = chosen < self.images
        rows, chosen, by_lot = rows[is_there], chosen[is_there], by_lot[is_there]
        self._write(rows, chosen, AUDIT * by_lot + self.bad[rows, chosen])
        if self.removes == "prompts":
            self._remove_prompts(rows, chosen)
        elif self.removes:
            self._remove_some(rows)
        return rows, chosen

    def _drawn(self, rows: Indices) -> Indices:
        """Return one of those that are left, each with the same chance."""
        drawn = self.rng.integers(self.images, size=len(rows))
        while (again := self.gone[rows, drawn]).any():
            drawn[again] = self.rng.integers(self.images, size=int(again.sum()))
        return drawn

    def _next_in_queue(self, rows: Indices) -> Indices:
        behind = rows
        while len(behind):
            behind = behind[self.gone[behind, self.queue[behind, self.place[behind]]]]
            self.place[behind] += 1
        return self.queue[rows, self.place[rows]]

    def _write(self, rows: Indices, chosen: Indices, codes: Indices) -> None:
        self.gone[rows, chosen] = True
        self.codes[rows, self.count[rows]] = codes
        self.known[rows, self.count[rows]] = self.total[rows]
        self.count[rows] += 1

    def _remove_prompts(self, rows: Indices, chosen: Indices) -> None:
        prompts = chosen // PROMPT
        is_bad = self.bad[rows, chosen]
        self.found_of_prompt[rows, prompts] += is_bad
        is_second = is_bad & (self.found_of_prompt[rows, prompts] == 2)
        for row, prompt in zip(rows[is_second], prompts[is_second], strict=True):
            rest = np.arange(prompt * PROMPT, min((prompt + 1) * PROMPT, self.images))
            self._remove(row, rest[~self.gone[row, rest]])

    def _remove_some(self, rows: Indices) -> None:
        for row in rows[self.rng.random(len(rows)) < 0.05]:
            kind = self.bad[row] if self.removes == "bad" else ~self.bad[row]
            self._remove(row, np.flatnonzero((kind & ~self.gone[row])[:-1])[:5])

    def _remove(self, row: int, unseen: Indices) -> None:
        start = self.count[row]
        unseen = unseen[: self.codes.shape[1] - start]
        self.gone[row, unseen] = self.removed[row, unseen] = True
        self.codes[row, start : start + len(unseen)] = GONE_UNSEEN
        self.known[row, start : start + len(unseen)] = self.total[row]
        self.count[row] += len(unseen)
        self.total[row] -= int(self.bad[row, unseen].sum())

    def looks(self, row: int) -> list[Look]:
        """Return what was seen of one population."""
        return [LOOKS_OF[code] for code in self.codes[row, : self.count[row]].tolist()]

    def history(self, row: int) -> History:
        return history_of(self.codes[row, : self.count[row]], self.images)

    def may_hold(self, row: int, bad_left: int, alpha: float) -> bool:
        """Return whether so many may be left: quicker than asking for the bound."""
        history = self.history(row)
        if bad_left > history.unreviewed:
            return False
        return log_stake(history, fractions(history, TARGET), bad_left) < -np.log(alpha)

    def stakes(self, row: int) -> tuple[Indices, Floats]:
        """Return when each audit was made, and the log stake after it against the truth of then."""
        history = self.history(row)
        when = np.flatnonzero(is_audit(self.codes[row, : self.count[row]]))
        bets = fractions(history, TARGET)
        known = self.known[row, when]
        stakes = np.empty(len(when))
        for total in np.unique(known):  # it fell with each removal, for all draws before as well
            then = np.flatnonzero(known == total)
            before = replace(
                history,
                is_bad=history.is_bad[: then[-1] + 1],
                found_before=history.found_before[: then[-1] + 1],
                unreviewed_before=history.unreviewed_before[: then[-1] + 1],
            )
            path = stake_paths(before, bets[:, : then[-1] + 1], int(total) - history.found_bad)
            stakes[then] = path[then]
        return when, stakes


def is_audit(codes: npt.NDArray[np.int8]) -> BoolArray:
    return np.isin(codes, (AUDIT, AUDIT + 1))


def history_of(codes: npt.NDArray[np.int8], population: int) -> History:
    """Return the history that these looks make."""
    bad = (codes == 1) | (codes == AUDIT + 1)
    return History.of_arrays(is_audit(codes), bad, codes == GONE_UNSEEN, population)


def _first(keys: Floats, count: int) -> Indices:
    """Return the places of each row's lowest keys, in their order, and the number of keys."""
    if count < keys.shape[1]:
        lowest = np.argpartition(keys, count - 1, axis=1)[:, :count]
        order = np.argsort(np.take_along_axis(keys, lowest, 1), axis=1)
        lowest = np.take_along_axis(lowest, order, 1)
    else:
        lowest = np.argsort(keys, axis=1)
    return np.pad(lowest, ((0, 0), (0, 1)), constant_values=keys.shape[1])


def populations_of(size: int, rate: float, runs: int, rng: Generator) -> BoolArray:
    """Return which images are bad: exactly that share, in prompts of unequal quality."""
    bad = np.zeros((runs, size), dtype=bool)
    count = round(size * rate)
    if count:
        prompts = rng.standard_exponential((runs, -(-size // PROMPT)), dtype=np.float32)
        images = rng.standard_exponential((runs, size), dtype=np.float32)
        odds = images * np.repeat(prompts, PROMPT, axis=1)[:, :size]  # two Gumbels, unlogged
        np.put_along_axis(bad, np.argpartition(odds, count - 1, axis=1)[:, :count], True, 1)
    return bad


def batches(runs: int, population: int) -> Iterator[int]:
    """Yield how many runs go side by side, so that they fit into memory."""
    most = max(1, AT_ONCE // population)
    for start in range(0, runs, most):
        yield min(most, runs - start)


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
    for side_by_side in batches(runs, population):
        bad = populations_of(population, rate, side_by_side, rng)
        reviews = Reviews(bad, order, audit_share, rng, removes)
        for _ in range(min(population, looks)):
            reviews.step()
        failures += sum(
            reviews.stakes(row)[1].max(initial=0) >= LIMIT for row in range(side_by_side)
        )
    return float(failures / runs)


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
    for side_by_side in batches(runs, max(sizes)):
        cohorts = [
            Reviews(populations_of(size, rate, side_by_side, rng), by_score, 0.5, rng)
            for size, rate in zip(sizes, rates, strict=True)
        ]
        turns = rng.integers(2, size=(looks, side_by_side))
        turns[: looks // 3] = 0
        for turn in turns:
            for number, cohort in enumerate(cohorts):
                cohort.step(np.flatnonzero(turn == number))
        for row in range(side_by_side):
            steps = np.zeros((2, looks))
            for number, cohort in enumerate(cohorts):
                when, stakes = cohort.stakes(row)
                moments = np.flatnonzero(turns[:, row] == number)[when]
                steps[number, moments] = np.diff(stakes, prepend=0)
            failures += steps.sum(axis=0).cumsum().max() >= LIMIT
    return float(failures / runs)


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
    people = np.arange(len(rates))
    for side_by_side in batches(runs, population):
        truth = populations_of(population, rate, side_by_side, rng)
        who = rng.integers(len(rates), size=truth.shape)
        missed = truth & (rng.random(truth.shape) < rates[who])
        alarmed = ~truth & (rng.random(truth.shape) < 0.03)
        called = (truth & ~missed) | alarmed
        reviews = Reviews(called, order, audit_share, rng, removes)
        work = np.zeros((side_by_side, len(rates)), dtype=int)
        gold = np.zeros((side_by_side, len(rates), 2), dtype=int)
        exported = truth.sum(axis=1)  # of the truly bad, what would leave
        failed = np.zeros(side_by_side, dtype=bool)
        for number in range(min(looks, population)):
            was = reviews.removed.copy() if removes else None
            rows, chosen = reviews.step()
            work[rows, who[rows, chosen]] += 1
            exported[rows] -= (truth & called)[rows, chosen]
            if was is not None:
                exported -= (truth & (reviews.removed & ~was)[:, :-1]).sum(axis=1)
            shown = rows[rng.random(len(rows)) < gold_share]
            person = rng.integers(len(rates), size=len(shown))
            caught = rng.random(len(shown)) >= rates[person]
            gold[shown, person, caught.astype(int)] += 1
            if number % every:
                continue
            for row in rows[~failed[rows]]:
                if reviews.may_hold(row, int(exported[row]), AUDITS_ALPHA):
                    continue  # what is not ruled out by the audits is not by the whole bound
                bound = running_bound(
                    reviews.looks(row), population=population, target=TARGET, alpha=AUDITS_ALPHA
                )
                trials = {str(one): Trials(*map(int, gold[row, one])) for one in people}
                weights = {str(one): work[row, one] / work[row].sum() for one in people}
                whole = true_bound(bound, trials, weights, alpha=ALPHA)
                failed[row] = whole.error * bound.exported < exported[row] - 1e-9
        failures += failed.sum()
    return float(failures / runs)


def peeked_clopper_pearson(*, rate: float, runs: int, rng: Generator, draws: int = 400) -> float:
    """Return how often a 95 % upper bound of fixed size fails that is looked at after each draw."""
    from scipy.stats import beta

    bad = np.cumsum(rng.random((runs, draws)) < rate, axis=1)
    counts = np.arange(1, draws + 1)
    seen, where = np.unique(bad * (draws + 1) + counts, return_inverse=True)
    k, n = np.divmod(seen, draws + 1)
    upper = np.where(k == n, 1.0, beta.ppf(1 - ALPHA, k + 1, np.maximum(n - k, 1)))
    return float((upper[where].reshape(bad.shape) < rate).any(axis=1).mean())


# --- All of it ------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """One line of the table: a group, what is special, and how to run it."""

    group: str
    population: str
    rate: str
    what: str
    run: Callable[..., float]

    @property
    def cell(self) -> Cell:
        """Return its place in the page's tables."""
        return self.group, self.what, self.population, self.rate


def rows() -> list[Row]:
    """Return every scenario."""
    found = []
    for population in (200, 2_000, 100_000):
        for rate in RATES:
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


def origin(runs: int, seed: int) -> str:
    """Return what all figures of the page hang on, as a comment: every line of the statistics."""
    code = hashlib.sha256()
    for name in STUDIED:
        code.update((ROOT / "synthreview" / "review" / f"{name}.py").read_bytes())
    return f"<!-- {runs:,} runs, seed {seed}, statistics {code.hexdigest()[:16]} -->"


def figures_on(page: str, origin: str) -> dict[Cell, float]:
    """Return the shares of failures that the page's tables hold, if they are of that origin."""
    _, _, rest = page.partition(MARKS[0])
    inside, _, _ = rest.partition(MARKS[1])
    if origin not in inside:
        return {}
    found = {}
    for line in inside.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 + len(RATES):
            shares = zip(COLUMNS, cells[3:], strict=True)
            found |= {(*cells[:3], rate): share for rate, share in shares}
        elif len(cells) == 5:
            found[cells[0], cells[1], cells[2], cells[3]] = cells[4]
    return {
        cell: round(float(share[:-1]) / 100, 6)
        for cell, share in found.items()
        if share.endswith("%") and share[0].isdigit()
    }


def tables(found: dict[Cell, float]) -> list[str]:
    """Return the tables of the page: the grid of rates and sizes, and what lies outside of it."""
    grid: dict[tuple[str, str, str], dict[str, float]] = {}
    others = []
    for (group, what, population, rate), share in found.items():
        if rate in COLUMNS and group != "reviewers err":
            grid.setdefault((group, what, population), {})[rate] = share
        else:
            others.append(f"| {group} | {what} | {population} | {rate} | {share:.2%} |")
    heads = " | ".join(f"{column} bad" for column in COLUMNS)
    return [
        f"| what | the queue, or what is removed | images | {heads} |",
        f"|---|---|---:|{'---:|' * len(COLUMNS)}",
        *(
            f"| {' | '.join(names)} | "
            + " | ".join(f"{cells[one]:.2%}" if one in cells else "" for one in COLUMNS)
            + " |"
            for names, cells in grid.items()
        ),
        "",
        "| what | | images | truly bad | failures |",
        "|---|---|---:|---:|---:|",
        *others,
    ]


def write(found: dict[Cell, float], origin: str, seed: int) -> None:
    """Write the page's tables and the figure."""
    rng = np.random.default_rng(seed)
    shown = {row.cell: found[row.cell] for row in rows() if row.cell in found}
    for rate in RATES[1:]:
        name = "for comparison: a fixed-size interval"
        peeked = peeked_clopper_pearson(rate=rate, runs=2000, rng=rng)
        shown[name, "looked at each time", "unlimited", f"{rate:.0%}"] = peeked
    points: dict[str, list[float]] = {}
    for (group, *_), share in shown.items():
        points.setdefault(group, []).append(share)
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
    inside = "\n".join([origin, "", *tables(shown)])
    PAGE.write_text(f"{before}{MARKS[0]}\n{inside}\n{MARKS[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--minutes", type=float, default=np.inf, help="begin no cell after so many")
    arguments = parser.parse_args()
    end = time.monotonic() + 60 * arguments.minutes
    mark = origin(arguments.runs, arguments.seed)
    found = figures_on(PAGE.read_text(), mark)
    missing = [
        (row, arguments.runs, arguments.seed * 10_000 + number)
        for number, row in enumerate(rows())
        if row.cell not in found
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        while missing and time.monotonic() < end:
            now, missing = missing[: arguments.jobs], missing[arguments.jobs :]
            for (row, _, _), share in zip(now, pool.map(_share_of, now), strict=True):
                found[row.cell] = share
                print(f"{', '.join(row.cell)}: {share:.2%}", flush=True)
            write(found, mark, arguments.seed)
    print(f"{len(missing)} cells left" if missing else "All cells are done.")


if __name__ == "__main__":
    main()
