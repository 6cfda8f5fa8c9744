"""A wish as tests write it: the axes as one mapping, the template as a text, all classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from synthreview.catalog.models import Dataset
from synthreview.prompting.choosing import Strategy
from synthreview.prompting.wishes import Wish, templates_of, varying


def make_wish(
    dataset: Dataset,
    technique: str = "plain",
    count: int = 20,
    *,
    template: str = "",
    axes: Mapping[str, Sequence[str]] | None = None,
    strategy: str = "balanced",
    **fields: Any,
) -> Wish:
    """Return a wish for every class of the dataset, unless others are named."""
    fields.setdefault("classes", list(dataset.classes.all()))
    return Wish(
        dataset=dataset,
        technique=technique,
        count=count,
        templates=templates_of(template),
        strategy=Strategy(strategy),
        **varying(axes),
        **fields,
    )
