"""More like this, from any image; and for curators: put aside all that is like a rejected one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import dataset_context, signed_in
from synthreview.catalog.permissions import Action
from synthreview.generation.models import GeneratedImage
from synthreview.review.assignment import may_see_verdicts
from synthreview.review.models import ImageState
from synthreview.review.putting_aside import (
    PutAsideError,
    put_aside_similar,
    unseen_among,
)
from synthreview.scoring.similarity import most_like

SHOWN = 60
LOOKED_AT = 5_000  # of the most alike, those that already left among them
AT_ONCE = 200  # images that are set aside together, because the preview shows each of them
LEVELS = range(80, 100)  # per cent of the cosine
START = 95


@require_GET
def like(request: HttpRequest, pk: int) -> HttpResponse:
    """Show the images that look most like one; of a rejected one also what may be put aside."""
    image = _image(request, pk)
    context = dataset_context(request, image.dataset)
    level = _level(request.GET.get("at_least", ""))
    state = _states([image.pk]).get(image.pk)
    is_rejected = state is not None and state["state"] == ImageState.REJECTED
    if is_rejected and context["can"][Action.CURATE.value]:
        found = dict(most_like(image, LOOKED_AT, at_least=level / 100, besides=SHOWN))
        unseen = _unseen(image, [key for key, cosine in found.items() if 100 * cosine >= level])
    else:
        found, unseen = dict(most_like(image, SHOWN)), []
    chosen = unseen[:AT_ONCE]
    shown = list(dict.fromkeys([*list(found)[:SHOWN], *chosen]))
    rows = GeneratedImage.objects.in_bulk(shown)
    reviews = _states(shown)
    known = may_see_verdicts(signed_in(request), image.dataset, shown)
    marked = set(chosen)
    context |= {
        "image": image,
        "shown": [
            {
                "image": rows[key],
                "percent": f"{100 * found[key]:.1f} %",
                "review": reviews.get(key) if key in known else None,
                "is_chosen": key in marked,
            }
            for key in shown
            if key in rows
        ],
        "level": level,
        "levels": LEVELS,
        "is_rejected": is_rejected,
        "chosen": chosen,
        "left": len(unseen) - len(chosen),
    }
    return render(request, "review/like.html", context)


def _unseen(image: GeneratedImage, keys: list[int]) -> list[int]:
    """Return those of the images that nobody was handed, in the same order."""
    unseen = set(unseen_among(keys, image.dataset).values_list("image", flat=True))
    return [key for key in keys if key in unseen]


@require_POST
def put_aside_like(request: HttpRequest, pk: int) -> HttpResponse:
    """Put aside exactly the images of the preview; one that is not of it refuses all."""
    image = _image(request, pk)
    dataset_context(request, image.dataset, Action.CURATE)
    wanted = request.POST.getlist("image")
    if not all(key.isdecimal() and len(key) < 19 for key in wanted):
        raise Http404("These are no images.")
    images = {int(key) for key in wanted}
    alike = {key for key, _ in most_like(image, LOOKED_AT)}
    if not images <= alike:
        raise Http404("Not all of these images are like it.")
    try:
        event = put_aside_similar(image=image, images=images, user=signed_in(request))
    except PutAsideError as error:
        messages.error(request, str(error))
        return redirect("image-like", image.pk)
    are = "image is" if event.removed == 1 else "images are"
    messages.success(request, f"{event.removed:,} {are} set aside unseen; here it can be undone.")
    return redirect("set-aside", image.dataset.slug)


def _image(request: HttpRequest, pk: int) -> GeneratedImage:
    visible = GeneratedImage.objects.visible_to(signed_in(request))
    return get_object_or_404(visible.select_related("dataset__policy", "label_class"), pk=pk)


def _level(wanted: str) -> int:
    return int(wanted) if wanted.isdecimal() and int(wanted) in LEVELS else START


def _states(images: list[int]) -> dict[int, dict[str, Any]]:
    rows = GeneratedImage.objects.filter(pk__in=images, review__isnull=False)
    return {
        pk: {"state": state, "label": ImageState(state).label}
        for pk, state in rows.order_by().values_list("pk", "review__state")
    }
