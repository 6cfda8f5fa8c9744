"""Accepting by score: what the audits allow, put into force, taken back by an alarm.

The choice is thresholds.py's. Nothing is judged here: an accepted image still waits, behind all
others, and audits go on falling on it. docs/thresholds.md tells the rules.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.review.certificate import Stream
from synthreview.review.certifying import Certificate, certificate_of, percent
from synthreview.review.cohorts import open_certification
from synthreview.review.models import (
    FREE,
    Certification,
    Cohort,
    Decision,
    ImageReview,
    Lane,
    ReviewSlot,
    SlotState,
)
from synthreview.review.promises import Promise, promise, unseen
from synthreview.review.threshold_alarms import alarms_of
from synthreview.review.threshold_models import AcceptanceRule, Thresholds
from synthreview.review.thresholds import (
    Cell,
    Step,
    chosen_of,
    level_of,
    steps_of,
)
from synthreview.scoring.models import Score, ScorerVersion
from synthreview.trail.acts import Act
from synthreview.trail.services import record

LEAST_IMAGES = 50  # a smaller cell could not be certified with fewer audits than it has images
BATCH = 200
REST = 5  # between two computations lies at least so many times what the last one took
KeyOfCell = tuple[int, int, str]  # cohort, class, technique


class ThresholdError(ValueError):
    """Nothing may be accepted by score here; the message says why, in plain words."""


@dataclass(frozen=True, slots=True)
class CellState:
    """One class and technique of a cohort, with its share of alpha."""

    cohort: int
    label_class: int
    technique: str
    cell: Cell
    alpha: float

    @property
    def key(self) -> KeyOfCell:
        return self.cohort, self.label_class, self.technique


# --- What is certain ------------------------------------------------------------------


def thresholds_of(certification: Certification) -> Thresholds | None:
    """Return how it accepts by score, made now if it is new; None before there is a scorer."""
    rows = Thresholds.objects.select_related("version", "certification__dataset__policy")
    if found := rows.filter(certification=certification).first():
        return found
    version = ScorerVersion.objects.current()
    if version is None:
        return None
    new, _ = Thresholds.objects.get_or_create(
        certification=certification, defaults={"version": version}
    )
    return new


def cells_of(
    thresholds: Thresholds, certificate: Certificate, *, only: KeyOfCell | None = None
) -> list[CellState]:
    """Return each class and technique that is large enough; three queries for each cohort."""
    return [
        state
        for cohort in certificate.cohorts
        for state in _cells(thresholds, certificate, cohort, only)
    ]


def _cells(
    thresholds: Thresholds, certificate: Certificate, cohort: Cohort, only: KeyOfCell | None
) -> Iterator[CellState]:
    if only and only[0] != cohort.pk:
        return
    alpha = level_of(cohort.number, cells_counted(cohort), certificate.alpha)
    scores: dict[tuple[int, str], dict[int, float]] = defaultdict(dict)
    for image, value, label_class, technique in _scores(thresholds, cohort, only):
        scores[label_class, technique][image] = value
    where = {image: key for key, own in scores.items() for image in own}
    seen: dict[tuple[int, str], list[tuple[int, bool, bool, bool]]] = defaultdict(list)
    for event in certificate.events:
        if event.cohort == cohort.pk and event.image in where:
            assert event.look
            is_audit = event.look.stream is not Stream.TARGETED  # of all, or of just this cell
            is_bad = event.look.is_bad
            row = (event.image, is_audit, is_bad is True, is_bad is None)
            seen[where[event.image]].append(row)
    for (label_class, technique), own in sorted(scores.items()):
        if len(own) < LEAST_IMAGES:
            continue
        images = {image: place for place, image in enumerate(own)}
        rows = seen[label_class, technique]
        cell = Cell(
            scores=np.fromiter(own.values(), dtype=np.float64, count=len(own)),
            place=np.array([images[row[0]] for row in rows], dtype=np.int64),
            is_audit=np.array([row[1] for row in rows], dtype=bool),
            is_bad=np.array([row[2] for row in rows], dtype=bool),
            is_lost=np.array([row[3] for row in rows], dtype=bool),
        )
        yield CellState(cohort.pk, label_class, technique, cell, alpha)


def cells_counted(cohort: Cohort) -> int:
    """Return among how many cells a cohort's alpha is divided: fixed when it was frozen."""
    return sum(count >= LEAST_IMAGES for _, _, count in cohort.strata)


def _scores(
    thresholds: Thresholds, cohort: Cohort, only: KeyOfCell | None
) -> Iterator[tuple[int, float, int, str]]:
    """Yield image, score, class and technique of all that were frozen, those that left too."""
    rows = Score.objects.filter(version=thresholds.version_id, applies=True)
    if only:
        rows = rows.filter(image__label_class=only[1], image__technique=only[2])
    left = cohort.departures.values("image")
    for part in (rows.filter(image__review__cohort=cohort), rows.filter(image__in=left)):
        found = part.order_by("image").values_list(
            "image", "value", "image__label_class", "image__technique"
        )
        for image, value, label_class, technique in found.iterator(chunk_size=10_000):
            assert value is not None  # it applies
            yield image, value, label_class, technique


# --- Consent --------------------------------------------------------------------------


def why_not(dataset: Dataset) -> str:
    """Return why nothing may be accepted by score in this dataset; empty where it may."""
    if dataset.policy.is_high_risk:
        return "This dataset is marked high risk: a person looks at every image."
    if not dataset.policy.accepts_unseen:
        return (
            "The policy accepts nothing that nobody looked at. An admin allows it in the "
            "settings: “Accept what nobody looked at”."
        )
    return ""


@transaction.atomic
def switch_on(*, dataset: Dataset, user: User) -> Thresholds:
    """Accept by score from now on, as far as audits allow it. Raises ThresholdError.

    After an alarm this is also how a curator goes on: the same alarm is not raised again.
    """
    if reason := why_not(dataset):
        raise ThresholdError(reason)
    certification = open_certification(dataset)
    if certification is None:
        raise ThresholdError("No certificate runs: its audits are what a threshold rests on.")
    thresholds = thresholds_of(certification)
    if thresholds is None:
        raise ThresholdError("No scoring worker has started yet, so there are no scores.")
    if thresholds.suspended_because:
        thresholds.acknowledged = [key for key, _ in alarms_of(thresholds)]
    thresholds.is_on, thresholds.changed_by = True, user
    thresholds.suspended_because, thresholds.suspended_at = "", None
    thresholds.save()
    Thresholds.objects.filter(pk=thresholds.pk).update(changed_at=Now())
    record(
        Act.THRESHOLDS_ON, certification, after={"acknowledged": thresholds.acknowledged}, by=user
    )
    return thresholds


@transaction.atomic
def switch_off(*, dataset: Dataset, user: User) -> None:
    """Accept nothing by score any more: all of it goes back to review. Twice changes nothing."""
    open_ones = Thresholds.objects.filter(
        certification__dataset=dataset, certification__ended_at__isnull=True, is_on=True
    )
    for thresholds in open_ones:
        _end(thresholds.rules.filter(ended_at__isnull=True), "switched off")
        record(Act.THRESHOLDS_OFF, thresholds.certification, by=user)
    open_ones.update(is_on=False, changed_by=user, changed_at=Now())


# --- Into force -----------------------------------------------------------------------


@dataclass(slots=True)
class _Memory:
    """What this process computed last of one certification: it rests while nothing is new."""

    decision: int
    again_at: float


_seen: dict[int, _Memory] = {}


def keep_thresholds() -> int:
    """Recompute every certificate's accepted sets where people decided since; the sweeper calls it.

    Returns how many rules began or ended.
    """
    changed = 0
    running = Certification.objects.filter(ended_at__isnull=True).select_related("dataset__policy")
    for certification in running:
        thresholds = thresholds_of(certification)
        if thresholds is None:
            continue
        rules = thresholds.rules.filter(ended_at__isnull=True)
        if not thresholds.is_active and not rules.exists():
            continue
        last = Decision.objects.filter(dataset=certification.dataset).order_by("-pk").first()
        memory = _seen.get(certification.pk)
        if memory and time.monotonic() < memory.again_at:
            continue
        began = time.monotonic()
        alarm = sound_alarm(thresholds)
        newest = last.pk if last else 0
        if alarm or memory is None or memory.decision != newest or why_not(certification.dataset):
            changed += recompute(thresholds)
        spent = time.monotonic() - began
        _seen[certification.pk] = _Memory(newest, time.monotonic() + REST * spent)
    for dataset in _with_accepted_lanes():
        settle_lanes(dataset)
    return changed


def keep_thresholds_of(thresholds: Thresholds) -> int:
    """Recompute one certificate's accepted sets now, as somebody who has just asked expects."""
    _seen.pop(thresholds.certification_id, None)
    sound_alarm(thresholds)
    return recompute(thresholds)


def recompute(thresholds: Thresholds) -> int:
    """Let exactly the chosen sets be accepted; returns how many rules began or ended."""
    certification = thresholds.certification
    reason = why_not(certification.dataset)
    chosen: dict[KeyOfCell, Step] = {}
    if thresholds.is_active and not reason and certification.ended_at is None:
        certificate = certificate_of(certification)
        for state in cells_of(thresholds, certificate):
            steps = steps_of(
                state.cell, target=certificate.target, alpha=state.alpha, bounded=False
            )
            if step := chosen_of(steps):
                chosen[state.key] = step
    changed = _put_into_force(thresholds, chosen, reason or "what is certain changed")
    settle_lanes(certification.dataset)
    return changed


@transaction.atomic
def _put_into_force(
    thresholds: Thresholds, chosen: dict[KeyOfCell, Step], ended_because: str
) -> int:
    Thresholds.objects.select_for_update().get(pk=thresholds.pk)
    open_rules = {
        (rule.cohort_id, rule.label_class_id, rule.technique): rule
        for rule in thresholds.rules.filter(ended_at__isnull=True)
    }
    kept = {
        key for key, rule in open_rules.items() if key in chosen and chosen[key].cut == rule.cut
    }
    ended = [rule.pk for key, rule in open_rules.items() if key not in kept]
    _end(AcceptanceRule.objects.filter(pk__in=ended), ended_because)
    for key in kept:
        step = chosen[key]
        AcceptanceRule.objects.filter(pk=open_rules[key].pk).update(
            audits=step.audits, left=step.left
        )
    versions = dict(
        LabelClass.objects.filter(pk__in={key[1] for key in chosen}).values_list(
            "pk", "guideline_version"
        )
    )
    new = [
        AcceptanceRule(
            thresholds=thresholds,
            cohort_id=cohort,
            label_class_id=label_class,
            technique=technique,
            share=step.share,
            cut=step.cut,
            population=step.population,
            audits=step.audits,
            left=step.left,
            guideline_version=versions[label_class],
        )
        for (cohort, label_class, technique), step in chosen.items()
        if (cohort, label_class, technique) not in kept
    ]
    AcceptanceRule.objects.bulk_create(new)
    return len(new) + len(ended)


def _end(rules: QuerySet[AcceptanceRule], because: str) -> None:
    rules.update(ended_at=Now(), ended_because=because[:300])


def open_rules(certification: Certification) -> QuerySet[AcceptanceRule]:
    """Return the rules in force."""
    return AcceptanceRule.objects.filter(
        thresholds__certification=certification,
        thresholds__is_on=True,
        thresholds__suspended_because="",
        ended_at__isnull=True,
    )


def accepted_by_rule(certification: Certification) -> QuerySet[ImageReview]:
    """Return the images that nobody said a word about and that a rule in force accepts."""
    rules = list(open_rules(certification).select_related("thresholds"))
    if not rules:
        return ImageReview.objects.none()
    wanted = Q()
    for rule in rules:
        high = Score.objects.filter(
            image=OuterRef("image"),
            version=rule.thresholds.version_id,
            applies=True,
            value__gte=rule.cut,
        )
        # Of the score alone, so that each image asks one index once.
        wanted |= Q(
            Exists(high),
            cohort=rule.cohort_id,
            image__label_class=rule.label_class_id,
            image__technique=rule.technique,
        )
    return unseen(certification).filter(wanted)


@dataclass(frozen=True, slots=True)
class RulePromise(Promise):
    """What the thresholds say of one export: of the unseen, only what a rule accepts is in it.

    All rules together hold at most `rule_left` bad images that nobody found.
    """

    rule_left: int = 0
    rules: int = 0

    @property
    def unseen_reviews(self) -> QuerySet[ImageReview]:
        return accepted_by_rule(self.certificate.certification)

    def _left(self, remaining_bad: int) -> int:
        return min(self.rule_left, self.unseen)

    @property
    def is_kept(self) -> bool:
        """Return whether this very export meets the target."""
        return self.error <= self.certificate.target

    @property
    def sentence(self) -> str:
        """Return what the card of the dataset says."""
        judge = "one reviewer" if self.reviews_per_image == 1 else "its reviewers"
        confidence = percent(1 - self.certificate.alpha, up=False)
        said = (
            f"With confidence {confidence}, at most {percent(self.error)} of "
            f"{self.covered:,} labels are wrong as judged by {judge}: {self.approved:,} were "
            f"approved one by one, {self.unseen:,} accepted unseen by {self.rules:,} "
            f"threshold{'s' if self.rules != 1 else ''} on the score, which "
            f"{self.certificate.bound.audits:,} audits allow."
        )
        if self.outside:
            said += f" {self.outside:,} more were approved one by one outside of it."
        return f"{said} Mistakes of the reviewers themselves are not included."


def rule_promise(certificate: Certificate, *, reviews_per_image: int) -> RulePromise | None:
    """Return what an export of this moment would say with what is accepted by rule; None: nothing.

    A few queries.
    """
    certification = certificate.certification
    rules = list(open_rules(certification))
    if not rules:
        return None
    whole = promise(certificate, reviews_per_image=reviews_per_image)
    return RulePromise(
        certificate=certificate,
        approved=whole.approved,
        unseen=accepted_by_rule(certification).count(),
        outside=whole.outside,
        reviews_per_image=reviews_per_image,
        rule_left=sum(rule.left for rule in rules),
        rules=len(rules),
    )


# --- Lanes ----------------------------------------------------------------------------


def _with_accepted_lanes() -> QuerySet[Dataset]:
    """Return datasets with images behind all others that no rule in force can have put there."""
    slots = ReviewSlot.objects.filter(dataset=OuterRef("pk"), lane=Lane.ACCEPTED, state__in=FREE)
    active = Thresholds.objects.filter(
        certification__dataset=OuterRef("pk"),
        certification__ended_at__isnull=True,
        is_on=True,
        suspended_because="",
    )
    return Dataset.objects.filter(Exists(slots), ~Exists(active)).select_related("policy")


def settle_lanes(dataset: Dataset) -> int:
    """Put what is accepted behind all that waits, and what is not any more back; how many moved."""
    certification = open_certification(dataset)
    accepted = accepted_by_rule(certification) if certification else ImageReview.objects.none()
    waiting = ReviewSlot.objects.filter(dataset=dataset, state=SlotState.WAITING)
    inside = waiting.filter(image__in=accepted.values("image"))
    behind = ReviewSlot.objects.filter(dataset=dataset, lane=Lane.ACCEPTED, state__in=FREE)
    back = behind.exclude(image__in=accepted.values("image"))
    moved = _move(inside.filter(lane=Lane.NORMAL), Lane.NORMAL, Lane.ACCEPTED)
    return moved + _move(back, Lane.ACCEPTED, Lane.NORMAL)


def _move(slots: QuerySet[ReviewSlot], old: Lane, new: Lane) -> int:
    pks = list(slots.order_by().values_list("pk", flat=True))
    moved = 0
    for start in range(0, len(pks), BATCH):
        free = ReviewSlot.objects.filter(pk__in=pks[start : start + BATCH], lane=old)
        moved += free.update(lane=new)
    return moved


# --- Alarms ---------------------------------------------------------------------------


def sound_alarm(thresholds: Thresholds) -> str:
    """Take everything back to review where something shifted; return what, empty where nothing."""
    if not thresholds.is_active:
        return ""
    new = [(key, said) for key, said in alarms_of(thresholds) if key not in thresholds.acknowledged]
    if not new:
        return ""
    said = new[0][1][:300]
    Thresholds.objects.filter(pk=thresholds.pk).update(suspended_because=said, suspended_at=Now())
    thresholds.suspended_because = said
    _end(thresholds.rules.filter(ended_at__isnull=True), said)
    return said
