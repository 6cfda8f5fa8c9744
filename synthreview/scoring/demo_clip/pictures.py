"""Training pictures of the drawn world, and what is true of each.

Pictures are drawn in shards by several processes and kept on disk, so that an
interrupted training goes on where it stopped. A shard is a pure function of the seed,
its number and the renderer.
"""

from __future__ import annotations

import multiprocessing
import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthreview.generation.generators.sketch import render, vocabulary
from synthreview.generation.generators.sketch.scene import Scene, sample_scene, shown_colour

from .captions import NAMES, SLOTS

SHARD_SIZE: Final = 500
# Truth of a slot, besides the index of its name:
ABSENT: Final = -1  # nothing there: every stated name is wrong
UNJUDGED: Final = -2  # cannot be told: no stated name is right or wrong
FREE: Final = -3  # hidden, so that every stated name fits: colour in black and white
# These object-environment pairs are never trained, so that the evaluation can tell
# whether an object is known wherever it stands.
HELD_OUT_PAIRS: Final = frozenset(
    {
        ("car", "library"),
        ("fish", "kitchen"),
        ("dog", "under water"),
        ("flower", "city"),
        ("chair", "snowy mountains"),
        ("boat", "desert"),
    }
)
_BIG_PX: Final = 512  # as the app draws them
_SMALL_PX: Final = 192
_BIG_SHARE: Final = 0.25

Pixels = npt.NDArray[np.uint8]
Truths = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Pictures:
    """N pictures and their truth.

    pixels: (N, S, S, 3) bytes, RGB. truths: (N, 5): the index of the name per slot of
    `captions.SLOTS` or one of the values above, then the intruder's index or ABSENT.
    """

    pixels: Pixels
    truths: Truths

    def __len__(self) -> int:
        return len(self.pixels)


def truth_of(scene: Scene) -> list[int]:
    """Return the five numbers that `Pictures.truths` holds for a scene."""
    return [
        _index("object", None if scene.unreadable else scene.object),
        UNJUDGED if scene.unreadable else _index("environment", scene.environment),
        UNJUDGED if scene.unreadable else _index("style", scene.style),
        _colour_truth(scene),
        _index("object", scene.intruder),
    ]


def stated_truth(truth: Sequence[int]) -> dict[str, str]:
    """Return slot to name for what can be said truly of a picture."""
    return {slot: NAMES[slot][i] for slot, i in zip(SLOTS, truth, strict=False) if i >= 0}


def draw(scene: Scene, drawn_px: int, kept_px: int) -> Image.Image:
    """Return a picture drawn at one size and reduced as the model's preprocessing does."""
    image = render.render_scene(scene, drawn_px)
    return image.resize((kept_px, kept_px), Image.Resampling.BICUBIC)


def training_scene(rng: random.Random) -> Scene:
    """Return a scene to learn from: four of five faultless, never a held-out pair."""
    scene = sample_scene(rng)
    while (scene.object, scene.environment) in HELD_OUT_PAIRS:
        scene = sample_scene(rng)
    kind = rng.random()
    if kind < 0.06:
        return replace(scene, look=rng.choice(vocabulary.LOOKS))
    if kind < 0.13:
        return replace(scene, object=None, colour=None, action=None)
    if kind < 0.16:
        return replace(scene, environment=None)
    if kind < 0.18:
        return replace(scene, intruder=rng.choice(_others(scene)))
    if kind < 0.20:
        return replace(scene, missing_part=True)
    return replace(scene, unreadable=True) if kind < 0.22 else scene


def draw_shard(number: int, *, seed: int, kept_px: int, size: int = SHARD_SIZE) -> Pictures:
    """Return shard `number` of the training pictures."""
    rng = random.Random(f"{seed}/shard/{number}")
    pixels = np.zeros((size, kept_px, kept_px, 3), dtype=np.uint8)
    truths = np.full((size, len(SLOTS) + 1), ABSENT, dtype=np.int64)
    for i in range(size):
        if rng.random() < 0.02:
            pixels[i] = _empty_picture(rng, kept_px)
            continue
        scene = training_scene(rng)
        drawn_px = _BIG_PX if rng.random() < _BIG_SHARE else _SMALL_PX
        pixels[i] = np.asarray(draw(scene, drawn_px, kept_px))
        truths[i] = truth_of(scene)
    return Pictures(pixels, truths)


def ensure_shards(
    folder: Path, count: int, *, seed: int, kept_px: int, workers: int
) -> Iterator[int]:
    """Draw the shards that `folder` lacks; yield the number of each as it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [i for i in range(count) if not _shard_path(folder, i).exists()]
    job = partial(_write_shard, folder=folder, seed=seed, kept_px=kept_px)
    if workers < 2 or len(missing) < 2:
        yield from map(job, missing)
        return
    # Not fork: torch may already run threads here.
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        yield from pool.imap_unordered(job, missing)
        pool.close()
        pool.join()


def read_shards(folder: Path, count: int) -> Pictures:
    """Return the first `count` shards as one set."""
    shards = [np.load(_shard_path(folder, i)) for i in range(count)]
    return Pictures(
        np.concatenate([shard["pixels"] for shard in shards]),
        np.concatenate([shard["truths"] for shard in shards]),
    )


def _shard_path(folder: Path, number: int) -> Path:
    return folder / f"shard-{number:04d}.npz"


def _write_shard(number: int, *, folder: Path, seed: int, kept_px: int) -> int:
    shard = draw_shard(number, seed=seed, kept_px=kept_px)
    path = _shard_path(folder, number)
    part = path.with_suffix(f".{os.getpid()}.part")
    with part.open("wb") as file:
        np.savez(file, pixels=shard.pixels, truths=shard.truths)
    part.replace(path)
    return number


def _index(slot: str, name: str | None) -> int:
    return ABSENT if name is None else NAMES[slot].index(name)


def _colour_truth(scene: Scene) -> int:
    if scene.object is None or scene.unreadable:
        return ABSENT if scene.object is None else UNJUDGED
    colour = shown_colour(scene)
    return FREE if colour is None else _index("colour", colour)


def _others(scene: Scene) -> list[str]:
    return [name for name in NAMES["object"] if name != scene.object]


def _empty_picture(rng: random.Random, px: int) -> Pixels:
    """Return a flat colour, noise, or coarse noise: a picture of nothing."""
    noise = np.random.default_rng(rng.randrange(2**32))
    kind = rng.choice(("flat", "noise", "coarse"))
    if kind == "flat":
        return np.broadcast_to(noise.integers(0, 256, 3, dtype=np.uint8), (px, px, 3))
    cells = px if kind == "noise" else rng.choice((4, 8, 12))
    small = Image.fromarray(noise.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
    return np.asarray(small.resize((px, px), Image.Resampling.BICUBIC))
