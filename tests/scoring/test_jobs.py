"""Walking over what has no score: every image once, whatever breaks off."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from django.db.models.functions import Now
from PIL import Image

from synthreview.catalog.models import Dataset
from synthreview.catalog.storage import blobs
from synthreview.lib.images import THUMB, VIEW
from synthreview.scoring import jobs
from synthreview.scoring.jobs import read_picture, score
from synthreview.scoring.models import Embedding, Score, ScorerVersion, ScoringPass, unscored
from synthreview.scoring.services import (
    main_score,
    plan_scoring,
    rank_within_class,
    register,
    scorer,
    scoring_notice,
)
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_image, make_run
from tests.scoring.fakes import RedScorer, red_scorer

pytestmark = pytest.mark.django_db


@pytest.fixture
def red(settings: Any) -> Iterator[type[RedScorer]]:
    with red_scorer(settings) as scorer:
        yield scorer


@pytest.fixture
def dataset() -> Dataset:
    return make_dataset()


def plan_one() -> ScoringPass:
    (planned,) = plan_scoring()
    return planned


def test_every_image_gets_its_score_and_embedding(red: type[RedScorer], dataset: Dataset) -> None:
    images = [make_image(dataset) for _ in range(3)]
    version = register()
    work = plan_one()
    score(work.pk)
    work.refresh_from_db()
    assert (work.state, work.scored_count) == (WorkState.DONE, 3)
    for image in images:
        row = main_score(image)
        assert row
        assert row.version == version
        assert row.value == row.similarity == pytest.approx(row.parts["object"], abs=1e-5)
        assert row.class_probability == 0.5
        vector = Embedding.objects.get(image=image).vector
        assert list(np.frombuffer(bytes(vector), "<f2")) == [1, 0]
    assert red.requests[0].class_texts == ["car", "umbrella"]
    assert red.requests[0].caption == images[0].caption
    assert red.requests[0].parts == {"object": "a car"}
    assert plan_scoring() == []


def test_without_a_registered_model_nothing_is_planned(dataset: Dataset) -> None:
    make_image(dataset)
    assert plan_scoring() == []
    assert "No scoring worker" in scoring_notice(dataset)


def test_two_planners_plan_once(red: type[RedScorer], dataset: Dataset) -> None:
    make_image(dataset)
    register()
    assert len(plan_scoring()) == 1
    assert plan_scoring(recent_only=True) == []
    assert plan_scoring(dataset=dataset) == []


def test_a_second_delivery_scores_nothing_twice(red: type[RedScorer], dataset: Dataset) -> None:
    make_image(dataset)
    register()
    work = plan_one()
    score(work.pk)
    score(work.pk)
    assert red.batches == [1]


def test_batches_are_committed_one_by_one(
    red: type[RedScorer], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BATCH", 2)
    for _ in range(5):
        make_image(dataset)
    register()
    told: list[int] = []
    score(plan_one().pk, told.append)
    assert red.batches == told == [2, 2, 1]


def test_images_that_the_model_does_not_know_are_never_shown_to_it(
    red: type[RedScorer], dataset: Dataset
) -> None:
    foreign = make_image(dataset, run=make_run(dataset, generator="import"))
    own = make_image(dataset, run=make_run(dataset))
    register()
    score(plan_one().pk)
    assert red.batches == [1]
    row = main_score(foreign)
    assert row
    assert (row.applies, row.value) == (False, None)
    assert row.note.startswith("Red does not apply")
    assert "SYNTHREVIEW_CLIP" in row.note
    assert rank_within_class(row) is None
    assert "does not apply to this dataset's other images" in scoring_notice(dataset)
    ranked = main_score(own)
    assert ranked
    assert rank_within_class(ranked) == (1, 1)


def test_a_file_that_is_missing_or_damaged_stops_nobody(
    red: type[RedScorer], dataset: Dataset
) -> None:
    missing, damaged, well = (make_image(dataset) for _ in range(3))
    blobs().path(missing.sha256).unlink()
    blobs().path(damaged.sha256).write_bytes(b"\x89PNG")
    register()
    work = plan_one()
    score(work.pk)
    notes = dict(Score.objects.values_list("image", "note"))
    assert "missing from the store" in notes[missing.pk]
    assert "cannot be read" in notes[damaged.pk]
    assert notes[well.pk] == ""
    work.refresh_from_db()
    assert work.state == WorkState.DONE


def test_a_model_that_fails_is_tried_again_then_set_aside(
    red: type[RedScorer], dataset: Dataset
) -> None:
    def fail(requests: object) -> None:
        raise RuntimeError("out of memory")

    make_image(dataset)
    register()
    red.before = staticmethod(fail)
    work = plan_one()
    for _ in range(ScoringPass.MAX_ATTEMPTS):
        ScoringPass.objects.update(due_at=Now())
        score(work.pk)
    work.refresh_from_db()
    assert (work.state, work.error) == (WorkState.FAILED, "RuntimeError: out of memory")
    assert plan_scoring() == []  # it pauses, and does not run in circles
    red.before = staticmethod(lambda requests: None)
    (again,) = plan_scoring(dataset=dataset)  # a person asks for it now
    score(again.pk)
    assert not unscored(register()).exists()


def test_killed_between_batches_it_goes_on_where_it_was(
    red: type[RedScorer], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(requests: object) -> None:
        if len(red.batches) == 1:
            raise Killed

    monkeypatch.setattr(jobs, "BATCH", 2)
    for _ in range(4):
        make_image(dataset)
    register()
    red.before = staticmethod(kill)
    work = plan_one()
    with pytest.raises(Killed):
        score(work.pk)
    assert Score.objects.count() == 2
    red.before = staticmethod(lambda requests: None)
    ScoringPass.objects.update(state=WorkState.READY, lease_token=None, lease_expires_at=None)
    score(work.pk)
    assert red.batches == [2, 2]
    assert Score.objects.count() == Embedding.objects.count() == 4


def test_a_worker_that_lost_its_lease_stops(
    red: type[RedScorer], dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lose(requests: object) -> None:
        ScoringPass.objects.update(state=WorkState.READY, lease_token=None, lease_expires_at=None)

    monkeypatch.setattr(jobs, "BATCH", 1)
    for _ in range(3):
        make_image(dataset)
    register()
    red.before = staticmethod(lose)
    work = plan_one()
    score(work.pk)
    assert red.batches == [1]
    work.refresh_from_db()
    assert work.state == WorkState.READY


def test_a_new_model_scores_everything_anew(red: type[RedScorer], dataset: Dataset) -> None:
    image = make_image(dataset)
    register()
    score(plan_one().pk)
    red.tag = "2"
    register.cache_clear()
    version = register()
    assert ScorerVersion.objects.current() == version
    score(plan_one().pk)
    assert image.scores.count() == 2


def test_a_pass_of_a_model_that_is_no_longer_loaded_is_stopped(
    red: type[RedScorer], dataset: Dataset
) -> None:
    make_image(dataset)
    register()
    work = plan_one()
    red.tag = "2"
    register.cache_clear()
    score(work.pk)
    work.refresh_from_db()
    assert work.state == WorkState.CANCELLED
    assert not Score.objects.exists()
    assert plan_one().version == register()


def test_registering_again_makes_the_same_row_current(red: type[RedScorer]) -> None:
    version = register()
    red.tag = "2"
    register.cache_clear()
    register()
    red.tag = "1"
    register.cache_clear()
    assert register() == version == ScorerVersion.objects.current()


def test_planning_asks_no_more_of_more_datasets(
    red: type[RedScorer], django_assert_max_num_queries: Any
) -> None:
    make_image(make_dataset())
    register()
    plan_scoring()
    for _ in range(3):
        make_image(make_dataset())
    plan_scoring()
    with django_assert_max_num_queries(5):
        assert plan_scoring(recent_only=True) == []


def test_a_judge_that_sees_little_reads_a_rendition(red: type[RedScorer], dataset: Dataset) -> None:
    """The smallest whose shorter side holds what it sees; the original where none is there."""
    large, wide, small = (
        make_image(dataset, width=width, height=height)
        for width, height in ((1024, 1024), (2048, 512), (32, 32))
    )
    marks = {THUMB: "red", VIEW: "lime"}
    for image in (large, wide, small):
        for name, colour in marks.items():
            blobs().path(image.sha256, name).write_bytes(png(colour))
        blobs().path(image.sha256).write_bytes(png("blue"))
    seen = {
        side: [read_picture(image, side).getpixel((0, 0)) for image in (large, wide, small)]
        for side in (0, 224, 384)
    }
    red_, lime, blue = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert seen == {0: [blue] * 3, 224: [red_, lime, blue], 384: [lime, blue, blue]}
    blobs().path(large.sha256, THUMB).unlink()
    assert read_picture(large, 224).getpixel((0, 0)) == blue
    blobs().path(wide.sha256).unlink()
    with pytest.raises(FileNotFoundError):
        read_picture(wide, 224)


def png(colour: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_from_what_a_judge_reads_is_part_of_what_it_is(
    red: type[RedScorer], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert register().preprocessing == "none"
    monkeypatch.setattr(red, "side_px", 224)
    scorer.cache_clear()
    register.cache_clear()
    assert register().preprocessing == "none; from 320/1280 px JPEG 90, box and Hamming"


def test_an_old_model_stays_in_force_until_the_new_one_has_covered_the_dataset(
    red: type[RedScorer], dataset: Dataset
) -> None:
    images = [make_image(dataset) for _ in range(2)]
    old = register()
    score(plan_one().pk)
    red.tag = "2"
    scorer.cache_clear()
    register.cache_clear()
    new = register()
    work = plan_one()
    in_force = ScorerVersion.objects.in_force
    assert ScorerVersion.objects.current() == new
    assert in_force(dataset.pk) == old
    shown = main_score(images[0])
    assert shown is not None
    assert shown.version == old
    score(work.pk)
    assert in_force(dataset.pk) == new
    make_image(dataset)
    plan_one()  # what comes later is no new beginning
    assert in_force(dataset.pk) == new
