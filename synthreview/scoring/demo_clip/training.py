"""Training: seeded, resumable, on a few CPU cores.

Every random choice of a step comes from the seed and the step's number, so that a
training that was stopped and resumed ends in the same weights as one that was not
(on the same machine, with the same number of threads).
"""

from __future__ import annotations

import json
import math
import random
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from synthreview.generation.generators.sketch import render

from . import captions, losses, pictures
from .captions import NAMES, SLOTS, Text
from .model import IMAGE_PX, CompactTokens, TrainableClip, prepare
from .nouns import TRAINING_NOUNS

_LOG_EVERY: Final = 25
_SAVE_EVERY: Final = 250
# Objects are the hardest to tell apart, so they count twice.
_WEIGHTS: Final = {"object": 2.0, "environment": 1.0, "style": 1.0, "colour": 1.0}
_MAX_LOG_SCALE: Final = math.log(100)


@dataclass(frozen=True, slots=True)
class Recipe:
    """All that decides the weights. Sizes are counts, `rate` is AdamW's top learning rate."""

    seed: int = 20261122
    steps: int = 3500
    shards: int = 48
    batch: int = 128
    caption_count: int = 96
    unknown_count: int = 24
    rate: float = 2e-3
    decay: float = 0.05
    heads_until: float = 0.5
    threads: int = 1
    bf16: bool = False


@dataclass(slots=True)
class State:
    """A training under way."""

    recipe: Recipe
    tokens: CompactTokens
    model: TrainableClip
    optimizer: torch.optim.AdamW
    step: int = 0
    cpu_s: float = 0.0


def bf16_is_fast() -> bool:
    """Say whether this CPU multiplies bfloat16 in hardware."""
    return bool(torch.cpu._is_avx512_bf16_supported())


def start(recipe: Recipe) -> State:
    """Return a fresh training."""
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    tokens = CompactTokens(captions.known_wordings())
    model = TrainableClip(tokens)
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices},
        {"params": vectors, "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(
        groups, lr=recipe.rate, weight_decay=recipe.decay, betas=(0.9, 0.98)
    )
    return State(recipe, tokens, model, optimizer)


def save(state: State, path: Path) -> None:
    """Write a checkpoint, under a temporary name first."""
    content = {
        "recipe": asdict(state.recipe),
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "step": state.step,
        "cpu_s": state.cpu_s,
        "renderer": render.RENDERER_VERSION,
    }
    part = path.with_suffix(".part")
    torch.save(content, part)
    part.replace(path)


def resume(path: Path) -> State:
    """Return the training of a checkpoint. Raises ValueError: another renderer drew for it."""
    content = torch.load(path, weights_only=True)
    if content["renderer"] != render.RENDERER_VERSION:
        raise ValueError(
            f"{path} was trained on {content['renderer']}, not on {render.RENDERER_VERSION}."
        )
    state = start(Recipe(**content["recipe"]))
    state.model.load_state_dict(content["model"])
    state.optimizer.load_state_dict(content["optimizer"])
    state.step, state.cpu_s = content["step"], content["cpu_s"]
    return state


def train(
    state: State,
    data: pictures.Pictures,
    *,
    stop_when: Callable[[], bool] = lambda: False,
    checkpoint: Path | None = None,
    log: Path | None = None,
) -> Iterator[dict[str, float]]:
    """Train to the recipe's end, or until `stop_when`; yield the figures of every step."""
    began = cpu_seconds() - state.cpu_s
    while state.step < state.recipe.steps and not stop_when():
        figures = _step(state, data)
        state.step += 1
        state.cpu_s = cpu_seconds() - began
        line = {"step": state.step, "cpu_s": round(state.cpu_s, 1), **figures}
        if log and (state.step % _LOG_EVERY == 0 or state.step == state.recipe.steps):
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        if checkpoint and state.step % _SAVE_EVERY == 0:
            save(state, checkpoint)
        yield line
    if checkpoint:
        save(state, checkpoint)


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its finished children."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def rate_at(recipe: Recipe, step: int) -> float:
    """Return the learning rate: a linear rise over 4 % of the steps, then half a cosine to 0."""
    rise = max(1, round(0.04 * recipe.steps))
    if step < rise:
        return recipe.rate * (step + 1) / rise
    return recipe.rate * 0.5 * (1 + math.cos(math.pi * (step - rise) / (recipe.steps - rise)))


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of one step: one per name of each slot, then unknown ones, then captions."""

    all: tuple[Text, ...]
    parts: dict[str, slice]
    unknown: slice
    captions: slice


def step_texts(recipe: Recipe, truths: pictures.Truths, rng: random.Random) -> Texts:
    """Write the texts of one step for a batch with these truths."""
    texts: list[Text] = []
    parts: dict[str, slice] = {}
    for slot in SLOTS:
        begin = len(texts)
        texts += [captions.part_text(slot, name, rng) for name in NAMES[slot]]
        parts[slot] = slice(begin, len(texts))
    begin = len(texts)
    texts += [captions.unknown_text(rng, TRAINING_NOUNS) for _ in range(recipe.unknown_count)]
    middle = len(texts)
    for truth in truths[: recipe.caption_count]:
        if said := pictures.stated_truth(truth):
            texts.append(
                captions.caption(captions.changed(said, rng) if rng.random() < 1 / 3 else said, rng)
            )
    return Texts(tuple(texts), parts, slice(begin, middle), slice(middle, len(texts)))


def _step(state: State, data: pictures.Pictures) -> dict[str, float]:
    recipe = state.recipe
    rng = random.Random(f"{recipe.seed}/step/{state.step}")
    chosen = np.random.default_rng(rng.randrange(2**32)).integers(0, len(data), recipe.batch)
    truths = data.truths[chosen]
    texts = step_texts(recipe, truths, rng)
    generator = torch.Generator().manual_seed(rng.randrange(2**32))
    pixels = augmented(prepare(data.pixels[chosen]), generator)

    rate = rate_at(recipe, state.step)
    for group in state.optimizer.param_groups:
        group["lr"] = rate
    state.model.train()
    named = _losses(state, pixels, truths, texts)
    state.optimizer.zero_grad(set_to_none=True)
    torch.stack(list(named.values())).sum().backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(state.model.parameters(), 1.0)
    state.optimizer.step()
    with torch.no_grad():
        state.model.clip.logit_scale.clamp_(0, _MAX_LOG_SCALE)
    return {"rate": rate} | {name: round(float(loss.detach()), 4) for name, loss in named.items()}


def _losses(
    state: State, pixels: Tensor, truths: pictures.Truths, texts: Texts
) -> dict[str, Tensor]:
    """Return the weighted losses of one batch by name."""
    model, recipe = state.model, state.recipe
    raw = model.images(pixels, bf16=recipe.bf16)
    words = model.texts(state.tokens([text.words for text in texts.all]))
    logits = model.logits(functional.normalize(raw, dim=-1), words)
    right, weights = losses.fits(truths, texts.all)

    def on(where: slice) -> tuple[Tensor, Tensor, Tensor]:
        return logits[:, where], right[:, where], weights[:, where]

    seen = {slot: torch.from_numpy(truths[:, k]) for k, slot in enumerate(SLOTS)}
    parts = texts.parts.items()
    named = {
        "parts": _weighted({slot: losses.match_loss(*on(where)) for slot, where in parts}),
        "unknown": losses.match_loss(*on(texts.unknown)),
        "captions": losses.match_loss(*on(texts.captions)),
        "contrast": 0.25 * losses.contrast_loss(*on(texts.captions)),
        "classes": 0.5
        * _weighted({s: losses.class_loss(logits[:, where], seen[s]) for s, where in parts}),
    }
    share = 1 - state.step / max(1.0, recipe.heads_until * recipe.steps)
    if share > 0:
        heads: Any = model.heads
        each = {slot: losses.class_loss(heads[slot](raw), seen[slot]) for slot in SLOTS}
        named["heads"] = 0.5 * share * _weighted(each)
    return named


def augmented(pixels: Tensor, generator: torch.Generator) -> Tensor:
    """Return the pictures mirrored by chance, and half of them moved and scaled a little."""
    count = len(pixels)

    def uniform(reach: float) -> Tensor:
        return (torch.rand(count, generator=generator) * 2 - 1) * reach

    mirrored = torch.rand(count, generator=generator) < 0.5
    pixels = torch.where(mirrored.view(-1, 1, 1, 1), pixels.flip(-1), pixels)
    moved = torch.rand(count, generator=generator) < 0.5
    maps = torch.zeros(count, 2, 3)
    maps[:, 0, 0] = maps[:, 1, 1] = 1 + uniform(0.14)
    maps[:, 0, 2], maps[:, 1, 2] = uniform(0.2), uniform(0.12)
    grid = functional.affine_grid(maps[moved], list(pixels[moved].shape), align_corners=False)
    pixels[moved] = functional.grid_sample(
        pixels[moved], grid, padding_mode="border", align_corners=False
    )
    light = 1 + uniform(0.12).view(-1, 1, 1, 1)
    return pixels * light


def _weighted(values: dict[str, Tensor]) -> Tensor:
    return torch.stack([_WEIGHTS[slot] * value for slot, value in values.items()]).sum()


def data_folder(work: Path, recipe: Recipe) -> Path:
    """Return where the pictures of a recipe are kept: another renderer, another folder."""
    return work / f"{render.RENDERER_VERSION}-{recipe.seed}-{IMAGE_PX}px"
