"""Measure the embedded generator: images per second at 512 px, encoding included.

Run from the repository: python benchmarks/bench_sketch.py [images per style].
Prints one row per style, for one process and for two, and the mean CPU time per image.
"""

from __future__ import annotations

import random
import sys
import time
from concurrent.futures import ProcessPoolExecutor

from synthreview.generation.generators.checking import encode_png
from synthreview.generation.generators.sketch import scene, vocabulary
from synthreview.generation.generators.sketch.render import render_scene

SIZE_PX = 512


def draw_many(style: str, count: int, seed: int) -> float:
    """Draw and encode `count` sampled scenes in one style; return the CPU seconds it took."""
    rng = random.Random(seed)
    encode_png(
        render_scene(scene.sample_scene(rng, style=style), SIZE_PX)
    )  # textures are made once
    began = time.process_time()
    for _ in range(count):
        encode_png(render_scene(scene.sample_scene(rng, style=style), SIZE_PX))
    return time.process_time() - began


def main(count: int) -> None:
    """Print the table."""
    print(f"{'style':18}{'1 process':>12}{'2 processes':>14}{'CPU-ms each':>14}")
    with ProcessPoolExecutor(2) as pool:
        for style in vocabulary.STYLE_NAMES:
            list(pool.map(draw_many, [style] * 2, [1] * 2, [0] * 2))
            began = time.perf_counter()
            cpu_s = draw_many(style, count, 1)
            one = count / (time.perf_counter() - began)
            began = time.perf_counter()
            list(pool.map(draw_many, [style] * 2, [count] * 2, [2, 3]))
            two = 2 * count / (time.perf_counter() - began)
            print(f"{style:18}{one:9.1f}/s{two:11.1f}/s{cpu_s / count * 1000:13.1f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 40)
