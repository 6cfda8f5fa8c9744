"""Pictures that look unlike their kin are found without any decision."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.review.ranking.features import of_embedding, unlabelled
from synthreview.review.ranking.judging import auroc
from synthreview.review.ranking.table import ImageTable
from synthreview.review.ranking.unlike import distances, unexplained


def make_table(*, count: int = 600, dimensions: int = 12, odd: int = 30) -> ImageTable:
    """Return pictures whose class and place fix their embedding up to noise; the first are odd."""
    rng = np.random.default_rng(3)
    own_class, place = rng.integers(0, 3, count), rng.integers(0, 4, count)
    embedding = (
        4 * rng.normal(size=(3, dimensions))[own_class]
        + 4 * rng.normal(size=(4, dimensions))[place]
        + rng.normal(size=(count, dimensions))
    )
    embedding[:odd] += 3 * rng.choice([-1, 1], size=(odd, dimensions))
    return ImageTable(
        {"score": rng.normal(size=count)},
        {"label_class": own_class, "axis_place": place},
        embedding.astype(np.float16),
    )


def test_the_odd_ones_are_far_from_their_class() -> None:
    table = make_table()
    far = distances(unexplained(table), table.kind("label_class"), width=12)
    found = auroc(-far, np.arange(len(table)) < 30)
    assert found is not None
    assert found.value > 0.95


def test_what_the_caption_explains_counts_for_nothing() -> None:
    table = make_table(odd=0)
    rest = unexplained(table)
    for kind in ("label_class", "axis_place"):
        codes = table.kind(kind)
        means = np.array([rest[codes == code].mean(axis=0) for code in np.unique(codes)])
        assert np.abs(means).max() < 0.1
    assert rest.std(axis=0) == pytest.approx(np.ones(12), abs=0.01)


def test_images_without_an_embedding_are_ordinary() -> None:
    table = make_table()
    embedding = table.embedding
    assert embedding is not None
    embedding[100:200] = 0
    columns = of_embedding(table, 4)
    assert (columns.values[100:200] == 0).all()
    assert np.isfinite(columns.values).all()


def test_a_class_of_one_picture_and_a_flat_embedding_break_nothing() -> None:
    table = make_table(count=200)
    lonely = table.kind("label_class").copy()
    lonely[0] = 99
    flat = np.zeros((200, 5), dtype=np.float32)
    flat[:, 0] = 1.0  # all pictures alike
    table = ImageTable(table.scores, {"label_class": lonely}, flat)
    assert np.isfinite(unlabelled(table.with_cells(), components=3).values).all()
    odd = ImageTable(table.scores, {"label_class": lonely}, make_table(count=200).embedding)
    assert np.isfinite(unlabelled(odd.with_cells(), components=3).values).all()
