"""What somebody wants written: one value, which pages, commands and the API fill in alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from synthreview.catalog.models import Dataset, LabelClass
from synthreview.prompting.choosing import Strategy

Values = Mapping[str, Sequence[str]]  # axis → names of its values


class Share(StrEnum):
    """How many captions each of several templates gets; the label says it on the page."""

    EVEN = "even"
    LEARNED = "learned"

    @property
    def label(self) -> str:
        return {
            Share.EVEN: "in turn: each template equally often",
            Share.LEARNED: "learned: more for those whose images people approve",
        }[self]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """Captions that are wanted: `count` of one technique, evenly over the classes.

    `templates` take turns, or get the `share` that approval has taught; without any, the
    technique's own are used. `axes` are those that vary (None: those of the templates), and the
    technique's own templates get a slot for each of them. `values` narrows axes to some of their
    values. `label` is that of a fusion. The same seed gives the same captions.
    """

    dataset: Dataset
    classes: Sequence[LabelClass]
    technique: str
    count: int
    templates: tuple[str, ...] = ()
    strategy: Strategy = Strategy.BALANCED
    axes: tuple[str, ...] | None = None
    values: Values = field(default_factory=dict)
    seed: int = 0
    label: LabelClass | None = None
    share: Share = Share.EVEN

    def facts(self) -> dict[str, Any]:
        """Return it as plain values, to be kept beside what came of it."""
        return {
            "classes": [label_class.slug for label_class in self.classes],
            "templates": list(self.templates),
            "strategy": str(self.strategy),
            "axes": None if self.axes is None else list(self.axes),
            "values": {axis: list(names) for axis, names in self.values.items()},
            "seed": self.seed,
            "label": self.label.slug if self.label else "",
            "share": str(self.share),
        }


def wish_of(dataset: Dataset, technique: str, count: int, facts: Mapping[str, Any]) -> Wish:
    """Return the wish of which `Wish.facts` were kept; classes that are gone are left out."""
    by_slug = {one.slug: one for one in dataset.classes.all()}
    return Wish(
        dataset=dataset,
        classes=[by_slug[slug] for slug in facts["classes"] if slug in by_slug],
        technique=technique,
        count=count,
        templates=tuple(facts["templates"]),
        strategy=Strategy(facts["strategy"]),
        axes=None if facts["axes"] is None else tuple(facts["axes"]),
        values=facts["values"],
        seed=facts["seed"],
        label=by_slug.get(facts["label"]),
        share=Share(facts["share"]),
    )


def templates_of(text: str) -> tuple[str, ...]:
    """Return the templates of a text that has one on each line."""
    return tuple(dict.fromkeys(line.strip() for line in text.splitlines() if line.strip()))


def varying(axes: Values | None) -> dict[str, Any]:
    """Return the arguments of a Wish that varies these axes, over these values or all of them."""
    if axes is None:
        return {}
    return {"axes": tuple(axes), "values": {axis: names for axis, names in axes.items() if names}}
