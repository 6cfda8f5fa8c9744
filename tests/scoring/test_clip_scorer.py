"""The open_clip scorer: real loading paths, on models of a few kilobytes made here."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from synthreview.scoring.scorers import clip, clip_source
from synthreview.scoring.scorers.base import ScoreRequest, ScorerError
from synthreview.scoring.scorers.clip import ClipScorer

TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 32, "patch_size": 16, "width": 32, "layers": 1, "head_width": 16}
SOFTMAX = {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": TEXT}
# SigLIP's own shape: a timm tower pooled by attention, text without a causal mask.
SIGMOID = {
    "embed_dim": 64,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {
        "timm_model_name": "test_vit",
        "timm_pool": "avg",
        "timm_proj": "linear",
        "image_size": 160,
    },
    "text_cfg": {**TEXT, "width": 64, "no_causal_mask": True, "pool_type": "last"},
}
SIGLIP_PREPROCESS = {
    "mean": [0.5] * 3,
    "std": [0.5] * 3,
    "interpolation": "bilinear",
    "resize_mode": "squash",
}


class Planted:
    """Something whose unpickling would write a file."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> Any:
        return (Path.touch, (self.proof,))


def make_folder(
    folder: Path, config: dict[str, Any], preprocess: dict[str, Any] | None = None
) -> Path:
    """Write a model folder with random weights."""
    folder.mkdir(parents=True)
    full = {"model_cfg": config, "preprocess_cfg": preprocess or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(full))
    torch.manual_seed(5)
    model = open_clip.create_model(f"local-dir:{folder}")
    torch.nn.init.normal_(model.visual.head.proj.weight if config is SIGMOID else model.visual.proj)
    weights = {name: value.contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors")
    return folder


@pytest.fixture(scope="module")
def softmax_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("softmax") / "tiny", SOFTMAX)


@pytest.fixture(scope="module")
def sigmoid_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("sigmoid") / "tiny", SIGMOID, SIGLIP_PREPROCESS)


def picture(seed: int, size: tuple[int, int] = (120, 90)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def request(seed: int = 0, **changes: Any) -> ScoreRequest:
    values: dict[str, Any] = {
        "image": picture(seed),
        "caption": "a red car on the beach",
        "parts": {"object": "a car", "environment": "on the beach"},
        "class_texts": ("car", "dog", "bird"),
        "class_index": 0,
    }
    return ScoreRequest(**(values | changes))


def oracle(folder: Path, image: Image.Image, texts: list[str]) -> tuple[Any, Any]:
    """Return (T,) cosines and (T,) logits as open_clip itself computes them."""
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    tokens = open_clip.get_tokenizer(f"local-dir:{folder}")(texts)
    with torch.no_grad():
        pixels = preprocess(image).unsqueeze(0)
        logits, _ = model.eval().get_logits(pixels, tokens)
        cosines = (
            model.encode_image(pixels, normalize=True) @ model.encode_text(tokens, normalize=True).T
        )
    return cosines[0].numpy(), logits[0].numpy()


def refused(spec: str | Path | None, **options: Any) -> str:
    """Return the one line with which a model is refused."""
    with pytest.raises(ScorerError) as raised:
        ClipScorer(str(spec) if spec else None, **options).card()
    text = str(raised.value)
    assert "\n" not in text
    assert ClipScorer(str(spec) if spec else None, **options).health() == [text]
    return text


def test_importing_the_scorer_imports_no_torch() -> None:
    code = (
        "import sys; import synthreview.scoring.scorers.clip; "
        "print({'torch', 'open_clip', 'django'} & set(sys.modules))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "set()"


def test_a_softmax_model_scores_by_the_cosine_of_the_caption(softmax_folder: Path) -> None:
    asked = request()
    [result] = ClipScorer(str(softmax_folder)).score([asked])
    cosines, _ = oracle(softmax_folder, asked.image, [asked.caption, *asked.parts.values()])
    assert result.match is None
    assert result.similarity == pytest.approx(cosines[0], abs=1e-3)
    assert result.value == result.similarity
    assert list(result.parts.values()) == pytest.approx(list(cosines[1:]), abs=1e-3)


def test_a_sigmoid_model_scores_by_its_weakest_part(sigmoid_folder: Path) -> None:
    asked = request()
    [result] = ClipScorer(str(sigmoid_folder)).score([asked])
    cosines, logits = oracle(sigmoid_folder, asked.image, [asked.caption, *asked.parts.values()])
    chances = 1 / (1 + np.exp(-logits))
    assert result.similarity == pytest.approx(cosines[0], abs=1e-3)
    assert result.match == pytest.approx(chances[0], abs=1e-3)
    assert list(result.parts.values()) == pytest.approx(list(chances[1:]), abs=1e-3)
    assert result.value == min(result.parts.values())


def test_without_parts_a_sigmoid_model_scores_by_the_caption(sigmoid_folder: Path) -> None:
    [result] = ClipScorer(str(sigmoid_folder)).score([request(parts={})])
    assert result.value == result.match


def test_class_chances_are_the_softmax_over_averaged_templates(softmax_folder: Path) -> None:
    asked = request(class_index=2)
    [result] = ClipScorer(str(softmax_folder)).score([asked])
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{softmax_folder}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{softmax_folder}")
    with torch.no_grad():
        image = model.eval().encode_image(preprocess(asked.image).unsqueeze(0), normalize=True)
        rows = []
        for name in asked.class_texts:
            texts = tokenizer([template.format(name) for template in clip.TEMPLATES])
            rows.append(model.encode_text(texts, normalize=True).mean(dim=0))
        classes = torch.nn.functional.normalize(torch.stack(rows), dim=-1)
        chances = (model.logit_scale.exp() * image @ classes.T).softmax(dim=-1)[0].numpy()
    assert result.class_probabilities == pytest.approx(chances, abs=1e-3)
    assert result.class_margin == pytest.approx(chances[2] - max(chances[:2]), abs=1e-3)


def test_without_an_own_class_there_is_no_margin(softmax_folder: Path) -> None:
    [result] = ClipScorer(str(softmax_folder)).score([request(class_index=None, class_texts=())])
    assert result.class_margin is None
    assert result.class_probabilities.shape == (0,)


def test_the_embedding_is_a_short_unit_vector(softmax_folder: Path) -> None:
    [result] = ClipScorer(str(softmax_folder)).score([request()])
    assert result.embedding.dtype == np.float16
    assert result.embedding.shape == (16,)
    assert np.linalg.norm(result.embedding.astype(np.float32)) == pytest.approx(1, abs=2e-3)


def test_the_order_and_the_scores_do_not_depend_on_the_batch(softmax_folder: Path) -> None:
    asked = [request(seed) for seed in range(7)]
    alone = [ClipScorer(str(softmax_folder)).score([one])[0].value for one in asked]
    together = [r.value for r in ClipScorer(str(softmax_folder), batch_size=3).score(asked)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert ClipScorer(str(softmax_folder)).score([]) == []


def test_a_text_is_embedded_once(softmax_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = ClipScorer(str(softmax_folder))
    scorer.card()
    seen: list[str] = []
    real: Callable[..., Any] = clip.LoadedClip.embed_texts

    def counted(model: clip.LoadedClip, texts: list[str]) -> Any:
        seen.extend(texts)
        return real(model, texts)

    monkeypatch.setattr(clip.LoadedClip, "embed_texts", counted)
    scorer.score([request(seed) for seed in range(3)])
    scorer.score([request(9)])
    assert len(seen) == len(set(seen)) == 3 + 3 * len(clip.TEMPLATES)


def test_the_least_recently_used_text_is_dropped_first() -> None:
    kept: clip.LastUsed[str] = clip.LastUsed(2)
    vector = np.zeros(1, dtype=np.float32)
    for key in ("a", "b"):
        kept.put(key, vector)
    kept.get("a")
    kept.put("c", vector)
    assert [kept.get(key) is not None for key in "abc"] == [True, False, True]


def test_a_palette_image_is_scored_as_rgb(softmax_folder: Path) -> None:
    [result] = ClipScorer(str(softmax_folder)).score([request(image=picture(1).convert("P"))])
    assert -1 <= result.value <= 1


def test_the_card_names_weights_and_preprocessing(sigmoid_folder: Path) -> None:
    card = ClipScorer(str(sigmoid_folder)).card()
    weights = sigmoid_folder / "open_clip_model.safetensors"
    assert card.weights_sha256 == clip_source.sha256_of(weights)
    assert card.preprocessing == (
        "160x160 px RGB, resize squash bilinear, mean 0.5,0.5,0.5, std 0.5,0.5,0.5"
    )
    assert card.facts["logit_bias"] == pytest.approx(-10)
    assert card.applies_to == card.parts == frozenset()


def test_only_the_parts_of_the_card_are_judged(sigmoid_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(sigmoid_folder, folder)
    card = {
        "model": "Mine",
        "parts": ["object"],
        "class_templates": ["{}"],
        "applies_to": ["sketch"],
    }
    (folder / "card.json").write_text(json.dumps(card))
    scorer = ClipScorer(str(folder))
    [result] = scorer.score([request(parts={"object": "a car", "action": "driving", "style": ""})])
    assert set(result.parts) == {"object"}
    assert (scorer.card().model, scorer.card().applies_to) == ("Mine", frozenset({"sketch"}))


def test_the_local_dir_prefix_names_a_folder_too(softmax_folder: Path) -> None:
    assert ClipScorer(f"local-dir:{softmax_folder}").card().model == "tiny"


def test_missing_weights_are_refused_and_never_random(softmax_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(softmax_folder / "open_clip_config.json", folder)
    assert "holds no weights" in refused(folder)


def test_open_clip_is_always_told_to_require_weights(
    softmax_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("open_clip.factory._find_checkpoint_in_dir", lambda _: None)
    assert "could not be loaded" in refused(softmax_folder)


def test_an_evil_pickle_is_refused_unopened(softmax_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(softmax_folder / "open_clip_config.json", folder)
    proof = tmp_path / "was-run"
    planted = folder / "open_clip_pytorch_model.bin"
    planted.write_bytes(pickle.dumps(Planted(proof)))
    for spec in (folder, planted, f"ViT-B-32/{planted}"):
        assert "can run code" in refused(spec)
    assert not proof.exists()


def test_a_pickle_named_safetensors_does_not_run(softmax_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    shutil.copy(softmax_folder / "open_clip_config.json", folder)
    proof = tmp_path / "was-run"
    (folder / "open_clip_model.safetensors").write_bytes(pickle.dumps(Planted(proof)))
    assert "cannot be loaded" in refused(folder)
    assert not proof.exists()


def test_a_pickle_that_open_clip_would_prefer_is_refused(
    softmax_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "model"
    shutil.copytree(softmax_folder, folder)
    (folder / "open_clip_model.safetensors").rename(folder / "model.safetensors")
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"")
    assert "can run code" in refused(folder)


def test_two_weights_in_a_folder_are_refused(softmax_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(softmax_folder, folder)
    weights = (folder / "open_clip_model.safetensors").rename(folder / "a.safetensors")
    shutil.copy(weights, folder / "b.safetensors")
    assert "several weights (a.safetensors, b.safetensors)" in refused(folder)


def test_a_truncated_file_is_refused(softmax_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(softmax_folder, folder)
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    assert "cannot be loaded" in refused(folder)


def test_weights_of_another_architecture_are_refused(softmax_folder: Path) -> None:
    text = refused(f"ViT-B-32/{softmax_folder / 'open_clip_model.safetensors'}")
    assert "cannot be loaded" in text
    assert len(text) < 600


def test_a_wrong_checksum_is_refused(softmax_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(softmax_folder, folder)
    weights = folder / "open_clip_model.safetensors"
    (folder / "SHA256SUMS").write_text(f"{clip_source.sha256_of(weights)}  {weights.name}\n")
    assert ClipScorer(str(folder)).health() == []
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    assert "does not have the checksum" in refused(None, embedded_dir=folder)
    weights.unlink()
    assert "is missing" in refused(None, embedded_dir=folder)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("ViT-B-23/datacomp_xl_s13b_b90k", "ViT-B-32"),
        ("ViT-B-32/datacomp_xl_s13b_b9k", "ViT-B-32/datacomp_xl_s13b_b90k"),
        ("ViT-B/32/datacomp_xl_s13b", "ViT-B-32/datacomp"),
        ("ViT-B-32", "write ViT-B-32/TAG"),
        ("vit-b-32/openai", "ViT-B-32"),
        ("no such thing", "no known model"),
        ("/no/such/folder", "neither a model folder nor MODEL/TAG"),
        ("/no/such/weights.pt", "can run code"),
        ("ViT-B-32/no/such.safetensors", "does not exist"),
        ("ViT-B-32/weights.zip", "not a .safetensors file"),
        ("local-dir:/no/such/folder", "open_clip_config.json"),
    ],
)
def test_a_wrong_name_is_answered_with_what_is_known(spec: str, said: str) -> None:
    assert said in refused(spec)


def test_a_tag_and_a_hub_name_that_cannot_be_fetched_say_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise OSError("no\nnetwork")

    monkeypatch.setattr("open_clip.pretrained.download_pretrained", fail)
    monkeypatch.setattr("open_clip.pretrained.download_pretrained_from_hf", fail)
    assert "ViT-B-32/openai could not be fetched: no network" in refused("ViT-B/32/openai")
    assert "hf-hub:a/b could not be fetched: no network" in refused("hf-hub:a/b")


def test_a_tag_resolves_to_the_fetched_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "open_clip_model.safetensors"
    weights.touch()
    monkeypatch.setattr("open_clip.pretrained.download_pretrained", lambda _: str(weights))
    source = clip_source.find_source("ViT-B/32/datacomp-xl-s13b-b90k")
    assert (source.architecture, source.weights) == ("ViT-B-32", weights)
    monkeypatch.setattr("open_clip.pretrained.download_pretrained", lambda _: "weights.pt")
    with pytest.raises(ScorerError, match="can run code"):
        clip_source.find_source("ViT-B-32/openai")


def test_a_bare_file_is_prepared_as_its_architecture_was_trained(tmp_path: Path) -> None:
    weights = tmp_path / "w.safetensors"
    weights.touch()
    siglip = clip_source.find_source(f"ViT-B-16-SigLIP2/{weights}").preprocess
    assert siglip == {
        "image_mean": (0.5,) * 3,
        "image_std": (0.5,) * 3,
        "image_interpolation": "bicubic",
        "image_resize_mode": "squash",
    }


def test_a_bare_file_is_loaded_into_its_architecture(
    softmax_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from open_clip import factory

    monkeypatch.setitem(factory._MODEL_CONFIGS, "ViT-tiny", SOFTMAX)
    weights = softmax_folder / "open_clip_model.safetensors"
    scorer = ClipScorer(f"ViT-tiny/{os.path.relpath(weights)}")
    [result] = scorer.score([request()])
    [folder_result] = ClipScorer(str(softmax_folder)).score([request()])
    assert scorer.card().model == "ViT-tiny"
    assert result.value == pytest.approx(folder_result.value, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("is_folder", [False, True])
def test_a_model_of_vit_b_32s_size_goes_through_the_real_loading_code(
    tmp_path: Path, is_folder: bool
) -> None:
    """151 million random weights in half precision, by name and file and as a folder."""
    shapes = open_clip.create_model("ViT-B-32").state_dict()
    torch.manual_seed(5)
    weights = {
        name: torch.empty(value.shape, dtype=torch.float16).normal_(std=0.02)
        if value.is_floating_point()
        else torch.zeros(value.shape, dtype=value.dtype)
        for name, value in shapes.items()
    }
    assert sum(value.numel() for value in weights.values()) > 150e6
    file = tmp_path / "open_clip_model.safetensors"
    save_file(weights, file)
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(config))
    scorer = ClipScorer(str(tmp_path) if is_folder else f"ViT-B-32/{file}")
    [result] = scorer.score([request()])
    assert scorer.card().side_px == 224
    assert scorer.card().weights_sha256 == clip_source.sha256_of(file)
    assert result.embedding is not None
    assert result.embedding.shape == (512,)
    assert np.linalg.norm(result.embedding) == pytest.approx(1, abs=1e-2)
    assert result.similarity is not None
    assert -1 <= result.similarity <= 1
    file.unlink()


def test_what_was_prepared_ahead_scores_the_same(softmax_folder: Path) -> None:
    scorer = ClipScorer(str(softmax_folder))
    asked = request(3)
    ahead = request(3, image=Image.new("RGB", (1, 1)), prepared=scorer.prepare(asked.image))
    plain, prepared = scorer.score([asked, ahead])
    assert prepared.similarity == pytest.approx(plain.similarity, abs=1e-6)


def test_the_next_batch_is_begun_before_one_is_judged() -> None:
    begun: list[int] = []

    def items() -> Any:
        for number in range(4):
            begun.append(number)
            yield number

    assert [(item, len(begun)) for item in clip.one_ahead(items())] == [
        (0, 2), (1, 3), (2, 4), (3, 4),
    ]  # fmt: skip
    assert list(clip.one_ahead(iter([]))) == []
