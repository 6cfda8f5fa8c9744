"""Local diffusion models: tiny ones with random weights, through diffusers' own loading code."""

from __future__ import annotations

import gc
import inspect
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from synthreview.generation.generators.base import (
    FUSION,
    INPAINT,
    TEXT,
    VARIATION,
    DrawRequest,
    DrawResult,
    Interruptible,
)
from synthreview.generation.generators.checking import encode_png
from synthreview.generation.generators.diffusers import DiffusersGenerator
from synthreview.generation.generators.diffusers.families import FAMILIES, KANDINSKY, KARLO
from synthreview.lib.outcomes import PermanentError, RefusedError, StoppedError
from tests.generation import tiny_diffusion
from tests.generation.pictures import mask_png, opened

# Some schedulers hand torch's tensors to NumPy in a way that it is about to give up.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PX = 64
HOLE = (16, 8, 47, 39)


def noisy(seed: int, size: tuple[int, int] = (PX, PX)) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return encode_png(Image.fromarray(pixels))


FIRST, SECOND = noisy(1), noisy(2)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., DiffusersGenerator]]:
    """Make generators by the name of their model; models are made once, when asked for."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)  # tiny tensors only wait for each other
    models = TinyModels(tmp_path_factory.mktemp("models"))
    yield models.generator
    torch.set_num_threads(before)


class TinyModels:
    """The models that tests asked for, as the settings name them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, dict[str, Any]] = {}

    def generator(self, name: str, **options: Any) -> DiffusersGenerator:
        if name not in self._made:
            self._made[name] = getattr(self, f"_make_{name}")(self._folder / name)
        return DiffusersGenerator(**{**self._made[name], "batch": 2, **options})

    def _make_sd(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_stable_diffusion(folder))}

    def _make_sd_ip(self, folder: Path) -> dict[str, Any]:
        model = tiny_diffusion.make_stable_diffusion(folder / "sd")
        adapter = tiny_diffusion.make_ip_adapter(folder / "ip", model)
        return {"model": str(model), "ip_adapter": str(adapter)}

    def _make_sd_inpaint(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_stable_diffusion(folder, latent_channels=9))}

    def _make_sd_prudish(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_stable_diffusion(folder, flags_everything=True))}

    def _make_sd_checked(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_stable_diffusion(folder, flags_everything=False))}

    def _make_sdxl(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_stable_diffusion_xl(folder))}

    def _make_flux(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_flux(folder)), "sizes_px": (PX,)}

    def _make_flux2_klein(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_flux2_klein(folder)), "sizes_px": (PX,)}

    def _make_kandinsky(self, folder: Path) -> dict[str, Any]:
        decoder, prior = tiny_diffusion.make_kandinsky(folder)
        return {"model": str(decoder), "prior": str(prior)}

    def _make_kandinsky_inpaint(self, folder: Path) -> dict[str, Any]:
        decoder, prior = tiny_diffusion.make_kandinsky(folder, latent_channels=9)
        return {"model": str(decoder), "prior": str(prior)}

    def _make_karlo(self, folder: Path) -> dict[str, Any]:
        return {"model": str(tiny_diffusion.make_karlo(folder))}


def request(capability: str, **fields: Any) -> DrawRequest:
    """A request of few steps for a capability, with the inputs that it takes."""
    inputs = {TEXT: (), FUSION: (FIRST, SECOND)}.get(capability, (FIRST,))
    usual = {
        "prompt": "a dog on the beach",
        "size_px": PX,
        "seed": 7,
        "images": inputs,
        "mask": mask_png((PX, PX), HOLE) if capability == INPAINT else None,
        "options": {"steps": 3},
    }
    return DrawRequest(capability=capability, **{**usual, **fields})


def draw(generator: DiffusersGenerator, capability: str, **fields: Any) -> DrawResult:
    return generator.draw(request(capability, **fields), idempotency_key="key")


def pixels(result: DrawResult, position: int = 0) -> Any:
    return np.asarray(opened(result.images[position].data)).astype(int)


def distance(first: DrawResult, second: DrawResult) -> float:
    """The mean absolute difference of two pictures, 0..255."""
    return float(np.abs(pixels(first) - pixels(second)).mean())


TECHNIQUES = [
    ("sd", TEXT),
    ("sd", VARIATION),
    ("sd", INPAINT),
    ("sd_ip", FUSION),
    ("sd_inpaint", INPAINT),
    ("sdxl", TEXT),
    ("sdxl", VARIATION),
    ("sdxl", INPAINT),
    ("flux", TEXT),
    ("flux", VARIATION),
    ("flux", INPAINT),
    ("flux2_klein", TEXT),
    ("flux2_klein", VARIATION),
    ("flux2_klein", FUSION),
    ("kandinsky", TEXT),
    ("kandinsky", VARIATION),
    ("kandinsky", FUSION),
    ("kandinsky_inpaint", INPAINT),
    ("karlo", TEXT),
    ("karlo", VARIATION),
    ("karlo", FUSION),
]


# --- Every technique ------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "capability"), TECHNIQUES)
def test_a_seed_gives_the_same_picture_alone_and_in_a_batch_and_says_how_it_was_made(
    tiny: Any, model: str, capability: str
) -> None:
    generator = tiny(model)
    can = generator.capabilities()
    assert capability in can.able
    first, again = (draw(generator, capability) for _ in range(2))
    assert first.images[0].data == again.images[0].data
    both = draw(generator, capability, count=2)
    assert [each.seed for each in both.images] == [7, 8]
    assert np.abs(pixels(both) - pixels(first)).max() <= 3  # a batch rounds otherwise
    assert np.abs(pixels(both) - pixels(both, 1)).mean() > 1

    image = first.images[0]
    assert (image.media_type, image.seed) == ("image/png", 7)
    assert opened(image.data).size == (PX, PX)
    assert image.facts["by"] == can.emulated.get(capability, image.facts["by"])
    assert image.facts["steps"] >= 1
    assert first.model == Path(generator._sources["model"]).name
    assert first.model_version == f"weights {first.raw['weights_sha256'][:32]}"
    assert first.raw["precision"] == "float32"


@pytest.mark.parametrize("model", ["sd", "sd_inpaint", "sdxl", "flux", "kandinsky_inpaint"])
def test_outside_the_mask_nothing_changes_and_the_picture_keeps_its_size(
    tiny: Any, model: str
) -> None:
    size = (150, 90)
    source, mask = noisy(5, size), mask_png(size, (20, 20, 90, 70))
    result = draw(tiny(model), INPAINT, images=(source,), mask=mask)
    drawn, before = pixels(result), np.asarray(opened(source)).astype(int)
    kept = np.asarray(opened(mask).convert("L")) == 0
    assert drawn.shape == before.shape
    assert (drawn[kept] == before[kept]).all()
    assert np.abs(drawn[~kept] - before[~kept]).mean() > 10
    assert "to the pixel" in result.images[0].facts["by"]


def test_a_variation_keeps_the_pictures_shape(tiny: Any) -> None:
    wide = draw(tiny("sd"), VARIATION, images=(noisy(3, (200, 100)),))
    assert opened(wide.images[0].data).size == (64, 32)


# --- Fusion ---------------------------------------------------------------------------------


def test_ip_adapter_takes_both_pictures_and_leaves_captions_as_they_were(tiny: Any) -> None:
    generator = tiny("sd_ip")
    before = draw(generator, TEXT)
    fused = draw(generator, FUSION)
    by_one = {"variation_by": "ip-adapter", "steps": 3}
    alone = draw(generator, VARIATION, options=by_one)
    other = draw(generator, VARIATION, images=(SECOND,), options=by_one)
    assert min(distance(fused, alone), distance(fused, other), distance(alone, other)) > 0.5
    weightless = draw(generator, FUSION, options={"image_weight": 0, "steps": 3})
    assert distance(weightless, before) == 0
    assert draw(generator, TEXT).images[0].data == before.images[0].data
    assert draw(generator, VARIATION).images[0].facts["strength"] == 0.6


@pytest.mark.parametrize("model", ["kandinsky", "karlo"])
def test_mixed_embeddings_lead_from_one_picture_to_the_other(tiny: Any, model: str) -> None:
    generator = tiny(model)
    first = draw(generator, VARIATION)
    second = draw(generator, VARIATION, images=(SECOND,))
    ends = [draw(generator, FUSION, options={"balance": b, "steps": 3}) for b in (0, 1)]
    middle = draw(generator, FUSION)
    assert np.abs(pixels(ends[0]) - pixels(first)).max() <= 3
    assert np.abs(pixels(ends[1]) - pixels(second)).max() <= 3
    assert distance(middle, first) > 0
    assert distance(middle, second) > 0


def test_an_edit_of_two_pictures_looks_at_both(tiny: Any) -> None:
    generator = tiny("flux2_klein")
    fused = draw(generator, FUSION)
    others = [
        draw(generator, TEXT),
        draw(generator, VARIATION),
        draw(generator, FUSION, images=(FIRST, noisy(3))),
        draw(generator, FUSION, images=(noisy(3), SECOND)),
    ]
    assert all(distance(fused, other) > 0 for other in others)


def test_kandinskys_caption_counts_as_much_as_its_share(tiny: Any) -> None:
    generator = tiny("kandinsky")

    def fused(share: float, words: str) -> DrawResult:
        options = {"caption_share": share, "steps": 3}
        return draw(generator, FUSION, options=options, prompt=words)

    without = fused(0, "a dog")
    assert fused(0, "a car").images[0].data == without.images[0].data
    assert distance(fused(1, "a dog"), without) > 0


def test_a_negative_prompt_and_guidance_change_the_picture(tiny: Any) -> None:
    for model in ("sd", "kandinsky"):
        plain = draw(tiny(model), TEXT)
        assert distance(plain, draw(tiny(model), TEXT, negative_prompt="rain")) > 0
        strong = draw(tiny(model), TEXT, options={"steps": 3, "guidance": 20})
        assert distance(plain, strong) > 0
        assert strong.images[0].facts["guidance"] == 20
    with pytest.raises(PermanentError, match="takes no negative prompt"):
        draw(tiny("flux"), TEXT, negative_prompt="rain")


# --- Steps, progress, stop -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "capability", "steps"),
    [("sd", TEXT, 6), ("flux", INPAINT, 6), ("kandinsky", FUSION, 56), ("karlo", TEXT, 38)],
)
def test_a_stop_takes_effect_within_a_step(
    tiny: Any, model: str, capability: str, steps: int
) -> None:
    generator = tiny(model)
    assert isinstance(generator, Interruptible)
    asked = request(capability, options={"steps": 6})
    seen: list[tuple[int, int]] = []

    def watch(done: int, total: int) -> bool:
        seen.append((done, total))
        return True

    whole = generator.draw_watched(asked, idempotency_key="key", on_step=watch)
    assert [done for done, _ in seen] == list(range(1, steps + 1))
    assert seen[-1] == (steps, steps)
    for last in (1, steps - 1):
        seen.clear()
        with pytest.raises(StoppedError, match=f"step {last} "):
            generator.draw_watched(
                asked,
                idempotency_key="key",
                on_step=lambda done, total, last=last: watch(done, total) and done < last,
            )
        assert len(seen) == last
    again = generator.draw(asked, idempotency_key="key")
    assert again.images[0].data == whole.images[0].data  # the stop left nothing behind


def test_every_scheduler_draws_and_an_unknown_one_lists_them(tiny: Any) -> None:
    generator = tiny("sd")
    schedulers = next(o.choices for o in generator.capabilities().options if o.name == "scheduler")
    drawn = {
        name: draw(generator, TEXT, options={"scheduler": name, "steps": 3}).images[0]
        for name in schedulers
    }
    assert all(image.facts["scheduler"] == name for name, image in drawn.items())
    assert len({image.data for image in drawn.values()}) > len(schedulers) // 2
    own = draw(generator, TEXT)
    assert own.images[0].data == drawn["ddim"].data
    with pytest.raises(PermanentError, match=r"scheduler 'eulr': choose ddim, .*unipc"):
        draw(generator, TEXT, options={"scheduler": "eulr"})


def test_strength_and_steps_must_leave_a_step(tiny: Any) -> None:
    with pytest.raises(PermanentError, match=r"3 steps at strength 0.3 leave none to draw"):
        draw(tiny("sd"), VARIATION, options={"steps": 3, "strength": 0.3})
    halved = draw(tiny("sd"), VARIATION, options={"steps": 4, "strength": 0.5})
    assert halved.images[0].facts["steps"] == 2


# --- One set of weights, one model in memory ---------------------------------------------------


@pytest.mark.parametrize(
    ("model", "shared"),
    [("sd", "unet"), ("sdxl", "vae"), ("flux", "transformer"), ("karlo", "decoder")],
)
def test_the_techniques_share_one_set_of_weights(tiny: Any, model: str, shared: str) -> None:
    from synthreview.generation.generators.diffusers import pipelines

    loaded = pipelines.load(tiny(model)._setup())
    kinds = [TEXT, VARIATION] if model == "karlo" else [TEXT, VARIATION, INPAINT]
    parts = {id(getattr(loaded.pipeline(kind), shared)) for kind in kinds}
    assert len(parts) == 1


def test_the_last_model_stays_in_memory_and_only_that(tiny: Any) -> None:
    from synthreview.generation.generators.diffusers import pipelines

    first = pipelines.load(tiny("sd")._setup())
    assert pipelines.load(tiny("sd")._setup()) is first
    gone = weakref.ref(first)
    del first
    pipelines.load(tiny("flux")._setup())
    gc.collect()
    assert gone() is None


def test_half_precision_draws_too(tiny: Any) -> None:
    result = draw(tiny("sd", precision="half"), TEXT)
    assert result.raw["precision"] == "float16"
    assert distance(result, draw(tiny("sd"), TEXT)) < 3


# --- Errors ---------------------------------------------------------------------------------


def test_out_of_memory_names_size_and_batch(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from synthreview.generation.generators.diffusers import pipelines

    generator = tiny("sd")
    unet = pipelines.load(generator._setup()).pipeline(TEXT).unet
    monkeypatch.setattr(unet, "forward", lambda *_, **__: torch.empty(10**15))
    with pytest.raises(PermanentError, match=r"Out of memory on cpu: .* 2 images of 64 px at once"):
        draw(generator, TEXT, count=2)
    monkeypatch.undo()
    assert draw(generator, TEXT).images


def test_numbers_that_overflow_are_no_picture(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from synthreview.generation.generators.diffusers import pipelines

    unet = pipelines.load(tiny("sd")._setup()).pipeline(TEXT).unet
    forward = unet.forward
    monkeypatch.setattr(unet, "forward", lambda *a, **k: (forward(*a, **k)[0] * float("nan"),))
    with pytest.raises(PermanentError, match="needs `precision` full"):
        draw(tiny("sd"), TEXT)


def test_what_the_models_own_checker_blacks_out_is_refused(tiny: Any) -> None:
    with pytest.raises(RefusedError, match="blacked out 2 of 2 images"):
        draw(tiny("sd_prudish"), TEXT, count=2)
    passed = draw(tiny("sd_checked"), VARIATION)
    assert passed.images[0].facts["safety"] == "passed the model's checker"
    assert draw(tiny("sd"), TEXT).images[0].facts["safety"] == "not checked by the model"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size_px": 65}, "size 65 px: Local model sd draws 32, 48, 64, 96 px"),
        ({"count": 3}, "3 images in one call: Local model sd draws 1 to 2"),
        ({"capability": FUSION, "images": (FIRST, SECOND)}, "cannot do 'fusion'"),
        ({"options": {"stepz": 3}}, "option stepz"),
        ({"options": {"steps": 0}}, "steps 0: give a number from 1 to 200"),
        ({"capability": VARIATION, "images": (b"<svg>",)}, "input image 1 cannot be used"),
    ],
)
def test_a_request_that_cannot_be_drawn_is_refused_before_anything_is_loaded(
    tiny: Any, fields: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from synthreview.generation.generators.diffusers import pipelines

    monkeypatch.setattr(pipelines, "load", lambda _: pytest.fail("it was loaded"))
    with pytest.raises(PermanentError) as caught:
        draw(tiny("sd"), **{"capability": TEXT, **fields})
    assert words in str(caught.value)


def test_weights_that_are_damaged_or_of_another_model_are_named(tmp_path: Path) -> None:
    folder = tiny_diffusion.make_stable_diffusion(tmp_path / "damaged")
    unet = folder / "unet" / "diffusion_pytorch_model.safetensors"
    whole = unet.read_bytes()
    unet.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(PermanentError, match="damaged cannot draw this"):
        draw(DiffusersGenerator(model=str(folder)), TEXT)
    unet.write_bytes(whole)
    (folder / "unet" / "config.json").write_text('{"sample_size": 32, "in_channels": 4}')
    with pytest.raises(PermanentError, match="damaged cannot draw this"):
        draw(DiffusersGenerator(model=str(folder)), TEXT)


def test_a_device_that_is_not_there_is_named(tiny: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PermanentError, match="no CUDA device here: set SYNTHREVIEW_DEVICE"):
        draw(tiny("sd", device="cuda"), TEXT)


# --- The table of families ------------------------------------------------------------------


def test_the_families_are_what_diffusers_itself_offers() -> None:
    import diffusers
    from diffusers.pipelines import auto_pipeline as auto

    tables = {
        TEXT: auto.AUTO_TEXT2IMAGE_PIPELINES_MAPPING,
        VARIATION: auto.AUTO_IMAGE2IMAGE_PIPELINES_MAPPING,
        INPAINT: auto.AUTO_INPAINT_PIPELINES_MAPPING,
    }
    for family in FAMILIES:
        if family.name in {KANDINSKY, KARLO}:
            continue  # not by AutoPipeline; each technique of theirs is drawn above
        for name in family.classes:
            assert auto._get_model(name) == family.name, name
        for capability, table in tables.items():
            assert (capability in family.able) == (family.name in table), (family.name, capability)
            if capability not in family.able:
                continue
            takes = set(inspect.signature(table[family.name].__call__).parameters)
            assert {"prompt", "num_inference_steps", "generator", "output_type"} <= takes
            assert family.guidance in takes
            if family.takes_negative_prompt:
                assert "negative_prompt" in takes
            if capability != TEXT:
                assert "image" in takes
                assert ("strength" in takes) != family.edits, family.name
            if capability == INPAINT:
                assert "mask_image" in takes
    assert all(hasattr(diffusers, name) for family in FAMILIES for name in family.classes)
