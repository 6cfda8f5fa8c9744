"""The worker: what it measures, what it survives, and when it says that nothing can be said."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import IntegrityError, transaction

from synthreview.catalog.image_folders import RefusedFileError
from synthreview.catalog.models import ReferenceImage, ReferenceUse
from synthreview.catalog.references import add_reference
from synthreview.catalog.storage import blobs
from synthreview.evaluation import jobs, services
from synthreview.evaluation.models import Evaluation, PictureEmbedding, Trial
from synthreview.evaluation.services import (
    CannotStartError,
    card_line,
    start_evaluation,
    stop_evaluation,
)
from synthreview.export.models import CardLine
from synthreview.work.models import WorkState
from synthreview.work.services import take_back_overdue
from tests.evaluation.worlds import ColourScorer, add_drawn, add_real, colour_scorer, fill
from tests.export.frozen import frozen
from tests.people import People, make_people

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "enqueue_on_commit", lambda rows: None)


@pytest.fixture(autouse=True)
def colours(settings: Any) -> Iterator[type[ColourScorer]]:
    with colour_scorer(settings) as own:
        yield own


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def filled(people: People) -> People:
    fill(people.dataset, people.users["reviewer"])
    return people


def evaluated(people: People, **wish: Any) -> Evaluation:
    found = start_evaluation(dataset=people.dataset, **{"seeds": 1, **wish})
    jobs.evaluate(found.pk)
    found.refresh_from_db()
    return found


def arms(found: Evaluation, learner: str = "probe") -> dict[str, Any]:
    return {arm["name"]: arm for arm in found.result["learners"][learner]["arms"]}


def test_it_tells_good_images_from_wrong_ones(filled: People) -> None:
    test = ReferenceImage.objects.filter(use=ReferenceUse.TEST)[0]
    (near,) = add_drawn(
        filled.label_class, (1, 2, 3), 1, approver=filled.users["reviewer"], family=test.family
    )
    found = evaluated(filled, seeds=2)
    assert (found.state, found.error) == (WorkState.DONE, "")
    by_name = arms(found)
    assert list(by_name) == [
        "real", "synthetic", "both", "without:plain", "without:style", "unreviewed",
    ]  # fmt: skip
    assert by_name["both"]["accuracy"][0] == 1
    assert by_name["both"]["accuracy"][1] < 1  # some images cannot show that all are right
    # What nobody approved has the other class's colour, and there is more of it.
    assert by_name["unreviewed"]["accuracy"][0] < 0.5
    review = found.result["learners"]["probe"]["review"]
    assert review["kind"] == "helps"
    assert by_name["unreviewed"]["against_real"][2] < 0  # worse than the real images alone
    assert by_name["real"]["against_real"] is None
    assert review["difference"][1] > 0.3
    # Robustness is measured on changed copies of the test images.
    views = {view["name"]: view["accuracy"][0] for view in by_name["both"]["views"]}
    assert set(views) == {"plain", "typographic", "surroundings"}
    assert views["plain"] == by_name["both"]["accuracy"][0]
    # A share of the test images measures nothing.
    counts = found.counts
    assert counts["test"] + counts["validation"] == 20
    assert counts["validation"] > 0
    assert sum(row["images"] for row in by_name["both"]["classes"]) == counts["test"]
    # What is of one family with a test image trains nothing.
    assert counts["near_test"] == 1
    assert near.pk not in found.inputs["approved"]["ids"] + found.inputs["drawn"]["ids"]


def test_it_says_plainly_that_nothing_is_gained(
    filled: People, colours: type[ColourScorer]
) -> None:
    found = evaluated(filled)
    kept, looked = PictureEmbedding.objects.count(), len(colours.requests)
    probe = found.result["learners"]["probe"]
    assert probe["verdict"] == "unclear"  # the real images alone name all of them rightly
    assert probe["sentence"].startswith("No difference is shown")
    export = frozen(filled.dataset)
    assert export.facts["findings"] == {"Tried on real images": card_line(found)}
    assert card_line(found).startswith("Evaluation 1 (")
    again = evaluated(filled)
    assert "Evaluation 2 (" in CardLine.objects.get().text == card_line(again)
    # The same seeds give the same figures, and no picture is looked at twice.
    second = arms(again)
    for name, arm in arms(found).items():
        assert {**arm, "seconds": 0} == {**second[name], "seconds": 0}
    assert kept == looked > 0
    assert (PictureEmbedding.objects.count(), len(colours.requests)) == (kept, looked)


def test_it_says_plainly_that_the_images_do_harm(people: People) -> None:
    fill(people.dataset, people.users["reviewer"], drawn=0)
    wrong = reversed(people.dataset.classes.all())
    for label_class, colour in zip(wrong, ((200, 60, 60), (60, 60, 200)), strict=True):
        add_drawn(label_class, colour, 20, approver=people.users["reviewer"])
    probe = evaluated(people).result["learners"]["probe"]
    assert probe["verdict"] == "harms"
    assert probe["gain"][2] < 0
    assert "do harm" in probe["sentence"]


def test_without_real_training_images_no_gain_is_claimed(people: People) -> None:
    fill(people.dataset, people.users["reviewer"], real=0)
    probe = evaluated(people).result["learners"]["probe"]
    assert (probe["verdict"], probe["gain"]) == ("alone", None)
    assert "cannot be said" in probe["sentence"]


def test_a_worker_that_dies_loses_one_training(
    filled: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = start_evaluation(dataset=filled.dataset, seeds=1)
    real_try, tried = jobs._Worker.try_once, []

    class KilledError(BaseException):
        pass

    def die_at_the_third(self: Any, *args: Any) -> None:
        tried.append(args[4].name)
        if len(tried) == 3:
            raise KilledError
        real_try(self, *args)

    monkeypatch.setattr(jobs._Worker, "try_once", die_at_the_third)
    with pytest.raises(KilledError):
        jobs.evaluate(found.pk)
    assert Trial.objects.filter(evaluation=found).count() == 2
    frozen_inputs = Evaluation.objects.get(pk=found.pk).inputs
    # Its lease runs out and the sweeper takes it back; more is approved meanwhile.
    Evaluation.objects.filter(pk=found.pk).update(lease_expires_at="2020-01-01T00:00Z")
    take_back_overdue()
    add_drawn(filled.label_class, (1, 2, 3), 2, approver=filled.users["reviewer"])
    jobs.evaluate(found.pk)
    found.refresh_from_db()
    assert found.state == WorkState.DONE
    assert len(tried) == 3 + 6 - 2
    assert found.inputs == frozen_inputs
    assert found.done_count <= found.total_count


def test_a_stopped_evaluation_ends_at_once(filled: People, monkeypatch: pytest.MonkeyPatch) -> None:
    found = start_evaluation(dataset=filled.dataset, seeds=1)
    real_try = jobs._Worker.try_once

    def stop_first(self: Any, *args: Any) -> None:
        stop_evaluation(found)
        real_try(self, *args)

    monkeypatch.setattr(jobs._Worker, "try_once", stop_first)
    jobs.evaluate(found.pk)
    found.refresh_from_db()
    assert found.state == WorkState.CANCELLED
    assert found.result == {}
    assert Trial.objects.count() <= 1
    assert not stop_evaluation(found)


def test_a_missing_file_is_a_plain_error(filled: People) -> None:
    test = ReferenceImage.objects.filter(use=ReferenceUse.TEST)[0]
    blobs().path(test.sha256).unlink()
    found = evaluated(filled)
    assert found.state == WorkState.FAILED
    assert found.error.startswith("An image could not be read")
    assert "/" not in found.error


# --- What stays apart -------------------------------------------------------------------


def test_a_test_image_never_becomes_anything_else(people: People) -> None:
    (row, *_) = add_real(people.dataset, ReferenceUse.TEST, 1)
    for use in (ReferenceUse.TRAIN, ReferenceUse.SOURCE):
        with pytest.raises(RefusedFileError, match="one use only"):
            add_reference(
                dataset=people.dataset,
                label_class=people.label_class,
                use=use,
                data=blobs().read(row.sha256),
                name="",
            )
        with pytest.raises(IntegrityError), transaction.atomic():
            ReferenceImage.objects.create(
                dataset=people.dataset, label_class=people.label_class, use=use,
                sha256=row.sha256, media_type="image/png", byte_count=1, width=1, height=1,
            )  # fmt: skip
    row.refresh_from_db()
    assert row.use == ReferenceUse.TEST


# --- Starting ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"seeds": 0}, "choose 1 to 20"),
        ({"seeds": 21}, "choose 1 to 20"),
        ({"learners": ["oracle"]}, "known: probe, network"),
        ({"learners": []}, "at least one way"),
    ],
)
def test_wrong_wishes_are_refused(filled: People, wish: dict[str, Any], said: str) -> None:
    with pytest.raises(CannotStartError, match=said):
        start_evaluation(dataset=filled.dataset, **wish)
    assert not Evaluation.objects.exists()


def test_it_takes_a_test_set(people: People) -> None:
    with pytest.raises(CannotStartError, match="10 real test images"):
        start_evaluation(dataset=people.dataset)


def test_one_at_a_time(filled: People) -> None:
    start_evaluation(dataset=filled.dataset)
    with pytest.raises(CannotStartError, match="under way already"):
        start_evaluation(dataset=filled.dataset)


def test_the_database_refuses_a_result_that_is_none(filled: People) -> None:
    found = start_evaluation(dataset=filled.dataset)
    for wrong in (
        {"state": WorkState.DONE},
        {"phase": "dreaming"},
        {"done_count": 3, "total_count": 2},
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            Evaluation.objects.filter(pk=found.pk).update(**wrong)
