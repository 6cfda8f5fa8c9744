"""Near-duplicates of a dataset, as they arrived; curators set those aside that nobody saw."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action
from synthreview.review.models import ImageReview
from synthreview.review.putting_aside import PutAsideError, put_aside_lookalikes, unseen_among
from synthreview.scoring.models import Lookalike

PAGE = 48


@require_GET
def lookalikes(request: HttpRequest, slug: str) -> HttpResponse:
    """List what is all but a copy of an earlier picture, the newest first."""
    dataset, context = open_dataset(request, slug, Action.CURATE)
    found = Lookalike.objects.found().filter(dataset=dataset, image__isnull=False)
    rows = found.select_related("image", "of_image", "of_reference").order_by("-image", "pk")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    images = [row.image_id for row in page if row.image_id]
    reviews = dict(ImageReview.objects.filter(image__in=images).values_list("image", "state"))
    unseen = set(unseen_among(images, dataset).values_list("image", flat=True))
    context |= {
        "page": page,
        "rows": [(row, reviews.get(row.image_id or 0, "")) for row in page],
        "unseen": sorted(unseen),
    }
    return render(request, "review/lookalikes.html", context)


@require_POST
def put_aside(request: HttpRequest, slug: str) -> HttpResponse:
    """Put aside exactly the images of the page; one that is no near-duplicate refuses all."""
    dataset, _ = open_dataset(request, slug, Action.CURATE)
    wanted = request.POST.getlist("image")
    if len(wanted) > PAGE or not all(key.isdecimal() and len(key) < 19 for key in wanted):
        raise Http404("These are no images.")
    images = {int(key) for key in wanted}
    found = Lookalike.objects.found().filter(dataset=dataset, image__in=images)
    if images != set(found.values_list("image", flat=True)):
        raise Http404("Not all of these are near-duplicates.")
    try:
        event = put_aside_lookalikes(dataset=dataset, images=images, user=signed_in(request))
    except PutAsideError as error:
        messages.error(request, str(error))
        return redirect("lookalikes", dataset.slug)
    are = "image is" if event.removed == 1 else "images are"
    messages.success(request, f"{event.removed:,} {are} set aside unseen; here it can be undone.")
    return redirect("set-aside", dataset.slug)
