"""The queue is put in order by what decisions teach, in the background, and its history kept."""

from __future__ import annotations

import datetime as dt
import io
import json
from typing import Any

import numpy as np
import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from synthreview.review import ranking_jobs, ranking_rows, ranking_services
from synthreview.review.models import ImageReview, ImageState, Ranking, ReviewSlot, SlotState
from synthreview.review.ranking_jobs import rank
from synthreview.review.ranking_models import RankingCause, RankingMethod
from synthreview.review.ranking_rows import read_queue, template_of
from synthreview.review.ranking_services import (
    ask_for_ranking,
    current_ranking,
    due_because,
    plan_rankings,
)
from synthreview.scoring.models import Score, ScoringPass
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_user, make_version
from tests.review.ranking.rows import decide, make_prompts, make_queue, order_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def quiet_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is sent to Redis: the tests run the job themselves."""
    monkeypatch.setattr(ranking_services, "enqueue_on_commit", lambda rows: None)


def run_due() -> Ranking:
    """Plan and run what is due; return it."""
    [planned] = plan_rankings()
    rank(planned.pk)
    planned.refresh_from_db()
    assert planned.state == WorkState.DONE, planned.error
    return planned


def rested() -> None:
    """Let the last rankings lie long back."""
    past = timezone.now() - dt.timedelta(hours=1)
    Ranking.objects.filter(state=WorkState.DONE).update(settled_at=past)


# --- The order --------------------------------------------------------------------


def test_before_there_are_decisions_the_lowest_of_each_caption_come_first() -> None:
    dataset = make_dataset()
    prompts = make_prompts(dataset, 2)
    images = make_queue(dataset, [0.9, 0.1, 0.8, 0.2, 0.7, 0.3], prompts=prompts)
    # Captions in turn: the first has 0.9 0.8 0.7, the second 0.1 0.2 0.3.
    ranking = run_due()
    assert order_of(dataset) == [images[i].pk for i in (1, 4, 3, 2, 5, 0)]
    assert (ranking.method, ranking.cause) == (RankingMethod.CAPTION, RankingCause.FIRST)
    assert (ranking.number, ranking.waiting, ranking.moved) == (1, 6, 6)
    assert current_ranking(dataset) == ranking


def test_a_caption_that_goes_wrong_comes_first_though_its_scores_are_high() -> None:
    dataset = make_dataset()
    prompts = make_prompts(dataset, 4)
    images = make_queue(dataset, [0.5 + 0.4 * (n % 4 == 0) for n in range(120)], prompts=prompts)
    decide(images[:40], make_user(), [n % 4 == 0 for n in range(40)])
    ranking = run_due()
    assert ranking.method == RankingMethod.LEARNED
    assert (ranking.decisions, ranking.bad) == (40, 10)
    wrong = {image.pk for n, image in enumerate(images) if n % 4 == 0}
    drawn = set(ranking.explored)
    first = [image for image in order_of(dataset) if image not in drawn][:15]
    assert set(first) <= wrong
    assert ranking.figures["auroc"][0] > 0.9
    assert ranking.main_weights(1)[0]["name"]


def test_a_place_is_the_chance_of_being_good() -> None:
    dataset = make_dataset()
    rng = np.random.default_rng(0)
    images = make_queue(dataset, rng.random(300).tolist())
    decide(images[:150], make_user(), [bool(rng.random() < 0.3) for _ in range(150)])
    run_due()
    places = ReviewSlot.objects.filter(dataset=dataset, state=SlotState.WAITING)
    found = list(places.values_list("priority", flat=True))
    assert 0 < min(found) <= max(found) < 1
    assert np.mean(found) == pytest.approx(0.7, abs=0.1)


def test_a_part_of_the_cards_is_drawn_by_lot_and_kept() -> None:
    dataset = make_dataset()
    images = make_queue(dataset, np.linspace(0, 1, 400).tolist())
    reviewer = make_user()
    decide(images[:200], reviewer, [n % 5 == 0 for n in range(200)])
    first = run_due()
    assert first.explored
    waiting = {image.pk for image in images[200:]}
    assert set(first.explored) <= waiting
    seen, other = first.explored[0], [i for i in images[200:] if i.pk not in first.explored]
    by_key = {image.pk: image for image in images}
    decide([by_key[seen], *other[:30]], reviewer, [True] + [False] * 30)
    rested()
    second = run_due()
    first.refresh_from_db()
    assert first.explored == [seen]  # the others were put forward and not reached
    assert second.drawn == 1


def test_what_somebody_holds_or_decided_keeps_its_place() -> None:
    dataset = make_dataset()
    images = make_queue(dataset, [0.5, 0.4, 0.3])
    decide(images[:1], make_user(), [True])
    before = ReviewSlot.objects.get(image=images[0]).priority
    run_due()
    assert ReviewSlot.objects.get(image=images[0]).priority == before


def test_only_what_moves_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset()
    make_queue(dataset, [0.5, 0.4, 0.3, 0.6])
    assert run_due().moved == 4
    again = ask_for_ranking(dataset)
    assert again is not None

    def never(*args: object, **kwargs: object) -> int:
        raise AssertionError("nothing moved")

    monkeypatch.setattr(ranking_jobs, "set_priorities", never)
    rank(again.pk)
    again.refresh_from_db()
    assert (again.state, again.moved) == (WorkState.DONE, 0)


def test_images_without_a_score_are_put_in_order_too() -> None:
    dataset = make_dataset()
    make_queue(dataset, [None] * 6)
    ranking = run_due()
    assert ranking.waiting == 6
    assert sorted(order_of(dataset)) == sorted(
        ImageReview.objects.filter(dataset=dataset).values_list("image", flat=True)
    )


def test_other_datasets_teach_nothing_and_stay_as_they_are() -> None:
    dataset, other = make_dataset(), make_dataset()
    reviewer = make_user()
    images = make_queue(other, [0.1] * 20)
    decide(images[:10], reviewer, [True, False] * 5)
    make_queue(dataset, [0.2, 0.1])
    places = list(ReviewSlot.objects.filter(dataset=other).values_list("pk", "priority"))
    asked = ask_for_ranking(dataset)
    assert asked is not None
    rank(asked.pk)
    asked.refresh_from_db()
    assert asked.decisions == 0
    assert places == list(ReviewSlot.objects.filter(dataset=other).values_list("pk", "priority"))


# --- What is read -----------------------------------------------------------------


def test_rows_become_columns() -> None:
    dataset = make_dataset()
    prompts = make_prompts(dataset, 2)
    vectors = np.eye(3)
    main = make_version()
    images = make_queue(dataset, [0.1, None, 0.3], prompts=prompts, version=main, vectors=vectors)
    second = make_version(alias="vqa")
    Score.objects.create(image=images[1], version=second, value=0.7, parts={"style": 0.2})
    decide(images[:1], make_user(), [True])
    found = read_queue(dataset)
    assert found.images.tolist() == [image.pk for image in images]
    assert found.table.scores["score"].tolist() == pytest.approx([0.1, np.nan, 0.3], nan_ok=True)
    assert found.table.scores["vqa"].tolist() == pytest.approx([np.nan, 0.7, np.nan], nan_ok=True)
    assert found.table.scores["vqa part style"][1] == 0.2
    assert found.table.scores["part object"][2] == 0.3
    assert found.table.embedding is not None
    assert found.table.embedding.tolist() == vectors.tolist()
    kinds = found.table.kinds
    assert kinds["caption"].tolist() == [0, 1, 0]
    assert {"template", "author", "axis colour", "axis environment"} <= set(kinds)
    assert kinds["axis colour"].tolist() == [0, 1, 0]
    assert found.is_known.tolist() == [True, False, False]
    assert found.is_bad.tolist() == [True, False, False]
    assert found.is_waiting.tolist() == [False, True, True]


def test_only_the_current_version_of_a_scorer_counts() -> None:
    dataset = make_dataset()
    old = make_version()
    images = make_queue(dataset, [0.1, 0.2], version=old)
    new = make_version()
    Score.objects.create(image=images[0], version=new, value=0.9, parts={})
    found = read_queue(dataset)
    assert found.scorers == [new]
    assert found.table.scores["score"].tolist() == pytest.approx([0.9, np.nan], nan_ok=True)


def test_reading_costs_the_same_number_of_queries_for_few_and_for_many() -> None:
    counts = []
    for count in (3, 60):
        dataset = make_dataset()
        make_queue(dataset, [0.1] * count, vectors=np.ones((count, 4)))
        with CaptureQueriesContext(connection) as queries:
            read_queue(dataset)
        counts.append(len(queries))
    assert counts[0] == counts[1]


def test_pages_of_any_size_give_the_same_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset()
    make_queue(
        dataset, [n / 25 for n in range(25)], vectors=np.random.default_rng(0).random((25, 4))
    )
    whole = read_queue(dataset)
    monkeypatch.setattr(ranking_rows, "PAGE", 4)
    pages = read_queue(dataset)
    assert (whole.images == pages.images).all()
    assert (whole.table.main_score == pages.table.main_score).all()
    assert whole.table.embedding is not None
    assert pages.table.embedding is not None
    assert (whole.table.embedding == pages.table.embedding).all()


@pytest.mark.parametrize(
    ("text", "slots", "template"),
    [
        (
            "A red car on the beach",
            {"colour": "red", "place": "on the beach"},
            "A {colour} {class} {place}",
        ),
        ("Two cars", {}, "Two {class}s"),
        ("Nothing known", {"colour": "red"}, ""),
        ("A red Car", {"colour": "", "place": "red"}, "A {place} {class}"),
    ],
)
def test_a_template_is_the_sentence_around_the_slots(
    text: str, slots: dict[str, str], template: str
) -> None:
    assert template_of(text, slots, "car") == template


# --- When -------------------------------------------------------------------------


def test_nothing_is_planned_where_nothing_waits() -> None:
    dataset = make_dataset()
    assert plan_rankings() == []
    decide(make_queue(dataset, [0.1]), make_user(), [True])
    assert plan_rankings() == []


def test_two_planners_plan_once() -> None:
    make_queue(make_dataset(), [0.1])
    assert len(plan_rankings()) == 1
    assert plan_rankings() == []


def test_a_new_model_is_due_after_twenty_decisions() -> None:
    dataset = make_dataset()
    images = make_queue(dataset, [0.1] * 50)
    reviewer = make_user()
    run_due()
    rested()
    decide(images[:19], reviewer, [False] * 19)
    assert due_because(dataset) is None
    decide(images[19:20], reviewer, [True])
    assert due_because(dataset) == RankingCause.DECISIONS
    assert run_due().decisions == 20


def test_new_images_and_another_scorer_are_reasons() -> None:
    dataset = make_dataset()
    make_queue(dataset, [0.1] * 3)
    run_due()
    assert due_because(dataset) is None
    make_queue(dataset, [0.2])
    assert due_because(dataset) is None  # it rests first
    rested()
    assert due_because(dataset) == RankingCause.IMAGES
    run_due()
    rested()
    version = make_version()
    work = ScoringPass.objects.create(dataset=dataset, version=version)
    assert due_because(dataset) is None  # half of the images have no score by it yet
    work.delete()
    assert due_because(dataset) == RankingCause.SCORER


def test_a_long_ranking_rests_long() -> None:
    dataset = make_dataset()
    make_queue(dataset, [0.1] * 3)
    run_due()
    make_queue(dataset, [0.2])
    Ranking.objects.update(settled_at=timezone.now() - dt.timedelta(seconds=60), seconds=50)
    assert due_because(dataset) is None
    Ranking.objects.update(seconds=5)
    assert due_because(dataset) == RankingCause.IMAGES


# --- When something goes wrong ------------------------------------------------------


def test_a_fault_is_tried_again_and_then_set_aside_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dataset = make_dataset()
    make_queue(dataset, [0.1])
    [planned] = plan_rankings()

    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("no luck")

    monkeypatch.setattr(ranking_jobs, "read_queue", fail)
    for _ in range(Ranking.MAX_ATTEMPTS):
        Ranking.objects.update(due_at=timezone.now() - dt.timedelta(minutes=1))
        rank(planned.pk)
    planned.refresh_from_db()
    assert (planned.state, planned.error) == (WorkState.FAILED, "RuntimeError: no luck")
    assert due_because(dataset) is None
    Ranking.objects.update(settled_at=timezone.now() - dt.timedelta(minutes=10))
    assert due_because(dataset) == RankingCause.FIRST
    assert current_ranking(dataset) is None


def test_who_lost_the_lease_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset()
    make_queue(dataset, [0.5, 0.1])
    [planned] = plan_rankings()
    order = ranking_jobs.order_of

    def slow(queue: Any) -> Any:
        Ranking.objects.filter(pk=planned.pk).update(
            lease_token=None, state=WorkState.READY, lease_expires_at=None
        )
        return order(queue)

    monkeypatch.setattr(ranking_jobs, "order_of", slow)
    before = order_of(dataset)
    rank(planned.pk)
    planned.refresh_from_db()
    assert planned.state == WorkState.READY
    assert order_of(dataset) == before


def test_the_database_keeps_one_open_ranking_and_fitting_counts() -> None:
    dataset = make_dataset()
    Ranking.objects.create(dataset=dataset, number=1, cause=RankingCause.ASKED)
    with pytest.raises(IntegrityError), transaction.atomic():
        Ranking.objects.create(dataset=dataset, number=2, cause=RankingCause.ASKED)
    Ranking.objects.update(state=WorkState.DONE)
    with pytest.raises(IntegrityError), transaction.atomic():
        Ranking.objects.create(dataset=dataset, number=1, cause=RankingCause.ASKED)
    for wrong in ({"bad": F("decisions") + 1}, {"cause": "x"}, {"method": "x"}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Ranking.objects.update(**wrong)


# --- The command --------------------------------------------------------------------


def test_the_command_puts_the_queue_in_order() -> None:
    dataset = make_dataset("Traffic")
    make_queue(dataset, [0.5, 0.1, 0.3])
    out = io.StringIO()
    call_command("rank", dataset.slug, "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert (said["dataset"], said["waiting"], said["method"]) == ("traffic", 3, "caption")
    call_command("rank", dataset.slug, stdout=out)
    assert "3 images in order: the lowest score of each caption first" in out.getvalue()


def test_removed_images_teach_nothing_and_get_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = make_dataset()
    images = make_queue(dataset, [0.5, 0.1, 0.3])
    ImageReview.objects.filter(image=images[0]).update(state=ImageState.DISPUTED)
    found = read_queue(dataset)
    assert found.is_known.tolist() == [False] * 3
    assert found.is_waiting.tolist() == [False, True, True]
