"""How many images of each class and axis value there are, by what people said of them."""

from __future__ import annotations

from collections import Counter

from synthreview.catalog.models import Axis, Dataset
from synthreview.evaluation.needs import Stock
from synthreview.generation.models import GeneratedImage
from synthreview.review.models import ImageState


def stocks_of(dataset: Dataset) -> dict[tuple[str, str], Stock]:
    """Return ("class", name) and (axis, value) → how many; two queries.

    An image has an axis value where its prompt's slot says the value's words.
    """
    values = {
        (axis.name, value.phrase or value.name): value.name
        for axis in Axis.objects.filter(dataset=dataset).prefetch_related("values")
        for value in axis.values.all()
    }
    counts: Counter[tuple[str, str, str]] = Counter()
    rows = GeneratedImage.objects.filter(dataset=dataset).order_by()
    for name, slots, state in rows.values_list(
        "label_class__name", "prompt__slots", "review__state"
    ).iterator(chunk_size=2_000):
        keys = [("class", name)]
        keys += [
            (axis, values[axis, words])
            for axis, words in (slots or {}).items()
            if (axis, words) in values
        ]
        for kind, value in keys:
            counts[kind, value, "drawn"] += 1
            counts[kind, value, state or ""] += 1
    return {
        (kind, value): Stock(
            approved=counts[kind, value, ImageState.APPROVED],
            rejected=counts[kind, value, ImageState.REJECTED],
            drawn=counts[kind, value, "drawn"],
        )
        for kind, value in {key[:2] for key in counts}
    }
