"""`score`, then `admit`: from images to a queue, without a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from synthreview.review.models import ReviewSlot
from synthreview.scoring.models import Score, ScoringPass
from synthreview.scoring.scorers.base import ScorerError
from tests.factories import make_dataset, make_image
from tests.scoring.fakes import RedScorer, red_scorer

pytestmark = pytest.mark.django_db


@pytest.fixture
def red(settings: Any) -> Iterator[type[RedScorer]]:
    with red_scorer(settings) as scorer:
        yield scorer


def answer(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, Any]:
    capsys.readouterr()
    call_command(*args, "--json")
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def test_it_scores_one_dataset_to_the_end(
    red: type[RedScorer], capsys: pytest.CaptureFixture[str]
) -> None:
    dataset, other = make_dataset("One"), make_dataset("Other")
    for _ in range(3):
        make_image(dataset)
    make_image(other)
    facts = answer(capsys, "score", "one", "--wait")
    assert (facts["scored"], facts["waiting"], facts["scorer"]) == (3, 0, "Red (red 1)")
    assert Score.objects.count() == 3
    assert answer(capsys, "score", "one", "--wait")["scored"] == 0
    assert answer(capsys, "admit") == {"admitted": 3}
    assert answer(capsys, "admit") == {"admitted": 0}
    assert ReviewSlot.objects.count() == 3


def test_without_wait_it_plans(red: type[RedScorer], capsys: pytest.CaptureFixture[str]) -> None:
    make_image(make_dataset("One"))
    facts = answer(capsys, "score", "one")
    assert (facts["scored"], facts["waiting"]) == (0, 1)
    assert ScoringPass.objects.open().count() == 1


def test_a_model_that_cannot_be_loaded_is_said_in_one_line(
    red: type[RedScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: RedScorer) -> None:
        raise ScorerError("No model is called 'x';\nnearest: y.")

    monkeypatch.setattr(RedScorer, "card", fail)
    make_dataset("One")
    with pytest.raises(CommandError) as caught:
        call_command("score", "one")
    assert str(caught.value) == "No model is called 'x'; nearest: y"


def test_a_pass_that_fails_ends_the_command(
    red: type[RedScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(requests: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(ScoringPass, "MAX_ATTEMPTS", 1)
    red.before = staticmethod(fail)
    make_image(make_dataset("One"))
    with pytest.raises(CommandError, match="Scoring failed: RuntimeError: out of memory"):
        call_command("score", "one", "--wait")
