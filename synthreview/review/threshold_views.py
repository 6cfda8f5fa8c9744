"""The threshold page: scores of one class and technique, what a cut accepts, what holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.pages import open_dataset, page_or_part, signed_in
from synthreview.catalog.permissions import Action
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.review.certifying import Certificate, certificate_of, percent
from synthreview.review.cohorts import open_certification
from synthreview.review.models import ImageReview, ImageState
from synthreview.review.threshold_models import AcceptanceRule, Thresholds
from synthreview.review.threshold_rules import (
    KeyOfCell,
    ThresholdError,
    accepted_by_rule,
    cells_of,
    keep_thresholds_of,
    open_rules,
    switch_off,
    switch_on,
    thresholds_of,
    why_not,
)
from synthreview.review.thresholds import STEPS, Cell, Step, chosen_of, steps_of
from synthreview.scoring.models import ScorerVersion

WIDTH, HEIGHT = 600, 180  # the chart's own units; the page scales it
BINS = 30
HISTORY_SHOWN = 10
KINDS = {ImageState.APPROVED: "approved", ImageState.REJECTED: "rejected"}


@dataclass(frozen=True, slots=True)
class Choice:
    """One class and technique that the page can show; `cohort` is 0 where no certificate runs."""

    cohort: int
    label_class: int
    technique: str
    title: str
    images: int

    @property
    def value(self) -> str:
        return f"{self.cohort}.{self.label_class}.{self.technique}"

    @property
    def key(self) -> KeyOfCell:
        return self.cohort, self.label_class, self.technique


@require_GET
def thresholds(request: HttpRequest, slug: str) -> HttpResponse:
    """Show one class and technique with a cut to try, and all rules; for htmx the first alone."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    certification = open_certification(dataset)
    own = thresholds_of(certification) if certification else None
    certificate = certificate_of(certification) if certification else None
    choices = _choices(dataset, certificate)
    choice = _chosen_choice(choices, request.GET.get("cell", ""))
    context |= {
        "thresholds": own,
        "certificate": certificate,
        "why_not": why_not(dataset),
        "choices": choices,
        "choice": choice,
    }
    if choice:
        context |= _shown(own, certificate, choice, request.GET.get("accept", ""))
    if certification and own:
        rules = list(open_rules(certification).select_related("label_class").order_by("pk"))
        context |= {
            "rules": [_rule_line(rule) for rule in rules],
            "accepted": accepted_by_rule(certification).count() if rules else 0,
            "ended": own.rules.filter(ended_at__isnull=False).select_related("label_class")[
                :HISTORY_SHOWN
            ],
            "target": percent(certification.target_error),
            "confidence": percent(certification.confidence, up=False),
        }
    return page_or_part(request, "review/thresholds.html", "review/_threshold_cell.html", context)


@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Choose for me: accept by score what the audits allow, from now on."""
    dataset, _ = open_dataset(request, slug, Action.ADMINISTER)
    try:
        own = switch_on(dataset=dataset, user=signed_in(request))
    except ThresholdError as error:
        messages.error(request, str(error))
    else:
        keep_thresholds_of(own)
        messages.success(
            request, "Thresholds are chosen by the audits from now on, and again as more arrive."
        )
    return redirect("thresholds", dataset.slug)


@require_POST
def stop(request: HttpRequest, slug: str) -> HttpResponse:
    """Accept nothing by score any more."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    switch_off(dataset=dataset, user=signed_in(request))
    messages.success(request, "Nothing is accepted by its score any more: all of it is reviewed.")
    return redirect("thresholds", dataset.slug)


# --- What there is to choose from -------------------------------------------------------


def _choices(dataset: Dataset, certificate: Certificate | None) -> list[Choice]:
    """Return every class and technique; with a certificate, of each of its cohorts."""
    names = dict(LabelClass.objects.filter(dataset=dataset).values_list("name", "pk"))
    if certificate is None:
        pairs = (
            ImageReview.objects.filter(dataset=dataset)
            .order_by()
            .values_list("image__label_class__name", "image__technique")
            .distinct()
        )
        return [
            Choice(0, names[name], technique, _title(name, technique), 0)
            for name, technique in sorted(pairs)
        ]
    several = len(certificate.cohorts) > 1
    return [
        Choice(
            cohort.pk,
            names[name],
            technique,
            _title(name, technique) + (f", cohort {cohort.number}" if several else ""),
            count,
        )
        for cohort in certificate.cohorts
        for name, technique, count in cohort.strata
        if name in names
    ]


def _title(name: str, technique: str) -> str:
    return f"{name}, {TECHNIQUES[technique].title.lower()}"


def _chosen_choice(choices: list[Choice], wanted: str) -> Choice | None:
    """Return the wanted one, or the largest; None where there are none. Raises Http404."""
    if not wanted:
        return max(choices, key=lambda choice: choice.images, default=None)
    for choice in choices:
        if choice.value == wanted:
            return choice
    raise Http404("There is no such class and technique here.")


# --- One class and technique --------------------------------------------------------------


def _shown(
    own: Thresholds | None, certificate: Certificate | None, choice: Choice, accept: str
) -> dict[str, Any]:
    """Return the histogram and what the cut would mean."""
    version = own.version if own else ScorerVersion.objects.current()
    scores, kinds = _scored(version, choice)
    steps: list[Step] = []
    chosen = None
    if own and certificate and choice.cohort:
        for state in cells_of(own, certificate, only=choice.key):
            steps = steps_of(state.cell, target=certificate.target, alpha=state.alpha)
            chosen = chosen_of(steps)
    is_bounded = bool(steps)
    if not steps and len(scores):  # too few for a bound, or no certificate: the cuts alone
        steps = steps_of(_unaudited(scores), target=0.5, alpha=0.5, bounded=False)
        waiting = kinds == ""
        steps = [_of_waiting(step, scores, waiting) for step in steps]
        chosen = None
    number = _number(accept, chosen.number if chosen else 0)
    step = steps[number - 1] if 0 < number <= len(steps) else None
    return {
        "version": version,
        "scored": len(scores),
        "bars": _bars(scores, kinds, step.cut if step else None),
        "chart": {"width": WIDTH, "height": HEIGHT},
        "low": float(scores.min()) if len(scores) else 0,
        "high": float(scores.max()) if len(scores) else 0,
        "steps": STEPS,
        "accept": number,
        "step": step,
        "share": f"{5 * number} %",
        "waiting": int((kinds == "").sum()),
        "is_bounded": is_bounded,
        "at_most": percent(step.at_most) if step and is_bounded else "",
        "chosen": chosen,
        "chosen_share": f"{5 * chosen.number} %" if chosen else "",
        "target": percent(certificate.target) if certificate else "",
        "confidence": percent(1 - certificate.alpha, up=False) if certificate else "",
    }


def _scored(
    version: ScorerVersion | None, choice: Choice
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return the scores (N,) and what people said: "approved", "rejected", or "" so far."""
    rows = ImageReview.objects.filter(
        image__label_class=choice.label_class,
        image__technique=choice.technique,
        image__scores__version=version,
        image__scores__applies=True,
    )
    if choice.cohort:
        rows = rows.filter(cohort=choice.cohort)
    found = list(rows.order_by().values_list("image__scores__value", "state"))
    scores = np.array([value for value, _ in found], dtype=np.float64)
    kinds = np.array([KINDS.get(ImageState(state), "") for _, state in found], dtype=object)
    return scores, kinds


def _unaudited(scores: np.ndarray[Any, Any]) -> Cell:
    none = np.zeros(0, dtype=bool)
    return Cell(scores, np.zeros(0, dtype=np.int64), none, none, none)


def _of_waiting(step: Step, scores: np.ndarray[Any, Any], waiting: np.ndarray[Any, Any]) -> Step:
    """Return the step with the images of it that wait, and nothing certain of it."""
    unseen = int(((scores >= step.cut) & waiting).sum())
    return Step(step.number, step.cut, step.population, unseen, 0, 0, 1.0, False, step.population)


def _number(wanted: str, otherwise: int) -> int:
    return min(max(int(wanted), 0), STEPS) if wanted.isdecimal() else otherwise


def _bars(
    scores: np.ndarray[Any, Any], kinds: np.ndarray[Any, Any], cut: float | None
) -> list[dict[str, Any]]:
    """Return the bars: from below rejected, approved and undecided ones, in the chart's units."""
    if not len(scores):
        return []
    low, high = float(scores.min()), float(scores.max())
    edges = np.linspace(low, high if high > low else low + 1e-9, BINS + 1)
    counts = {
        kind: np.histogram(scores[kinds == kind], bins=edges)[0]
        for kind in ("rejected", "approved", "")
    }
    most = max(int(sum(counts.values()).max()), 1)  # type: ignore[union-attr]
    bars = []
    for place in range(BINS):
        below = 0
        for kind, name in (("rejected", "rejected"), ("approved", "approved"), ("", "waiting")):
            count = int(counts[kind][place])
            if count:
                bars.append(
                    {
                        "kind": name,
                        "x": round(WIDTH * place / BINS, 1),
                        "width": round(WIDTH / BINS - 1, 1),
                        "y": round(HEIGHT * (1 - (below + count) / most), 1),
                        "height": round(HEIGHT * count / most, 1),
                        "is_accepted": cut is not None and edges[place + 1] > cut,
                    }
                )
                below += count
    return bars


def _rule_line(rule: AcceptanceRule) -> dict[str, Any]:
    return {
        "rule": rule,
        "title": _title(rule.label_class.name, rule.technique),
        "share": percent(rule.share, up=False),
        "cell": f"{rule.cohort_id}.{rule.label_class_id}.{rule.technique}",
    }
