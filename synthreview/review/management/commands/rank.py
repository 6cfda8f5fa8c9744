"""`manage.py rank DATASET`: put the queue in order now, by the chance of being bad."""

from __future__ import annotations

import time
from typing import Any

from django.core.management.base import CommandError

from synthreview.catalog.management.base import DatasetCommand, find_dataset, one_line
from synthreview.review.ranking_jobs import rank
from synthreview.review.ranking_models import Ranking
from synthreview.review.ranking_services import ask_for_ranking
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import take_back_overdue

IDLE_S = 0.2


class Command(DatasetCommand):
    help = "Put the review queue in order by what the decisions so far teach."

    def answer_to(self, *, dataset: str, **options: Any) -> None:
        found = find_dataset(dataset)
        asked = ask_for_ranking(found)
        ranking = asked or Ranking.objects.filter(dataset=found, state__in=OPEN_STATES).first()
        if ranking is None:  # it ended in this very moment
            ranking = Ranking.objects.filter(dataset=found).order_by("-pk")[0]
        self.wait_for(ranking)
        learned = (
            f"learned from {ranking.decisions} decisions, {ranking.bad} of them bad"
            if ranking.is_learned
            else "the lowest score of each caption first, until there are decisions to learn from"
        )
        self.answer(
            {
                "dataset": found.slug,
                "ranking": ranking.number,
                "method": ranking.method,
                "decisions": ranking.decisions,
                "bad": ranking.bad,
                "waiting": ranking.waiting,
                "moved": ranking.moved,
                "figures": ranking.figures,
                "seconds": ranking.seconds,
            },
            f"{ranking.waiting} images in order: {learned}.",
            options,
        )

    def wait_for(self, ranking: Ranking) -> None:
        """Do it here, or wait for the worker that has it. Raises CommandError where it failed."""
        while ranking.state in OPEN_STATES:
            rank(ranking.pk)
            ranking.refresh_from_db()
            if ranking.state in OPEN_STATES:
                time.sleep(IDLE_S)
                take_back_overdue()
        if ranking.state != WorkState.DONE:
            raise CommandError(f"The ranking failed: {one_line(ranking.error)}.")
