"""Pages, API and command: who sees what, in every state."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import ReferenceImage, ReferenceUse
from synthreview.evaluation import jobs, services
from synthreview.evaluation.models import Evaluation
from synthreview.evaluation.services import start_evaluation
from synthreview.work.models import WorkState
from tests.evaluation.worlds import COLOURS, add_drawn, colour_png, colour_scorer, fill
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
LIST = "/d/traffic/evaluation/"
ONE = "/d/traffic/evaluation/1/"
API = "/api/datasets/traffic/evaluations"


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch, settings: Any) -> Iterator[None]:
    monkeypatch.setattr(services, "enqueue_on_commit", lambda rows: None)
    with colour_scorer(settings):
        yield


@pytest.fixture
def people() -> People:
    return make_people()


@pytest.fixture
def filled(people: People) -> People:
    fill(people.dataset, people.users["reviewer"], test=10, real=3, drawn=3)
    return people


def text_of(response: Any) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", response.content.decode()))


def done(people: People) -> Evaluation:
    found = start_evaluation(dataset=people.dataset, seeds=1, created_by=people.users["curator"])
    jobs.evaluate(found.pk)
    found.refresh_from_db()
    assert found.state == WorkState.DONE, found.error
    return found


def test_without_a_test_set_the_page_says_what_is_missing(people: People) -> None:
    page = text_of(people.client("curator").get(LIST))
    assert "It takes 10 real test images or more" in page
    assert "Bring in real images" in page
    assert "None yet." in page


def test_the_form_starts_one_and_shows_how_far_it_is(filled: People) -> None:
    client = filled.client("curator")
    assert "seconds" in text_of(client.get(LIST))
    response = client.post(LIST, {"learners": ["probe"], "seeds": 2, "with_unreviewed": "on"})
    assert response.headers["Location"] == ONE
    assert "begins as soon as the evaluation worker is free" in text_of(client.get(ONE))
    assert "under way" in text_of(client.get(LIST))
    part = client.get(ONE, headers={"HX-Request": "true"})
    assert b"<html" not in part.content
    assert Evaluation.objects.get().seeds == [0, 1]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"seeds": 3}, "Choose at least one way to train"),
        ({"learners": ["probe"], "seeds": 99}, "less than or equal to 20"),
        ({"learners": ["oracle"], "seeds": 3}, "oracle"),
    ],
)
def test_wrong_wishes_come_back_with_a_reason(
    filled: People, fields: dict[str, Any], said: str
) -> None:
    response = filled.client("curator").post(LIST, fields)
    assert response.status_code == 422
    assert said in text_of(response)


def test_the_report_says_what_was_found(filled: People) -> None:
    done(filled)
    page = text_of(filled.client("viewer").get(ONE))
    assert "No difference is shown" in page
    assert "real and synthetic" in page
    assert "For the dataset" in page
    response = filled.client("viewer").get(f"{ONE}report.json")
    assert "attachment" in response.headers["Content-Disposition"]
    report = json.loads(response.content)
    assert report["result"]["learners"]["probe"]["full"] == "both"
    assert "curator" not in response.content.decode()  # no person leaves the house


def test_a_need_leads_to_captions_and_to_a_planned_run(filled: People) -> None:
    # Approved by mistake: most images of each class are in the other's colour.
    for label_class, colour in zip(filled.dataset.classes.all(), reversed(COLOURS), strict=True):
        add_drawn(label_class, colour, 20, approver=filled.users["reviewer"])
    done(filled)
    need = filled.client("curator").get(ONE).context["needs"][0]
    assert need["kind"] == "class"
    assert f"count={need['draw']}" in need["url"]
    planned = filled.client("curator").get(need["run_url"]).context["form"]
    key = filled.dataset.classes.get(name=need["name"]).pk
    assert list(planned.initial["classes"]) == [str(key)]
    assert planned.initial["count"] == str(need["draw"])
    assert "Plan a run" not in text_of(filled.client("viewer").get(ONE))


def test_htmx_reloads_the_page_once_it_has_ended(filled: People) -> None:
    done(filled)
    response = filled.client("viewer").get(ONE, headers={"HX-Request": "true"})
    assert response.headers["HX-Refresh"] == "true"


def test_it_can_be_stopped_and_a_failed_one_tried_again(filled: People) -> None:
    found = start_evaluation(dataset=filled.dataset)
    client = filled.client("curator")
    client.post(f"{ONE}stop")
    found.refresh_from_db()
    assert found.state == WorkState.CANCELLED
    assert "stopped before it had a result" in text_of(client.get(ONE))
    Evaluation.objects.update(state=WorkState.FAILED, error="The weights are gone.")
    assert "The weights are gone." in text_of(client.get(ONE))
    client.post(f"{ONE}retry")
    found.refresh_from_db()
    assert found.state == WorkState.READY


@pytest.mark.parametrize(
    ("who", "seen", "may_start"),
    [("stranger", 404, 404), ("viewer", 200, 403), ("reviewer", 200, 403), ("curator", 200, 302)],
)
def test_who_may_see_and_start(filled: People, who: str, seen: int, may_start: int) -> None:
    client = filled.client(who)
    assert client.get(LIST).status_code == seen
    assert client.post(LIST, {"learners": ["probe"], "seeds": 1}).status_code == may_start
    assert client.get(f"{ONE}stop").status_code == 405
    assert client.get(f"{LIST}77/").status_code == 404


def test_the_list_costs_the_same_for_many(filled: People) -> None:
    client = filled.client("curator")

    def cost() -> int:
        with CaptureQueriesContext(connection) as asked:
            client.get(LIST)
        return len(asked)

    for number in range(2):
        Evaluation.objects.create(dataset=filled.dataset, number=number + 1, learners=["probe"],
                                  seeds=[0], state=WorkState.CANCELLED)  # fmt: skip
    few = cost()
    for number in range(2, 20):
        Evaluation.objects.create(dataset=filled.dataset, number=number + 1, learners=["probe"],
                                  seeds=[0], state=WorkState.CANCELLED)  # fmt: skip
    assert cost() == few


# --- API --------------------------------------------------------------------------------


def test_the_api_starts_watches_and_stops(filled: People) -> None:
    client = filled.client("curator")
    response = client.post(API, {"seeds": 2}, content_type="application/json")
    assert response.status_code == 201
    assert response.json()["state"] == "ready"
    refused = client.post(API, {}, content_type="application/json")
    assert refused.status_code == 422
    assert "under way" in refused.json()["detail"]
    assert client.get(f"{API}/1").json()["result"] == {}
    assert client.post(f"{API}/1/stop").json()["state"] == "cancelled"
    assert [row["evaluation"] for row in client.get(API).json()] == [1]
    assert filled.client("stranger").get(API).status_code == 404
    assert filled.client("viewer").post(API, {}, content_type="application/json").status_code == 403


# --- Command ----------------------------------------------------------------------------


def write_folder(folder: Path, each: int) -> Path:
    for name, colour in zip(("car", "umbrella"), COLOURS, strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(each):
            (folder / name / f"{number}.png").write_bytes(colour_png(colour))
    return folder


def test_the_command_brings_the_images_in_and_answers_with_the_report(
    people: People, tmp_path: Path
) -> None:
    out = io.StringIO()
    call_command(
        "evaluate", "traffic", "--test", str(write_folder(tmp_path / "test", 8)),
        "--train", str(write_folder(tmp_path / "train", 3)), "--seeds", "1", "--json", stdout=out,
    )  # fmt: skip
    facts = json.loads(out.getvalue())
    assert facts["counts"]["test"] + facts["counts"]["validation"] == 16
    assert facts["counts"]["real"] == 6
    assert [arm["name"] for arm in facts["result"]["learners"]["probe"]["arms"]] == ["real"]
    uses = ReferenceImage.objects.values_list("use", flat=True)
    assert sorted(set(uses)) == [ReferenceUse.TEST, ReferenceUse.TRAIN]


def test_an_image_in_both_folders_stays_a_test_image(people: People, tmp_path: Path) -> None:
    test = write_folder(tmp_path / "test", 8)
    err = io.StringIO()
    with pytest.raises(CommandError, match="nothing to train on"):
        call_command("evaluate", "traffic", "--test", str(test), "--train", str(test), stderr=err)
    assert "one use only" in err.getvalue()
    assert set(ReferenceImage.objects.values_list("use", flat=True)) == {ReferenceUse.TEST}


def test_a_wrong_layout_is_told_before_anything_comes_in(people: People, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "car.png").write_bytes(colour_png(COLOURS[0]))
    with pytest.raises(CommandError, match="put each class into its own"):
        call_command("evaluate", "traffic", "--test", str(flat))
    write_folder(tmp_path / "splits" / "train", 1)
    with pytest.raises(CommandError, match="'train'; Traffic has: car, umbrella"):
        call_command("evaluate", "traffic", "--test", str(tmp_path / "splits"))
    assert not ReferenceImage.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "no dataset"),
        (["traffic"], "real test images"),
        (["traffic", "--test", "/nowhere"], "is no folder"),
    ],
)
def test_wrong_arguments_are_one_line(people: People, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said) as refused:
        call_command("evaluate", *arguments)
    assert "\n" not in str(refused.value)
