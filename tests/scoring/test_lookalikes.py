"""Near-duplicates as they arrive: what is found, once, by whomever, whatever came first."""

from __future__ import annotations

import random

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import Dataset, LabelClass, ReferenceUse
from synthreview.generation.models import GeneratedImage
from synthreview.lib.forest import components
from synthreview.scoring import lookalikes, near_duplicates
from synthreview.scoring.lookalikes import compare_all, compare_new, fingerprints
from synthreview.scoring.models import Embedding, Fingerprint, Lookalike, LookalikeKind, Score
from synthreview.scoring.near_duplicates import HashIndex, close_pairs
from tests.export.test_sharing import make_reference, scene, stored
from tests.factories import make_dataset, make_image, make_version

pytestmark = pytest.mark.django_db


@pytest.fixture
def car() -> LabelClass:
    label_class = make_dataset("Things").classes.get(name="car")
    assert isinstance(label_class, LabelClass)
    return label_class


def image_of(car: LabelClass, data: bytes, *, is_scored: bool = True) -> GeneratedImage:
    image = make_image(label_class=car, **stored(data))
    if is_scored:
        version = lookalikes.ScorerVersion.objects.current() or make_version()
        Score.objects.create(image=image, version=version, value=0.5)
    return image


def found(dataset: Dataset) -> list[tuple[int | None, int | None, str]]:
    rows = Lookalike.objects.found().filter(dataset=dataset).order_by("pk")
    return [(row.image_id, row.of_image_id, row.kind) for row in rows]


def test_copies_are_told_when_they_arrive_and_other_pictures_are_not(car: LabelClass) -> None:
    first = image_of(car, scene(1))
    image_of(car, scene(2))
    assert compare_new() == 2
    assert found(car.dataset) == []
    smaller, same = image_of(car, scene(1, size=32)), image_of(car, scene(2))
    assert compare_new(recent_only=True) == 2
    assert compare_new() == 0
    second = GeneratedImage.objects.order_by("pk")[1]
    assert found(car.dataset) == [
        (smaller.pk, first.pk, LookalikeKind.LOOK),
        (same.pk, second.pk, LookalikeKind.COPY),
    ]


def test_what_has_no_score_yet_waits_for_its_embedding(car: LabelClass) -> None:
    image = image_of(car, scene(1), is_scored=False)
    assert compare_new() == 0
    assert compare_all(car.dataset_id) == 1  # an export waits for nobody
    assert list(Lookalike.objects.values_list("image", "kind")) == [(image.pk, "none")]


def test_pictures_without_contrast_are_copies_only_of_the_same_file(car: LabelClass) -> None:
    flat = make_image(label_class=car)  # the factory's images have one colour each
    make_image(label_class=car)
    twin = make_image(label_class=car, sha256=flat.sha256)
    compare_all(car.dataset_id)
    assert found(car.dataset) == [(twin.pk, flat.pk, LookalikeKind.COPY)]
    assert set(Fingerprint.objects.values_list("bits", flat=True)) == {None}


@pytest.mark.parametrize(("cosine", "are_near"), [(0.99, True), (0.9, False)])
def test_where_the_hash_is_unsure_the_embedding_decides(
    car: LabelClass, monkeypatch: pytest.MonkeyPatch, cosine: float, are_near: bool
) -> None:
    monkeypatch.setattr(lookalikes, "SURE_BITS", -1)
    monkeypatch.setattr(near_duplicates, "SURE_BITS", -1)
    monkeypatch.setattr(near_duplicates, "UNSURE_BITS", 64)
    version = make_version()
    for number, vector in enumerate([(1.0, 0.0), (cosine, (1 - cosine**2) ** 0.5)]):
        data = np.array(vector, dtype="<f2").tobytes()
        Embedding.objects.create(image=image_of(car, scene(number)), version=version, vector=data)
    compare_new()
    assert [kind for *_, kind in found(car.dataset)] == ["clip"] * are_near
    assert Lookalike.objects.filter(cosine__gt=0.98).exists() == are_near


def test_pictures_of_the_users_own_take_part_whichever_came_first(car: LabelClass) -> None:
    early = make_reference(car, scene(1), ReferenceUse.TEST)
    image = image_of(car, scene(1, size=32))
    compare_new()
    late = make_reference(car, scene(1, size=48), ReferenceUse.SOURCE)
    compare_new()
    rows = Lookalike.objects.found().order_by("pk")
    assert [(row.image_id, row.of_reference_id) for row in rows[:1]] == [(image.pk, early.pk)]
    assert rows[1].reference_id == late.pk


def test_another_dataset_has_its_own(car: LabelClass) -> None:
    image_of(car, scene(1))
    image_of(make_dataset("Other").classes.get(name="car"), scene(1))
    assert compare_new() == 2
    assert not Lookalike.objects.found().exists()


def test_many_copies_are_few_rows(car: LabelClass, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each row connects something new, so that copies cost a row each and not one a pair."""
    for _ in range(12):
        make_image(label_class=car)
    monkeypatch.setattr(lookalikes, "_fingerprint", lambda sha256: 5)
    compare_all(car.dataset_id)
    assert Lookalike.objects.found().count() == 11


@pytest.mark.parametrize("restarts", [False, True])
def test_they_connect_what_every_pair_would(
    car: LabelClass, monkeypatch: pytest.MonkeyPatch, restarts: bool
) -> None:
    """Random hashes in clumps, compared a few at a time by processes that may start anew."""
    chance = random.Random(3)
    centres = [chance.getrandbits(64) for _ in range(6)]
    hashes: dict[str, int] = {}
    images = [make_image(label_class=car) for _ in range(40)]
    for image in images:
        flips = sum(1 << chance.randrange(64) for _ in range(chance.choice([0, 3, 6])))
        hashes[image.sha256] = (chance.choice(centres) ^ flips) % 2**63
    monkeypatch.setattr(lookalikes, "_fingerprint", hashes.__getitem__)
    for start in range(0, len(images), 7):
        lookalikes._compare(car.dataset_id, images[start : start + 7])
        if restarts:
            lookalikes._indexes.clear()
    place = {image.pk: at for at, image in enumerate(images)}
    rows = [(place[one[1]], place[other[1]]) for one, other in Lookalike.objects.found().ends()]
    all_hashes = np.array([hashes[image.sha256] for image in images], dtype=np.uint64)
    pairs = [
        (one, other)
        for one, other, bits in close_pairs(all_hashes)
        if bits <= near_duplicates.SURE_BITS
    ]
    assert components(len(images), rows) == components(len(images), pairs)
    assert len(pairs) > len(rows) > 10


@pytest.mark.parametrize("step", [1, 9, 40])
def test_hashes_embeddings_and_copies_together_connect_what_every_pair_would(
    car: LabelClass, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    """Whether compared one by one or all in one batch."""
    chance = random.Random(8)
    centres = [(chance.getrandbits(63), chance.uniform(0, 6)) for _ in range(4)]
    files: list[tuple[str, int, float]] = []
    for number in range(30):
        bits, angle = chance.choice(centres)
        flips = sum(1 << at for at in chance.sample(range(63), chance.choice([2, 5, 6])))
        files.append((f"{number:064x}", bits ^ flips, angle + chance.choice([0, 0.15, 0.3])))
    hashes = {sha256: bits for sha256, bits, _ in files}
    monkeypatch.setattr(lookalikes, "_fingerprint", hashes.__getitem__)
    version, images, vectors = make_version(), [], {}
    for at in range(40):
        sha256, _, angle = chance.choice(files)
        images.append(make_image(label_class=car, sha256=sha256))
        vectors[at] = np.array([np.cos(angle), np.sin(angle)], dtype="<f2")
        data = vectors[at].tobytes()
        Embedding.objects.create(image=images[-1], version=version, vector=data)
    for start in range(0, len(images), step):
        lookalikes._compare(car.dataset_id, images[start : start + step])
    place = {image.pk: at for at, image in enumerate(images)}
    rows = [(place[one[1]], place[other[1]]) for one, other in Lookalike.objects.found().ends()]
    all_hashes = np.array([hashes[image.sha256] for image in images], dtype=np.uint64)
    pairs = list(near_duplicates.near_pairs(all_hashes, vectors))
    assert components(len(images), rows) == components(len(images), pairs)
    assert {kind for *_, kind in found(car.dataset)} == {"copy", "look", "clip"}
    assert 1 < len(set(components(len(images), pairs))) < 20


def test_a_batch_asks_the_database_as_often_as_one_picture_does(
    car: LabelClass, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(1)
    images = [make_image(label_class=car) for _ in range(21)]
    hashes = {image.sha256: chance.getrandbits(3) << 40 for image in images}
    monkeypatch.setattr(lookalikes, "_fingerprint", hashes.__getitem__)
    counts = []
    for some in (images[:1], images[1:]):
        with CaptureQueriesContext(connection) as queries:
            lookalikes._compare(car.dataset_id, some)
        counts.append(len(queries))
    assert counts[1] == counts[0]
    assert found(car.dataset)


def test_what_was_not_stored_is_forgotten(car: LabelClass, monkeypatch: pytest.MonkeyPatch) -> None:
    image_of(car, scene(1))
    compare_new()
    image_of(car, scene(1, size=32))
    with monkeypatch.context() as patch:
        patch.setattr(Lookalike.objects, "bulk_create", lambda rows: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            compare_new()
    assert compare_new() == 1
    assert len(found(car.dataset)) == 1


def test_a_database_that_was_put_back_is_read_anew(car: LabelClass) -> None:
    first, second = image_of(car, scene(1)), image_of(car, scene(1, size=32))
    compare_new()
    Lookalike.objects.filter(image=second).delete()
    assert compare_new() == 1
    assert found(car.dataset) == [(second.pk, first.pk, LookalikeKind.LOOK)]


def test_a_fingerprint_is_computed_once(car: LabelClass, monkeypatch: pytest.MonkeyPatch) -> None:
    image = make_image(label_class=car, **stored(scene(1)))
    known = fingerprints({image.sha256})
    assert known[image.sha256] is not None
    monkeypatch.setattr(lookalikes, "perceptual_hash", None)
    assert fingerprints({image.sha256}) == known


def test_the_nearest_hash_comes_first_and_none_is_near_nothing() -> None:
    index = HashIndex()
    for bits in (0b111, None, 0b1, 2**40 - 1):
        index.add(bits)
    assert index.near(0) == [(1, 2), (3, 0)]
