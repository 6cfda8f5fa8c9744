"""Each learner by the same contract, and what is its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from synthreview.evaluation.learners.base import Learner, LearnerError, Task
from synthreview.evaluation.learners.network import SmallNetwork
from synthreview.evaluation.learners.probe import LinearProbe

SMALL = {"side_px": 32, "steps": 12, "threads": 1}


def make(alias: str) -> Learner:
    return LinearProbe() if alias == "probe" else SmallNetwork(**SMALL)  # type: ignore[arg-type]


def task_for(model: Learner, labels: list[int], *, seed: int = 1, class_count: int = 3) -> Task:
    """Return a task in which class and brightness are one."""
    rng = np.random.default_rng(0)
    numbers = np.array(labels, dtype=np.int64)
    bright = 40 + 80 * numbers[:, None]
    if model.reads == "embeddings":
        rows: Any = (bright - 120) / 100 + rng.normal(0, 0.05, (len(labels), 4))
    else:
        noise = rng.integers(0, 20, (len(labels), model.side_px, model.side_px, 3))
        rows = (bright[:, :, None, None] + noise).astype(np.uint8)
    return Task(rows, numbers, {"plain": rows, "none": rows[:0]}, class_count, seed)


@pytest.mark.parametrize("alias", ["probe", "network"])
def test_it_learns_the_same_from_the_same_task(alias: str) -> None:
    model = make(alias)
    task = task_for(model, [0, 1] * 12)
    found = model.learn(task, lambda: None)
    assert found["plain"].shape == (24, 3)
    assert found["none"].shape == (0, 3)
    assert np.allclose(found["plain"].sum(axis=1), 1, atol=1e-5)
    assert not found["plain"][:, 2].any()  # a class without an image
    assert np.array_equal(found["plain"], make(alias).learn(task, lambda: None)["plain"])
    assert model.describe()


def test_the_probe_tells_apart_what_can_be_told_apart() -> None:
    task = task_for(LinearProbe(), [0, 1, 2] * 10)
    found = LinearProbe().learn(task, lambda: None)
    assert (found["plain"].argmax(axis=1) == task.labels).all()


def test_the_network_tells_apart_what_can_be_told_apart() -> None:
    model = SmallNetwork(**{**SMALL, "steps": 60})
    task = task_for(model, [0, 2] * 16)
    found = model.learn(task, lambda: None)
    assert (found["plain"].argmax(axis=1) == task.labels).mean() > 0.9


@pytest.mark.parametrize("alias", ["probe", "network"])
def test_of_one_class_alone_it_is_certain(alias: str) -> None:
    model = make(alias)
    found = model.learn(task_for(model, [1, 1, 1]), lambda: None)
    assert found["plain"][:, 1].tolist() == [1, 1, 1]


def test_a_stop_reaches_the_network_in_the_middle() -> None:
    class StopError(Exception):
        pass

    def stop() -> None:
        raise StopError

    model = make("network")
    with pytest.raises(StopError):
        model.learn(task_for(model, [0, 1] * 4), stop)


def test_the_network_starts_from_a_folder_of_weights(tmp_path: Path) -> None:
    import timm
    from safetensors.torch import save_file

    model = timm.create_model("resnet10t", num_classes=7)
    folder = tmp_path / "weights"
    folder.mkdir()
    save_file(model.state_dict(), folder / "model.safetensors")
    config = {"architecture": "resnet10t", "num_classes": 7,
              "pretrained_cfg": {"first_conv": "conv1.0", "classifier": "fc",
                                 "input_size": [3, 64, 64], "num_classes": 7}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    own = SmallNetwork(**SMALL, weights=str(folder))
    assert "the weights in weights" in own.describe()
    started = own._model(3)
    assert np.allclose(
        started.state_dict()["conv1.0.weight"].numpy(), model.state_dict()["conv1.0.weight"].numpy()
    )
    assert started.num_classes == 3


def test_a_folder_without_safetensors_is_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"a pickle could run code")
    with pytest.raises(LearnerError, match=r"model\.safetensors"):
        SmallNetwork(weights=str(tmp_path)).describe()
