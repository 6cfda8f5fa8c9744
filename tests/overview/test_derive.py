"""Images from images: over a whole dataset, by page and by command; one repainted by hand."""

from __future__ import annotations

import io
import itertools
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from PIL import Image

from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage
from synthreview.catalog.references import add_reference
from synthreview.catalog.storage import blobs
from synthreview.generation import pairing
from synthreview.generation.generators.base import DrawRequest
from synthreview.generation.generators.sketch import SketchGenerator
from synthreview.generation.models import Call, CallInput, GeneratedImage, Run
from synthreview.generation.services import generator
from synthreview.lib.images import decode
from synthreview.overview.deriving import Wish, derivations
from synthreview.prompting.models import Prompt
from synthreview.review.models import ImageState
from synthreview.scoring.models import Embedding
from synthreview.scoring.scorers.base import ScoreRequest
from synthreview.scoring.services import scorer
from tests.factories import (
    make_dataset,
    make_image,
    make_review,
    make_user,
    make_version,
    tiny_png,
)

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_generators() -> Iterator[None]:
    generator.cache_clear()
    yield
    generator.cache_clear()


@pytest.fixture
def world() -> Dataset:
    """A dataset with a curator, and two approved and one rejected image of each class."""
    dataset = make_dataset(name="World", curator=make_user("curator"), viewer=make_user("viewer"))
    for label_class in dataset.classes.all():
        for state in (ImageState.APPROVED, ImageState.APPROVED, ImageState.REJECTED):
            make_review(make_image(label_class=label_class), state)
    return dataset


def class_of(dataset: Dataset, name: str) -> LabelClass:
    return dataset.classes.get(name=name)


# --- What goes into which call ---------------------------------------------------------


def test_every_approved_image_is_varied_as_often_as_wished(world: Dataset) -> None:
    orders = derivations(world, Wish("variation", each=3))
    approved = GeneratedImage.objects.filter(review__state=ImageState.APPROVED)
    assert Counter(order.inputs[0].pk for order in orders) == {image.pk: 3 for image in approved}
    for order in orders:
        assert order.prompt.pk
        assert order.prompt.label_class_id == order.inputs[0].label_class_id
    # The first few serve every class.
    assert len({order.inputs[0].label_class_id for order in orders[:2]}) == 2


def test_a_plan_stores_nothing(world: Dataset) -> None:
    before = Prompt.objects.count()
    assert derivations(world, Wish("variation"), write=False)
    assert Prompt.objects.count() == before


def test_fusions_pair_images_of_one_class_and_never_repeat_a_pair(world: Dataset) -> None:
    orders = derivations(world, Wish("fusion", pairs=100))
    pairs = [(first.pk, second.pk) for first, second in (order.inputs for order in orders)]
    assert len(set(pairs)) == len(pairs) == 4  # two classes of two, in either order
    for order in orders:
        first, second = order.inputs
        assert first.label_class_id == second.label_class_id == order.prompt.label_class_id


def test_fusions_take_partners_far_apart_in_the_current_scorers_space(world: Dataset) -> None:
    """Ten images lie together and two elsewhere: a pair by lot has one of each in 30 % only."""
    car = class_of(world, "car")
    GeneratedImage.objects.filter(dataset=world).update(dataset=make_dataset())
    images = [make_image(label_class=car) for _ in range(12)]
    for image in images:
        make_review(image, ImageState.APPROVED)
    older, current = make_version(), make_version()
    apart = {image.pk for image in images[:2]}
    for image in images:
        place = [0, 1] if image.pk in apart else [1, 0]
        vectors = {older: [1, 0], current: place}  # what an older scorer said counts for nothing
        for version, vector in vectors.items():
            Embedding.objects.create(
                image=image, version=version, vector=np.array(vector, "<f2").tobytes()
            )
    pairs = [order.inputs for order in derivations(world, Wish("fusion", pairs=10))]
    mixed = [pair for pair in pairs if len(apart & {image.pk for image in pair}) == 1]
    assert len(mixed) >= 8


@pytest.mark.slow
def test_pairs_are_farther_apart_than_by_lot_in_real_embeddings() -> None:
    """Drawn dogs, as the embedded CLIP sees them."""
    drawn = SketchGenerator().draw(
        DrawRequest("a dog", count=16, size_px=256, seed=1), idempotency_key="k"
    )
    requests = [
        ScoreRequest(decode(image.data).pixels, "a dog", {}, ["dog"], 0) for image in drawn.images
    ]
    found = scorer().score(requests)
    vectors = {key: result.embedding.astype(np.float32) for key, result in enumerate(found)}
    chosen = pairing.far_pairs([range(16)], 24, vectors=vectors, seed=1)
    by_lot = itertools.permutations(range(16), 2)

    def apart(pairs: Iterable[tuple[int, int]]) -> float:
        return float(np.mean([1 - vectors[a] @ vectors[b] for a, b in pairs]))

    assert apart(chosen) > 1.15 * apart(by_lot)
    assert len(set(chosen)) == 24


def test_a_fusion_of_two_classes_needs_its_label(world: Dataset) -> None:
    car, umbrella = class_of(world, "car"), class_of(world, "umbrella")
    with pytest.raises(ValueError, match="what the images shall be labelled"):
        derivations(world, Wish("fusion", pairs=2, partner=umbrella))
    orders = derivations(world, Wish("fusion", pairs=2, partner=umbrella, label=car))
    for order in orders:
        assert [image.label_class.name for image in order.inputs] == ["car", "umbrella"]
        assert order.prompt.label_class == car
        assert order.prompt.text == "A blend of a car and an umbrella"


def test_inpainting_keeps_the_middle_or_repaints_a_rectangle(world: Dataset) -> None:
    order = derivations(world, Wish("inpaint"))[0]
    mask = np.asarray(Image.open(io.BytesIO(blobs().read(order.mask_sha256))))
    assert mask.shape == (order.inputs[0].height, order.inputs[0].width)
    assert mask[0, 0] == 255
    assert mask[mask.shape[0] // 2, mask.shape[1] // 2] == 0


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        (Wish("variation", origin="reference"), "no reference images"),
        (Wish("variation", origin="chosen", image_ids=(987_654,)), "Name one image"),
    ],
)
def test_without_sources_it_says_what_to_do(world: Dataset, wish: Wish, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        derivations(world, wish)


# --- By command ---------------------------------------------------------------------------


@pytest.mark.parametrize("technique", ["variation", "fusion", "inpaint"])
def test_the_command_draws_derivations_to_the_end(
    world: Dataset, technique: str, capsys: pytest.CaptureFixture[str]
) -> None:
    call_command(
        "generate", "world", technique=[technique], count=3, size_px=256, wait=True, as_json=True,
        verbosity=0,
    )  # fmt: skip
    facts = json.loads(capsys.readouterr().out)
    assert facts["images"] == 3
    for image in GeneratedImage.objects.filter(run__number=facts["run"]):
        parents = list(image.inputs)
        assert len(parents) == (2 if technique == "fusion" else 1)
        assert image.technique == technique
        assert image.family == parents[0].source.family


def test_the_command_takes_images_by_number(
    world: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    image = GeneratedImage.objects.filter(dataset=world).order_by("pk")[0]
    call_command(
        "generate", "world", technique=["variation"], origin=str(image.pk), count=2, verbosity=0
    )
    assert {row.image_id for row in CallInput.objects.all()} == {image.pk}
    with pytest.raises(CommandError, match="has no image 987654"):
        call_command(
            "generate", "world", technique=["variation"], origin=f"{image.pk},987654", count=2
        )
    with pytest.raises(CommandError, match="write approved, reference, or numbers"):
        call_command("generate", "world", technique=["variation"], origin="best", count=2)


# --- By page --------------------------------------------------------------------------------


def test_the_page_starts_a_run_of_what_it_estimated(world: Dataset, client: Client) -> None:
    client.login(username="curator", password="curator")
    page = client.get(reverse("derive", args=["world"]))
    assert page.status_code == 200
    form: dict[str, Any] = {
        "technique": "variation",
        "origin": "approved",
        "classes": [row.pk for row in world.classes.all()],
        "each": 2,
        "generator": "sketch",
        "size_px": 256,
        "image_ids": "",
    }
    estimate = client.get(reverse("derive-estimate", args=["world"]), form)
    assert "<dd>8</dd>" in estimate.content.decode().replace("\n", "")
    answer = client.post(reverse("derive", args=["world"]), form)
    run = Run.objects.latest("pk")
    assert answer.headers["Location"] == reverse("run", args=["world", run.number])
    assert Call.objects.filter(run=run).count() == 8


def test_the_page_says_what_is_missing(world: Dataset, client: Client) -> None:
    client.login(username="curator", password="curator")
    form = {"technique": "fusion", "origin": "chosen", "image_ids": "7, x", "pairs": 0}
    body = client.post(reverse("derive", args=["world"]), form).content.decode()
    assert "Write numbers with commas between" in body
    assert "Choose one class or more" in body


def test_viewers_do_not_derive(world: Dataset, client: Client) -> None:
    client.login(username="viewer", password="viewer")
    assert client.get(reverse("derive", args=["world"])).status_code == 403
    image = GeneratedImage.objects.filter(dataset=world)[0]
    for name in ("repaint", "repaint-estimate"):
        assert client.get(reverse(name, args=[image.pk])).status_code == 403


def test_strangers_know_of_nothing(world: Dataset, client: Client) -> None:
    make_user("stranger")
    client.login(username="stranger", password="stranger")
    image = GeneratedImage.objects.filter(dataset=world)[0]
    for address in (
        reverse("derive", args=["world"]),
        reverse("derive-estimate", args=["world"]),
        reverse("references", args=["world"]),
        reverse("repaint", args=[image.pk]),
        reverse("repaint-estimate", args=[image.pk]),
    ):
        assert client.get(address).status_code == 404


def test_a_painted_mask_goes_into_the_call(world: Dataset, client: Client) -> None:
    client.login(username="curator", password="curator")
    image = GeneratedImage.objects.filter(dataset=world)[0]
    painted = Image.new("L", (8, 8), 0)
    painted.putpixel((0, 0), 255)
    file = io.BytesIO()
    painted.save(file, "PNG")
    file.seek(0)
    file.name = "mask.png"
    form = {
        "instruction": "the same car in a snowy forest",
        "label_class": image.label_class_id,
        "left": 0, "top": 0, "right": 100, "bottom": 40,
        "count": 1,
        "generator": "sketch",
        "size_px": 256,
    }  # fmt: skip
    page = reverse("repaint", args=[image.pk])
    assert client.get(page).status_code == 200
    assert client.post(page, form | {"mask": file}).status_code == 302
    mask = Image.open(io.BytesIO(blobs().read(Call.objects.latest("pk").mask_sha256)))
    assert mask.size == (image.width, image.height)
    assert (mask.getpixel((0, 0)), mask.getpixel((image.width - 1, 0))) == (255, 0)
    black_mask = io.BytesIO()
    Image.new("L", (4, 4), 0).save(black_mask, "PNG")
    black_mask.seek(0)
    black_mask.name = "mask.png"
    body = client.post(page, form | {"mask": black_mask}).content.decode()
    assert "repaints nothing" in body
    nothing = client.post(page, form | {"left": 60, "right": 50}).content.decode()
    assert "has no area" in nothing


def test_the_image_page_shows_parents_and_children(world: Dataset, client: Client) -> None:
    call_command(
        "generate", "world", technique=["variation"], count=4, size_px=256, wait=True, verbosity=0
    )
    child = GeneratedImage.objects.filter(technique="variation")[0]
    parent = child.inputs[0].source
    client.login(username="curator", password="curator")
    assert f"image {parent.pk}" in client.get(child.get_absolute_url()).content.decode()
    assert isinstance(parent, GeneratedImage)
    assert f"image {child.pk}" in client.get(parent.get_absolute_url()).content.decode()


# --- One's own images -----------------------------------------------------------------------


def test_real_images_come_in_by_page_for_one_use_each(world: Dataset, client: Client) -> None:
    client.login(username="curator", password="curator")
    page = reverse("references", args=["world"])
    car = class_of(world, "car")

    def post(use: str, *numbers: int) -> str:
        files = [io.BytesIO(tiny_png(number)) for number in numbers]
        for number, file in zip(numbers, files, strict=True):
            file.name = f"{number}.png"
        form = {"label_class": car.pk, "use": use, "pictures": files}
        return client.post(page, form, follow=True).content.decode()

    assert "2 pictures are in" in post("source", 901, 902)
    assert "1 pictures were there already" in post("source", 901)
    assert "one use only" in post("test", 902)
    assert ReferenceImage.objects.count() == 2
    row = ReferenceImage.objects.all()[0]
    picture = client.get(row.thumb_url)
    assert picture.getvalue()[:2] == b"\xff\xd8"
    fake = io.BytesIO(b"<svg/>")
    fake.name = "drawing.png"
    form = {"label_class": car.pk, "use": "test", "pictures": [fake]}
    assert "drawing.png: " in client.post(page, form, follow=True).content.decode()
    assert ReferenceImage.objects.count() == 2
    remove = reverse("references-remove", args=["world"])
    assert (
        "1 pictures are out"
        in client.post(remove, {"images": [row.pk]}, follow=True).content.decode()
    )


def test_a_real_image_that_has_children_stays(world: Dataset, client: Client) -> None:
    car = class_of(world, "car")
    row = add_reference(
        dataset=world, label_class=car, use="source", data=tiny_png(77), name="a.png"
    )
    assert row
    call_command("generate", "world", technique=["variation"], origin="reference", count=1)
    client.login(username="curator", password="curator")
    body = client.post(
        reverse("references-remove", args=["world"]), {"images": [row.pk]}, follow=True
    ).content.decode()
    assert "they are evidence" in body
    assert ReferenceImage.objects.filter(pk=row.pk).exists()


def test_real_images_come_in_by_command(world: Dataset, tmp_path: Any) -> None:
    folder = tmp_path / "real"
    folder.mkdir()
    for name in ("car", "umbrella"):
        (folder / name).mkdir()
        for number in range(2):
            picture = tiny_png(500 + number + 10 * len(name))
            (folder / name / f"{number}.png").write_bytes(picture)
    (folder / "car" / "broken.png").write_bytes(b"no picture")
    call_command("import_references", "world", str(folder), use="test", verbosity=0)
    assert Counter(ReferenceImage.objects.values_list("label_class__name", "use")) == {
        ("car", "test"): 2,
        ("umbrella", "test"): 2,
    }
    with pytest.raises(CommandError, match="is no folder"):
        call_command("import_references", "world", str(tmp_path / "no"), use="test")
