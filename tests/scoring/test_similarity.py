"""The nearest images: as a plain search finds them, from files and from what came since."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.scoring import similarity
from synthreview.scoring.models import Embedding, ScorerVersion
from synthreview.scoring.similarity import index_full_segments, most_like
from synthreview.scoring.vector_segments import last_key, nearest, write_segment
from tests.factories import make_dataset, make_version
from tests.review.ranking.rows import make_queue


def vectors_of(count: int, width: int = 16, seed: int = 0) -> np.ndarray:
    """Return (N, D) float16 vectors of length 1, in a few heaps."""
    rng = np.random.default_rng(seed)
    heaps = rng.normal(size=(8, width))
    found = heaps[rng.integers(0, 8, count)] + 0.4 * rng.normal(size=(count, width))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def plainly(vectors: np.ndarray, one: np.ndarray, count: int) -> list[int]:
    cosines = vectors.astype(np.float32) @ one.astype(np.float32)
    return np.argsort(-cosines, kind="stable")[:count].tolist()


# --- Segments -------------------------------------------------------------------------


def test_segments_and_the_rest_are_searched_as_one(tmp_path: Path) -> None:
    vectors = vectors_of(600)
    write_segment(tmp_path, range(1, 251), vectors[:250])
    write_segment(tmp_path, range(251, 501), vectors[250:500])
    rest = np.arange(501, 601), vectors[500:]
    assert last_key(tmp_path) == 500
    for one in (0, 300, 599):
        found = nearest(tmp_path, vectors[one], 20, rest=rest)
        wanted = {key + 1 for key in plainly(vectors, vectors[one], 20)}
        assert found[0][0] == one + 1
        assert found[0][1] == pytest.approx(1, abs=2e-3)
        assert {key for key, _ in found} == wanted
        cosines = [cosine for _, cosine in found]
        assert cosines == sorted(cosines, reverse=True)


def test_an_empty_folder_has_nothing(tmp_path: Path) -> None:
    assert last_key(tmp_path / "none") == 0
    assert nearest(tmp_path / "none", vectors_of(1)[0], 5) == []


def test_a_draft_that_was_left_behind_is_no_segment(tmp_path: Path) -> None:
    write_segment(tmp_path, range(1, 11), vectors_of(10))
    (tmp_path / ".1-20.npy.77").write_bytes(b"half")
    (tmp_path / "notes.npy").write_bytes(b"")
    assert last_key(tmp_path) == 10
    assert len(nearest(tmp_path, vectors_of(10)[0], 50)) == 10


def test_writing_the_same_segment_again_leaves_one(tmp_path: Path) -> None:
    for _ in range(2):
        write_segment(tmp_path, range(1, 11), vectors_of(10))
    assert len(list(tmp_path.iterdir())) == 1


# --- Rows -----------------------------------------------------------------------------


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut segments of twenty, of which the newest five are left to settle."""
    monkeypatch.setattr(similarity, "SEGMENT", 20)
    monkeypatch.setattr(similarity, "UNSETTLED", 5)
    similarity._rests.clear()


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset()


def fill(dataset: Dataset, vectors: np.ndarray) -> list[GeneratedImage]:
    return make_queue(dataset, [0.5] * len(vectors), vectors=vectors)


def version() -> ScorerVersion:
    return ScorerVersion.objects.get()


@pytest.mark.django_db
@pytest.mark.usefixtures("small")
def test_the_most_alike_come_first_whether_indexed_or_not(dataset: Dataset) -> None:
    vectors = vectors_of(70)
    images = fill(dataset, vectors)
    wanted = [images[n].pk for n in plainly(vectors, vectors[3], 11) if n != 3]
    before = most_like(images[3], 10)
    assert {pk for pk, _ in before} == set(wanted)
    assert index_full_segments(dataset.pk, version()) == 3
    after = most_like(images[3], 10)
    assert {pk for pk, _ in after} == set(wanted)
    assert images[3].pk not in {pk for pk, _ in after}
    assert index_full_segments(dataset.pk, version()) == 0


@pytest.mark.django_db
@pytest.mark.usefixtures("small")
def test_what_comes_later_is_found_and_read_once(dataset: Dataset) -> None:
    images = fill(dataset, vectors_of(30))
    most_like(images[0], 5)
    twin = fill(dataset, vectors_of(30)[:1])
    assert most_like(images[0], 5)[0][0] == twin[0].pk
    with CaptureQueriesContext(connection) as queries:
        most_like(images[0], 5)
    [page] = [q["sql"] for q in queries if "ORDER BY" in q["sql"] and "vector" in q["sql"]][-1:]
    assert '"id" >' in page  # from the unsettled ones on, not all


@pytest.mark.django_db
@pytest.mark.usefixtures("small")
def test_other_datasets_images_are_never_found(dataset: Dataset) -> None:
    vectors = vectors_of(40)
    images = fill(dataset, vectors)
    others = fill(make_dataset("Other"), vectors)
    for one in (dataset, others[0].dataset):
        index_full_segments(one.pk, version())
    found = {pk for pk, _ in most_like(images[0], 40)}
    assert found <= {image.pk for image in images}


@pytest.mark.django_db
@pytest.mark.usefixtures("small")
def test_without_an_embedding_there_is_nothing(dataset: Dataset) -> None:
    [image] = make_queue(dataset, [0.5])
    assert most_like(image, 5) == []
    make_version(model="newer")
    assert most_like(image, 5) == []


@pytest.mark.django_db
@pytest.mark.usefixtures("small")
def test_an_image_whose_row_is_gone_is_left_out(dataset: Dataset) -> None:
    images = fill(dataset, vectors_of(50))
    index_full_segments(dataset.pk, version())
    Embedding.objects.filter(image=images[1]).delete()
    assert images[1].pk not in {pk for pk, _ in most_like(images[0], 50)}
