"""What a model's folder tells without torch: what it can do, and why it may not be loaded."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from synthreview.generation.generators.base import FUSION, INPAINT, TEXT, VARIATION
from synthreview.generation.generators.diffusers import DiffusersGenerator
from synthreview.generation.generators.diffusers.folder import (
    find_folder,
    read_folder,
    read_licence,
    weights_sha256,
)
from synthreview.lib.outcomes import PermanentError

COMMIT = "1a2b3c4d5e6f7a8b9c0d1a2b3c4d5e6f7a8b9c0d"
PARTS = {
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "safety_checker": [None, None],
}
WEIGHTS = {
    "unet": "diffusion_pytorch_model.safetensors",
    "vae": "diffusion_pytorch_model.safetensors",
    "text_encoder": "model.safetensors",
}


def make_folder(
    path: Path,
    *,
    class_name: Any = "StableDiffusionPipeline",
    parts: dict[str, list[Any]] = PARTS,
    in_channels: int = 4,
) -> Path:
    """Write a folder of the right form with no real weights in it; pages see no more of one."""
    path.mkdir(parents=True)
    (path / "model_index.json").write_text(json.dumps({"_class_name": class_name, **parts}))
    for name, (library, _) in parts.items():
        if library:
            (path / name).mkdir()
        if name in WEIGHTS:
            (path / name / WEIGHTS[name]).write_bytes(name.encode())
    if "unet" in parts:
        unet = {"sample_size": 64, "in_channels": in_channels}
        (path / "unet" / "config.json").write_text(json.dumps(unet))
    if "vae" in parts:
        (path / "vae" / "config.json").write_text('{"block_out_channels": [1, 2, 4, 4]}')
    return path


def generator(folder: Path, **options: Any) -> DiffusersGenerator:
    return DiffusersGenerator(model=str(folder), **options)


# --- What it can do -----------------------------------------------------------------------


def test_the_folder_says_what_the_model_can_do_and_in_which_sizes(tmp_path: Path) -> None:
    can = generator(make_folder(tmp_path / "sd")).capabilities()
    assert can.able == {TEXT, VARIATION, INPAINT}
    assert can.sizes_px == (256, 384, 512, 768)
    assert can.takes_seed
    assert can.takes_negative_prompt
    assert can.takes_idempotency_key
    assert can.emulated == {
        VARIATION: "image to image: noise is laid over the picture and drawn away again"
    }
    assert [option.name for option in can.options] == ["steps", "guidance", "scheduler", "strength"]
    assert can.images_per_call == 1


def test_an_inpainting_model_can_only_inpaint(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", class_name="StableDiffusionInpaintPipeline", in_channels=9)
    assert generator(folder).capabilities().able == {INPAINT}


def test_an_ip_adapter_adds_fusion(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "ip")
    can = generator(make_folder(tmp_path / "sd"), ip_adapter=str(adapter)).capabilities()
    assert can.able == {TEXT, VARIATION, INPAINT, FUSION}
    assert "both pictures" in can.emulated[FUSION]
    ways = next(option for option in can.options if option.name == "variation_by")
    assert (ways.choices, ways.default) == (("strength", "ip-adapter"), "strength")


def make_adapter(folder: Path) -> Path:
    (folder / "image_encoder").mkdir(parents=True)
    (folder / "image_encoder" / "config.json").write_text("{}")
    (folder / "image_encoder" / "model.safetensors").write_bytes(b"seen")
    (folder / "ip.safetensors").write_bytes(b"adapter")
    return folder / "ip.safetensors"


def test_the_settings_own_sizes_batch_and_defaults_hold(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "sd")
    can = generator(folder, sizes_px=(640,), batch=3, steps=4, guidance=0).capabilities()
    assert (can.sizes_px, can.images_per_call) == ((640,), 3)
    defaults = {option.name: option.default for option in can.options}
    assert (defaults["steps"], defaults["guidance"]) == (4, 0)
    assert generator(folder, device="cuda").capabilities().images_per_call == 4


def test_a_model_that_cannot_be_loaded_can_do_nothing_and_says_why(tmp_path: Path) -> None:
    broken = generator(tmp_path / "nowhere")
    assert broken.capabilities().able == frozenset()
    assert broken.capabilities().sizes_px
    assert broken.notice == ""
    assert broken.health().faults == (f"There is no model folder {str(tmp_path / 'nowhere')!r}.",)


def test_health_tells_what_the_model_is(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "sd")
    (folder / "README.md").write_text("---\nlicense: openrail++\n---\n# A model\n")
    health = generator(folder, scheduler="eulr").health()
    assert health.facts == ("Stable Diffusion, 512 px", "licence: openrail++")
    assert len(health.faults) == 1
    assert "scheduler 'eulr': choose ddim, dpm++-2m" in health.faults[0]
    assert generator(folder).notice == "Local model sd: the model's licence is openrail++."


# --- Why it may not be loaded ------------------------------------------------------------


def without_weights(folder: Path) -> None:
    (folder / "unet" / WEIGHTS["unet"]).unlink()


def only_pickled(folder: Path) -> None:
    (folder / "unet" / WEIGHTS["unet"]).rename(folder / "unet" / "diffusion_pytorch_model.bin")


def without_part(folder: Path) -> None:
    shutil.rmtree(folder / "vae")


def no_json(folder: Path) -> None:
    (folder / "model_index.json").write_text("{")


def no_object(folder: Path) -> None:
    (folder / "model_index.json").write_text("[]")


def no_index(folder: Path) -> None:
    (folder / "model_index.json").unlink()


def own_code(folder: Path) -> None:
    index = {"_class_name": ["pipeline", "MyPipeline"]}
    (folder / "model_index.json").write_text(json.dumps(index))


def of_sound(folder: Path) -> None:
    (folder / "model_index.json").write_text('{"_class_name": "AudioLDM2Pipeline"}')


@pytest.mark.parametrize(
    ("breaking", "words"),
    [
        (without_weights, "holds no weights"),
        (only_pickled, ".bin files can run code when they are opened"),
        (without_part, "lacks the part 'vae'"),
        (no_json, "cannot be read"),
        (no_object, "no JSON object"),
        (no_index, "is no model folder of diffusers"),
        (own_code, "is not offered; these are: Stable Diffusion"),
        (of_sound, "is a 'AudioLDM2Pipeline', which is not offered"),
    ],
)
def test_a_broken_or_unsafe_folder_is_refused_in_words(
    tmp_path: Path, breaking: Any, words: str
) -> None:
    folder = make_folder(tmp_path / "sd")
    breaking(folder)
    with pytest.raises(PermanentError, match="sd") as caught:
        read_folder(str(folder))
    assert words in str(caught.value)
    assert generator(folder).health().faults == (str(caught.value),)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"precision": "tiny"}, "precision 'tiny' is not known; choose from auto, full, half"),
        ({"prior": "/somewhere"}, "`prior` is for Kandinsky 2.2"),
        ({"ip_adapter": "/weights/ip.bin"}, "only .safetensors files are opened"),
        ({"ip_adapter": "/weights/ip.safetensors"}, "There is no IP-Adapter"),
    ],
)
def test_settings_that_do_not_fit_are_named(
    tmp_path: Path, options: dict[str, Any], words: str
) -> None:
    assert words in generator(make_folder(tmp_path / "sd"), **options).health().faults[0]


def test_an_ip_adapter_needs_its_image_encoder_and_a_model_that_takes_it(tmp_path: Path) -> None:
    adapter = make_adapter(tmp_path / "ip")
    masked = make_folder(tmp_path / "in", in_channels=9)
    assert "an inpainting model" in generator(masked, ip_adapter=str(adapter)).health().faults[0]
    shutil.rmtree(adapter.parent / "image_encoder")
    sd = make_folder(tmp_path / "sd")
    assert "image encoder is not in" in generator(sd, ip_adapter=str(adapter)).health().faults[0]


def test_kandinsky_needs_its_prior(tmp_path: Path) -> None:
    decoder = make_folder(
        tmp_path / "decoder",
        class_name="KandinskyV22Pipeline",
        parts={"unet": PARTS["unet"], "movq": ["diffusers", "VQModel"]},
    )
    (decoder / "movq" / "diffusion_pytorch_model.safetensors").write_bytes(b"movq")
    assert "name its prior too" in generator(decoder).health().faults[0]
    wrong = make_folder(tmp_path / "wrong")
    fault = generator(decoder, prior=str(wrong)).health().faults[0]
    assert "is of a StableDiffusionPipeline, not a KandinskyV22PriorPipeline" in fault


# --- Weights, licences, the hub's cache ---------------------------------------------------


def test_half_precision_takes_the_files_made_for_it(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "sd")
    assert read_folder(str(folder), wants_half=True).parts.variant == ""
    for part, file in WEIGHTS.items():
        (folder / part / file.replace(".safe", ".fp16.safe")).write_bytes(b"half")
    half = read_folder(str(folder), wants_half=True).parts
    assert half.variant == "fp16"
    assert {file.name.split(".")[1] for file in half.weights} == {"fp16"}
    full = read_folder(str(folder)).parts
    assert full.variant == ""
    assert not [file for file in full.weights if "fp16" in file.name]
    for part, file in WEIGHTS.items():
        (folder / part / file).unlink()
    assert read_folder(str(folder)).parts.variant == "fp16"


def test_weights_in_several_files_are_all_read(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "sd")
    (folder / "unet" / WEIGHTS["unet"]).unlink()
    shards = [f"diffusion_pytorch_model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    for shard in shards:
        (folder / "unet" / shard).write_bytes(shard.encode())
    read = [file.name for file in read_folder(str(folder)).parts.weights]
    assert set(shards) < set(read)


def test_the_checksum_changes_with_any_byte_of_the_weights(tmp_path: Path) -> None:
    weights = read_folder(str(make_folder(tmp_path / "a" / "sd"))).parts.weights
    again = read_folder(str(make_folder(tmp_path / "b" / "sd"))).parts.weights
    assert weights_sha256(weights) == weights_sha256(again)
    again[0].write_bytes(b"changed")
    assert weights_sha256(weights) != weights_sha256(again)


@pytest.mark.parametrize(
    ("file", "text", "licence"),
    [
        ("README.md", "---\nlicense: apache-2.0\ntags: [a]\n---\n", "apache-2.0"),
        (
            "README.md",
            "---\nlicense_name: nc\nlicense_link: https://example.org/it\nlicense: other\n---\n",
            "nc (https://example.org/it)",
        ),
        ("README.md", "license: mit\n", ""),
        ("LICENSE.md", "\nCreativeML Open RAIL-M\n\nText", "CreativeML Open RAIL-M"),
    ],
)
def test_the_licence_is_what_the_card_tells(
    tmp_path: Path, file: str, text: str, licence: str
) -> None:
    (tmp_path / file).write_text(text)
    assert read_licence(tmp_path) == licence


@pytest.fixture
def hub_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub with one model in it, laid out as huggingface_hub does."""
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    model = cache / "models--makers--picture"
    snapshot = make_folder(model / "snapshots" / COMMIT)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(COMMIT)
    blob = model / "blobs" / ("ab" * 32)
    blob.parent.mkdir()
    unet = snapshot / "unet" / WEIGHTS["unet"]
    unet.rename(blob)
    unet.symlink_to(blob)
    return cache


def test_a_name_on_the_hub_is_found_where_it_was_downloaded(hub_cache: Path) -> None:
    folder = read_folder("makers/picture")
    assert (folder.name, folder.revision) == ("makers/picture", COMMIT)
    assert folder.able == {TEXT, VARIATION, INPAINT}
    assert find_folder("makers/picture", COMMIT)[0].is_dir()


def test_the_caches_own_checksum_saves_reading_gigabytes(hub_cache: Path) -> None:
    weights = read_folder("makers/picture").parts.weights
    before = weights_sha256(weights)
    blob = next((hub_cache / "models--makers--picture" / "blobs").iterdir())
    blob.write_bytes(b"not what the name says; diffusers' own loading would fail")
    assert weights_sha256(weights) == before


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("makers/unknown", 'run `hf download makers/unknown --exclude "*.bin"'),
        ("makers/..", "is no name on the Hugging Face hub"),
        ("no-slash", "There is no model folder 'no-slash'"),
        ("~/nowhere", "There is no model folder"),
    ],
)
def test_nothing_is_downloaded_behind_anybodys_back(
    hub_cache: Path, model: str, words: str
) -> None:
    with pytest.raises(PermanentError) as caught:
        find_folder(model)
    assert words in str(caught.value)


# --- The web process -----------------------------------------------------------------------


def test_pages_ask_a_local_model_without_loading_torch(tmp_path: Path) -> None:
    code = (
        "import django; django.setup();"
        "from django.urls import get_resolver; get_resolver().url_patterns;"
        "from django.conf import settings; settings.GENERATORS['diffusers']['BACKEND'];"
        "from synthreview.generation.services import generator, load_generators; load_generators();"
        "local = generator('diffusers'); assert local.capabilities().able, local.health();"
        "local.notice; import sys;"
        "print(sorted({m.split('.')[0] for m in sys.modules}"
        " & {'torch', 'diffusers', 'transformers', 'accelerate', 'min_dalle'}))"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "synthreview.settings",
        "SYNTHREVIEW_DIFFUSERS": str(make_folder(tmp_path / "sd")),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.returncode) == ("[]", 0), done.stderr
