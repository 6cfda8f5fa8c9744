"""What left the queue unseen, what might, and the way back: a page for curators."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.review.models import ImageReview, ImageState, PutAside
from synthreview.review.putting_aside import (
    PromptTally,
    PutAsideError,
    put_aside,
    suspicious_prompts,
    take_back,
)

EVENTS_SHOWN = 50
THUMBS = 6
LOOKED_AT = 2_000  # images of the newest events, among which the thumbnails are found


@require_GET
def set_aside(request: HttpRequest, slug: str) -> HttpResponse:
    """List the prompts that go wrong, and every event by which images left the queue unseen."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    rows = PutAside.objects.filter(dataset=dataset, removed__gt=0)
    events = list(rows.select_related("prompt", "like", "created_by")[:EVENTS_SHOWN])
    shown = _thumbs(events)
    wrong = suspicious_prompts(dataset)
    rejected = _rejected_of(wrong)
    context |= {
        "events": [(event, shown.get(event.pk, [])) for event in events],
        "wrong": [(tally, rejected.get(tally.prompt.pk, [])) for tally in wrong],
    }
    return render(request, "review/set_aside.html", context)


def _rejected_of(tallies: list[PromptTally]) -> dict[int, list[GeneratedImage]]:
    """Return a few rejected images of each prompt, newest first; one query."""
    rejected = GeneratedImage.objects.filter(
        prompt__in=[tally.prompt.pk for tally in tallies], review__state=ImageState.REJECTED
    )
    return _few(rejected.order_by("-pk").values_list("prompt", "pk")[:LOOKED_AT])


def _thumbs(events: list[PutAside]) -> dict[int, list[GeneratedImage]]:
    """Return a few images of each event; one query."""
    reviews = ImageReview.objects.filter(put_aside__in=[event.pk for event in events])
    ordered = reviews.order_by("-put_aside", "image")
    return _few(ordered.values_list("put_aside", "image")[:LOOKED_AT])


def _few(pairs: Iterable[tuple[int, int]]) -> dict[int, list[GeneratedImage]]:
    """Return the first images of each key, for their thumbnails."""
    shown: dict[int, list[GeneratedImage]] = {}
    for key, image in pairs:
        own = shown.setdefault(key, [])
        if len(own) < THUMBS:
            own.append(GeneratedImage(pk=image))
    return shown


@require_POST
def put_prompt_aside(request: HttpRequest, slug: str, prompt: int) -> HttpResponse:
    """Take what nobody was handed of one prompt out of the queue."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    row = get_object_or_404(Prompt, pk=prompt, dataset=dataset)
    try:
        event = put_aside(prompt=row, user=signed_in(request))
    except PutAsideError as error:
        messages.error(request, str(error))
    else:
        are = "image is" if event.removed == 1 else "images are"
        messages.success(
            request, f"{event.removed:,} {are} set aside unseen; here it can be undone."
        )
    return redirect("set-aside", dataset.slug)


@require_POST
def bring_back(request: HttpRequest, slug: str, event: int) -> HttpResponse:
    """Return the images of one event to the queue."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    row = get_object_or_404(PutAside, pk=event, dataset=dataset)
    waiting = ImageReview.objects.filter(put_aside=row, state=ImageState.REMOVED).exists()
    if waiting and (count := take_back(row)):
        are = "image waits" if count == 1 else "images wait"
        messages.success(request, f"{count:,} {are} for a look again, and will not leave again.")
    else:
        messages.info(request, "These are back in the queue already.")
    return redirect("set-aside", dataset.slug)
