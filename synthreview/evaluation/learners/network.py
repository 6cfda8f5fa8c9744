"""A small network of timm, trained whole: from random weights, or from a folder of them.

Nothing is downloaded. torch and timm are imported on first use, never with this module.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np

from synthreview.evaluation.learners.base import (
    FloatArray,
    Inputs,
    IntArray,
    LearnerError,
    OnStep,
    Task,
)

ARCHITECTURE: Final = "resnet10t"
WEIGHTS: Final = "model.safetensors"  # the other formats of timm are pickles, which can run code
BATCH: Final = 32
RATE: Final = 1e-3  # of AdamW, at its height
RATE_FROM_WEIGHTS: Final = 3e-4
DECAY: Final = 0.05
# How far a picture is changed by lot before each step: what a camera changes and a class does not.
SHIFT: Final = 0.125  # of the side
TURN_DEGREES: Final = 12.0
ZOOM: Final = (0.75, 1.1)  # of the side that is seen
LIGHT: Final = (0.6, 1.4)  # times every colour
TINT: Final = (0.85, 1.15)  # times each colour by itself
SMOOTHING: Final = 0.1
BEAT_S: Final = 2.0


class SmallNetwork:
    """Trains a timm model for a number of steps that is the same for every arm.

    Args:
        weights: a folder with timm's config.json and model.safetensors; empty: random weights.
        architecture: timm's name of a model that starts from random weights.
        side_px: side of the pictures.
        steps: of `BATCH` pictures each.
        threads: CPU threads of torch; None takes half of the processors. More of them wait for
            each other wherever anything else runs: with as many as there were processors a training
            of 16 seconds took eight minutes on a busy machine.
        device: where torch computes.
    """

    title = "Small network"
    reads: Literal["pixels"] = "pixels"

    def __init__(
        self,
        *,
        weights: str = "",
        architecture: str = ARCHITECTURE,
        side_px: int = 64,
        steps: int = 240,
        threads: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.side_px = side_px
        self._weights = weights
        self._architecture = architecture
        self._steps = steps
        self._threads = threads
        self._device = device

    def describe(self) -> str:
        """Say what it trains and from what start. Raises LearnerError."""
        start = self._folder().name if self._weights else ""
        model = f"the weights in {start}" if start else f"{self._architecture} from random weights"
        return (
            f"A timm network, {model}, all of it trained: {self._steps} steps of {BATCH} pictures "
            f"of {self.side_px} × {self.side_px} pixels, mirrored, moved, turned and lit by lot."
        )

    def _folder(self) -> Path:
        folder = Path(self._weights).expanduser()
        if not (folder / WEIGHTS).is_file() or not (folder / "config.json").is_file():
            raise LearnerError(
                f"{folder.name} must hold config.json and {WEIGHTS}, as timm saves them "
                "(SYNTHREVIEW_TIMM)."
            )
        return folder

    def learn(self, task: Task, on_step: OnStep) -> dict[str, FloatArray]:
        """Return view → (M, C) chances."""
        import torch

        torch.set_num_threads(self._threads or max(1, (os.cpu_count() or 1) // 2))
        torch.manual_seed(task.seed)
        model = self._model(task.class_count).to(self._device)
        self._train(model, task, on_step)
        known = np.unique(task.labels)
        return {view: self._judge(model, rows, task, known) for view, rows in task.tests.items()}

    def _model(self, class_count: int) -> Any:
        import timm

        if not self._weights:
            return self._untrained(class_count)
        try:
            return timm.create_model(
                f"local-dir:{self._folder()}", pretrained=True, num_classes=class_count
            )
        except (OSError, RuntimeError, ValueError, KeyError) as error:
            said = " ".join(str(error).split())[:200]
            raise LearnerError(
                f"The weights cannot be loaded (SYNTHREVIEW_TIMM): {said}"
            ) from error

    def _untrained(self, class_count: int) -> Any:
        import timm

        try:
            return timm.create_model(self._architecture, pretrained=False, num_classes=class_count)
        except RuntimeError as error:
            raise LearnerError(
                f"timm knows no model {self._architecture!r} (SYNTHREVIEW_TIMM_OPTIONS)."
            ) from error

    def _train(self, model: Any, task: Task, on_step: OnStep) -> None:
        import torch

        rng = np.random.default_rng(task.seed)
        rate = RATE_FROM_WEIGHTS if self._weights else RATE
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=rate, total_steps=self._steps
        )
        loss_of = torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)
        draw = _even_draws(task.labels, rng)
        model.train()
        next_beat = 0.0
        for _ in range(self._steps):
            if time.monotonic() > next_beat:
                on_step()
                next_beat = time.monotonic() + BEAT_S
            chosen = draw(BATCH)
            pictures = _centred(_varied(_tensor(task.train[chosen], self._device), rng))
            labels = torch.from_numpy(task.labels[chosen]).to(self._device)
            optimizer.zero_grad()
            loss_of(model(pictures), labels).backward()
            optimizer.step()
            schedule.step()

    def _judge(self, model: Any, rows: Inputs, task: Task, known: IntArray) -> FloatArray:
        import torch

        chances = np.zeros((len(rows), task.class_count), dtype=np.float32)
        model.eval()
        with torch.inference_mode():
            for start in range(0, len(rows), 4 * BATCH):
                part = rows[start : start + 4 * BATCH]
                pictures = _centred(_tensor(part, self._device))
                logits = model(pictures)[:, torch.from_numpy(known)]
                found = torch.softmax(logits.float(), dim=1).cpu().numpy()
                chances[start : start + len(part), known] = found
        return chances


def _even_draws(labels: IntArray, rng: np.random.Generator) -> Any:
    """Return a function that draws so many images, every class as often as any other."""
    _, numbers, counts = np.unique(labels, return_inverse=True, return_counts=True)
    weights = 1.0 / counts[numbers]
    weights /= weights.sum()
    return lambda count: rng.choice(len(labels), count, p=weights)


def _varied(pictures: Any, rng: np.random.Generator) -> Any:
    """Return the pictures (B, 3, S, S) each turned, moved, scaled, mirrored and lit by lot.

    The edge is repeated where a picture is moved out of itself.
    """
    import torch
    from torch.nn import functional

    count = len(pictures)
    turn = np.radians(rng.uniform(-TURN_DEGREES, TURN_DEGREES, count))
    size = rng.uniform(*ZOOM, count)
    flip = np.where(rng.random(count) < 0.5, -1.0, 1.0)
    place = np.empty((count, 2, 3), dtype=np.float32)
    place[:, 0, 0], place[:, 0, 1] = flip * size * np.cos(turn), -size * np.sin(turn)
    place[:, 1, 0], place[:, 1, 1] = flip * size * np.sin(turn), size * np.cos(turn)
    place[:, :, 2] = rng.uniform(-2 * SHIFT, 2 * SHIFT, (count, 2))
    light = rng.uniform(*LIGHT, (count, 1)) * rng.uniform(*TINT, (count, 3))
    grid = functional.affine_grid(
        torch.from_numpy(place), list(pictures.shape), align_corners=False
    )
    moved = functional.grid_sample(
        pictures, grid.to(pictures.device), padding_mode="border", align_corners=False
    )
    return moved * torch.from_numpy(light[:, :, None, None].astype(np.float32)).to(moved.device)


def _tensor(pictures: Inputs, device: str) -> Any:
    """Return (B, 3, S, S) from 0 to 1."""
    import torch

    numbers = torch.from_numpy(np.ascontiguousarray(pictures)).to(device)
    return numbers.permute(0, 3, 1, 2).float() / 255


def _centred(pictures: Any) -> Any:
    """Return them around 0 with about deviation 1."""
    return (pictures - 0.5) / 0.25
