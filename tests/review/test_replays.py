"""A dataset's own past decisions, replayed: by the command, by a worker, on the page."""

from __future__ import annotations

import io
import json
import re
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from synthreview.review import ranking_services, replays
from synthreview.review.models import Decision, Replay
from synthreview.review.ranking_services import ask_for_replay
from synthreview.review.replay_jobs import replay_dataset
from synthreview.review.replays import ReplayError, read_past
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_user
from tests.people import People, make_people
from tests.review.ranking.rows import decide, make_queue

pytestmark = pytest.mark.django_db
PAGE = "/d/traffic/ranking/replay"


@pytest.fixture(autouse=True)
def quiet_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking_services, "enqueue_on_commit", lambda rows: None)


@pytest.fixture
def people() -> People:
    return make_people()


def decide_some(people: People, count: int = 40, *, waiting: int = 10) -> list[bool]:
    """Have images decided in an order blind to their scores; low ones are bad."""
    scores = np.random.default_rng(0).permutation(np.linspace(0.05, 0.95, count + waiting)).tolist()
    images = make_queue(people.dataset, scores)
    bad = [score < 0.3 for score in scores[:count]]
    decide(images[:count], people.users["reviewer"], bad)
    return bad


def replayed(people: People) -> Replay:
    asked = ask_for_replay(people.dataset)
    assert asked is not None
    replay_dataset(asked.pk)
    asked.refresh_from_db()
    return asked


def command(*arguments: object) -> dict[str, Any]:
    out = io.StringIO()
    call_command("replay", *map(str, arguments), "--json", stdout=out)
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def test_the_truth_is_what_people_decided_in_the_order_in_which_they_did(people: People) -> None:
    bad = decide_some(people)
    past = read_past(people.dataset)
    assert past.is_bad.tolist() == bad
    assert past.order.tolist() == list(range(40))


def test_a_second_look_does_not_move_an_image_in_the_order(people: People) -> None:
    decide_some(people)
    first = Decision.objects.earliest("pk")
    Decision.objects.create(
        image=first.image,
        dataset=people.dataset,
        reviewer=people.users["curator"],
        verdict=first.verdict,
    )
    assert read_past(people.dataset).order[0] == 0


def test_the_command_says_what_each_order_would_have_cost(people: People) -> None:
    bad = decide_some(people)
    found = command("--dataset", "traffic", "--seeds", 2)
    assert (found["dataset"], found["images"], found["bad"]) == ("traffic", 40, sum(bad))
    assert {*found["policies"]} == {"random", "lowest", "rank", "learned", "as it was", "perfect"}
    costs = {name: one["share_to_find"]["0.95"]["mean"] for name, one in found["policies"].items()}
    # The score tells everything here, so that lowest first is as good as perfect.
    assert costs["lowest"] == costs["perfect"] == sum(bad) / 40
    last_bad = max(place for place, is_bad in enumerate(bad) if is_bad)
    assert costs["as it was"] == (last_bad + 1) / 40
    assert found["policies"]["as it was"]["reviews_to_certify"] == {}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of both"),
        (["some.csv", "--dataset", "traffic"], "one of both"),
        (["--dataset", "traffic", "--embeddings", "x.npy"], "a dataset has its own"),
        (["--dataset", "traffic"], "0 images are decided; a replay needs 20"),
        (["--dataset", "nowhere"], "nowhere"),
    ],
)
def test_wrong_wishes_are_one_line(people: People, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        command(*arguments)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_decisions_of_one_kind_cannot_be_replayed(people: People) -> None:
    images = make_queue(people.dataset, [0.5] * 20)
    decide(images, people.users["reviewer"], [False] * 20)
    with pytest.raises(ReplayError, match="All decided images were approved"):
        read_past(people.dataset)


def test_of_very_many_a_sample_is_replayed(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    decide_some(people)
    monkeypatch.setattr(replays, "MOST_DECIDED", 25)
    assert len(read_past(people.dataset).table) == 25


def test_only_the_own_datasets_decisions_count(people: People) -> None:
    decide_some(people)
    other = make_dataset()
    decide(make_queue(other, [0.9, 0.1]), make_user(), [True, False])
    assert len(read_past(people.dataset).table) == 40


# --- By a worker ------------------------------------------------------------------


def test_a_worker_replays_and_keeps_the_figures(people: People) -> None:
    bad = decide_some(people)
    done = replayed(people)
    assert (done.state, done.error) == (WorkState.DONE, "")
    assert (done.images, done.bad) == (40, sum(bad))
    assert done.result[0]["curve"][0] == 0
    assert all(row["curve"][-1] == 1 for row in done.result)


def test_what_cannot_be_replayed_is_said_and_not_tried_again(people: People) -> None:
    failed = replayed(people)
    assert failed.state == WorkState.FAILED
    assert "0 images are decided" in failed.error
    assert "0 images are decided" in people.client("curator").get(PAGE).content.decode()


def test_two_workers_do_it_once(people: People) -> None:
    decide_some(people)
    done = replayed(people)
    replay_dataset(done.pk)
    done.refresh_from_db()
    assert done.attempts == 1


def test_one_is_open_at_a_time(people: People) -> None:
    assert ask_for_replay(people.dataset)
    assert ask_for_replay(people.dataset) is None
    with pytest.raises(IntegrityError), transaction.atomic():
        Replay.objects.create(dataset=people.dataset)


def test_more_bad_than_images_is_refused(people: People) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Replay.objects.create(dataset=people.dataset, images=1, bad=2)


# --- On the page ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "status"),
    [("admin", 200), ("curator", 200), ("reviewer", 403), ("viewer", 403), ("stranger", 404)],
)
def test_curators_see_the_page(people: People, who: str, status: int) -> None:
    client = people.client(who)
    assert client.get(PAGE).status_code == status
    assert client.post(PAGE).status_code == 405
    assert client.get(f"{PAGE}/now").status_code == 405
    assert client.post(f"{PAGE}/now").status_code == (302 if status == 200 else status)
    assert Replay.objects.count() == (status == 200)


def test_the_page_plots_every_order_and_says_what_was_saved(people: People) -> None:
    decide_some(people)
    client = people.client("curator")
    assert "Nothing replayed yet" in client.get(PAGE).content.decode()
    assert "under way" in client.post(f"{PAGE}/now", follow=True).content.decode()
    assert "under way already" in client.post(f"{PAGE}/now", follow=True).content.decode()
    replay_dataset(Replay.objects.get().pk)
    text = client.get(PAGE).content.decode()
    for name in ("random", "lowest", "learned", "as-it-was", "perfect"):
        [points] = re.findall(
            rf'<polyline class="replay-line replay-{name}" points="([^"]+)"', text
        )
        assert points.startswith("0.0,320")
        assert points.endswith("600.0,0.0")
    assert "Nine in ten of the bad images were found after" in text
    assert "as it was decided" in text


def test_the_page_costs_the_same_however_many_were_replayed(people: People) -> None:
    decide_some(people)
    client = people.client("curator")
    counts = []
    for _ in range(2):
        replayed(people)
        with CaptureQueriesContext(connection) as queries:
            client.get(PAGE)
        counts.append(len(queries))
    assert counts[0] == counts[1]
