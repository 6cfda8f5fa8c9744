"""The offline author: fills the template from the dataset's word lists, evenly."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence

from synthreview.lib.text import normalised
from synthreview.prompting.authors.base import Caption, WriteRequest, WriteResult
from synthreview.prompting.template import fill, slot_names

Choice = tuple[str, str]
FULL_GRID_LIMIT = 20_000


class WordlistAuthor:
    """Writes captions in which every value of every slot appears about equally often."""

    title = "Word lists"
    version = "1"
    needs_worker = False

    def write(self, request: WriteRequest) -> WriteResult:
        """Return distinct captions; fewer than asked where the grid is used up."""
        slots = [name for name in slot_names(request.template) if request.axes.get(name)]
        captions: list[Caption] = []
        seen = set(request.avoid)
        for choice in _balanced(
            [request.axes[name] for name in slots], random.Random(request.seed)
        ):
            words = {name: phrase for name, (_, phrase) in zip(slots, choice, strict=True)}
            text = fill(request.template, {"class": request.class_name, **words})
            if (key := normalised(text)) in seen:
                continue
            seen.add(key)
            captions.append(Caption(text, {name: word for name, word in words.items() if word}))
            if len(captions) == request.count:
                break
        return WriteResult(tuple(captions))

    def health(self) -> list[str]:
        return []


def _balanced(axes: Sequence[Sequence[Choice]], rng: random.Random) -> Iterator[tuple[Choice, ...]]:
    """Yield combinations so that each axis goes round all its values before one comes again.

    Where that has produced nothing new for long, the rest of the grid follows in random
    order, so that a small grid is used to the last combination.
    """
    size = math.prod(len(axis) for axis in axes)
    rounds = [_rounds(axis, rng) for axis in axes]
    for _ in range(min(3 * size, 50_000)):
        yield tuple(next(values) for values in rounds)
    if size <= FULL_GRID_LIMIT:
        grid = list(itertools.product(*axes))
        rng.shuffle(grid)
        yield from grid


def _rounds(values: Sequence[Choice], rng: random.Random) -> Iterator[Choice]:
    while True:
        yield from rng.sample(list(values), len(values))
