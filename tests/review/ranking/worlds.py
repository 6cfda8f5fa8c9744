"""Small invented sets of images for the tests of the ranking."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from synthreview.review.ranking.model import Decided
from synthreview.review.ranking.table import BoolArray, ImageTable


@dataclass(frozen=True)
class World:
    """Images with what is true of them."""

    table: ImageTable
    is_bad: BoolArray

    def decided(self, count: int, seed: int = 0) -> Decided:
        """Return what is known once `count` images, drawn by lot, are decided."""
        known = np.zeros(len(self.table), dtype=bool)
        known[np.random.default_rng(seed).choice(len(known), count, replace=False)] = True
        return Decided(known, self.is_bad, known)


def make_world(
    count: int = 600,
    *,
    seed: int = 0,
    score_tells: float = 1.0,
    bad_share: float = 0.2,
    bad_captions: float = 0.0,
) -> World:
    """Return images of 60 captions, two classes and two techniques.

    `score_tells`: by so many deviations the bad score lower. `bad_captions`: in so many of the
    captions four images of five are bad; elsewhere `bad_share` of them.
    """
    rng = np.random.default_rng(seed)
    caption = np.arange(count) % 60
    rate = np.where(caption < 60 * bad_captions, 0.8, bad_share)
    is_bad = rng.random(count) < rate
    score = rng.normal(size=count) - score_tells * is_bad
    table = ImageTable(
        scores={"score": score},
        kinds={
            "caption": caption,
            "label_class": caption % 2,
            "technique": caption // 2 % 2,
            "generator": np.zeros(count, dtype=np.int64),
        },
    )
    return World(table, is_bad)
