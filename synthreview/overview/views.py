"""Pages that read every stage: home, a dataset at a glance, its images, one image."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from synthreview.catalog.models import Dataset
from synthreview.catalog.pages import dataset_context, open_dataset, page_or_part, signed_in
from synthreview.evaluation.diversity_services import proposals_of
from synthreview.generation.models import GeneratedImage
from synthreview.generation.services import generator
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.overview.forms import ImageFilterForm
from synthreview.overview.lineage import ancestors, children
from synthreview.overview.numbers import dataset_lines, overview_of
from synthreview.overview.probes import floor_alarms
from synthreview.review.assignment import judges_blindly, may_see_verdicts
from synthreview.review.models import DECIDED_STATES, Decision, ImageReview, ImageState
from synthreview.review.reasons import REASONS
from synthreview.scoring.lookalikes import lookalikes_of
from synthreview.scoring.services import (
    main_score,
    misreading_of,
    rank_within_caption,
    rank_within_class,
    scoring_notice,
)

SHOWN = 12
PAGE = 60
LOOKALIKES = 8


@require_GET
def home(request: HttpRequest) -> HttpResponse:
    """List the datasets that one may see."""
    return render(request, "overview/home.html", {"lines": dataset_lines(signed_in(request))})


@require_GET
def dataset(request: HttpRequest, slug: str) -> HttpResponse:
    """Show a dataset at a glance; htmx asks for the numbers again while work is open."""
    found, context = open_dataset(request, slug)
    newest = list(GeneratedImage.objects.filter(dataset=found).select_related("review")[:SHOWN])
    context |= {
        "overview": overview_of(found),
        "newest": newest,
        "notices": _notices(found, newest),
        "floor_alarms": floor_alarms(found),
        "proposals": proposals_of(found),
    }
    return page_or_part(request, "overview/dataset.html", "overview/_dataset.html", context)


def _notices(dataset: Dataset, newest: list[GeneratedImage]) -> list[str]:
    """Return what a person must know of the images' source and of their scores."""
    if not newest:
        return []
    aliases = sorted({image.generator for image in newest} & set(settings.GENERATORS))
    said = [_generator_notice(alias) for alias in aliases]
    return [notice for notice in [*said, scoring_notice(dataset)] if notice]


def _generator_notice(alias: str) -> str:
    try:
        return generator(alias).notice
    except UnknownAdapterError:
        return ""


# --- Images ---------------------------------------------------------------------


@require_GET
def images(request: HttpRequest, slug: str) -> HttpResponse:
    """Show the images, newest first; a page begins below the image that `before` names."""
    dataset, context = open_dataset(request, slug)
    shows_scores = context["can"]["curate"] or not dataset.policy.blind_scores
    person = signed_in(request)
    filters = ImageFilterForm(
        request.GET,
        dataset=dataset,
        shows_scores=shows_scores,
        shows_states=not judges_blindly(person, dataset),
    )
    rows = GeneratedImage.objects.filter(filters.chosen, dataset=dataset)
    before = request.GET.get("before", "")
    if before.isdecimal():
        rows = rows.filter(pk__lt=int(before))
    page = list(rows.select_related("label_class", "review")[: PAGE + 1])
    context |= {
        "known": may_see_verdicts(person, dataset, [image.pk for image in page]),
        "filters": filters,
        "images": page[:PAGE],
        "older": page[PAGE - 1].pk if len(page) > PAGE else None,
        "query": urlencode(filters.query),
        "is_first_page": not before,
    }
    # The sheet grows at its end: htmx asks for the next images alone.
    part = "overview/_shots.html" if before else "overview/_sheet.html"
    return page_or_part(request, "overview/images.html", part, context)


@require_GET
def image(request: HttpRequest, pk: int) -> HttpResponse:
    """Show one image with its whole history."""
    person = signed_in(request)
    visible = GeneratedImage.objects.visible_to(person).select_related(
        "dataset__policy", "label_class", "prompt__label_class", "run", "review", "example"
    )
    found = get_object_or_404(visible, pk=pk)
    context = dataset_context(request, found.dataset)
    review: ImageReview | None = getattr(found, "review", None)
    state = review.state if review else ImageState.PENDING
    rows = list(Decision.objects.filter(image=found).select_related("reviewer"))
    is_blind = not may_see_verdicts(person, found.dataset, [found.pk])
    is_hidden = (
        found.dataset.policy.blind_scores
        and (state == ImageState.PENDING or is_blind)
        and not context["can"]["curate"]
    )
    context |= {
        "image": found,
        "review": review,
        "decisions": [] if is_blind else [_told(row) for row in rows],
        "is_blind": is_blind,
        "is_score_hidden": is_hidden,
        "neighbours": _neighbours(found),
        "facts": _words_of(found.facts),
        "generator_notice": _generator_notice(found.generator),
        "parents": ancestors(found),
        "children": children(found),
        "lookalikes": lookalikes_of(found, LOOKALIKES),
        "example": getattr(found, "example", None),
        "example_states": DECIDED_STATES,
    }
    if not is_hidden:
        context |= _score_of(found) | {"misreading": misreading_of(found)}
    return render(request, "overview/image.html", context)


def _words_of(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what people can read of a generator's facts; lists are for machines."""
    return {name: value for name, value in facts.items() if not isinstance(value, (list, dict))}


def _score_of(image: GeneratedImage) -> dict[str, Any]:
    score = main_score(image)
    if score is None:
        return {"score": None}
    score.image = image  # spares a query
    words = image.parts
    parts = [(slot, words.get(slot, ""), value) for slot, value in score.parts.items()]
    return {
        "score": score,
        "parts": parts,
        "rank": rank_within_class(score),
        "rank_in_caption": rank_within_caption(score),
    }


def _told(row: Decision) -> tuple[Decision, list[str]]:
    reasons = [REASONS.get(reason, reason) for reason in row.reasons]
    return row, reasons + [f"Wrong: {slot}" for slot in row.wrong_slots]


def _neighbours(image: GeneratedImage) -> dict[str, int | None]:
    """Return the images beside this one in the gallery."""
    rows = GeneratedImage.objects.filter(dataset=image.dataset_id).values_list("pk", flat=True)
    return {
        "newer": rows.filter(pk__gt=image.pk).order_by("pk").first(),
        "older": rows.filter(pk__lt=image.pk).order_by("-pk").first(),
    }
