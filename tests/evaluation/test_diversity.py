"""Diversity: what a look finds, beside real images; the guard; pages, command and API."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse

from synthreview.catalog.models import ReferenceUse
from synthreview.evaluation import diversity_jobs
from synthreview.evaluation.diversity_jobs import measure
from synthreview.evaluation.diversity_services import (
    plan_diversity,
    proposals_of,
    start_diversity,
)
from synthreview.evaluation.frozen import is_for_validation
from synthreview.evaluation.models import Diversity, PictureEmbedding
from synthreview.evaluation.services import CannotStartError
from synthreview.generation.models import GeneratedImage
from synthreview.prompting.models import Prompt
from synthreview.scoring.models import Embedding, ScorerVersion
from synthreview.scoring.services import register
from synthreview.work.models import WorkState
from tests.evaluation.worlds import ColourScorer, add_real, colour_scorer
from tests.factories import make_call, make_decision, make_image, make_prompt, make_run
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
RED, BLUE, GREEN = (0.9, 0.3, 0.3), (0.3, 0.3, 0.9), (0.3, 0.9, 0.3)


@pytest.fixture
def colours(settings: Any) -> Iterator[type[ColourScorer]]:
    with colour_scorer(settings) as scorer:
        register()
        yield scorer


@pytest.fixture
def people(colours: type[ColourScorer]) -> People:
    return make_people()


def place(people: People, vector: Sequence[float], count: int, **fields: Any) -> list[int]:
    """Make images of the first class that lie exactly there; returns them."""
    version = ScorerVersion.objects.current()
    assert version is not None
    point = np.array([*vector, 0.3])
    data = (point / np.linalg.norm(point)).astype("<f2").tobytes()
    fields.setdefault("prompt", Prompt.objects.first() or make_prompt(people.label_class))
    fields.setdefault("run", make_run(people.dataset))
    images = [make_image(**fields) for _ in range(count)]
    Embedding.objects.bulk_create(
        Embedding(image=image, version=version, vector=data) for image in images
    )
    return [image.pk for image in images]


def look(people: People, **wish: Any) -> dict[str, Any]:
    work = start_diversity(dataset=people.dataset, **wish)
    measure(work.pk)
    work.refresh_from_db()
    assert work.state == WorkState.DONE, work.error
    (found,) = work.result["classes"]
    return found


# --- What is found ------------------------------------------------------------------------


def test_compositions_growth_and_sheets_of_a_class(people: People) -> None:
    red = place(people, RED, 3)
    blue = place(people, BLUE, 1)
    place(people, RED, 1)
    found = look(people)
    assert (found["class"], found["images"], found["compositions"]) == ("car", 5, 2)
    assert found["growth"] == [[1, 1], [2, 1], [3, 1], [4, 2], [5, 2]]
    assert found["newest"]["repeats"] == 3
    (sheet,) = found["sheets"]
    assert (sheet["size"], sheet["captions"]) == (4, 1)
    assert sheet["images"][:3] == red
    assert blue[0] not in sheet["images"]
    assert found["real"] is None
    assert 1 < found["vendi"] < 2


def test_edits_and_what_people_rejected_take_no_part(people: People) -> None:
    place(people, RED, 2)
    (rejected,) = place(people, BLUE, 1)
    make_decision(GeneratedImage.objects.get(pk=rejected), people.users["reviewer"], "reject")
    place(people, GREEN, 1, technique="typographic")
    assert look(people)["images"] == 2


def test_beside_real_images_of_one_size_and_none_that_measures(people: People) -> None:
    place(people, RED, 12)
    add_real(people.dataset, ReferenceUse.TRAIN, 10)
    tests = add_real(people.dataset, ReferenceUse.TEST, 8)
    found = look(people)["real"]
    ours = [row for row in tests if row.label_class == people.label_class]
    validation = sum(is_for_validation(row.sha256) for row in ours)
    assert found["images"] == 10 + validation < 18
    assert (found["size"], found["neighbours"]) == (min(12, found["images"]), 1)
    assert found["vendi_ours"][0] == pytest.approx(1, abs=0.01)
    assert found["vendi_real"] > found["vendi_ours"][2]
    assert found["recall"] == 0  # one point reaches nobody
    made = PictureEmbedding.objects.count()
    assert made == found["images"]  # none of the class without images
    look(people)
    assert PictureEmbedding.objects.count() == made  # kept


def test_too_few_real_images_give_no_coverage(people: People) -> None:
    place(people, RED, 12)
    add_real(people.dataset, ReferenceUse.TRAIN, 9)
    found = look(people)["real"]
    assert (found["coverage"], found["recall"], found["neighbours"]) == (None, None, 0)
    assert found["vendi_real"] >= 1


def test_the_guard_proposes_to_stop_where_the_newest_repeat_for_sure(people: People) -> None:
    prompt = make_prompt(people.label_class, "A red car")
    rng = np.random.default_rng(3)
    for _ in range(19):
        place(people, rng.normal(size=3) * 5, 1)
    assert not look(people, threshold=0.99999)["proposes_stop"]
    place(people, RED, 40, prompt=prompt)
    found = look(people)
    assert found["newest"]["images"] == 50
    assert found["newest"]["rate"][1] > 0.5
    assert found["proposes_stop"]
    first = found["repeated_captions"][0]
    assert (first["prompt"], first["text"]) == (prompt.pk, "A red car")
    assert first["repeats"] > 25
    assert [words.partition(":")[0] for words in proposals_of(people.dataset)] == ["car"]
    assert proposals_of(people.dataset, {people.label_class.pk + 1}) == []
    client = people.client("viewer")
    said = "of the newest 50 images repeat a composition that was there already"
    run = GeneratedImage.objects.filter(prompt=prompt)[0].run
    pages = [
        reverse("dataset", args=["traffic"]),
        reverse("coverage", args=["traffic"]),
        reverse("diversity", args=["traffic"]),
        reverse("diversity-guard", args=["traffic"]),
        reverse("diversity-guard", args=["traffic"]) + f"?run={run.number}",
    ]
    for page in pages:
        assert said in client.get(page).content.decode(), page
    other = make_run(people.dataset)
    make_call(other, make_prompt(people.dataset.classes.get(name="umbrella")))
    page = client.get(f"{pages[3]}?run={other.number}")
    assert page.content.decode().strip() == ""
    assert "diversity/guard" in client.get(f"/d/traffic/runs/{run.number}/").content.decode()


def test_few_images_or_an_open_case_are_no_proposal(people: People) -> None:
    place(people, RED, 19)
    assert not look(people)["proposes_stop"]


# --- The work -------------------------------------------------------------------------------


def test_it_is_measured_by_itself_when_a_dataset_has_grown(people: People) -> None:
    assert plan_diversity() == []
    place(people, RED, 49)
    assert plan_diversity() == []
    place(people, RED, 1)
    (work,) = plan_diversity()
    assert plan_diversity() == []
    measure(work.pk)
    measure(work.pk)  # delivered twice
    assert Diversity.objects.get().attempts == 1
    place(people, BLUE, 49)
    assert plan_diversity() == []
    place(people, BLUE, 1)
    assert len(plan_diversity()) == 1


def test_one_look_at_a_time_and_a_threshold_that_is_one(people: People) -> None:
    with pytest.raises(CannotStartError, match="No image of this dataset"):
        start_diversity(dataset=people.dataset)
    place(people, RED, 1)
    for threshold in (1.0, 0.2, float("nan")):
        with pytest.raises(CannotStartError, match="no threshold"):
            start_diversity(dataset=people.dataset, threshold=threshold)
    start_diversity(dataset=people.dataset)
    with pytest.raises(CannotStartError, match="measured already"):
        start_diversity(dataset=people.dataset)
    for change in ({"threshold": 2}, {"state": WorkState.DONE}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Diversity.objects.update(**change)


def test_a_failure_is_shown_and_the_last_result_stays(
    people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(people, RED, 3)
    look(people)

    def fail(*args: Any) -> Any:
        raise RuntimeError("no memory")

    monkeypatch.setattr(diversity_jobs, "compositions", fail)
    work = start_diversity(dataset=people.dataset)
    measure(work.pk)
    work.refresh_from_db()
    assert (work.state, work.error) == (WorkState.FAILED, "RuntimeError: no memory")
    page = people.client("viewer").get(reverse("diversity", args=["traffic"])).content.decode()
    assert "no memory" in page
    assert "drawn again and again" in page


# --- Page, command and API ------------------------------------------------------------------


def test_the_page_measures_for_curators_and_shows_the_plot_in_words(people: People) -> None:
    here = reverse("diversity", args=["traffic"])
    curator = people.client("curator")
    assert "Not measured yet" in curator.get(here).content.decode()
    response = curator.post(here, {"threshold": "0.9"})
    assert response.status_code == 422
    place(people, RED, 4)
    assert curator.post(here, {"threshold": "0.9"}).status_code == 302
    assert people.client("viewer").post(here, {"threshold": "0.9"}).status_code == 403
    assert people.client("stranger").get(here).status_code == 404
    part = curator.get(here, headers={"HX-Request": "true"}).content.decode()
    assert "hx-trigger" in part
    assert "<html" not in part
    measure(Diversity.objects.get().pk)
    page = curator.get(here).content.decode()
    assert "1 compositions in 4 images; 1 after 1" in page
    assert 'points="0.00,100.00 25.00,75.00 50.00,75.00' in page
    assert "hx-trigger" not in page
    assert "no real images" in page


def test_the_command_and_the_api_tell_the_same(people: People, capsys: Any) -> None:
    client = people.client("curator")
    at = "/api/datasets/traffic/diversity"
    assert client.get(at).json() is None
    with pytest.raises(CommandError, match="No image of this dataset"):
        call_command("diversity", "traffic")
    place(people, RED, 4)
    call_command("diversity", "traffic", "--threshold", "0.9", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts == client.get(at).json()
    assert (facts["threshold"], facts["classes"][0]["compositions"]) == (0.9, 1)
    call_command("diversity", "traffic")
    assert "4 images       1 compositions" in capsys.readouterr().out
    response = client.post(at, json.dumps({"threshold": 0.9}), content_type="application/json")
    assert (response.status_code, response.json()["state"]) == (201, "ready")
