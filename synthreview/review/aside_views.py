"""What left the queue unseen, and the way back: a page for curators."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import open_dataset
from synthreview.catalog.permissions import Action
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import ImageReview, ImageState, PutAside
from synthreview.review.putting_aside import take_back

EVENTS_SHOWN = 50
THUMBS = 6
LOOKED_AT = 2_000  # images of the newest events, among which the thumbnails are found


@require_GET
def set_aside(request: HttpRequest, slug: str) -> HttpResponse:
    """List every event by which images left the queue unseen, with a few of its images."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    rows = PutAside.objects.filter(dataset=dataset, removed__gt=0)
    events = list(rows.select_related("prompt", "like", "created_by")[:EVENTS_SHOWN])
    shown = _thumbs(events)
    context |= {"events": [(event, shown.get(event.pk, [])) for event in events]}
    return render(request, "review/set_aside.html", context)


def _thumbs(events: list[PutAside]) -> dict[int, list[GeneratedImage]]:
    """Return a few images of each event; one query."""
    shown: dict[int, list[GeneratedImage]] = {}
    reviews = ImageReview.objects.filter(put_aside__in=[event.pk for event in events])
    for image, event in reviews.order_by("-put_aside", "image").values_list("image", "put_aside")[
        :LOOKED_AT
    ]:
        own = shown.setdefault(event, [])
        if len(own) < THUMBS:
            own.append(GeneratedImage(pk=image))
    return shown


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
