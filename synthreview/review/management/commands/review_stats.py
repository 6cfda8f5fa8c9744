"""`manage.py review_stats DATASET`: how far the reviewers agree, and how often each is wrong."""

from __future__ import annotations

from typing import Any

from synthreview.catalog.management.base import DatasetCommand, find_dataset
from synthreview.review.agreement import Share
from synthreview.review.reviewers import ReviewStats, as_json, review_stats


class Command(DatasetCommand):
    help = "Say how far reviewers agree, and how often each is wrong on known answers."

    def answer_to(self, *, dataset: str, **options: Any) -> None:
        found = find_dataset(dataset)
        stats = review_stats(found)
        self.answer({"dataset": found.slug, **as_json(stats)}, _told(stats), options)


def _told(stats: ReviewStats) -> str:
    if not stats.reviewers:
        return "Nobody has decided anything yet."
    lines = [
        f"{one.user.username}: {one.decisions} decisions; agrees with others in "
        f"{_of(one.agreement)}; missed {_of(one.missed)} known bad, rejected {_of(one.alarmed)} "
        f"known good{'; DRIFTS' if one.drifts else ''}"
        for one in stats.reviewers
    ]
    alpha = "unknown" if stats.krippendorff is None else f"{stats.krippendorff:.2f}"
    lines.append(f"{stats.images_with_several} images with several looks; alpha {alpha}.")
    return "\n".join(lines)


def _of(one: Share) -> str:
    return f"{one.count} of {one.of}"
