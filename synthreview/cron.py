"""Every automatic step, in one place: what runs, and how often. `manage.py sweep` runs them.

Each step may run twice at once on two hosts: the rows decide who does what.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from synthreview.catalog.storage import forget_fetched
from synthreview.evaluation.diversity_services import plan_diversity
from synthreview.overview.probes import watch_floors
from synthreview.prompting.uploads import drop_expired, drop_expired_shared
from synthreview.review.certifying import steer
from synthreview.review.hard_faults import FaultFinder
from synthreview.review.intake import admit, ask_for_more_looks, reorder
from synthreview.review.outcomes import OutcomeTeller, tell_outcomes
from synthreview.review.queue import free_expired
from synthreview.review.ranking_services import plan_rankings
from synthreview.review.threshold_rules import keep_thresholds
from synthreview.scoring.caption_jobs import plan_caption_passes
from synthreview.scoring.lookalikes import compare_new
from synthreview.scoring.probing import plan_probes
from synthreview.scoring.questioning import plan_questions
from synthreview.scoring.services import plan_scoring
from synthreview.spending.services import tidy_spool
from synthreview.work.services import note_sweeper, sweep


@dataclass(frozen=True)
class Step:
    """One automatic step."""

    name: str
    every_s: float
    run: Callable[[], Any]


STEPS = (
    Step("leave a sign of life for the doctor", 10, note_sweeper),
    Step("plan scoring of new images", 1, partial(plan_scoring, recent_only=True)),
    Step("plan questions to a vision model", 10, plan_questions),
    Step("compare new images with those before", 2, partial(compare_new, recent_only=True)),
    Step("compare any image left out", 60, compare_new),
    Step("put scored images into the queue", 1, partial(admit, recent_only=True)),
    Step("plan to compare captions by meaning", 15, plan_caption_passes),
    Step("plan to read probes of new images", 5, partial(plan_probes, recent_only=True)),
    Step("plan to read probes of any image left out", 60, plan_probes),
    Step("raise alarms for groups under their floor", 30, watch_floors),
    Step("plan to measure diversity", 30, plan_diversity),
    Step("take back and enqueue durable work", 5, sweep),
    Step("use paid answers that came late", 30, tidy_spool),
    Step("set the share of audits", 5, steer),
    Step("accept by score what audits allow", 5, keep_thresholds),
    Step("put unreadable, blank and doubled images aside", 5, FaultFinder()),
    Step("free review leases that ran out", 10, free_expired),
    Step("plan scoring of any image left out", 60, plan_scoring),
    Step("put any image left out into the queue", 60, admit),
    Step("tell prompts what people decided of their images", 5, OutcomeTeller()),
    Step("tell it of every prompt anew", 3600, tell_outcomes),
    Step("forget uploads older than a day", 3600, drop_expired),
    Step("forget them in the bucket", 3600, drop_expired_shared),
    Step("forget files that were fetched from the bucket", 600, forget_fetched),
    Step("ask high-risk datasets' images for more looks", 30, ask_for_more_looks),
    Step("reorder the queue by the current model", 60, reorder),
    Step("plan to put queues in order by the chance of being bad", 2, plan_rankings),
)
