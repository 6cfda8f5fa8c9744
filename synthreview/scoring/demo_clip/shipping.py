"""The folder that is shipped: what open_clip loads, a card, the log and checksums."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from safetensors.torch import save_file

from synthreview.generation.generators.sketch import render
from synthreview.scoring.scorers.clip_source import (
    CARD_NAME,
    CHECKSUMS_NAME,
    CONFIG_NAME,
    PREFERRED_WEIGHTS,
    sha256_of,
)

from .captions import CLASS_TEMPLATES, NAMES, SLOTS
from .evaluation import ACCEPTED
from .model import MODEL_CONFIG, PREPROCESS_CONFIG, shipped_weights
from .pictures import HELD_OUT_PAIRS, SHARD_SIZE
from .training import State

LABEL: Final = "SynthCLIP, trained on the embedded renderer"
LOG_NAME: Final = "training_log.jsonl"
EVALUATION_NAME: Final = "evaluation.json"


def write_model(state: State, folder: Path) -> None:
    """Write what open_clip loads, and a card without figures; old checksums go."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / CHECKSUMS_NAME).unlink(missing_ok=True)
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    _write_json(folder / CONFIG_NAME, config)
    weights = folder / PREFERRED_WEIGHTS[0]
    save_file(shipped_weights(state.model, state.tokens), weights)
    weights.chmod(0o644)  # safetensors writes for its owner alone
    _write_json(folder / CARD_NAME, card_of(state, {}))


def finish(state: State, figures: Mapping[str, Any], log: Path, folder: Path) -> None:
    """Add the figures, the log and the checksums of every file."""
    _write_json(folder / CARD_NAME, card_of(state, figures))
    _write_json(folder / EVALUATION_NAME, figures)
    shutil.copyfile(log, folder / LOG_NAME)
    files = sorted(path for path in folder.iterdir() if path.name != CHECKSUMS_NAME)
    lines = [f"{sha256_of(path)}  {path.name}\n" for path in files]
    (folder / CHECKSUMS_NAME).write_text("".join(lines), encoding="utf-8")


def card_of(state: State, figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model's card: what it is, what it knows and how well."""
    return {
        "name": "SynthCLIP",
        "model": LABEL,
        "tag": f"{render.RENDERER_VERSION}-{state.recipe.seed}",
        "applies_to": ["sketch"],
        "parts": list(SLOTS),
        "class_templates": list(CLASS_TEMPLATES),
        "facts": {
            "label": LABEL,
            "renderer": render.RENDERER_VERSION,
            "accept_above": ACCEPTED,
            "calibration": "sigmoid(scale * cosine + bias), right and wrong pairs weighing alike",
            "figures": _headline(figures),
        },
        "vocabulary": {slot: list(NAMES[slot]) for slot in SLOTS},
        "known_tokens": len(state.tokens) - 2,
        "pairs_never_trained": sorted(list(pair) for pair in HELD_OUT_PAIRS),
        "recipe": asdict(state.recipe),
        "training_pictures": state.recipe.shards * SHARD_SIZE,
        "training_cpu_s": round(state.cpu_s),
    }


def _headline(figures: Mapping[str, Any]) -> dict[str, Any]:
    """Return the few figures that travel with the scorer's identity."""
    if not figures:
        return {}
    unseen, pairs = figures["unseen_seeds"], figures["pairs_never_trained"]
    return {
        "accuracy": unseen["accuracy"],
        "auroc": unseen["auroc"],
        "auroc_pairs_never_trained": pairs["auroc"],
        "true_accepted": unseen["true_accepted"],
        "accepted_share": figures["accepted_share"],
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
