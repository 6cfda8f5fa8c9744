"""What the shipped model can do, measured on unseen seeds through the scorer itself.

Pictures are drawn at the app's own size and judged as the app judges them: parts as
its captions word them, `value` as the queue sees it.
"""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from PIL import Image

from synthreview.generation.generators.sketch.render import render_scene
from synthreview.generation.generators.sketch.scene import Scene, sample_scene, shown_colour
from synthreview.lib.text import with_article
from synthreview.scoring.scorers.base import ScoreRequest, ScoreResult
from synthreview.scoring.scorers.clip import ClipScorer

from . import captions
from .captions import NAMES, SLOTS, WORDS
from .nouns import PROBE_NOUNS
from .pictures import HELD_OUT_PAIRS

DRAWN_PX: Final = 512
ACCEPTED: Final = 0.5
CLASS_NAMES: Final = NAMES["object"]
_ALWAYS: Final = dict.fromkeys(SLOTS, 1.0)


@dataclass(frozen=True, slots=True)
class Probe:
    """A picture with what its caption claims: slot to name, and how it words them."""

    scene: Scene
    claims: Mapping[str, str]
    wording: Mapping[str, str]
    caption: str


def evaluate(
    scorer: ClipScorer, *, count: int, seed: int, workers: int = 1
) -> tuple[dict[str, Any], Iterator[str]]:
    """Return the figures of `count` faultless pictures and of the probes beside them.

    The second value names each group as it is measured; the figures fill up meanwhile.
    """
    figures: dict[str, Any] = {"pictures": count, "seed": seed, "drawn_px": DRAWN_PX}
    side = max(12, count // 5)
    jobs: list[tuple[str, Callable[[], dict[str, Any]]]] = [
        (
            "unseen_seeds",
            lambda: on_scenes(scorer, unseen_scenes(seed, count), seed, workers),
        ),
        (
            "pairs_never_trained",
            lambda: on_scenes(scorer, _held_out(seed, 2 * side), seed, workers),
        ),
        ("accepted_share", lambda: on_faults(scorer, unseen_scenes(seed + 1, side), seed, workers)),
        ("empty_pictures_accepted", lambda: on_empty(scorer, seed, min(60, side))),
    ]

    def run() -> Iterator[str]:
        for name, job in jobs:
            figures[name] = job()
            yield name

    return figures, run()


def on_scenes(
    scorer: ClipScorer, scenes: Sequence[Scene], seed: int, workers: int
) -> dict[str, Any]:
    """Measure faultless scenes against true captions and captions with one thing wrong."""
    rng = random.Random(f"evaluation/{seed}/captions")
    images = draw_all(scenes, workers)
    probes = [true_probe(scene, rng) for scene in scenes]
    results = judge(scorer, images, probes)
    right = values(results)
    figures: dict[str, Any] = {
        "pictures": len(scenes),
        "accuracy": {slot: _accuracy(scorer, slot, probes, results) for slot in SLOTS},
        "object_accuracy_by_style": _by_style(probes, results),
        "true_accepted": _share(right > ACCEPTED),
        "auroc": {},
        "auroc_of_the_whole_caption": {},
        "wrong_accepted": {},
    }
    for slot in SLOTS:
        chosen = [i for i, probe in enumerate(probes) if slot in probe.claims]
        wrong_probes = [with_wrong(probes[i], slot, rng) for i in chosen]
        wrong = judge(scorer, [images[i] for i in chosen], wrong_probes)
        figures["auroc"][slot] = auroc(right[chosen], values(wrong))
        figures["auroc_of_the_whole_caption"][slot] = auroc(
            np.array([results[i].similarity for i in chosen]),
            np.array([result.similarity for result in wrong]),
        )
        figures["wrong_accepted"][slot] = _share(values(wrong) > ACCEPTED)
    return figures


def on_faults(
    scorer: ClipScorer, scenes: Sequence[Scene], seed: int, workers: int
) -> dict[str, Any]:
    """Measure how often a true caption is accepted for a picture that went wrong."""
    rng = random.Random(f"evaluation/{seed}/faults")
    probes = [true_probe(scene, rng) for scene in scenes]
    spoilt: dict[str, Callable[[Scene], Scene]] = {
        "missing object": lambda s: replace(s, object=None, colour=None, action=None),
        "missing environment": lambda s: replace(s, environment=None),
        "unreadable": lambda s: replace(s, unreadable=True),
        "intruder": lambda s: replace(
            s, intruder=rng.choice([name for name in CLASS_NAMES if name != s.object])
        ),
        "missing part": lambda s: replace(s, missing_part=True),
    }
    shares = {
        name: _accepted(scorer, draw_all([spoil(s) for s in scenes], workers), probes)
        for name, spoil in spoilt.items()
    }
    unknown = [with_unknown(probe, rng) for probe in probes]
    images = draw_all(scenes, workers)
    shares["unknown noun"] = _accepted(scorer, images, unknown)
    alone = [replace(p, wording={"object": p.wording["object"]}) for p in unknown]
    shares["unknown noun, judged alone"] = _accepted(scorer, images, alone)
    shares["true"] = _accepted(scorer, images, probes)
    return shares


def on_empty(scorer: ClipScorer, seed: int, count: int) -> dict[str, Any]:
    """Measure how often the object alone is accepted in noise and in flat colour."""
    rng = random.Random(f"evaluation/{seed}/empty")
    noise = np.random.default_rng(seed)
    probes = [true_probe(scene, rng) for scene in unseen_scenes(seed + 2, count)]
    probes = [replace(p, wording={"object": p.wording["object"]}) for p in probes]
    cells = noise.integers(0, 256, (count, DRAWN_PX, DRAWN_PX, 3), dtype=np.uint8)
    noisy = [Image.fromarray(pixels) for pixels in cells]
    flat = [Image.new("RGB", (DRAWN_PX, DRAWN_PX), tuple(pixels[0, 0])) for pixels in cells]
    return {"noise": _accepted(scorer, noisy, probes), "flat": _accepted(scorer, flat, probes)}


def unseen_scenes(seed: int, count: int) -> list[Scene]:
    """Return scenes of unseen seeds, none of a pair that is kept from training."""
    rng = random.Random(f"evaluation/{seed}/scenes")
    scenes: list[Scene] = []
    while len(scenes) < count:
        scene = sample_scene(rng)
        if (scene.object, scene.environment) not in HELD_OUT_PAIRS:
            scenes.append(scene)
    return scenes


def true_probe(scene: Scene, rng: random.Random) -> Probe:
    """Return a scene with a caption that is true in every slot that can be seen."""
    colour = shown_colour(scene) if scene.colour else None
    named = {
        "object": scene.object,
        "environment": scene.environment,
        "style": scene.style,
        "colour": colour,
    }
    claims = {slot: name for slot, name in named.items() if name is not None}
    return _worded(scene, claims, {slot: wording(slot, claims[slot], rng) for slot in claims}, rng)


def with_wrong(probe: Probe, slot: str, rng: random.Random) -> Probe:
    """Return the same picture with a caption that is wrong in one slot."""
    other = rng.choice([name for name in NAMES[slot] if name != probe.claims[slot]])
    claims = dict(probe.claims) | {slot: other}
    return _worded(
        probe.scene, claims, dict(probe.wording) | {slot: wording(slot, other, rng)}, rng
    )


def with_unknown(probe: Probe, rng: random.Random) -> Probe:
    """Return the same picture with an object that the drawn world does not hold."""
    noun = with_article(rng.choice(PROBE_NOUNS))
    return replace(probe, wording=dict(probe.wording) | {"object": noun}, caption=noun)


def wording(slot: str, name: str, rng: random.Random) -> str:
    """Return one of the words with which the app's captions state a part."""
    [word] = [word for word in WORDS[slot] if word.name == name]
    return rng.choice(word.phrases).removesuffix(" of")


def draw_all(scenes: Sequence[Scene], workers: int) -> list[Image.Image]:
    """Return the pictures of the scenes at the app's size."""
    job = partial(render_scene, size_px=DRAWN_PX)
    if workers < 2:
        return [job(scene) for scene in scenes]
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        images = pool.map(job, scenes, chunksize=8)
        pool.close()
        pool.join()
    return images


def judge(
    scorer: ClipScorer, images: Sequence[Image.Image], probes: Sequence[Probe]
) -> list[ScoreResult]:
    """Score each picture with its caption, as the app does."""
    return scorer.score(
        [
            ScoreRequest(
                image=image,
                caption=probe.caption,
                parts=probe.wording,
                class_texts=CLASS_NAMES,
                class_index=None,
            )
            for image, probe in zip(images, probes, strict=True)
        ]
    )


def values(results: Iterable[ScoreResult]) -> npt.NDArray[np.float64]:
    """Return (N,) values of N results."""
    return np.array([result.value for result in results], dtype=np.float64)


def auroc(right: npt.NDArray[np.float64], wrong: npt.NDArray[np.float64]) -> float:
    """Return the chance that a right one is above a wrong one; a tie counts one half."""
    ordered = np.sort(wrong)
    below = np.searchsorted(ordered, right, side="left")
    not_above = np.searchsorted(ordered, right, side="right")
    return round(float((below + not_above).mean() / (2 * len(wrong))), 5)


def _worded(
    scene: Scene, claims: Mapping[str, str], words: Mapping[str, str], rng: random.Random
) -> Probe:
    caption = captions.caption(dict(claims), rng, keep=_ALWAYS).words
    return Probe(scene, claims, words, caption)


def _held_out(seed: int, count: int) -> list[Scene]:
    rng = random.Random(f"evaluation/{seed}/pairs")
    pairs = sorted(HELD_OUT_PAIRS)
    chosen = [pairs[i % len(pairs)] for i in range(count)]
    return [sample_scene(rng, object=name, environment=place) for name, place in chosen]


def _accepted(scorer: ClipScorer, images: Sequence[Image.Image], probes: Sequence[Probe]) -> float:
    return _share(values(judge(scorer, images, probes)) > ACCEPTED)


def _accuracy(
    scorer: ClipScorer, slot: str, probes: Sequence[Probe], results: Sequence[ScoreResult]
) -> float:
    """Return the share in which the true name's text is the nearest of all names'."""
    pairs = [(p, r) for p, r in zip(probes, results, strict=True) if slot in p.claims]
    truth = np.array([NAMES[slot].index(probe.claims[slot]) for probe, _ in pairs])
    if slot == "object":
        found = np.array([int(r.class_probabilities.argmax()) for _, r in pairs])
        return _share(found == truth)
    texts = [word.phrases[0].removesuffix(" of") for word in WORDS[slot]]
    vectors = scorer.embed_texts(texts)
    images = np.stack([r.embedding.astype(np.float32) for _, r in pairs if r.embedding is not None])
    found = (images @ np.stack([vectors[text] for text in texts]).T).argmax(axis=1)
    return _share(found == truth)


def _by_style(probes: Sequence[Probe], results: Sequence[ScoreResult]) -> dict[str, float]:
    right: dict[str, list[bool]] = {name: [] for name in NAMES["style"]}
    for probe, result in zip(probes, results, strict=True):
        named = CLASS_NAMES[int(result.class_probabilities.argmax())]
        right[probe.scene.style].append(named == probe.claims["object"])
    return {style: _share(np.array(hits)) for style, hits in right.items() if hits}


def _share(hits: npt.NDArray[np.bool_]) -> float:
    return round(float(hits.mean()), 4)
