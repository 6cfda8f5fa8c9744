"""The family tree of one image: what it was made of, and what was made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from django.db.models import Count

from synthreview.catalog.models import ReferenceImage
from synthreview.generation.models import CallInput, GeneratedImage

GENERATIONS = 4
SHOWN = 12  # of an image's children; the others are counted


@dataclass(slots=True)
class Relative:
    """One image of the tree with its role and its own parents or children."""

    image: GeneratedImage | ReferenceImage
    role: str = ""
    relatives: list[Relative] = field(default_factory=list)
    hidden: int = 0

    @property
    def is_real(self) -> bool:
        return isinstance(self.image, ReferenceImage)

    def walk(self) -> Iterator[Relative]:
        yield self
        for relative in self.relatives:
            yield from relative.walk()


def ancestors(image: GeneratedImage) -> list[Relative]:
    """Return the image's parents, each with its own, up to four generations back.

    One query for each generation.
    """
    root = Relative(image)
    layer = [root]
    for _ in range(GENERATIONS):
        by_call: dict[int, list[Relative]] = {}
        for relative in layer:
            if isinstance(relative.image, GeneratedImage) and relative.image.call_id:
                by_call.setdefault(relative.image.call_id, []).append(relative)
        if not by_call:
            break
        layer = []
        for row in _inputs(by_call):
            for child in by_call[row.call_id]:
                parent = Relative(row.source, row.get_role_display())
                child.relatives.append(parent)
                layer.append(parent)
    return root.relatives


def _inputs(calls: Iterable[int]) -> Iterable[CallInput]:
    rows = CallInput.objects.filter(call__in=list(calls)).order_by("call", "position")
    return rows.select_related("image__label_class", "reference__label_class")


def children(image: GeneratedImage) -> Relative:
    """Return the image with what was made of it, newest first; how many more is counted."""
    rows = GeneratedImage.objects.filter(call__inputs__image=image).distinct()
    shown = list(rows.select_related("label_class")[:SHOWN])
    total = rows.aggregate(n=Count("pk", distinct=True))["n"] if len(shown) == SHOWN else len(shown)
    relatives = [Relative(child, child.get_technique_display()) for child in shown]
    return Relative(image, relatives=relatives, hidden=total - len(shown))
