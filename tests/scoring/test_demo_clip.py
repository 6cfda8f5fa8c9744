"""SynthCLIP: its captions, its training in the small, and the weights that are shipped."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from django.core.management import CommandError, call_command

from synthreview.generation.generators.sketch import render, vocabulary
from synthreview.generation.generators.sketch.scene import Scene
from synthreview.generation.generators.sketch.understanding import understand
from synthreview.scoring.demo_clip import (
    captions,
    evaluation,
    losses,
    model,
    nouns,
    pictures,
    shipping,
    training,
)
from synthreview.scoring.demo_clip.captions import Text
from synthreview.scoring.demo_clip.training import Recipe, State
from synthreview.scoring.scorers.clip import ClipScorer
from synthreview.scoring.scorers.clip_source import EMBEDDED_FOLDER, check_sums

SMALL = Recipe(steps=4, shards=1, batch=6, caption_count=4, unknown_count=3)


# --- Captions -----------------------------------------------------------------


def test_the_generator_understands_captions_as_they_are_meant() -> None:
    rng = random.Random(3)
    asked: list[bool] = []
    for _ in range(400):
        truth = {slot: rng.choice(captions.NAMES[slot]) for slot in captions.SLOTS}
        text = captions.caption(truth, rng)
        understood = understand(text.words)
        asked += [
            getattr(understood, s) == text.stated(s) for s in captions.SLOTS if text.stated(s)
        ]
    assert np.mean(asked) > 0.95


def test_part_texts_state_their_part_alone() -> None:
    rng = random.Random(3)
    for slot in captions.SLOTS:
        for name in captions.NAMES[slot]:
            text = captions.part_text(slot, name, rng)
            assert {s: text.stated(s) for s in captions.SLOTS if text.stated(s)} == {slot: name}
            assert "{" not in text.words


def test_a_changed_truth_differs_in_one_slot() -> None:
    rng = random.Random(3)
    truth = {"object": "car", "environment": "beach", "style": "oil", "colour": "red"}
    for _ in range(50):
        other = captions.changed(truth, rng)
        assert sum(other[slot] != truth[slot] for slot in truth) == 1


def test_unknown_nouns_are_no_objects_of_the_world_and_probes_are_never_trained() -> None:
    objects = {w for word in vocabulary.OBJECTS for w in (word.name, *word.synonyms)}
    assert not objects & {*nouns.TRAINING_NOUNS, *nouns.PROBE_NOUNS}
    assert not set(nouns.TRAINING_NOUNS) & set(nouns.PROBE_NOUNS)
    assert len(nouns.TRAINING_NOUNS) > 250


# --- Pictures and their truth ---------------------------------------------------


PLAIN = {"object": "car", "environment": "beach", "style": "oil", "colour": "red"}


@pytest.mark.parametrize(
    ("changes", "hidden"),
    [
        ({}, ()),
        ({"environment": None}, ("environment",)),
        ({"object": None, "colour": None}, ("object", "colour")),
        ({"style": "black and white"}, ("colour",)),
        ({"unreadable": True}, captions.SLOTS),
    ],
)
def test_only_what_can_be_seen_is_said(changes: dict[str, Any], hidden: tuple[str, ...]) -> None:
    scene = Scene(**(PLAIN | changes))
    seen = {s: getattr(scene, s) for s in captions.SLOTS if s not in hidden}
    assert pictures.stated_truth(pictures.truth_of(scene)) == seen


def test_held_out_pairs_are_never_trained() -> None:
    rng = random.Random(3)
    scenes = [pictures.training_scene(rng) for _ in range(3000)]
    assert not {(s.object, s.environment) for s in scenes} & pictures.HELD_OUT_PAIRS
    assert {name for name, _ in pictures.HELD_OUT_PAIRS} <= {s.object for s in scenes}


def test_a_shard_is_drawn_the_same_again() -> None:
    first, second = (pictures.draw_shard(3, seed=1, kept_px=24, size=5) for _ in range(2))
    assert (first.pixels == second.pixels).all()
    assert (first.truths == second.truths).all()
    assert first.pixels.shape == (5, 24, 24, 3)


# --- Losses -------------------------------------------------------------------


def truths(*rows: dict[str, Any]) -> pictures.Truths:
    scenes = [
        Scene(**({"object": "car", "environment": "beach", "style": "oil"} | row)) for row in rows
    ]
    return np.array([pictures.truth_of(scene) for scene in scenes])


def test_a_text_fits_where_nothing_that_it_states_is_wrong() -> None:
    texts = [
        Text("a car", object="car"),
        Text("a dog", object="dog"),
        Text("a car at night", object="car", environment="night"),
        Text("a red thing", colour="red"),
        Text("a giraffe", object=captions.UNKNOWN),
        Text("a picture"),
    ]
    right, weights = losses.fits(
        truths(
            {"colour": "red"},
            {"colour": "blue", "environment": "night"},
            {"colour": "red", "style": "black and white"},
            {"colour": "red", "intruder": "dog"},
            {"object": None, "colour": None},
        ),
        texts,
    )
    assert right.int().tolist() == [
        [1, 0, 0, 1, 0, 1],
        [1, 0, 1, 0, 0, 1],
        [1, 0, 0, 1, 0, 1],
        [1, 1, 0, 1, 0, 1],
        [0, 0, 0, 0, 0, 1],
    ]
    assert weights[2, 3] == pytest.approx(0.1)  # the colour cannot be seen
    assert weights[3, 1] == 0  # the intruder is a dog
    assert (weights[:, [0, 2, 4, 5]] == 1).all()


def test_right_and_wrong_pairs_weigh_alike() -> None:
    logits = torch.zeros(2, 10)
    right = torch.zeros(2, 10, dtype=torch.bool)
    right[0, 0] = True
    loss = losses.match_loss(logits, right, torch.ones(2, 10))
    assert float(loss) == pytest.approx(np.log(2))
    surer = logits.clone()
    surer[0, 0] = 20.0
    assert float(losses.match_loss(surer, right, torch.ones(2, 10))) == pytest.approx(np.log(2) / 2)


def test_contrast_spares_the_other_positives_and_what_cannot_be_told() -> None:
    logits = torch.tensor([[8.0, 8.0, 8.0]])
    right = torch.tensor([[True, True, False]])
    weights = torch.tensor([[1.0, 1.0, 0.0]])
    assert float(losses.contrast_loss(logits, right, weights)) == pytest.approx(0, abs=1e-4)


# --- The network and its training ----------------------------------------------


@pytest.fixture(scope="module")
def small_data() -> pictures.Pictures:
    return pictures.draw_shard(0, seed=1, kept_px=model.IMAGE_PX, size=10)


def run(state: State, data: pictures.Pictures, **options: Any) -> list[dict[str, float]]:
    return list(training.train(state, data, **options))


def test_tokens_keep_their_order_and_strangers_share_one_row() -> None:
    tokens = model.CompactTokens(["a car", "red"])
    rows = tokens(["a car", "a giraffe", "a rhinoceros"])
    assert int(rows[0].max()) == len(tokens) - 1
    assert rows[0, 1] != rows[0, 2]
    assert rows[1, 2] == rows[2, 2] == 1
    assert (np.diff(tokens.known) > 0).all()


def test_plain_open_clip_computes_what_was_trained(tmp_path: Path) -> None:
    state = training.start(SMALL)
    shipping.write_model(state, tmp_path)
    clip, _, _ = open_clip.create_model_and_transforms(
        f"local-dir:{tmp_path}", require_pretrained=True
    )
    texts = ["a red car on the beach", "a giraffe at night"]
    pixels = torch.randn(2, 3, model.IMAGE_PX, model.IMAGE_PX)
    state.model.eval()
    with torch.no_grad():
        ours = state.model.logits(
            torch.nn.functional.normalize(state.model.images(pixels, bf16=False), dim=-1),
            state.model.texts(state.tokens(texts)),
        )
        theirs, _ = clip.eval().get_logits(
            pixels, open_clip.get_tokenizer(f"local-dir:{tmp_path}")(texts)
        )
    assert theirs.numpy() == pytest.approx(ours.numpy(), abs=0.05)


def test_a_resumed_training_ends_in_the_same_weights(
    tmp_path: Path, small_data: pictures.Pictures
) -> None:
    whole = training.start(SMALL)
    run(whole, small_data)
    stopped = training.start(SMALL)
    run(stopped, small_data, checkpoint=tmp_path / "c.pt", stop_when=lambda: stopped.step == 2)
    resumed = training.resume(tmp_path / "c.pt")
    assert resumed.step == 2
    figures = run(resumed, small_data, log=tmp_path / "log.jsonl")
    assert [line["step"] for line in figures] == [3, 4]
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["step"] == 4
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_training_lowers_the_loss(small_data: pictures.Pictures) -> None:
    state = training.start(replace(SMALL, steps=12, rate=1e-2))
    figures = run(state, small_data)
    assert figures[-1]["parts"] < figures[0]["parts"]
    assert 0 < training.rate_at(state.recipe, 11) < training.rate_at(state.recipe, 1)


def test_a_checkpoint_of_another_renderer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training.save(training.start(SMALL), tmp_path / "c.pt")
    monkeypatch.setattr(render, "RENDERER_VERSION", "sketch-999")
    with pytest.raises(ValueError, match="not on sketch-999"):
        training.resume(tmp_path / "c.pt")


def test_auroc_agrees_with_counting_pairs() -> None:
    rng = np.random.default_rng(3)
    right, wrong = rng.integers(2, 8, 40).astype(float), rng.integers(0, 6, 30).astype(float)
    wins = [1.0 if r > w else 0.5 if r == w else 0.0 for r in right for w in wrong]
    assert evaluation.auroc(right, wrong) == pytest.approx(np.mean(wins), abs=1e-5)


@pytest.mark.slow
def test_the_command_stops_resumes_and_writes_a_folder_that_the_scorer_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "draw_shard", partial(pictures.draw_shard, size=8))
    places = {"out": tmp_path / "out", "work": tmp_path / "work", "as_json": True}
    command = partial(call_command, "train_demo_clip", **places, workers=1, evaluation=12)
    with pytest.raises(CommandError, match="no checkpoint"):
        command(resume=True)
    answer = io.StringIO()
    command(steps=2, shards=1, seed=4, minutes=1e-9, stdout=answer)
    assert json.loads(answer.getvalue()) == {"finished": False, "step": 0, "steps": 2}
    answer = io.StringIO()
    command(resume=True, stdout=answer)
    assert json.loads(answer.getvalue())["finished"]
    card = ClipScorer(embedded_dir=tmp_path / "out").card()
    assert (card.name, card.tag) == ("SynthCLIP", f"{render.RENDERER_VERSION}-4")


# --- The shipped weights --------------------------------------------------------


@pytest.fixture(scope="module")
def shipped() -> ClipScorer:
    return ClipScorer()


def test_the_shipped_folder_is_whole_small_and_of_this_renderer(shipped: ClipScorer) -> None:
    check_sums(EMBEDDED_FOLDER)
    files = {path.name for path in EMBEDDED_FOLDER.iterdir()}
    listed = (EMBEDDED_FOLDER / "SHA256SUMS").read_text().split()[1::2]
    assert files == {*listed, "SHA256SUMS"}
    assert sum(path.stat().st_size for path in EMBEDDED_FOLDER.iterdir()) < 8_000_000
    facts = shipped.card().facts
    assert facts["renderer"] == render.RENDERER_VERSION, "train again: manage.py train_demo_clip"


def test_the_shipped_card_says_where_it_applies(shipped: ClipScorer) -> None:
    card = shipped.card()
    assert card.name == "SynthCLIP"
    assert card.model == "SynthCLIP, trained on the embedded renderer"
    assert card.applies_to == {"sketch"}
    assert card.parts == {"object", "environment", "style", "colour"}


def test_the_shipped_network_is_the_one_described_in_code() -> None:
    config = json.loads((EMBEDDED_FOLDER / "open_clip_config.json").read_text())
    assert config == {"model_cfg": model.MODEL_CONFIG, "preprocess_cfg": model.PREPROCESS_CONFIG}


@pytest.mark.slow
def test_the_shipped_weights_hold_their_figures_on_fresh_seeds(shipped: ClipScorer) -> None:
    scenes = evaluation.unseen_scenes(424242, 300)
    figures = evaluation.on_scenes(shipped, scenes, 424242, 1)
    assert figures["accuracy"]["object"] >= 0.97
    for slot in ("object", "environment", "style"):
        assert figures["auroc"][slot] >= 0.98, slot
    assert figures["true_accepted"] >= 0.9


def test_an_unknown_thing_is_not_accepted(shipped: ClipScorer) -> None:
    rng = random.Random(7)
    probes = [evaluation.true_probe(scene, rng) for scene in evaluation.unseen_scenes(7, 30)]
    images = evaluation.draw_all([probe.scene for probe in probes], 1)
    unknown = [evaluation.with_unknown(probe, rng) for probe in probes]
    assert np.mean(evaluation.values(evaluation.judge(shipped, images, unknown)) > 0.5) <= 0.1
