"""The review page: who may, what it shows, what each request does, and what it costs."""

from __future__ import annotations

import datetime as dt
import re
import uuid
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, Membership
from synthreview.catalog.permissions import Role
from synthreview.catalog.services import set_role
from synthreview.generation.models import CallInput, GeneratedImage, InputRole
from synthreview.review import intake, services
from synthreview.review.hand import GRACE_S
from synthreview.review.models import (
    Decision,
    ImageReview,
    ImageState,
    ReviewSlot,
    SlotState,
    Surface,
    Verdict,
)
from synthreview.review.queue import free_expired, next_card, upcoming
from synthreview.review.sources import sources_of
from synthreview.work.models import WorkState
from tests.factories import (
    make_call,
    make_dataset,
    make_decision,
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
POSTS = [
    "review-decide",
    "review-more",
    "review-undo",
    "review-change",
    "review-heartbeat",
    "review-leave",
    "review-grid-more",
    "review-grid-decide",
    "review-compare-more",
    "review-compare-decide",
]
PAGES = ["review", "review-grid", "review-compare"]


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
    image = make_image(dataset)
    for name in PAGES:
        assert client.get(url(name, dataset)).status_code == 404
    beside = reverse("review-beside", args=[dataset.slug, image.pk])
    assert client.get(beside).status_code == 404
    for name in POSTS:
        assert client.post(url(name, dataset)).status_code == 404


def test_a_viewer_may_not_review(client: Client, dataset: Dataset) -> None:
    client.force_login(User.objects.get(username="vera"))
    for name in PAGES:
        assert client.get(url(name, dataset)).status_code == 403
    for name in POSTS:
        assert client.post(url(name, dataset)).status_code == 403


def test_who_is_not_signed_in_is_asked_to(client: Client, dataset: Dataset) -> None:
    response = client.get(url("review", dataset))
    assert response.status_code == 302
    assert reverse("account_login") in response["Location"]


@pytest.mark.parametrize("name", POSTS)
def test_what_changes_something_takes_no_get(
    browser_of_reviewer: Client, dataset: Dataset, name: str
) -> None:
    assert browser_of_reviewer.get(url(name, dataset)).status_code == 405
    for page in PAGES:
        assert browser_of_reviewer.post(url(page, dataset)).status_code == 405


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
    assert '<span class="soft">environment</span> at night' in page
    assert 'name="wrong" value="environment"' in page
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
    decide(browser_of_reviewer, dataset, page.context["card"].token, Verdict.SKIP)
    assert "0.43" not in browser_of_reviewer.get(url("review", dataset)).content.decode()
    services.undo(dataset=dataset, reviewer=User.objects.get(username="rita"))
    decide(browser_of_reviewer, dataset, token_of(browser_of_reviewer, dataset), Verdict.APPROVE)
    assert "0.43" in browser_of_reviewer.get(url("review", dataset)).content.decode()


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
    image = make_image(dataset)
    assert "Images are being scored" in page()
    assert "No scoring worker has started yet" in page()
    make_call(make_run(dataset), image.prompt, state=WorkState.READY)
    assert "Images are being drawn" in page()


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
    assert upcoming(dataset=dataset, reviewer=reviewer) == [third]
    assert f'data-name="{second.label_class.name}"' in response.content.decode()
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
    held = decide(browser_of_reviewer, dataset, token, Verdict.REJECT).context["card"]
    own = {"token": str(uuid.uuid4())}
    for _ in range(3):  # sent again because its answer was lost: the same card, and no more undone
        response = browser_of_reviewer.post(url("review-undo", dataset), own, **HTMX)
        assert response.context["card"].slot.image == first
        assert "you had rejected this image" in response.content.decode()
    assert first.review.state == ImageState.PENDING
    assert Decision.objects.filter(verdict=Verdict.WITHDRAW).count() == 1
    assert leased(dataset) == {held.token, response.context["card"].token}, "the hand is kept"
    again = browser_of_reviewer.post(url("review-undo", dataset), **HTMX)
    assert "There is nothing left to undo." in again.content.decode()


def test_undo_without_script_gives_the_open_card_back(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    first, _ = queue(dataset, 2)
    decide(browser_of_reviewer, dataset, token_of(browser_of_reviewer, dataset), Verdict.REJECT)
    assert browser_of_reviewer.post(url("review-undo", dataset)).status_code == 302
    assert len(leased(dataset)) == 1
    assert browser_of_reviewer.get(url("review", dataset)).context["card"].slot.image == first


def test_ticks_and_unsure_are_on_the_record(browser_of_reviewer: Client, dataset: Dataset) -> None:
    queue(dataset, 1)
    token = token_of(browser_of_reviewer, dataset)
    wrong = ["style", "colour", "colour"]
    decide(browser_of_reviewer, dataset, token, Verdict.UNSURE, wrong=wrong, note="blue?")
    decision = Decision.objects.get()
    assert (decision.verdict, decision.wrong_slots) == (Verdict.UNSURE, ["colour", "style"])
    assert (decision.note, decision.surface) == ("blue?", Surface.FOCUS)


# --- The hand of cards -------------------------------------------------------------------


def leased(dataset: Dataset) -> set[uuid.UUID | None]:
    held = ReviewSlot.objects.filter(dataset=dataset, state=SlotState.LEASED)
    return set(held.values_list("lease_token", flat=True))


def more(client: Client, dataset: Dataset, *tokens: object, count: int = 3) -> list[str]:
    data = {"tokens": [str(token) for token in tokens], "count": count}
    page = client.post(url("review-more", dataset), data, **HTMX).content.decode()
    return re.findall(r'data-token="([^"]+)"', page)


def test_more_deals_cards_that_the_page_does_not_hold(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 6)
    first = token_of(browser_of_reviewer, dataset)
    dealt = more(browser_of_reviewer, dataset, first)
    assert len(dealt) == 3
    assert leased(dataset) == {first, *map(uuid.UUID, dealt)}
    assert len(more(browser_of_reviewer, dataset, first, *dealt, count=12)) == 2
    assert more(browser_of_reviewer, dataset, *leased(dataset)) == []


def test_a_card_whose_answer_was_lost_is_dealt_again(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 4)
    first = token_of(browser_of_reviewer, dataset)
    lost = more(browser_of_reviewer, dataset, first, count=2)
    again = more(browser_of_reviewer, dataset, first, count=2)
    assert sorted(again) == sorted(lost)


def test_what_the_page_says_of_its_hand_may_be_nonsense(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 3)
    for bad in ({"tokens": ["x"]}, {"count": "1000"}, {"count": "-1"}, {"tokens": ["1"] * 999}):
        assert browser_of_reviewer.post(url("review-more", dataset), bad).status_code == 200
    assert len(leased(dataset)) == 1


def test_one_cannot_hold_or_give_back_the_card_of_another(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 2)
    other = make_user("olga")
    set_role(dataset=dataset, user=other, role=Role.REVIEWER)
    card = next_card(dataset=dataset, reviewer=other)
    assert card
    answer = browser_of_reviewer.post(
        url("review-heartbeat", dataset), {"tokens": str(card.token)}
    ).content.decode()
    assert f'data-lost="{card.token} "' in answer
    browser_of_reviewer.post(url("review-leave", dataset), {"tokens": str(card.token)})
    assert leased(dataset) == {card.token}


# --- The strip -----------------------------------------------------------------------------


def test_a_decision_is_changed_by_one_click(browser_of_reviewer: Client, dataset: Dataset) -> None:
    (image,) = queue(dataset, 1)
    token = token_of(browser_of_reviewer, dataset)
    decide(browser_of_reviewer, dataset, token, Verdict.APPROVE)
    change = {"decision": str(token), "token": str(uuid.uuid4()), "verdict": "reject"}
    for _ in range(2):  # a double click
        said = browser_of_reviewer.post(url("review-change", dataset), change, **HTMX)
        assert f'data-said="{change["token"]}"' in said.content.decode()
    assert ImageReview.objects.get(image=image).state == ImageState.REJECTED
    assert Decision.objects.count() == 2
    stale = browser_of_reviewer.post(
        url("review-change", dataset), {**change, "token": str(uuid.uuid4())}, **HTMX
    )
    assert "does not stand any more" in stale.content.decode()


def test_the_decision_of_another_cannot_be_changed(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    (image,) = queue(dataset, 1)
    other = make_user("olga")
    set_role(dataset=dataset, user=other, role=Role.REVIEWER)
    card = next_card(dataset=dataset, reviewer=other)
    assert card
    services.record_decision(
        dataset=dataset, reviewer=other, token=card.token, verdict=Verdict.APPROVE
    )
    change = {"decision": str(card.token), "token": str(uuid.uuid4()), "verdict": "reject"}
    browser_of_reviewer.post(url("review-change", dataset), change, **HTMX)
    assert ImageReview.objects.get(image=image).state == ImageState.APPROVED


def test_without_script_a_change_comes_back_to_the_page(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 1)
    token = token_of(browser_of_reviewer, dataset)
    decide(browser_of_reviewer, dataset, token, Verdict.APPROVE)
    page = browser_of_reviewer.get(url("review-grid", dataset))
    (row,) = page.context["last_decisions"]
    change = {"decision": token, "token": row["change_token"], "verdict": "reject", "mode": "grid"}
    response = browser_of_reviewer.post(url("review-change", dataset), change)
    assert response["Location"] == url("review-grid", dataset)
    assert ImageReview.objects.get().state == ImageState.REJECTED


# --- Beside the card --------------------------------------------------------------------------


def test_siblings_stand_beside_and_say_nothing_of_others_decisions(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    prompt = make_prompt(dataset.classes.first())
    one, two = (make_image(prompt=prompt) for _ in range(2))
    family = make_image(dataset, family=one.family)
    make_decision(two, make_user(), Verdict.REJECT)
    stranger = make_image(dataset)
    address = reverse("review-beside", args=[dataset.slug, one.pk])
    page = browser_of_reviewer.get(address).content.decode()
    assert two.thumb_url in page
    assert family.thumb_url in page
    assert stranger.thumb_url not in page
    assert "reject" not in page
    elsewhere = make_image(make_dataset())
    address = reverse("review-beside", args=[dataset.slug, elsewhere.pk])
    assert browser_of_reviewer.get(address).status_code == 404


def test_the_source_of_a_derived_image_stands_beside_it(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    source = make_image(dataset)
    (image,) = queue(dataset, 1, technique="variation")
    assert image.call
    CallInput.objects.create(call=image.call, image=source, role=InputRole.SOURCE)
    page = browser_of_reviewer.get(url("review", dataset))
    assert [one.view_url for one in page.context["sources"]] == [source.view_url]
    assert 'data-do="source"' in page.content.decode()
    (plain,) = queue(dataset, 1)
    with CaptureQueriesContext(connection) as queries:
        assert sources_of(plain) == []
    assert len(queries) == 0, "what has no source is not asked for one"


# --- The lease ---------------------------------------------------------------------------


def test_a_heartbeat_answers_with_the_progress(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 3)
    token = str(token_of(browser_of_reviewer, dataset))
    address = url("review-heartbeat", dataset)
    answer = browser_of_reviewer.post(address, {"tokens": token}).content.decode()
    assert 'data-count="left">2<' in answer
    assert 'data-lost=""' in answer
    gone = str(uuid.uuid4())
    answer = browser_of_reviewer.post(address, {"tokens": [token, gone]}).content.decode()
    assert f'data-lost="{gone} "' in answer
    assert browser_of_reviewer.post(address, {"tokens": "nonsense"}).status_code == 200


def test_leaving_gives_the_cards_of_the_page_back(
    browser_of_reviewer: Client, dataset: Dataset
) -> None:
    queue(dataset, 3)
    first = token_of(browser_of_reviewer, dataset)
    dealt = more(browser_of_reviewer, dataset, first, count=2)
    address = url("review-leave", dataset)
    assert browser_of_reviewer.post(address, {"tokens": dealt}).status_code == 204
    later = timezone.now() + dt.timedelta(seconds=GRACE_S + 1)
    short = ReviewSlot.objects.filter(lease_expires_at__lt=later)
    assert {str(slot.lease_token) for slot in short} == set(dealt)
    # A page that was only loaded again says with its first heartbeat that it is there.
    browser_of_reviewer.post(url("review-heartbeat", dataset), {"tokens": dealt[0]})
    short.update(lease_expires_at=timezone.now() - dt.timedelta(seconds=1))
    assert free_expired() == 1
    assert leased(dataset) == {first, uuid.UUID(dealt[0])}


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


# --- What is left, and for whom ----------------------------------------------------------


def test_who_has_judged_all_they_may_hears_that_others_are_needed(
    browser_of_reviewer: Client, dataset: Dataset, reviewer: User
) -> None:
    dataset.policy.reviews_per_image = 3
    dataset.policy.save()
    for _ in range(2):
        make_review(make_image(dataset), looks=3)
    for left in (2, 1):
        page = browser_of_reviewer.get(f"/d/{dataset.slug}/review/").text
        assert f'data-count="left">{left}<' in page
        decide(browser_of_reviewer, dataset, token_of(browser_of_reviewer, dataset), "approve")
    page = browser_of_reviewer.get(f"/d/{dataset.slug}/review/").text
    assert "Nothing is left for you" in page
    assert "4 looks wait for somebody else: each image is judged by 3 people" in page
    assert "Ask whoever leads Things to add reviewers" in page
    assert 'data-count="left">0<' in page


def test_who_reached_the_daily_limit_hears_so(
    browser_of_reviewer: Client, dataset: Dataset, reviewer: User
) -> None:
    Membership.objects.filter(user=reviewer).update(daily_limit=1)
    queue(dataset, 2)
    decide(browser_of_reviewer, dataset, token_of(browser_of_reviewer, dataset), "approve")
    page = browser_of_reviewer.get(f"/d/{dataset.slug}/review/").text
    assert "That was your share for today" in page
    assert "Nothing is left" not in page
