"""Reviewing over the API: another front end can do what the page does, and no more."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.review.models import Decision, ImageReview, ReviewSlot, SlotState
from tests.factories import make_dataset, make_image, make_review, make_score, make_user

D = "/api/datasets/things/review"


@pytest.fixture
def reviewer(db: None) -> User:
    return make_user("rita")


@pytest.fixture
def other(db: None) -> User:
    return make_user("otto")


@pytest.fixture
def dataset(reviewer: User, other: User) -> Dataset:
    return make_dataset("Things", reviewer=[reviewer, other])


@pytest.fixture
def rita(client: Client, reviewer: User) -> Client:
    client.force_login(reviewer)
    return client


@pytest.fixture
def otto(other: User) -> Client:
    client = Client()
    client.force_login(other)
    return client


def fill(dataset: Dataset, count: int) -> None:
    for place in range(count):
        image = make_image(dataset)
        make_score(image, value=place / 100)
        make_review(image)


def post(client: Client, verb: str, body: Any = None, status: int = 200) -> Any:
    answer = client.post(f"{D}/{verb}", json.dumps(body or {}), content_type="application/json")
    assert answer.status_code == status, answer.content
    return answer.json()


def answer(card: dict[str, Any], verdict: str = "approve", **more: Any) -> dict[str, Any]:
    return {"token": card["token"], "verdict": verdict, **more}


def test_claim_decide_and_so_on_until_nothing_is_left(rita: Client, dataset: Dataset) -> None:
    fill(dataset, 3)
    (card,) = post(rita, "claim")["cards"]
    assert card["class"] == "car"
    assert card["question"].endswith("?")
    assert card["view_url"] == reverse("rendition", args=[card["image"], "view"])
    assert card["score"] is None, "the policy hides scores"
    seen = [card["image"]]
    for _ in range(2):
        done = post(rita, "decide", {"answers": [answer(card)], "claim": True})
        assert [one["is_replay"] for one in done["said"]] == [False]
        (card,) = done["next"]["cards"]
        seen.append(card["image"])
    done = post(rita, "decide", {"answers": [answer(card, "reject")], "claim": True})
    assert done["next"]["cards"] == []
    assert len(set(seen)) == 3
    assert set(Decision.objects.values_list("surface", flat=True)) == {"api"}
    assert post(rita, "claim")["cards"] == []


def test_scores_are_told_where_the_policy_shows_them(rita: Client, dataset: Dataset) -> None:
    fill(dataset, 1)
    dataset.policy.blind_scores = False
    dataset.policy.save()
    assert post(rita, "claim")["cards"][0]["score"] == 0.0


def test_a_page_is_claimed_and_answered_at_once(
    rita: Client, otto: Client, dataset: Dataset
) -> None:
    fill(dataset, 8)
    wish = {"kind": "page", "count": 6, "class": "car", "technique": "plain"}
    page = post(rita, "claim", wish)
    assert len(page["cards"]) == 6
    assert page["batch"]
    assert len(post(otto, "claim", {"kind": "page", "count": 6})["cards"]) == 2
    done = post(rita, "decide", {"answers": [answer(card) for card in page["cards"]]})
    assert len(done["said"]) == 6
    assert done["next"] is None
    assert ImageReview.objects.filter(state="approved").count() == 6


def test_an_answer_that_is_sent_again_changes_nothing(rita: Client, dataset: Dataset) -> None:
    fill(dataset, 2)
    (card,) = post(rita, "claim")["cards"]
    first = post(rita, "decide", {"answers": [answer(card)]})["said"][0]
    again = post(rita, "decide", {"answers": [answer(card, "reject")]})["said"][0]
    assert again == {**first, "is_replay": True}


def test_what_went_to_somebody_else_is_lost_and_said_so(
    rita: Client, otto: Client, dataset: Dataset
) -> None:
    fill(dataset, 1)
    (card,) = post(rita, "claim")["cards"]
    assert post(rita, "release")["released"] == 1
    post(otto, "claim")
    done = post(rita, "decide", {"answers": [answer(card)]})
    assert (done["said"], done["lost"]) == ([], [card["token"]])
    assert not Decision.objects.exists()


def test_undo_and_change(rita: Client, dataset: Dataset) -> None:
    fill(dataset, 2)
    (card,) = post(rita, "claim")["cards"]
    said = post(rita, "decide", {"answers": [answer(card)]})["said"][0]
    change = {"decision": said["decision"], "token": str(uuid.uuid4()), "verdict": "reject"}
    changed = post(rita, "change", change)
    assert changed["verdict"] == "reject"
    assert post(rita, "change", change) == {**changed, "is_replay": True}
    (back,) = post(rita, "undo")["cards"]
    assert back["image"] == card["image"]
    assert back["token"] != card["token"]
    assert ImageReview.objects.get(image=card["image"]).state == "pending"


def test_a_heartbeat_names_what_is_still_held(rita: Client, otto: Client, dataset: Dataset) -> None:
    fill(dataset, 1)
    (card,) = post(rita, "claim")["cards"]
    tokens = {"tokens": [card["token"], str(uuid.uuid4())]}
    assert post(rita, "heartbeat", tokens)["tokens"] == [card["token"]]
    assert post(otto, "heartbeat", tokens)["tokens"] == []
    assert post(otto, "release", tokens)["released"] == 0
    assert ReviewSlot.objects.filter(state=SlotState.LEASED).count() == 1


@pytest.mark.parametrize(
    ("verb", "body", "says"),
    [
        ("claim", {"kind": "all"}, "kind"),
        ("claim", {"kind": "page", "count": 49}, "48"),
        ("claim", {"kind": "page", "class": "car"}, "No technique"),
        ("claim", {"kind": "page", "class": "dog", "technique": "plain"}, "No class"),
        ("claim", {"kind": "siblings", "count": 7}, "2 to 6"),
        ("decide", {"answers": []}, "answers"),
        ("decide", {"answers": [{"token": "x", "verdict": "approve"}]}, "token"),
        ("decide", {"answers": [{"token": str(uuid.uuid4()), "verdict": "maybe"}]}, "no verdict"),
        (
            "decide",
            {"answers": [{"token": str(uuid.uuid4()), "verdict": "reject", "reasons": ["ugly"]}]},
            "no reason",
        ),
        (
            "decide",
            {"answers": [{"token": str(uuid.uuid4()), "verdict": "skip", "note": "a\x00b"}]},
            "note",
        ),
        ("change", {"decision": 2**70, "token": str(uuid.uuid4()), "verdict": "skip"}, "decision"),
        ("heartbeat", {"tokens": "all"}, "tokens"),
    ],
)
def test_wrong_input_is_explained(
    rita: Client, dataset: Dataset, verb: str, body: Any, says: str
) -> None:
    fill(dataset, 1)
    assert says in post(rita, verb, body, 422)["detail"]
    assert not Decision.objects.exists()


def test_another_reviewers_card_cannot_be_answered(
    rita: Client, otto: Client, dataset: Dataset
) -> None:
    fill(dataset, 1)
    (card,) = post(rita, "claim")["cards"]
    body = {"answers": [answer(card, reviewer=1, state="approved", purpose="settle")]}
    assert post(otto, "decide", body)["lost"] == [card["token"]]
    assert not Decision.objects.exists()


def test_the_document_shows_examples(rita: Client, dataset: Dataset) -> None:
    schemas = rita.get("/api/openapi.json").json()["components"]["schemas"]
    assert schemas["DecideIn"]["examples"][0]["answers"][0]["verdict"] == "reject"
    assert schemas["ClaimIn"]["examples"]
