"""Masks by a model that finds the subject: in a worker, from a local folder, where one is named."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from PIL import Image, ImageChops, ImageDraw

from synthreview.catalog.models import Dataset
from synthreview.catalog.storage import blobs
from synthreview.generation import masks
from synthreview.generation.generators.base import Health
from synthreview.generation.jobs import draw_call
from synthreview.generation.models import Call, GeneratedImage
from synthreview.generation.segmenters.clipseg import ClipSegSegmenter
from synthreview.generation.services import generator, segmenter
from synthreview.lib.images import BadImageError
from synthreview.lib.outcomes import PermanentError
from tests.factories import make_dataset, make_image, make_prompt, make_review, make_user
from tests.generation.pictures import ESPRESSO, opened
from tests.generation.tiny_clipseg import make_clipseg

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_clipseg(tmp_path_factory.mktemp("models") / "clipseg")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    for cached in (segmenter, generator):
        cached.cache_clear()
    yield
    for cached in (segmenter, generator):
        cached.cache_clear()


class Finder:
    """Finds the left half of every picture, whatever it is asked for."""

    title = "Left half"

    def health(self) -> Health:
        return Health()

    asked: list[str] = []

    def find(self, picture: Image.Image, words: str) -> Image.Image:
        self.asked.append(words)
        found = Image.new("L", picture.size, 0)
        ImageDraw.Draw(found).rectangle((0, 0, picture.width // 2 - 1, picture.height), fill=255)
        return found


class Blind(Finder):
    def find(self, picture: Image.Image, words: str) -> Image.Image:
        return Image.new("L", picture.size, 0)


@pytest.fixture
def world(settings: Any) -> Dataset:
    settings.SEGMENTER = {"BACKEND": "tests.generation.test_segmenting.Finder"}
    dataset = make_dataset("World", classes=["car"], curator=make_user("curator"))
    make_prompt(dataset.classes.get(), "with a beach behind it", technique="inpaint",
                slots={"edit": "with the background replaced by a beach"})  # fmt: skip
    make_review(make_image(dataset), "approved")
    Finder.asked.clear()
    return dataset


FORM = {
    "technique": "inpaint", "origin": "approved", "each": 1, "generator": "sketch",
    "mask_rule": "subject", "left": 0, "top": 0, "right": 100, "bottom": 100, "image_ids": "",
}  # fmt: skip


# --- The model itself --------------------------------------------------------------------


def test_a_tiny_clipseg_finds_something_by_its_real_code(folder: Path) -> None:
    finder = ClipSegSegmenter(model=str(folder))
    picture = opened(ESPRESSO.read_bytes())
    found = finder.find(picture, "a cup")
    assert (found.mode, found.size) == ("L", picture.size)
    low, high = found.getextrema()
    assert isinstance(low, int)
    assert low < high, "noise, but decided here and there"
    assert finder.find(picture, "a cup").tobytes() == found.tobytes()
    assert ImageChops.difference(finder.find(picture, "something else"), found).getbbox()
    assert folder.name in finder.title
    assert finder.health().faults == ()


@pytest.mark.parametrize("bias", [1e9, -1e9])
def test_finding_everything_or_nothing_is_no_mask(bias: float, tmp_path: Path) -> None:
    finder = ClipSegSegmenter(model=str(make_clipseg(tmp_path / "decided", bias=bias)))
    with pytest.raises(BadImageError, match="that is no subject"):
        masks.around(finder.find(Image.new("RGB", (80, 60), "teal"), "a cup"))


def test_a_model_that_cannot_be_loaded_says_why(folder: Path, tmp_path: Path) -> None:
    picture = Image.new("RGB", (64, 64))
    with pytest.raises(PermanentError, match="no model folder"):
        ClipSegSegmenter(model=str(tmp_path / "none")).find(picture, "x")
    assert "no model folder" in ClipSegSegmenter(model=str(tmp_path / "none")).health().faults[0]
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "config.json").write_text((folder / "config.json").read_text())
    (pickled / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(PermanentError, match=r"\.bin, which can run code"):
        ClipSegSegmenter(model=str(pickled)).find(picture, "x")
    other = tmp_path / "other"
    other.mkdir()
    (other / "config.json").write_text('{"model_type": "bert"}')
    (other / "model.safetensors").write_bytes(b"")
    with pytest.raises(PermanentError, match="is a bert, and CLIPSeg is needed"):
        ClipSegSegmenter(model=str(other)).find(picture, "x")
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in folder.iterdir():
        (broken / file.name).write_bytes(file.read_bytes())
    (broken / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(PermanentError, match="cannot be loaded"):
        ClipSegSegmenter(model=str(broken)).find(picture, "x")


def test_what_was_found_is_kept_with_a_little_around_it() -> None:
    found = Finder().find(Image.new("RGB", (100, 80)), "car")
    mask = np.asarray(Image.open(io.BytesIO(masks.around(found))))
    assert mask.shape == (80, 100)
    assert set(np.unique(mask)) == {0, 255}
    assert (mask[:, :50] == 0).all()
    assert (mask[:, 55:] == 255).all()


# --- Offered, made in the worker, and told -------------------------------------------------


def test_it_is_offered_only_where_a_model_is_named(
    world: Dataset, client: Client, settings: Any
) -> None:
    client.login(username="curator", password="curator")
    page = "/d/world/derive/?technique=inpaint"
    body = client.get(page).content.decode()
    assert "which a model finds" in body
    assert "Subjects are found by Left half" in body
    settings.SEGMENTER = {}
    segmenter.cache_clear()
    assert "which a model finds" not in client.get(page).content.decode()
    form = {**FORM, "classes": [world.classes.get().pk]}
    assert "Select a valid choice" in client.post(page, form).content.decode()
    with pytest.raises(CommandError, match="No segmenter is configured"):
        call_command("generate", "world", technique=["inpaint"], keep_subject=True, count=1)
    assert not Call.objects.filter(state="ready").exists()


def test_the_worker_makes_the_mask_and_the_subject_stays(world: Dataset, client: Client) -> None:
    client.login(username="curator", password="curator")
    form = {**FORM, "classes": [world.classes.get().pk]}
    estimate = client.get("/d/world/derive/estimate", form).content.decode()
    assert "<dt>Images</dt><dd>1</dd>" in estimate
    assert client.post("/d/world/derive/", form).status_code == 302
    call = Call.objects.get(state="ready")
    assert (call.subject, call.mask_sha256) == ("car", "")
    assert Finder.asked == [], "the web process finds nothing"
    draw_call(call.pk)
    call.refresh_from_db()
    assert call.state == "done", call.error
    assert Finder.asked == ["car"]
    source = call.inputs.get().source
    mask = Image.open(io.BytesIO(blobs().read(call.mask_sha256)))
    assert mask.size == (source.width, source.height)
    child = GeneratedImage.objects.get(call=call)
    before, after = (opened(blobs().read(each.sha256)) for each in (source, child))
    left = (0, 0, source.width // 2, source.height)
    assert ImageChops.difference(before.crop(left), after.crop(left)).getbbox() is None


def test_by_command(world: Dataset) -> None:
    call_command(
        "generate", "world", technique=["inpaint"], keep_subject=True, count=1, wait=True,
        verbosity=0,
    )  # fmt: skip
    assert GeneratedImage.objects.filter(technique="inpaint").count() == 1
    with pytest.raises(CommandError, match="give one"):
        call_command(
            "generate", "world", technique=["inpaint"], keep_subject=True, keep=[1, 1, 9, 9],
            count=1,
        )  # fmt: skip


def test_where_nothing_is_found_the_call_fails_before_it_is_sent(
    world: Dataset, settings: Any
) -> None:
    settings.SEGMENTER = {"BACKEND": "tests.generation.test_segmenting.Blind"}
    segmenter.cache_clear()
    with pytest.raises(CommandError, match="that is no subject"):
        call_command(
            "generate", "world", technique=["inpaint"], keep_subject=True, count=1, wait=True,
            verbosity=0,
        )  # fmt: skip
    call = Call.objects.get(state="failed")
    assert call.sent_at is None
    assert call.billed_micro_usd == 0


def test_naming_the_segmenter_loads_no_torch() -> None:
    code = (
        "import sys;"
        "from synthreview.generation.segmenters.clipseg import ClipSegSegmenter as S;"
        "S(model='CIDAS/clipseg-rd64-refined');"
        "print(sorted({m.split('.')[0] for m in sys.modules} & {'django','torch','transformers'}))"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, env={}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
