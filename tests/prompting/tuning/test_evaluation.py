"""The numbers that set two authors side by side, worked by hand."""

from __future__ import annotations

import pytest

from synthreview.lib.outcomes import ServiceError, TransientError
from synthreview.prompting.authors.base import (
    Caption,
    Usage,
    WriteRequest,
    WriteResult,
    after,
)
from synthreview.prompting.tuning.evaluation import distinct_n, evaluate

AXES = {"place": [("b", "on the beach"), ("f", "in a forest")], "light": [("d", "at dusk")]}


class Scripted:
    title, version, needs_worker = "Scripted", "1", False

    def __init__(self, *answers: list[Caption] | ServiceError) -> None:
        self._answers = iter(answers)

    def write(self, request: WriteRequest) -> WriteResult:
        answer = next(self._answers)
        if isinstance(answer, ServiceError):
            raise answer
        return WriteResult(tuple(answer), Usage(1, 10, 5))

    def health(self) -> list[str]:
        return []


def test_distinct_n_by_hand() -> None:
    texts = ["a dog on a hill", "A dog on a mat."]
    assert distinct_n(texts, 1) == 5 / 10
    assert distinct_n(texts, 2) == 5 / 8
    assert distinct_n([], 1) == distinct_n(["dog"], 2) == 0


def test_the_gate_coverage_and_failures_are_counted() -> None:
    good = Caption("A dog on the beach at dusk", {"place": "on the beach", "light": "at dusk"})
    wrong = Caption("A cat in a forest", {"place": "in a forest"})
    asked = WriteRequest("dog", "A [class] {place} {light}", AXES, 2)
    failure = after(Usage(1, 7, 0), TransientError("The server is away."))
    result = evaluate(Scripted([good, wrong], failure), [asked, asked])
    assert (result.asked, result.written) == (4, 2)
    assert result.gate_pass_rate == 1 / 2
    assert result.yield_rate == 1 / 4
    assert result.coverage == pytest.approx(2 / 3)
    assert result.pair_coverage == 1 / 2
    assert result.reasons == {"class": 1}
    assert result.errors == ("The server is away.",)
    assert result.usage == Usage(2, 17, 5)
