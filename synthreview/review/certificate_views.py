"""The certificate's page: what is certain now, how it came, and the buttons that start and end."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.review import certifying
from synthreview.review.certificate import Bound
from synthreview.review.certifying import Certificate, percent
from synthreview.review.models import Certification
from synthreview.review.promises import promise

# The chart's own units; the page scales it.
WIDTH, HEIGHT = 600, 200
TABLE_ROWS = 8


@require_GET
def certificate(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the running certificate, or how to start one."""
    dataset, context = open_dataset(request, slug)
    certification = certifying.open_certification(dataset)
    context |= {
        "certificate": None,
        "policy": dataset.policy,
        "audit_share": percent(dataset.policy.current_audit_share, up=False),
        "ended": [_ended(one) for one in certifying.ended_certifications(dataset)],
    }
    if certification:
        context |= _context(dataset, certifying.certificate_of(certification))
    return render(request, "review/certificate.html", context)


@require_POST
def start(request: HttpRequest, slug: str) -> HttpResponse:
    """Freeze the population and begin."""
    dataset, _ = open_dataset(request, slug, Action.ADMINISTER)
    try:
        begun = certifying.start_certification(dataset=dataset, user=signed_in(request))
    except certifying.CertificationError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"The certificate runs, over {begun.population:,} images.")
    return redirect("certificate", dataset.slug)


@require_POST
def extend(request: HttpRequest, slug: str) -> HttpResponse:
    """Take what came since and nobody was handed into the running certificate."""
    dataset, _ = open_dataset(request, slug, Action.ADMINISTER)
    certification = certifying.open_certification(dataset)
    if certification is None:
        messages.error(request, "No certificate runs.")
        return redirect("certificate", dataset.slug)
    try:
        cohort = certifying.extend_certification(certification)
    except certifying.CertificationError as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{cohort.population:,} images more are in the certificate.")
    return redirect("certificate", dataset.slug)


@require_POST
def end(request: HttpRequest, slug: str) -> HttpResponse:
    """End the certificate that runs."""
    dataset, _ = open_dataset(request, slug, Action.ADMINISTER)
    if certification := certifying.open_certification(dataset):
        certifying.end_certification(certification)
        messages.success(request, "The certificate is ended. Decisions stay as they are.")
    return redirect("certificate", dataset.slug)


def _ended(certification: Certification) -> dict[str, Any]:
    figures = certification.closed_with or {}
    return {
        "row": certification,
        "target": percent(certification.target_error),
        "confidence": percent(certification.confidence, up=False),
        "error": percent(figures["error_at_most"]) if figures else "",
        "figures": figures,
    }


def _context(dataset: Dataset, found: Certificate) -> dict[str, Any]:
    policy = dataset.policy
    history = certifying.history_of(found)
    strata = certifying.strata_of(found)
    more = certifying.MORE_AUDITS
    promised = promise(found, reviews_per_image=policy.reviews_per_image)
    every = max(1, (len(history) - 1) // (TABLE_ROWS - 1))
    return {
        "certificate": found,
        "bound": found.bound,
        "error": percent(found.bound.error),
        "target": percent(found.target),
        "confidence": percent(found.certification.confidence, up=False),
        "needed": certifying.audits_needed(found),
        "audit_rate": percent(found.audit_rate),
        "recall": percent(found.bound.recall, up=False),
        "more": more,
        "with_more": percent(certifying.error_with_more(found, audits=more, rate=found.audit_rate)),
        "waiting_outside": certifying.waiting_outside(dataset),
        "strata": [
            (
                one,
                percent(one.coverage, up=False),
                percent(one.alone.error) if one.alone else "",
                percent(one.together.error) if one.together else "",
            )
            for one in strata
        ],
        "promise": promised,
        "chart": _chart(history, found.target),
        "rows": [(step, percent(step.error)) for step in history[::-1][::every]],
    }


def _chart(history: list[Bound], target: float) -> dict[str, Any]:
    """Return the bound over the reviews as a line in the chart's units, the target as a height."""
    last = max(history[-1].reviewed, 1)
    top = max(min(1.0, max(step.error for step in history)), target)

    def height(share: float) -> float:
        return round(HEIGHT * (1 - share / top), 1)

    # The bound holds from one look to the next: a step, not a slope.
    points: list[str] = []
    for step in history:
        x = round(WIDTH * step.reviewed / last, 1)
        if points:
            points.append(f"{x},{points[-1].partition(',')[2]}")
        points.append(f"{x},{height(step.error)}")
    return {
        "points": " ".join(points),
        "target_y": height(target),
        "top": percent(top),
        "last": last,
        "width": WIDTH,
        "height": HEIGHT,
    }
