"""How true the chances of being bad are on images that the ranking has not seen decided.

    python -m benchmarks.calibration FILE.csv [--embeddings FILE.npy] [--seeds 10]

The file is a replay file (docs/ranking.md), for example the drawn world's (benchmarks.drawn_world).
So many images drawn by lot are decided, the product's model learns from them, and the expected
calibration error (ten equally filled bins) and the AUROC on all the others are printed, with 95 %
intervals over the seeds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from synthreview.review.ranking.judging import auroc, calibration_error
from synthreview.review.ranking.model import Decided, Ranker
from synthreview.review.ranking.replay_file import KnownImages, read_known_images

DECIDED = (200, 500, 1_000, 2_000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--embeddings", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    asked = parser.parse_args()
    known = read_known_images(asked.file, asked.embeddings)
    print(f"{len(known.is_bad):,} images, {known.is_bad.mean():.1%} of them bad")
    ranker = Ranker(known.table)
    for count in DECIDED:
        if count < len(known.is_bad) / 2:
            found = np.array([held_out(ranker, known, count, seed) for seed in range(asked.seeds)])
            mean = found.mean(axis=0)
            reach = 1.96 * found.std(axis=0, ddof=1) / np.sqrt(len(found))
            print(
                f"{count:6,} decided: calibration error {mean[0]:.4f} ± {reach[0]:.4f}, "
                f"highest {found[:, 0].max():.4f}; AUROC {mean[1]:.3f} ± {reach[1]:.3f}",
                flush=True,
            )


def held_out(ranker: Ranker, known: KnownImages, count: int, seed: int) -> tuple[float, float]:
    """Return calibration error and AUROC on what `count` decisions by lot leave."""
    is_known = np.zeros(len(known.is_bad), dtype=bool)
    chosen = np.random.default_rng(seed).choice(len(is_known), count, replace=False)
    is_known[chosen] = True
    fitted = ranker.fit(Decided(is_known, known.is_bad, is_known))
    assert fitted is not None
    rest = ~is_known
    told = auroc(-fitted.chance[rest], known.is_bad[rest])
    assert told is not None
    return calibration_error(fitted.chance[rest], known.is_bad[rest]), told.value


if __name__ == "__main__":
    main()
