"""The offline author: fills templates from the dataset's word lists, by a strategy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal

from synthreview.lib.text import normalised, text_key
from synthreview.prompting.authors.base import Caption, WriteRequest, WriteResult
from synthreview.prompting.choosing import Strategy, choose_rows
from synthreview.prompting.coverage import Combination, Row, Space
from synthreview.prompting.template import fill, slot_names


class WordlistAuthor:
    """Writes captions whose combinations of values are chosen by design."""

    title = "Word lists"
    version = "2"
    needs_worker = False
    batch = 5_000

    def write(self, request: WriteRequest) -> WriteResult:
        """Return distinct captions; fewer than asked where no more combinations are left.

        `gaps` come first. Where every combination is said, other ways to say it follow.
        """
        sheet = Sheet(request)
        captions: list[Caption] = []
        for gap in request.gaps[: request.count]:
            space = sheet.space_of(gap)
            captions += sheet.captions(space, sheet.choose(1, space=space))
        for is_said in (sheet.is_said, sheet.is_said_in_every_way):
            rows = sheet.choose(request.count - len(captions), is_said=is_said)
            captions += sheet.captions(sheet.space, rows)
        return WriteResult(tuple(captions[: request.count]))

    def estimate_usd(self, request: WriteRequest) -> Decimal:
        return Decimal(0)

    def health(self) -> list[str]:
        return []


class Sheet:
    """One request's combinations, and the ways to say each.

    It remembers what it has said, so that nothing is said twice.
    """

    def __init__(self, request: WriteRequest) -> None:
        self._request = request
        self.names = tuple(dict.fromkeys((request.class_name, *request.synonyms)))
        slots = dict.fromkeys(slot for text in request.templates for slot in slot_names(text))
        self.words: dict[str, Mapping[str, str]] = {
            slot: dict(request.axes[slot]) for slot in slots if request.axes.get(slot)
        }
        axes = {slot: _distinct(words) for slot, words in self.words.items()}
        self.space = Space(axes, request.forbidden)
        self._seen = set(request.avoid)
        self._turn = 0

    def space_of(self, gap: Mapping[str, str]) -> Space:
        """Return the combinations that fill a gap."""
        axes = {
            axis: [name for name in names if gap.get(axis, name) == name]
            for axis, names in self.space.axes.items()
        }
        return Space(axes, self._request.forbidden)

    def choose(
        self,
        count: int,
        *,
        space: Space | None = None,
        is_said: Callable[[Combination], bool] | None = None,
    ) -> list[Row]:
        """Return up to `count` combinations of the `space`, the whole one where none is given."""
        if count <= 0:
            return []
        space, is_said = space or self.space, is_said or self.is_said
        strategy, seed = Strategy(self._request.strategy), self._request.seed
        if not self._seen:
            return choose_rows(space, strategy, count=count, seed=seed)
        said: dict[Row, bool] = {}  # asked again and again for the same row

        def is_taken(row: Row) -> bool:
            if row not in said:
                said[row] = is_said(space.combination(row))
            return said[row]

        return choose_rows(space, strategy, count=count, seed=seed, is_taken=is_taken)

    def captions(self, space: Space, rows: Iterable[Row]) -> Iterator[Caption]:
        """Yield each row's caption, as far as anybody reads; what is said already is left out."""
        for row in rows:
            caption = self._in_turn(space.combination(row))
            if caption is not None:
                self._seen.add(text_key(caption.text))
                self._turn += 1
                yield caption

    def is_said(self, combination: Combination) -> bool:
        return any(text_key(way.text) in self._seen for way in self._ways(combination))

    def is_said_in_every_way(self, combination: Combination) -> bool:
        return all(text_key(way.text) in self._seen for way in self._ways(combination))

    def _ways(self, combination: Combination) -> Iterator[Caption]:
        for name, template in itertools.product(self.names, self._request.templates):
            yield self._caption(combination, template, name)

    def _in_turn(self, combination: Combination) -> Caption | None:
        """Return the caption by the next template and synonym, or the first way that is new."""
        names, templates, turns = self.names, self._request.templates, self._request.turns
        if turns:
            template = templates[turns[self._turn % len(turns)]]
            name = names[self._turn % len(names)]
        else:
            template = templates[self._turn % len(templates)]
            name = names[self._turn // len(templates) % len(names)]
        next_one = self._caption(combination, template, name)
        for way in itertools.chain([next_one], self._ways(combination)):
            if text_key(way.text) not in self._seen:
                return way
        return None

    def _caption(self, combination: Combination, template: str, name: str) -> Caption:
        words = {slot: self.words[slot][value] for slot, value in combination.items()}
        said = {slot: words[slot] for slot in slot_names(template) if words.get(slot)}
        return Caption(fill(template, {"class": name, **words}), said, template)


def _distinct(words: Mapping[str, str]) -> list[str]:
    """Return the names of values that say different things."""
    first: dict[str, str] = {}
    for name, phrase in words.items():
        first.setdefault(normalised(phrase), name)
    return list(first.values())
