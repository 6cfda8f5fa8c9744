"""Pages of the ranking: for curators, who see what orders the queue and how good each judge is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.review import ranking_services
from synthreview.review.certificate import Stream
from synthreview.review.judges import SURE_FROM, judges_of
from synthreview.review.models import Ranking, ReviewSlot
from synthreview.review.ranking_jobs import rank
from synthreview.review.ranking_services import ask_for_ranking
from synthreview.scoring.models import Score
from synthreview.work.models import WorkState
from tests.factories import make_version
from tests.people import People, make_people
from tests.review.ranking.rows import decide, make_queue

pytestmark = pytest.mark.django_db
PAGES = ("/d/traffic/ranking/", "/d/traffic/ranking/judges")


@pytest.fixture(autouse=True)
def quiet_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_services, "enqueue_on_commit", lambda rows: None)


@pytest.fixture
def people() -> People:
    return make_people()


def review_some(people: People, count: int = 60, *, decided: int = 40) -> list[Any]:
    """Have images decided of which the low ones are bad."""
    scores = np.random.default_rng(0).permutation(np.linspace(0.05, 0.95, count)).tolist()
    images = make_queue(people.dataset, scores)
    bad = [score < 0.3 for score in scores[:decided]]
    decide(images[:decided], people.users["reviewer"], bad)
    return images


def rank_now(people: People) -> Ranking:
    asked = ask_for_ranking(people.dataset)
    assert asked is not None
    rank(asked.pk)
    asked.refresh_from_db()
    assert asked.state == WorkState.DONE, asked.error
    return asked


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 200), ("curator", 200), ("reviewer", 403), ("viewer", 403), ("stranger", 404)],
)
def test_curators_see_the_pages(people: People, path: str, who: str, status: int) -> None:
    assert people.client(who).get(path).status_code == status
    assert people.client(who).post(path).status_code == 405


def test_before_the_first_ranking_the_page_says_what_will_come(people: People) -> None:
    text = people.client("curator").get(PAGES[0]).content.decode()
    assert "Not put in order yet" in text


def test_the_page_says_by_what_the_queue_is_ordered(people: People) -> None:
    review_some(people)
    rank_now(people)
    text = people.client("curator").get(PAGES[0]).content.decode()
    assert "Learned from 40 decisions" in text
    assert "What counts most" in text
    assert "somebody asked" in text


def test_a_curator_asks_for_a_ranking_and_a_reviewer_may_not(people: People) -> None:
    review_some(people)
    path = "/d/traffic/ranking/now"
    assert people.client("reviewer").post(path).status_code == 403
    assert people.client("stranger").post(path).status_code == 404
    assert people.client("curator").get(path).status_code == 405
    assert not Ranking.objects.exists()
    first = people.client("curator").post(path, follow=True).content.decode()
    assert "being put in order; people can go on" in first
    again = people.client("curator").post(path, follow=True).content.decode()
    assert "being put in order already" in again
    assert Ranking.objects.count() == 1


def test_a_failed_ranking_is_said(people: People) -> None:
    Ranking.objects.create(
        dataset=people.dataset, number=1, cause="asked", state=WorkState.FAILED, error="No luck."
    )
    assert "No luck." in people.client("curator").get(PAGES[0]).content.decode()


def test_the_history_costs_the_same_however_long(people: People) -> None:
    review_some(people)
    client = people.client("curator")
    counts = []
    for _ in range(2):
        rank_now(people)
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGES[0])
        counts.append(len(queries))
    assert counts[0] == counts[1]


# --- Judges -----------------------------------------------------------------------


def test_a_judge_that_helps_and_one_that_does_not_are_told_apart(people: People) -> None:
    images = review_some(people)
    rng = np.random.default_rng(1)
    useless = make_version(alias="coin", name="Coin")
    Score.objects.bulk_create(
        Score(image=image, version=useless, value=float(rng.random()), parts={}) for image in images
    )
    clip, coin = judges_of(people.dataset)
    assert clip.verdict == "helps"
    assert clip.whole.found is not None
    assert clip.whole.found.value == 1
    assert coin.verdict == "not shown to help"
    assert {line.title for line in clip.classes} == {"car", "umbrella"}
    assert [line.title for line in clip.techniques] == ["Plain"]
    assert sum(line.bad + line.good for line in clip.classes) == 40
    low, middle, high = clip.techniques[0].thirds
    assert low.found == 10 / 13  # all ten that are bad
    assert middle.found == high.found == 0
    text = people.client("curator").get(PAGES[1]).content.decode()
    assert "not shown to help" in text
    assert "Too few of the decided images came by lot" in text


def test_what_came_by_lot_is_what_counts(people: People) -> None:
    images = review_some(people)
    ReviewSlot.objects.filter(image__in=images[:SURE_FROM]).update(
        stream=Stream.AUDIT.value, lottery=0.5
    )
    [judge] = judges_of(people.dataset)
    assert judge.by_lot is not None
    assert judge.by_lot.bad + judge.by_lot.good == SURE_FROM


def test_a_judge_of_which_nothing_was_decided_says_nothing(people: People) -> None:
    make_queue(people.dataset, [0.1, 0.2])
    [judge] = judges_of(people.dataset)
    assert judge.verdict == "nothing to say yet"
    assert judge.reliability == judge.whole.thirds == []
    assert people.client("curator").get(PAGES[1]).status_code == 200


def test_only_the_own_datasets_decisions_count(people: People) -> None:
    from tests.factories import make_dataset, make_user

    review_some(people)
    other = make_dataset()
    decide(make_queue(other, [0.9, 0.1]), make_user(), [True, False])
    [judge] = judges_of(people.dataset)
    assert judge.whole.bad + judge.whole.good == 40
