"""The tuned author beside the plain one: the same requests, the same gate, the same numbers.

Ask for classes that were held out of the training file; else the tuned one is praised for
what it remembers. Approval by people comes later, from the review. Knows nothing of Django.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthreview.lib.text import normalised
from synthreview.prompting import gate
from synthreview.prompting.authors.base import Caption, WriteRequest


@dataclass(frozen=True, slots=True)
class AuthorEvaluation:
    """What an author made of some requests.

    `gate_pass_rate`: the share of its captions that the gate neither drops nor flags.
    `yield_rate`: those, over all that were asked for: a silent author has none.
    `coverage`: the share of the axes' values, and `pair_coverage` of the pairs of values of
    two axes, that stand in what passed. None where no axis was asked for.
    `distinct_1`, `distinct_2`: different words and pairs of words over all of them, of what
    passed (Li et al. 2016): 1 is never a repetition. Longer texts score lower: compare authors
    on the same requests only.
    """

    asked: int
    written: int
    gate_pass_rate: float
    yield_rate: float
    coverage: float | None
    pair_coverage: float | None
    distinct_1: float
    distinct_2: float
    reasons: dict[str, int]

    @property
    def gate_pass_percent(self) -> int:
        return round(100 * self.gate_pass_rate)

    @property
    def coverage_percent(self) -> int | None:
        return None if self.coverage is None else round(100 * self.coverage)


Answer = tuple[WriteRequest, int, Sequence[gate.Judged]]  # of one class: what, how many, what came


def assess(answers: Iterable[Answer]) -> AuthorEvaluation:
    """Return what an author made of the requests; compare authors on the same ones only."""
    asked = written = 0
    kept, reasons = list[Caption](), dict[str, int]()
    values, pairs = _Covered(), _Covered()
    for request, count, judged in answers:
        asked += count
        values.want(_values(request))
        pairs.want(_pairs(_values(request)))
        written += len(judged)
        for one in judged:
            for reason in one.reasons:
                reasons[reason.code] = reasons.get(reason.code, 0) + 1
        passed = [one.caption for one in judged if one.outcome is gate.Outcome.KEPT]
        kept += passed
        for caption in passed:
            said = {(request.class_name, axis, normalised(w)) for axis, w in caption.slots.items()}
            values.got(said)
            pairs.got(_pairs(said))
    return AuthorEvaluation(
        asked=asked,
        written=written,
        gate_pass_rate=len(kept) / written if written else 0.0,
        yield_rate=len(kept) / asked if asked else 0.0,
        coverage=values.share,
        pair_coverage=pairs.share,
        distinct_1=distinct_n([caption.text for caption in kept], 1),
        distinct_2=distinct_n([caption.text for caption in kept], 2),
        reasons=reasons,
    )


def distinct_n(texts: Iterable[str], n: int) -> float:
    """Return different n-grams over all n-grams; 0 where there are none."""
    grams = list[tuple[str, ...]]()
    for text in texts:
        words = re.findall(r"\w+", normalised(text))
        grams += zip(*(words[start:] for start in range(n)), strict=False)
    return len(set(grams)) / len(grams) if grams else 0.0


Value = tuple[str, str, str]  # class, axis, words


class _Covered:
    """What was wanted, and what of it was got."""

    def __init__(self) -> None:
        self._wanted: set[object] = set()
        self._got: set[object] = set()

    def want(self, things: Iterable[object]) -> None:
        self._wanted.update(things)

    def got(self, things: Iterable[object]) -> None:
        self._got.update(things)

    @property
    def share(self) -> float | None:
        return len(self._wanted & self._got) / len(self._wanted) if self._wanted else None


def _values(request: WriteRequest) -> set[Value]:
    return {
        (request.class_name, axis, normalised(words or name))
        for axis, choices in request.axes.items()
        for name, words in choices
    }


def _pairs(values: Iterable[Value]) -> set[tuple[Value, Value]]:
    return {
        (one, other)
        for one, other in itertools.combinations(sorted(values), 2)
        if one[1] != other[1]
    }
