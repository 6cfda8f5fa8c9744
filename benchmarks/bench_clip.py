"""Measure a scorer: images per second of one process, with captions, parts and classes.

Run from the repository: python benchmarks/bench_clip.py [MODEL] [images].
MODEL is as in SYNTHREVIEW_CLIP; without it the embedded model is measured. Prints the
rate for images that are already decoded, and for 512 px PNG files, decoding included.
"""

from __future__ import annotations

import io
import random
import sys
import time
from collections.abc import Sequence

from PIL import Image

from synthreview.generation.generators.checking import encode_png
from synthreview.scoring.demo_clip import evaluation
from synthreview.scoring.demo_clip.evaluation import Probe
from synthreview.scoring.scorers.clip import ClipScorer


def main(model_spec: str, count: int) -> None:
    """Print the rates."""
    scorer = ClipScorer(model_spec, threads=1)
    began = time.perf_counter()
    print(f"{scorer.card().model}: loaded in {time.perf_counter() - began:.1f} s")
    rng = random.Random(1)
    probes = [evaluation.true_probe(scene, rng) for scene in evaluation.unseen_scenes(1, count)]
    images = evaluation.draw_all([probe.scene for probe in probes], 2)
    files = [encode_png(image) for image in images]
    evaluation.judge(scorer, images[:16], probes[:16])
    show("decoded", lambda: judge(scorer, images, probes), count)
    show(
        "from PNG",
        lambda: judge(scorer, [Image.open(io.BytesIO(file)) for file in files], probes),
        count,
    )


def judge(scorer: ClipScorer, images: Sequence[Image.Image], probes: Sequence[Probe]) -> None:
    evaluation.judge(scorer, images, probes)


def show(name: str, work: object, count: int) -> None:
    """Run `work` and print images per second, by the clock and by CPU time."""
    assert callable(work)
    clock, cpu = time.perf_counter(), time.process_time()
    work()
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(f"{name:10} {count / clock:8.0f}/s {count / cpu:8.0f}/CPU-s")


if __name__ == "__main__":
    main(
        sys.argv[1] if len(sys.argv) > 1 else "",
        int(sys.argv[2]) if len(sys.argv) > 2 else 400,
    )
