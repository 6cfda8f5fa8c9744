"""What a dataset shows of the groups that a curator watches: asked, generated, approved.

The scorer's guesses come from scoring, corrected by what people saw of a random sample; this
module sets them against captions and decisions. docs/coverage.md tells it in words.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from django.db.models import Count, Max, Q, Sum
from django.db.models.functions import Now

from synthreview.catalog.models import Dataset
from synthreview.generation.models import Call
from synthreview.overview.coverage import Counts, is_apart
from synthreview.prompting.learning import Rate, Tally, rate_of
from synthreview.prompting.models import Prompt
from synthreview.review.models import Decision, ImageReview, ImageState
from synthreview.scoring.models import ScorerVersion
from synthreview.scoring.probe_models import Probe, ProbeGroup, ProbeLabel, ProbeReading
from synthreview.scoring.probe_shares import (
    LEAST_LABELLED,
    PERHAPS_UNDER,
    UNDER,
    corrected_shares,
    distance,
    shares_of,
    standing,
)
from synthreview.scoring.probe_shares import Counts as Numbers
from synthreview.scoring.probing import images_of, newest_pass
from synthreview.work.models import OPEN_STATES, WorkState

NONE_OF_THESE = "none of these"


@dataclass(frozen=True, slots=True)
class Figure:
    """A share; with its interval where people checked a sample."""

    share: float
    low: float | None = None
    high: float | None = None

    @property
    def interval(self) -> tuple[float, float] | None:
        return None if self.low is None or self.high is None else (self.low, self.high)

    def as_json(self) -> list[float]:
        ends = self.interval or ()
        return [round(number, 4) for number in (self.share, *ends)]


@dataclass(frozen=True, slots=True)
class GroupLine:
    """One group: what captions ask for, what the scorer guesses, and what there probably is."""

    group: ProbeGroup
    asked: int
    asked_share: float
    guessed: Counts
    generated: Figure
    approved: Figure
    is_apart: bool
    standing: str

    @property
    def is_alarm(self) -> bool:
        return self.standing in (UNDER, PERHAPS_UNDER)

    def as_json(self) -> dict[str, Any]:
        rate = self.guessed.rate
        return {
            "group": self.group.name,
            "floor": self.group.floor,
            "standing": self.standing or None,
            "asked": self.asked,
            "asked_share": round(self.asked_share, 4),
            "guessed": {
                "generated": self.guessed.generated,
                "approved": self.guessed.approved,
                "rejected": self.guessed.rejected,
            },
            "generated_share": self.generated.as_json(),
            "approved_share": self.approved.as_json(),
            "approval_rate": rate and [round(end, 4) for end in (rate.mean, rate.low, rate.high)],
            "is_apart": self.is_apart,
        }


@dataclass(frozen=True, slots=True)
class Confusion:
    """What people saw (rows, the last one none of these) of images by what the scorer guessed."""

    rows: list[tuple[str, list[int]]]
    labelled: int
    agreement: Rate | None
    waiting: int  # images that came later and belong to the sample, by their lot


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """Everything about one probe; `state` is one of the keys of STATES."""

    probe: Probe
    version: ScorerVersion | None
    state: str
    unknown_words: list[str]
    error: str
    images: int
    read: int
    approved: int
    lines: list[GroupLine]
    not_stated: int
    none_of_these: tuple[Figure, Figure] | None
    confusion: Confusion
    drift: dict[str, float | None]
    is_corrected: dict[str, bool]

    @property
    def alarms(self) -> list[str]:
        return [_alarm(self, line) for line in self.lines if line.is_alarm]

    def as_json(self) -> dict[str, Any]:
        confusion = self.confusion
        agreement = confusion.agreement
        return {
            "probe": self.probe.name,
            "classes": [label_class.name for label_class in self.probe.classes.all()],
            "scorer": str(self.version) if self.version else None,
            "state": self.state,
            "unknown_words": self.unknown_words,
            "images": self.images,
            "read": self.read,
            "approved": self.approved,
            "asked_not_stated": self.not_stated,
            "groups": [line.as_json() for line in self.lines],
            "none_of_these": self.none_of_these
            and [figure.as_json() for figure in self.none_of_these],
            "corrected": self.is_corrected,
            "confusion": {
                "guessed": [line.group.name for line in self.lines],
                "seen": dict(confusion.rows),
                "labelled": confusion.labelled,
                "agreement": agreement
                and [round(end, 4) for end in (agreement.mean, agreement.low, agreement.high)],
            },
            "drift": {
                step: None if far is None else round(far, 4) for step, far in self.drift.items()
            },
            "alarms": self.alarms,
        }


STATES = {
    "read": "",
    "waiting": "The scoring worker has not read this probe yet.",
    "reading": "The scoring worker is reading this probe.",
    "deaf": "does not apply",
    "failed": "Reading this probe failed.",
    "empty": "There is no image to read yet.",
}


def probes_of(dataset: Dataset) -> list[Probe]:
    """Return a dataset's probes with their groups and classes."""
    rows = Probe.objects.filter(dataset=dataset)
    return list(rows.prefetch_related("groups", "classes").select_related("dataset"))


def report_of(probe: Probe) -> ProbeReport:
    """Count everything about a probe; nine queries, by caption and not by image."""
    version = ScorerVersion.objects.current()
    groups = list(probe.groups.all())
    at = {group.pk: number for number, group in enumerate(groups)}
    generated, approved, rejected = (np.zeros(len(groups), np.int64) for _ in range(3))
    stated, shown = np.zeros(len(groups), np.int64), np.zeros(len(groups), np.int64)
    asked_by = _asked_by(probe, groups)
    for prompt, group, count, kept, dropped in _read_by_caption(probe, version):
        generated[at[group]] += count
        approved[at[group]] += kept
        rejected[at[group]] += dropped
        if prompt in asked_by:
            stated[asked_by[prompt]] += count
            shown[at[group]] += count
    asked, not_stated = _asked(probe, asked_by, len(groups))
    tables = _labelled(probe, version, at)
    all_of, kept_of = (
        _figures(guessed, table)
        for guessed, table in ((generated, tables["generated"]), (approved, tables["approved"]))
    )
    counts = [
        Counts(generated=int(g), approved=int(a), rejected=int(r))
        for g, a, r in zip(generated, approved, rejected, strict=True)
    ]
    total = Counts(
        generated=int(generated.sum()), approved=int(approved.sum()), rejected=int(rejected.sum())
    )
    asked_shares = shares_of(asked)
    lines = [
        GroupLine(
            group=group,
            asked=int(asked[number]),
            asked_share=float(asked_shares[number]),
            guessed=counts[number],
            generated=all_of[number],
            approved=kept_of[number],
            is_apart=is_apart(counts[number], total),
            standing=_standing(group, kept_of[number], total.approved),
        )
        for number, group in enumerate(groups)
    ]
    images = images_of(probe).count()
    state, unknown, error = _state(probe, version, images, total.generated)
    is_corrected = {
        name: bool(table.sum() >= LEAST_LABELLED and guessed.sum())
        for name, table, guessed in (
            ("generated", tables["generated"], generated),
            ("approved", tables["approved"], approved),
        )
    }
    return ProbeReport(
        probe=probe,
        version=version,
        state=state,
        unknown_words=unknown,
        error=error,
        images=images,
        read=total.generated,
        approved=total.approved,
        lines=lines,
        not_stated=not_stated,
        none_of_these=(all_of[-1], kept_of[-1]) if is_corrected["generated"] else None,
        confusion=_confusion(probe, version, groups, tables["generated"]),
        drift={
            "asked_to_generated": (
                distance(shares_of(stated), shares_of(shown)) if stated.any() else None
            ),
            "generated_to_approved": (
                distance(
                    np.array([figure.share for figure in all_of]),
                    np.array([figure.share for figure in kept_of]),
                )
                if total.approved and is_corrected["generated"] == is_corrected["approved"]
                else None
            ),
        },
        is_corrected=is_corrected,
    )


# --- Counting ---------------------------------------------------------------------------


def _read_by_caption(
    probe: Probe, version: ScorerVersion | None
) -> list[tuple[int | None, int, int, int, int]]:
    """Return (prompt, group, images, approved, rejected) of what was read."""
    rows = ProbeReading.objects.filter(probe=probe, version=version).order_by()
    return list(
        rows.values_list("image__prompt", "group").annotate(
            Count("pk"),
            approved=Count("pk", filter=Q(image__review__state=ImageState.APPROVED)),
            rejected=Count("pk", filter=Q(image__review__state=ImageState.REJECTED)),
        )
    )


def _asked_by(probe: Probe, groups: Sequence[ProbeGroup]) -> dict[int, int]:
    """Return the place of the one group that each caption asks for; the others name none or two."""
    prompts = Prompt.objects.filter(dataset=probe.dataset_id).order_by()
    if classes := [label_class.pk for label_class in probe.classes.all()]:
        prompts = prompts.filter(label_class__in=classes)
    asks = group_finder([(group.name, *group.asked_by) for group in groups])
    found = ((pk, asks(text)) for pk, text in prompts.values_list("pk", "text").iterator())
    return {pk: place for pk, place in found if place is not None}


def group_finder(words: Sequence[Sequence[str]]) -> Callable[[str], int | None]:
    """Return a function that finds the one place whose words stand in a text, as whole words."""
    patterns = [
        re.compile(
            r"(?<![\w-])(?:" + "|".join(re.escape(one.casefold()) for one in own) + r")(?![\w-])"
        )
        for own in words
    ]

    def find(text: str) -> int | None:
        folded = text.casefold()
        places = [at for at, pattern in enumerate(patterns) if pattern.search(folded)]
        return places[0] if len(places) == 1 else None

    return find


def _asked(probe: Probe, asked_by: dict[int, int], groups: int) -> tuple[Numbers, int]:
    """Return how many images calls asked for by group, and how many without stating one."""
    calls = Call.objects.filter(run__dataset=probe.dataset_id).order_by()
    if classes := [label_class.pk for label_class in probe.classes.all()]:
        calls = calls.filter(prompt__label_class__in=classes)
    asked, not_stated = np.zeros(groups, np.int64), 0
    for prompt, count in calls.values_list("prompt").annotate(Sum("count")):
        if prompt in asked_by:
            asked[asked_by[prompt]] += count
        else:
            not_stated += count
    return asked, not_stated


def _labelled(
    probe: Probe, version: ScorerVersion | None, at: dict[int, int]
) -> dict[str, Numbers]:
    """Return (G, G + 1) tables of guess by what people saw, of all images and of the approved."""
    tables = {
        name: np.zeros((len(at), len(at) + 1), np.int64) for name in ("generated", "approved")
    }
    seen = dict(ProbeLabel.objects.filter(probe=probe).values_list("image", "group"))
    guesses = ProbeReading.objects.filter(
        probe=probe,
        version=version,
        image__in=ProbeLabel.objects.filter(probe=probe).values("image"),
    )
    for image, guess, state in guesses.values_list("image", "group", "image__review__state"):
        place = at[guess], len(at) if seen[image] is None else at[seen[image]]
        tables["generated"][place] += 1
        tables["approved"][place] += state == ImageState.APPROVED
    return tables


def _figures(guessed: Numbers, table: Numbers) -> list[Figure]:
    """Return each group's share and that of none of these, corrected where the sample is enough."""
    if table.sum() < LEAST_LABELLED or not guessed.sum():
        return [Figure(float(share)) for share in (*shares_of(guessed), 0.0)]
    found = corrected_shares(guessed, table)
    return [
        Figure(*map(float, ends)) for ends in zip(found.mean, found.low, found.high, strict=True)
    ]


def _standing(group: ProbeGroup, figure: Figure, approved: int) -> str:
    if group.floor is None:
        return ""
    return standing(group.floor, figure.share, figure.interval, approved)


def _confusion(
    probe: Probe, version: ScorerVersion | None, groups: Sequence[ProbeGroup], table: Numbers
) -> Confusion:
    names = [*(group.name for group in groups), NONE_OF_THESE]
    labelled, right = int(table.sum()), int(table.trace())
    waiting = 0
    readings = ProbeReading.objects.filter(probe=probe, version=version)
    labels = ProbeLabel.objects.filter(probe=probe)
    if labelled:
        last = readings.filter(image__in=labels.values("image")).aggregate(last=Max("lot"))["last"]
        waiting = readings.filter(lot__lte=last).count() - labelled
    return Confusion(
        rows=[(name, table[:, at].tolist()) for at, name in enumerate(names)],
        labelled=labelled,
        agreement=rate_of(Tally(right, labelled - right)) if labelled else None,
        waiting=waiting,
    )


def _state(
    probe: Probe, version: ScorerVersion | None, images: int, read: int
) -> tuple[str, list[str], str]:
    last = newest_pass(probe, version)
    if last is not None and last.unknown_words:
        return "deaf", list(last.unknown_words), ""
    if last is not None and last.state == WorkState.FAILED:
        return "failed", [], last.error
    if read:
        return "read", [], ""
    if not images:
        return "empty", [], ""
    return ("reading" if last and last.state in OPEN_STATES else "waiting"), [], ""


# --- Floors -----------------------------------------------------------------------------


def _alarm(report: ProbeReport, line: GroupLine) -> str:
    """Return the sentence about a group that is under its floor, or seems to be."""
    figure, floor = line.approved, f"{line.group.floor or 0:.0%}"
    share = f"{figure.share:.0%}"
    if figure.interval is not None:
        share += f" ({figure.interval[0]:.0%} to {figure.interval[1]:.0%})"
    if line.standing == UNDER:
        return (
            f"{report.probe.name}: {line.group.name} is under its floor of {floor}: about {share} "
            f"of {report.approved:,} approved images."
        )
    how = "as the scorer guesses, unchecked" if figure.interval is None else "not yet for certain"
    return (
        f"{report.probe.name}: {line.group.name} seems to be under its floor of {floor}: about "
        f"{share} of {report.approved:,} approved images, {how}."
    )


def watch_floors() -> int:
    """Keep the alarms of every probe with a floor up to date; returns how many were looked at.

    A step of the sweeper: a probe of which nothing changed costs a few small queries.
    """
    looked = 0
    rows = Probe.objects.filter(groups__floor__isnull=False).distinct()
    for probe in rows.prefetch_related("groups", "classes").select_related("dataset"):
        now = _trace(probe)
        if now == probe.checked_of:
            continue
        alarms = report_of(probe).alarms
        Probe.objects.filter(pk=probe.pk, revision=probe.revision).update(
            alarms=alarms, checked_of=now, checked_at=Now()
        )
        looked += 1
    without = Probe.objects.exclude(groups__floor__isnull=False).exclude(alarms=[])
    without.update(alarms=[])
    return looked


def _trace(probe: Probe) -> str:
    """Return what changes whenever a probe's figures may: readings, labels, decisions."""
    version = ScorerVersion.objects.current()
    readings = ProbeReading.objects.filter(probe=probe, version=version)
    labels = ProbeLabel.objects.filter(probe=probe).aggregate(Count("pk"), Max("pk"))
    decided = Decision.objects.filter(dataset=probe.dataset_id).aggregate(last=Max("pk"))["last"]
    approved = ImageReview.objects.filter(dataset=probe.dataset_id, state=ImageState.APPROVED)
    parts = (
        version and version.pk,
        probe.revision,
        readings.aggregate(last=Max("pk"))["last"],
        *labels.values(),
        decided,
        approved.count(),
    )
    return " ".join(str(part) for part in parts)


def floor_alarms(dataset: Dataset) -> list[tuple[Probe, list[str]]]:
    """Return the alarms on record of a dataset's probes; one query."""
    rows = Probe.objects.filter(dataset=dataset).exclude(alarms=[])
    return [(probe, list(probe.alarms)) for probe in rows]
