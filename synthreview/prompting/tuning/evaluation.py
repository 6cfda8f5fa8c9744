"""The tuned author beside the plain one: the same requests, the same gate, three numbers.

Ask for classes that were held out of the training file; else the tuned one is praised for
what it remembers. Approval by people comes later, from the review. Knows nothing of Django.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from synthreview.lib.outcomes import ServiceError
from synthreview.lib.text import normalised
from synthreview.prompting import gate
from synthreview.prompting.authors.base import (
    Author,
    Caption,
    Usage,
    WriteRequest,
    used_before,
)


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
    usage: Usage
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two authors on the same requests."""

    plain: AuthorEvaluation
    tuned: AuthorEvaluation


def compare(plain: Author, tuned: Author, requests: Sequence[WriteRequest]) -> Comparison:
    """Have both write for every request, and judge them alike."""
    return Comparison(evaluate(plain, requests), evaluate(tuned, requests))


def evaluate(author: Author, requests: Iterable[WriteRequest]) -> AuthorEvaluation:
    """Have the author write for every request; its failures are counted, not raised."""
    asked = written = 0
    kept, reasons, errors = list[Caption](), dict[str, int](), list[str]()
    usage = Usage()
    values, pairs = _Covered(), _Covered()
    for request in requests:
        asked += request.count
        values.want(_values(request))
        pairs.want(_pairs(_values(request)))
        try:
            result = author.write(request)
        except ServiceError as error:
            usage += used_before(error)
            errors.append(str(error))
            continue
        usage += result.usage
        written += len(result)
        judged = gate.check(result, rules_for(request))
        for one in judged.judged:
            for reason in one.reasons:
                reasons[reason.code] = reasons.get(reason.code, 0) + 1
        passed = [one.caption for one in judged.of(gate.Outcome.KEPT)]
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
        usage=usage,
        errors=tuple(errors),
    )


def rules_for(request: WriteRequest) -> gate.GateRules:
    """Return the gate's rules for what was asked."""
    return gate.GateRules(
        names=(request.class_name, *request.synonyms),
        axes={axis: [words for _, words in choices] for axis, choices in request.axes.items()},
        language=request.language,
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
