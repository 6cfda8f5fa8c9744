"""Families of real rows, the splits they get, and what filters and test images leave out."""

from __future__ import annotations

import io
import random
import uuid
from collections import Counter, defaultdict
from typing import Any

import pytest
from PIL import Image, ImageDraw

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage, ReferenceUse
from synthreview.catalog.storage import store_image
from synthreview.export import services
from synthreview.export.ancestry import ancestry_of
from synthreview.export.collecting import Selection, SelectionError
from synthreview.export.freezing import frozen_facts
from synthreview.export.jobs import freeze
from synthreview.export.models import Export, OmissionReason
from synthreview.export.splits import parse_wish
from synthreview.export.writers.card import card_text
from synthreview.export.writers.imagefolder import LAYOUT
from synthreview.generation.models import Call, CallInput, GeneratedImage
from synthreview.review.models import Decision, Verdict
from synthreview.work.models import WorkState
from tests.export.frozen import frozen
from tests.factories import (
    make_approved_image,
    make_call,
    make_dataset,
    make_image,
    make_prompt,
    make_rejected_image,
    make_run,
    make_user,
)

pytestmark = pytest.mark.django_db
HALVES = "50/0/50"


@pytest.fixture
def reviewer() -> User:
    return make_user("rita")


@pytest.fixture
def dataset(reviewer: User) -> Dataset:
    return make_dataset("Things", reviewer=reviewer)


@pytest.fixture
def car(dataset: Dataset) -> LabelClass:
    return dataset.classes.get(name="car")


def families(dataset: Dataset) -> list[set[int]]:
    """Return the families of several images."""
    found: dict[str, set[int]] = defaultdict(set)
    for image, name in ancestry_of(dataset, lambda: None).family_of.items():
        found[name].add(image)
    return [family for family in found.values() if len(family) > 1]


def scene(seed: int, size: int = 64, quality: int | None = None, shift: int = 0) -> bytes:
    """Return a picture of some boxes that a perceptual hash tells from others."""
    chance = random.Random(seed)
    image = Image.new("RGB", (64, 64), (200, 200, 200))
    draw = ImageDraw.Draw(image)
    for _ in range(6):
        x, y = chance.randrange(50), chance.randrange(50)
        colour = tuple(chance.randrange(256) for _ in range(3))
        draw.rectangle((x + shift, y, x + shift + chance.randrange(8, 30), y + 20), fill=colour)
    buffer = io.BytesIO()
    image = image.resize((size, size), Image.Resampling.LANCZOS)
    image.save(buffer, "JPEG" if quality else "PNG", **({"quality": quality} if quality else {}))
    return buffer.getvalue()


def stored(data: bytes) -> dict[str, Any]:
    """Return the fields of an image with these bytes."""
    sha256, decoded = store_image(data)
    return {
        "sha256": sha256,
        "media_type": decoded.media_type,
        "byte_count": len(data),
        "width": decoded.width,
        "height": decoded.height,
    }


def make_reference(label_class: LabelClass, data: bytes, use: str) -> ReferenceImage:
    return ReferenceImage.objects.create(
        dataset=label_class.dataset, label_class=label_class, use=use, **stored(data)
    )


def derive(
    label_class: LabelClass, *sources: GeneratedImage | ReferenceImage, **fields: Any
) -> Call:
    """Return a call into which the sources went."""
    run = make_run(label_class.dataset)
    call = make_call(run, make_prompt(label_class), **fields)
    for position, source in enumerate(sources):
        field = "reference" if isinstance(source, ReferenceImage) else "image"
        CallInput.objects.create(call=call, position=position, **{field: source})
    return call


# --- Families -------------------------------------------------------------------------


def test_images_without_kin_are_families_of_one(car: LabelClass) -> None:
    for number in range(5):
        make_image(label_class=car, seed=number, **stored(scene(number)))
    assert families(car.dataset) == []


def test_what_carries_one_family_is_one(car: LabelClass) -> None:
    family = uuid.uuid4()
    pks = {make_image(label_class=car, family=family).pk for _ in range(3)}
    assert families(car.dataset) == [pks]


def test_both_parents_of_a_fusion_and_their_children_are_one_family(car: LabelClass) -> None:
    first, second = (make_image(label_class=car) for _ in range(2))
    call = derive(car, first, second)
    child = make_image(label_class=car, call=call, seed=7)
    assert families(car.dataset) == [{first.pk, second.pk, child.pk}]


def test_children_of_one_real_image_are_siblings(car: LabelClass) -> None:
    source = make_reference(car, scene(1), ReferenceUse.SOURCE)
    children = {make_image(label_class=car, call=derive(car, source)).pk for _ in range(2)}
    assert families(car.dataset) == [children]


def test_siblings_of_one_prompt_and_seed_are_kin_and_of_another_seed_are_not(
    car: LabelClass,
) -> None:
    prompt = make_prompt(car)
    same = {make_image(prompt=prompt, seed=5).pk for _ in range(2)}
    make_image(prompt=prompt, seed=6)
    make_image(prompt=make_prompt(car), seed=5)
    assert families(car.dataset) == [same]


def test_images_of_a_call_without_seeds_are_kin(car: LabelClass) -> None:
    call = derive(car)
    same = {make_image(label_class=car, call=call, position=n, seed=None).pk for n in range(3)}
    make_image(label_class=car, seed=None)
    assert families(car.dataset) == [same]


def test_one_file_twice_is_one_family(car: LabelClass) -> None:
    first = make_image(label_class=car)
    second = make_image(label_class=car, sha256=first.sha256)
    assert families(car.dataset) == [{first.pk, second.pk}]


def test_a_rejected_parent_connects_its_children(
    car: LabelClass, reviewer: User, dataset: Dataset
) -> None:
    parent = make_rejected_image(car, reviewer)
    children = [
        make_approved_image(car, reviewer, call=derive(car, parent), seed=number)
        for number in range(4)
    ]
    for _ in range(4):
        make_approved_image(car, reviewer)
    export = frozen(dataset, HALVES)
    assert not export.items.filter(image=parent).exists()
    assert len(set(export.items.filter(image__in=children).values_list("split", flat=True))) == 1
    assert len(set(export.items.filter(image__in=children).values_list("family", flat=True))) == 1


# --- Near-duplicates --------------------------------------------------------------------


def test_near_duplicates_are_one_family(car: LabelClass) -> None:
    copies = [scene(1), scene(1, quality=50), scene(1, size=32)]
    same = {make_image(label_class=car, seed=n, **stored(data)).pk for n, data in enumerate(copies)}
    for number in range(2, 6):
        make_image(label_class=car, seed=number, **stored(scene(number)))
    assert families(car.dataset) == [same]


# --- Splits that last -------------------------------------------------------------------


def test_an_image_keeps_its_split_when_the_dataset_grows(car: LabelClass, reviewer: User) -> None:
    for _ in range(10):
        make_approved_image(car, reviewer)
    first = dict(frozen(car.dataset).items.values_list("image", "split"))
    assert Counter(first.values()) == {"train": 8, "validation": 1, "test": 1}
    for count in (1, 9, 30):
        for _ in range(count):
            make_approved_image(car, reviewer)
        export = frozen(car.dataset)
        now = dict(export.items.values_list("image", "split"))
        assert {image: now[image] for image in first} == first
        assert export.facts["splitting"]["kept"] == len(first)
        first = now
    assert Counter(first.values()) == {"train": 40, "validation": 5, "test": 5}


def test_an_image_that_was_away_for_an_export_keeps_its_split(
    car: LabelClass, reviewer: User
) -> None:
    for _ in range(10):
        make_approved_image(car, reviewer)
    first = dict(frozen(car.dataset, HALVES).items.values_list("image", "split"))
    umbrella = car.dataset.classes.get(name="umbrella")
    make_approved_image(umbrella, reviewer)
    frozen(car.dataset, HALVES, selection=Selection(classes=("umbrella",)))
    frozen(car.dataset, "100")  # all in train: this says nothing of splits
    now = dict(frozen(car.dataset, HALVES).items.values_list("image", "split"))
    assert {image: now[image] for image in first} == first


def test_splits_are_shared_out_anew_where_that_is_wished(car: LabelClass, reviewer: User) -> None:
    for _ in range(10):
        make_approved_image(car, reviewer)
    frozen(car.dataset, "10/0/90")
    kept = frozen(car.dataset, "90/0/10")
    assert kept.facts["splitting"]["got"] == {"train": 1, "test": 9}
    assert "10 images keep the split of an earlier export" in kept.facts["splitting"]["notes"][0]
    export = services.order_export(dataset=car.dataset, wish=parse_wish("90/0/10", keeps=False))
    freeze(export.pk)
    export.refresh_from_db()
    assert export.facts["splitting"]["got"] == {"train": 9, "test": 1}


def test_families_that_merge_go_where_was_trained_and_it_is_reported(
    car: LabelClass, reviewer: User
) -> None:
    for _ in range(10):
        make_approved_image(car, reviewer)
    first = frozen(car.dataset, HALVES)
    trained = first.items.filter(split="train").first().image
    tested = first.items.filter(split="test").first().image
    child = make_approved_image(car, reviewer, call=derive(car, trained, tested))
    export = frozen(car.dataset, HALVES)
    for image in (trained, tested, child):
        assert export.items.get(image=image).split == "train"
    assert export.facts["splitting"]["merged"] == [
        {"split": "train", "moved": [tested.pk], "moved_count": 1}
    ]


def test_an_impossible_wish_is_explained(car: LabelClass, reviewer: User) -> None:
    family = uuid.uuid4()
    for _ in range(6):
        make_approved_image(car, reviewer, family=family)
    export = frozen(car.dataset)
    splitting = export.facts["splitting"]
    assert (splitting["families"], splitting["largest_family"]) == (1, 6)
    assert "the largest has 6 images" in splitting["notes"][0]
    assert splitting["notes"][1] == (
        "car: no image in validation and test, because its 6 images are 1 family."
    )


def test_classes_too_small_for_every_split_are_told_together(
    car: LabelClass, reviewer: User
) -> None:
    for label_class in car.dataset.classes.all():
        make_approved_image(label_class, reviewer)
    notes = frozen(car.dataset).facts["splitting"]["notes"]
    assert notes[-1] == (
        "Too few images to be in every split: car (1), umbrella (1). "
        "Approve more of these, or wish fewer splits."
    )


def test_more_than_there_is_fails_in_words(car: LabelClass, reviewer: User) -> None:
    make_approved_image(car, reviewer)
    export = services.order_export(dataset=car.dataset, wish=parse_wish("rest/500/500"))
    freeze(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.FAILED
    assert "1,000 images are wished" in export.error


@pytest.mark.parametrize("seed", range(3))
def test_no_family_of_real_rows_crosses_a_split(
    dataset: Dataset, reviewer: User, seed: int
) -> None:
    """Random ancestries: variations, fusions, shared seeds and copies, some of them rejected."""
    chance = random.Random(seed)
    classes = list(dataset.classes.all())
    made: list[GeneratedImage] = []
    for number in range(30):
        label_class = chance.choice(classes)
        verdict = chance.choice([Verdict.APPROVE] * 4 + [Verdict.REJECT])
        sources = chance.sample(made, min(len(made), chance.choice([0, 0, 1, 2])))
        fields: dict[str, Any] = {"seed": number}
        if sources:
            fields["call"] = derive(label_class, *sources)
        elif made and chance.random() < 0.2:
            fields["sha256"] = chance.choice(made).sha256
        image = make_rejected_image(label_class, reviewer, **fields)
        made.append(image)
        if verdict == Verdict.APPROVE:
            Decision.objects.filter(image=image).update(verdict=verdict)
            image.review.state = "approved"
            image.review.save()
    export = frozen(dataset, "1/1/1")
    split = dict(export.items.values_list("image", "split"))
    kin = ancestry_of(dataset, lambda: None).family_of
    of_family: dict[str, set[str]] = defaultdict(set)
    for image, name in kin.items():
        if image in split:
            of_family[name].add(split[image])
    assert all(len(found) == 1 for found in of_family.values())
    for row in CallInput.objects.select_related("image"):
        for child in row.call.images.all():
            assert kin[child.pk] == kin[row.image_id]


# --- Real images ------------------------------------------------------------------------


def test_what_is_near_a_test_image_is_left_out_and_listed(car: LabelClass, reviewer: User) -> None:
    test = make_reference(car, scene(1), ReferenceUse.TEST)
    near = make_approved_image(car, reviewer, **stored(scene(1, quality=60)))
    child = make_approved_image(car, reviewer, call=derive(car, near), seed=2)
    far = make_approved_image(car, reviewer, seed=3, **stored(scene(2)))
    export = frozen(car.dataset, "100")
    assert [item.image for item in export.items.all()] == [far]
    assert list(export.omissions.values_list("image", "reason", "test_image")) == [
        (near.pk, OmissionReason.NEAR_TEST, test.pk),
        (child.pk, OmissionReason.NEAR_TEST, test.pk),
    ]
    assert export.facts["splitting"]["omitted"] == 2
    card = card_text(frozen_facts(export), LAYOUT)
    assert "- 2 images are left out because they are near a real test image" in card
    assert "- wished: train 100%; reached: train 1" in card


def test_what_is_near_a_real_training_image_is_never_in_test(
    car: LabelClass, reviewer: User
) -> None:
    for number in range(1, 5):
        make_reference(car, scene(number), ReferenceUse.TRAIN)
        make_approved_image(car, reviewer, seed=number, **stored(scene(number, quality=70)))
    for number in range(5, 9):
        make_approved_image(car, reviewer, seed=number, **stored(scene(number)))
    export = frozen(car.dataset, HALVES)
    real = {f"{number}": number for number in range(1, 5)}
    assert set(
        export.items.filter(image__seed__in=real.values()).values_list("split", flat=True)
    ) == {"train"}
    assert export.facts["splitting"]["got"] == {"train": 4, "test": 4}


def test_nothing_left_beside_a_test_image_is_said(car: LabelClass, reviewer: User) -> None:
    make_reference(car, scene(1), ReferenceUse.TEST)
    make_approved_image(car, reviewer, **stored(scene(1)))
    export = services.order_export(dataset=car.dataset, wish=parse_wish("100"))
    freeze(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.FAILED
    assert "No image is approved any more that the filters let through" in export.error


# --- Filters ----------------------------------------------------------------------------


def chosen(dataset: Dataset, selection: Selection) -> set[int]:
    export = frozen(dataset, "100", selection=selection)
    return set(export.items.values_list("image", flat=True))


def test_filters_choose_by_class_technique_and_generator(dataset: Dataset, reviewer: User) -> None:
    car, umbrella = dataset.classes.order_by("name")
    plain = make_approved_image(car, reviewer)
    style = make_approved_image(car, reviewer, technique="style")
    other = make_approved_image(umbrella, reviewer, generator="other")
    assert chosen(dataset, Selection(classes=("car",))) == {plain.pk, style.pk}
    assert chosen(dataset, Selection(techniques=("style",))) == {style.pk}
    assert chosen(dataset, Selection(generators=("other", "none"))) == {other.pk}
    assert chosen(dataset, Selection(classes=("car",), techniques=("plain",))) == {plain.pk}


def test_filters_are_told_on_the_card(dataset: Dataset, reviewer: User) -> None:
    make_approved_image(dataset.classes.get(name="car"), reviewer)
    export = frozen(dataset, "100", selection=Selection(classes=("car",), decisions=("one",)))
    assert export.facts["review"]["filters"] == "classes: car; decisions: approved by one person"
    assert Selection.from_json(Export.objects.get().selection).classes == ("car",)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"techniques": ("magic",)}, "'magic' is not one of plain, environment"),
        ({"decisions": ("two",)}, "'two' is not one of one, agreed"),
        ({"max_error": 0}, "an error lies between 0 and 1"),
        ({"max_error": 1.5}, "an error lies between 0 and 1"),
        ({"min_confidence": 1}, "a confidence lies from 0 to below 1"),
    ],
)
def test_a_filter_that_cannot_be_says_what_can(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(SelectionError, match=words):
        Selection(**fields)


def test_an_unknown_class_is_answered_with_the_known_ones(dataset: Dataset, reviewer: User) -> None:
    make_approved_image(dataset.classes.get(name="car"), reviewer)
    with pytest.raises(SelectionError, match="'dragon' is not one of car, umbrella"):
        services.order_export(
            dataset=dataset, wish=parse_wish("100"), selection=Selection(classes=("dragon",))
        )
