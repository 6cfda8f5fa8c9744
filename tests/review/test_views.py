"""The review page: who may, what it shows, what each request does, and what it costs."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.generation.models import GeneratedImage
from synthreview.review import intake, services
from synthreview.review.models import Decision, ImageState, ReviewSlot, SlotState, Verdict
from synthreview.work.models import WorkState
from tests.factories import (
    make_call,
    make_dataset,
    make_image,
    make_prompt,
    make_review,
    make_run,
    make_score,
    make_user,
)

HTMX = {"HTTP_HX_REQUEST": "true"}
# Session, user, dataset, role; BEGIN and its end, slot, decision, slot, image; next looks; BEGIN
# and its end, lease; last decisions; the draw of audits. In a test's own transaction a BEGIN is
# two savepoints.
MOST_QUERIES = 16
POSTS = ["review-decide", "review-undo", "review-heartbeat", "review-leave"]


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def dataset(reviewer: User) -> Dataset:
    return make_dataset("Things", reviewer=reviewer, viewer=make_user("vera"))


@pytest.fixture
def browser_of_reviewer(client: Client, reviewer: User) -> Client:
    client.force_login(reviewer)
    return client


def queue(dataset: Dataset, count: int, **fields: Any) -> list[GeneratedImage]:
    images = [make_image(dataset, **fields) for _ in range(count)]
    for place, image in enumerate(images):
        make_score(image, value=place / 100)
        make_review(image)
    return images


def url(name: str, dataset: Dataset) -> str:
    return reverse(name, args=[dataset.slug])


def decide(client: Client, dataset: Dataset, token: object, verdict: str, **more: Any) -> Any:
    data = {"token": str(token), "verdict": verdict, "seconds": "1.5", **more}
    return client.post(url("review-decide", dataset), data, **HTMX)


def token_of(client: Client, dataset: Dataset) -> uuid.UUID:
    return client.get(url("review", dataset)).context["card"].token


# --- Who may --------------------------------------------------------------------


def test_a_stranger_knows_of_no_page(client: Client, dataset: Dataset) -> None:
    client.force_login(make_user("stranger"))
    assert client.get(url("review", dataset)).status_code == 404
    for name in POSTS:
        assert client.post(url(name, dataset)).status_code == 404


def test_a_viewer_may_not_review(client: Client, dataset: Dataset) -> None:
    client.force_login(User.objects.get(username="vera"))
    assert client.get(url("review", dataset)).status_code == 403
    for name in POSTS:
        assert client.post(url(name, dataset)).status_code == 403


def test_who_is_not_signed_in_is_asked_to(client: Client, dataset: Dataset) -> None:
    response = client.get(url("review", dataset))
    assert response.status_code == 302
    assert reverse("sign-in") in response["Location"]


@pytest.mark.parametrize("name", POSTS)
def test_what_changes_something_takes_no_get(
    browser_of_reviewer: Client, dataset: Dataset, name: str
) -> None:
    assert browser_of_reviewer.get(url(name, dataset)).status_code == 405
    assert browser_of_reviewer.post(url("review", dataset)).status_code == 405


# --- What it shows ----------------------------------------------------------------


def test_the_page_asks_the_techniques_own_question(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    umbrella = dataset.classes.get(name="umbrella")
    umbrella.definition, umbrella.guideline = "A canopy on a stick.", "Open <b>or</b> closed."
    umbrella.save()
    prompt = make_prompt(
        umbrella, "An umbrella at night", technique="environment", slots={"environment": "at night"}
    )
    image = make_image(prompt=prompt)
    make_score(image, 0.1234)
    make_review(image)
    page = browser_of_reviewer.get(url("review", dataset)).content.decode()
    assert "Is this an umbrella, and right for the caption?" in page
    assert "A strange place is no fault." in page
    assert "An umbrella at night" in page
    assert "<span>environment</span> at night" in page
    assert "A canopy on a stick." in page
    assert "Open &lt;b&gt;or&lt;/b&gt; closed." in page
    assert image.view_url in page
    assert "/original" not in page


def test_scores_are_hidden_until_the_decision(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    image, _ = queue(dataset, 2)
    image.scores.update(value=0.4321, parts={"object": 0.9, "colour": 0.4321})
    page = browser_of_reviewer.get(url("review", dataset))
    assert "0.43" not in page.content.decode()
    after = decide(browser_of_reviewer, dataset, page.context["card"].token, Verdict.APPROVE)
    assert "0.43" in after.content.decode()


def test_scores_show_where_the_policy_does_not_hide_them(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    dataset.policy.blind_scores = False
    dataset.policy.save()
    (image,) = queue(dataset, 1)
    image.scores.update(value=0.4321, parts={"object": 0.9, "colour": 0.4321})
    page = browser_of_reviewer.get(url("review", dataset)).content.decode()
    assert "0.43" in page
    assert "colour, the weakest" in page
    assert "scored lowest" in page


def test_an_image_without_a_score_says_so(browser_of_reviewer: Client, dataset: Dataset) -> None:
    image = make_image(dataset)
    make_score(image, value=None)
    intake.admit()
    page = browser_of_reviewer.get(url("review", dataset)).content.decode()
    assert "No score applies to this image" in page


def test_htmx_gets_the_card_alone(browser_of_reviewer: Client, dataset: Dataset) -> None:
    queue(dataset, 1)
    part = browser_of_reviewer.get(url("review", dataset), **HTMX).content.decode()
    assert part.lstrip().startswith("<section")
    assert "<html" not in part


def test_empty_states_say_why(browser_of_reviewer: Client, dataset: Dataset) -> None:
    def page() -> str:
        return browser_of_reviewer.get(url("review", dataset)).content.decode()

    assert "Nothing is left to review" in page()
    assert 'hx-trigger="every 3s"' not in page()
    image = make_image(dataset)
    assert "Images are being scored" in page()
    assert "No scoring worker has started yet" in page()
    make_call(make_run(dataset), image.prompt, state=WorkState.READY)
    assert "Images are being drawn" in page()
    assert 'hx-trigger="every 3s"' in page()


# --- Decisions -------------------------------------------------------------------------


def test_one_request_decides_and_brings_the_next_card(
    browser_of_reviewer: Client, dataset: Dataset, reviewer: User
) -> None:
    first, second, third = queue(dataset, 3)
    token = token_of(browser_of_reviewer, dataset)
    response = decide(
        browser_of_reviewer,
        dataset,
        token,
        Verdict.REJECT,
        reasons=["wrong_place", "other"],
        note="hm",
    )
    assert response.status_code == 200
    assert response.templates[0].name == "review/_card.html"
    assert response.context["card"].slot.image == second
    assert response.context["card"].upcoming == [third]
    assert response.context["announcement"] == f"Rejected. Next: {second.label_class.name}."
    decision = Decision.objects.get()
    assert (decision.image, decision.reviewer) == (first, reviewer)
    assert (decision.reasons, decision.note, decision.seconds) == (
        ["wrong_place", "other"],
        "hm",
        1.5,
    )


def test_a_double_click_is_one_decision(browser_of_reviewer: Client, dataset: Dataset) -> None:
    _, second, _ = queue(dataset, 3)
    token = token_of(browser_of_reviewer, dataset)
    for _ in range(3):
        response = decide(browser_of_reviewer, dataset, token, Verdict.APPROVE)
        assert response.context["card"].slot.image == second
    assert Decision.objects.count() == 1
    assert ReviewSlot.objects.filter(state=SlotState.LEASED).count() == 1


def test_without_javascript_the_browser_comes_back_to_the_page(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 2)
    token = token_of(browser_of_reviewer, dataset)
    address = url("review-decide", dataset)
    data = {"token": str(token), "verdict": "approve", "seconds": ""}
    response = browser_of_reviewer.post(address, data)
    assert (response.status_code, response["Location"]) == (302, url("review", dataset))
    stale = browser_of_reviewer.post(address, {**data, "token": str(uuid.uuid4())}, follow=True)
    assert services.LEASE_LOST in stale.content.decode()


def test_a_stale_card_gives_a_kind_word_and_the_next_card(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 1)
    response = decide(browser_of_reviewer, dataset, uuid.uuid4(), Verdict.APPROVE)
    assert response.status_code == 200
    assert services.LEASE_LOST in response.content.decode()
    assert response.context["card"]
    assert not Decision.objects.exists()


@pytest.mark.parametrize(
    "bad",
    [
        {"verdict": "withdraw"},
        {"verdict": ""},
        {"token": "1"},
        {"token": "' OR 1=1"},
        {"reasons": "ugly"},
        {"note": "x" * 501},
        {"note": "a\0b"},
        {"seconds": "-1"},
        {"seconds": "nan"},
    ],
    ids=lambda bad: f"{next(iter(bad))}-{len(next(iter(bad.values())))}",
)
def test_a_bad_field_is_refused_in_words(
    browser_of_reviewer: Client, dataset: Dataset, bad: dict[str, str]
) -> None:
    queue(dataset, 1)
    token = token_of(browser_of_reviewer, dataset)
    data = {"token": str(token), "verdict": "reject", **bad}
    response = browser_of_reviewer.post(url("review-decide", dataset), data, **HTMX)
    assert response.status_code == 200
    assert "The decision was not taken" in response.content.decode()
    assert response.context["card"].token == token
    assert not Decision.objects.exists()


def test_other_fields_are_ignored(browser_of_reviewer: Client, dataset: Dataset) -> None:
    queue(dataset, 1)
    decide(
        browser_of_reviewer,
        dataset,
        token_of(browser_of_reviewer, dataset),
        Verdict.APPROVE,
        reviewer=make_user().pk,
        dataset_id=99,
        stream="audit",
        guideline_version=99,
        image=77,
    )
    decision = Decision.objects.get()
    assert decision.reviewer.username == "rita"
    assert (decision.dataset, decision.stream, decision.guideline_version) == (dataset, "queue", 1)


def test_skipped_images_come_back_when_asked_for(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    first, second = queue(dataset, 2)
    for _ in range(2):
        token = token_of(browser_of_reviewer, dataset)
        response = decide(browser_of_reviewer, dataset, token, Verdict.SKIP)
    assert "Look again at 2 images that you skipped" in response.content.decode()
    again = browser_of_reviewer.get(url("review", dataset) + "?skipped=1")
    assert again.context["card"].slot.image == first
    until = again.context["skipped_until"]
    assert f'name="skipped_until" value="{until}"' in again.content.decode()
    token = again.context["card"].token
    response = decide(browser_of_reviewer, dataset, token, Verdict.SKIP, skipped_until=until)
    assert response.context["card"].slot.image == second


def test_undo_brings_the_image_back(browser_of_reviewer: Client, dataset: Dataset) -> None:
    first, _ = queue(dataset, 2)
    token = token_of(browser_of_reviewer, dataset)
    decide(browser_of_reviewer, dataset, token, Verdict.REJECT)
    response = browser_of_reviewer.post(url("review-undo", dataset), **HTMX)
    assert response.context["card"].slot.image == first
    assert "you had rejected this image" in response.content.decode()
    assert first.review.state == ImageState.PENDING
    again = browser_of_reviewer.post(url("review-undo", dataset), **HTMX)
    assert "There is nothing left to undo." in again.content.decode()
    assert again.context["card"].slot.image == first


# --- The lease ---------------------------------------------------------------------------


def test_a_heartbeat_answers_with_the_progress(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 3)
    token = token_of(browser_of_reviewer, dataset)
    address = url("review-heartbeat", dataset)
    response = browser_of_reviewer.post(address, {"token": str(token)})
    assert 'data-count="left">2<' in response.content.decode()
    for wrong in (str(uuid.uuid4()), "nonsense"):
        assert browser_of_reviewer.post(address, {"token": wrong}).status_code == 204


def test_leaving_gives_the_card_back(browser_of_reviewer: Client, dataset: Dataset) -> None:
    queue(dataset, 1)
    token_of(browser_of_reviewer, dataset)
    assert browser_of_reviewer.post(url("review-leave", dataset)).status_code == 204
    assert ReviewSlot.objects.get().state == SlotState.WAITING


def test_sending_without_the_csrf_token_is_refused(dataset: Dataset, reviewer: User) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(reviewer)
    for name in POSTS:
        assert strict.post(url(name, dataset)).status_code == 403


# --- What it costs ---------------------------------------------------------------------------


def test_a_decision_costs_the_same_whatever_the_queue(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    def cost() -> int:
        token = token_of(browser_of_reviewer, dataset)
        with CaptureQueriesContext(
            connection,
        ) as queries:
            decide(browser_of_reviewer, dataset, token, Verdict.APPROVE)
        return len(queries)

    queue(dataset, 3)
    small = cost()
    queue(dataset, 20)
    assert cost() == small <= MOST_QUERIES


def test_the_page_costs_the_same_whatever_the_queue(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    def cost() -> int:
        token_of(browser_of_reviewer, dataset)
        with CaptureQueriesContext(connection) as queries:
            browser_of_reviewer.get(url("review", dataset))
        return len(queries)

    queue(dataset, 2)
    small = cost()
    queue(dataset, 20)
    assert cost() == small


def test_an_adversarial_image_is_asked_about_what_it_must_not_be(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    prompt = make_prompt(
        dataset.classes.first(), technique="adversarial", slots={"look": "dog", "carrier": "cup"}
    )
    queue(dataset, 1, technique="adversarial", prompt=prompt)
    page = browser_of_reviewer.get(reverse("review", args=[dataset.slug]))
    assert "truly not a dog" in page.content.decode()
