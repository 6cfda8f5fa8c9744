"""What an image was made from, and what else came of the same: shown beside it while judging."""

from __future__ import annotations

from dataclasses import dataclass

from django.db.models import Q

from synthreview.generation.models import CallInput, GeneratedImage
from synthreview.prompting.techniques import INSTRUCTED

SIBLINGS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Source:
    """One parent of an image; `role` is what it gave (source, subject, setting)."""

    view_url: str
    role: str
    caption: str


def sources_of(image: GeneratedImage) -> list[Source]:
    """Return the images that this one was made from, in their order; none for plain captions.

    No query where the technique takes no image.
    """
    if image.technique not in INSTRUCTED or image.call_id is None:
        return []
    inputs = CallInput.objects.filter(call=image.call_id).order_by("position")
    found = []
    for one in inputs.select_related("image", "reference"):
        parent = one.image or one.reference
        if parent is not None:
            caption = one.image.caption if one.image else ""
            found.append(Source(parent.view_url, one.get_role_display(), caption))
    return found


def siblings_of(image: GeneratedImage, *, limit: int = SIBLINGS_SHOWN) -> list[GeneratedImage]:
    """Return others of the same family or the same prompt, nearest first. Says nothing of
    what anybody decided about them: looks are independent of each other.
    """
    related = Q(family=image.family)
    if image.prompt_id is not None:
        related |= Q(prompt=image.prompt_id)
    others = GeneratedImage.objects.filter(related, dataset=image.dataset_id).exclude(pk=image.pk)
    return list(others.order_by("-pk")[:limit])
