"""The numbers that set two authors side by side, worked by hand."""

from __future__ import annotations

import pytest

from synthreview.prompting import gate
from synthreview.prompting.authors.base import Caption, WriteRequest
from synthreview.prompting.tuning.evaluation import assess, distinct_n

AXES = {"place": [("b", "on the beach"), ("f", "in a forest")], "light": [("d", "at dusk")]}


def test_distinct_n_by_hand() -> None:
    texts = ["a dog on a hill", "A dog on a mat."]
    assert distinct_n(texts, 1) == 5 / 10
    assert distinct_n(texts, 2) == 5 / 8
    assert distinct_n([], 1) == distinct_n(["dog"], 2) == 0


def test_the_gate_coverage_and_silence_are_counted() -> None:
    good = Caption("A dog on the beach at dusk", {"place": "on the beach", "light": "at dusk"})
    wrong = Caption("A cat in a forest", {"place": "in a forest"})
    asked = WriteRequest("dog", "A [class] {place} {light}", AXES, 2)
    judged = gate.check([good, wrong], gate.GateRules(names=("dog",))).judged
    result = assess([(asked, 2, judged), (asked, 2, [])])
    assert (result.asked, result.written) == (4, 2)
    assert result.gate_pass_rate == 1 / 2
    assert result.yield_rate == 1 / 4
    assert result.coverage == pytest.approx(2 / 3)
    assert result.pair_coverage == 1 / 2
    assert result.reasons == {"class": 1}
