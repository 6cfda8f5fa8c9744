"""The offline author: fills templates from the dataset's word lists, by a strategy."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping

from synthreview.lib.text import normalised
from synthreview.prompting.authors.base import Caption, WriteRequest, WriteResult
from synthreview.prompting.coverage import Combination, Space, Strategy, choose
from synthreview.prompting.template import fill, slot_names


class WordlistAuthor:
    """Writes captions whose combinations of values are chosen by design."""

    title = "Word lists"
    version = "2"
    needs_worker = False

    def write(self, request: WriteRequest) -> WriteResult:
        """Return distinct captions; fewer than asked where no more combinations are left.

        `gaps` come first. Where every combination is said, other ways to say it follow.
        """
        sheet = _Sheet(request)
        for gap in request.gaps:
            sheet.write(sheet.space_of(gap), Strategy.BALANCED, 1, sheet.is_said)
        for is_taken in (sheet.is_said, sheet.is_said_in_every_way):
            sheet.write(sheet.space, Strategy(request.strategy), request.count, is_taken)
        return WriteResult(tuple(sheet.captions))

    def health(self) -> list[str]:
        return []


class _Sheet:
    """One request's combinations, and the ways to say each."""

    def __init__(self, request: WriteRequest) -> None:
        self._request = request
        self.templates = (request.template, *request.more_templates)
        self.names = tuple(dict.fromkeys((request.class_name, *request.synonyms)))
        slots = dict.fromkeys(slot for text in self.templates for slot in slot_names(text))
        self.words: dict[str, Mapping[str, str]] = {
            slot: dict(request.axes[slot]) for slot in slots if request.axes.get(slot)
        }
        axes = {slot: _distinct(words) for slot, words in self.words.items()}
        self.space = Space(axes, request.forbidden)

        self.seen = set(request.avoid)
        self.captions: list[Caption] = []

    def space_of(self, gap: Mapping[str, str]) -> Space:
        """Return the combinations that fill a gap."""
        axes = {
            axis: [name for name in names if gap.get(axis, name) == name]
            for axis, names in self.space.axes.items()
        }
        return Space(axes, self._request.forbidden)

    def write(
        self,
        space: Space,
        strategy: Strategy,
        count: int,
        is_taken: Callable[[Combination], bool],
    ) -> None:
        """Add up to `count` captions, never more than the request asks for."""
        count = min(count, self._request.count - len(self.captions))
        if count <= 0:
            return
        taken = is_taken if self.seen else None
        seed = self._request.seed
        for combination in choose(space, strategy, count=count, seed=seed, is_taken=taken):
            caption = self._in_turn(combination)
            if caption is not None:
                self.seen.add(normalised(caption.text))
                self.captions.append(caption)

    def is_said(self, combination: Combination) -> bool:
        return any(normalised(way.text) in self.seen for way in self._ways(combination))

    def is_said_in_every_way(self, combination: Combination) -> bool:
        return all(normalised(way.text) in self.seen for way in self._ways(combination))

    def _ways(self, combination: Combination) -> Iterator[Caption]:
        for name, template in itertools.product(self.names, self.templates):
            yield self._caption(combination, template, name)

    def _in_turn(self, combination: Combination) -> Caption | None:
        """Return the caption by the next template and synonym, or the first way that is new."""
        names, templates, turn = self.names, self.templates, len(self.captions)
        name = names[turn // len(templates) % len(names)]
        next_one = self._caption(combination, templates[turn % len(templates)], name)
        for way in itertools.chain([next_one], self._ways(combination)):
            if normalised(way.text) not in self.seen:
                return way
        return None

    def _caption(self, combination: Combination, template: str, name: str) -> Caption:
        words = {slot: self.words[slot][value] for slot, value in combination.items()}
        said = {slot: words[slot] for slot in slot_names(template) if words.get(slot)}
        return Caption(fill(template, {"class": name, **words}), said)


def _distinct(words: Mapping[str, str]) -> list[str]:
    """Return the names of values that say different things."""
    first: dict[str, str] = {}
    for name, phrase in words.items():
        first.setdefault(normalised(phrase), name)
    return list(first.values())
