"""In a world whose truth is known: what approved images gain, and what unreviewed ones cost."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.evaluation_gain import CLASSES, World, measured
from synthreview.evaluation import jobs, services
from synthreview.evaluation.pictures import PLAIN, View
from synthreview.export.models import CardLine
from synthreview.generation import services as generation


@pytest.mark.slow
@pytest.mark.django_db
def test_approved_images_gain_and_unreviewed_ones_lose(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the captions name two things, and the generator draws the wrong one of them."""
    for module in (services, generation):
        monkeypatch.setattr(module, "enqueue_on_commit", lambda rows: None)
    # Robustness has tests of its own; without it a third of the pictures is looked at.
    monkeypatch.setattr(jobs, "views_of", lambda test, names: {PLAIN: [View()] * len(test)})
    world = World(classes=CLASSES[:4], real=3, test=14, drawn=16)
    found = measured(world, ["probe"], seeds=2, say=lambda what: None)
    probe: dict[str, Any] = found.result["learners"]["probe"]
    arms = {arm["name"]: arm for arm in probe["arms"]}
    assert 0 < found.counts["approved"] < found.counts["drawn"] == 64
    assert probe["verdict"] == "helps"
    assert probe["gain"][1] > 0  # the low end of its interval
    assert arms["unreviewed"]["against_real"][2] < 0  # the high end: worse than no synthetic image
    assert probe["review"]["kind"] == "helps"
    assert probe["review"]["difference"][1] > 0.1
    assert "The synthetic images help" in CardLine.objects.get().text
