"""How many looks an adapting share of audits saves against fixed ones, by simulation.

    python -m benchmarks.audit_share [--runs 20] [--seed 0] [--scores FILE.csv]

Each run reviews one population by its scores, lowest first, until the running certificate meets
the target; the truth is given. Without a file the scores are drawn: normal, the bad ones lower by
so many standard deviations. A file has the columns `score` and `bad` (0 or 1); each run then takes
the same images with other lots. Prints the table of docs/certificate.md.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import numpy.typing as npt

from synthreview.review.certificate import Look, Stream, running_bound
from synthreview.review.steering import audit_share

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
STEP = 10  # looks between two glances at the bound, and at the share


def looks_until(
    bad: BoolArray,
    keys: FloatArray,
    *,
    share: float | None,
    target: float,
    rng: np.random.Generator,
) -> int:
    """Return how many looks it takes until the bound meets `target`; None adapts the share."""
    population = len(bad)
    queue = iter(np.argsort(keys).tolist())
    lots = iter(rng.permutation(population).tolist())
    seen = np.zeros(population, dtype=bool)
    looks: list[Look] = []
    present = 0.2 if share is None else share
    while len(looks) < population:
        if len(looks) % STEP == 0:
            if running_bound(looks, population=population, target=target).error <= target:
                break
            if share is None:
                present = audit_share(looks, population=population, target=target)
        is_audit = bool(rng.random() < present)
        index = next(i for i in (lots if is_audit else queue) if not seen[i])
        seen[index] = True
        looks.append(Look(Stream.AUDIT if is_audit else Stream.TARGETED, bool(bad[index])))
    return len(looks)


def drawn(
    size: int, rate: float, apart: float, rng: np.random.Generator
) -> tuple[BoolArray, FloatArray]:
    """Return a population and its scores, the bad ones lower by `apart` standard deviations."""
    bad = rng.random(size) < rate
    return bad, rng.normal(size=size) - apart * bad


def read(path: Path) -> tuple[BoolArray, FloatArray]:
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return (
        np.array([row["bad"] == "1" for row in rows]),
        np.array([float(row["score"]) for row in rows]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scores", type=Path)
    arguments = parser.parse_args()
    sets: list[tuple[str, tuple[float, ...], object]] = []
    if arguments.scores:
        sets.append((arguments.scores.stem, (0.01, 0.02, 0.05), read(arguments.scores)))
    else:
        for rate, apart, words in (
            (0.15, 2.5, "15 % bad, a good score"),
            (0.15, 1.5, "15 % bad, a middling score"),
            (0.15, 0.8, "15 % bad, a weak score"),
            (0.05, 2.0, "5 % bad, a middling score"),
        ):
            sets.append((f"3,000 images, {words}", (0.01, 0.02, 0.05), (rate, apart)))
    print("| images | target | audits alone | half | a fifth | adapting | saved against a fifth |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, targets, made in sets:
        for target in targets:
            means = []
            for share in (1.0, 0.5, 0.2, None):
                rng = np.random.default_rng(arguments.seed)
                looks = []
                for _ in range(arguments.runs):
                    bad, keys = (
                        made if arguments.scores else drawn(3_000, *made, rng)  # type: ignore[misc]
                    )
                    looks.append(
                        looks_until(bad, keys, share=share, target=target, rng=rng) / len(bad)
                    )
                means.append(float(np.mean(looks)))
            saved = 1 - means[3] / means[2]
            cells = " | ".join(f"{mean:.2f}" for mean in means)
            print(f"| {name} | {target:.0%} | {cells} | {saved:.0%} |", flush=True)


if __name__ == "__main__":
    main()
