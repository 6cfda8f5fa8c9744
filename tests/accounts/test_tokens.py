"""Tokens of the API: hashed, narrowed, ended, and never wider than their owner."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from synthreview.accounts.models import ApiToken, Scope
from synthreview.accounts.services import make_token, user_of_token
from synthreview.catalog.permissions import Action
from synthreview.prompting.models import Prompt
from synthreview.trail.acts import Act
from synthreview.trail.models import Entry
from tests.factories import make_user
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
PROMPTS = "/api/datasets/traffic/prompts"
PAGE = "/account/tokens/"


@pytest.fixture
def people() -> People:
    return make_people()


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def token_of(people: People, who: str, *scopes: str, days: int = 1) -> str:
    return make_token(user=people.users[who], title="robot", scopes=scopes, days=days)[1]


def add_prompt(token: str) -> Any:
    body = json.dumps({"text": "A car", "class": "car"})
    return Client(enforce_csrf_checks=True).post(
        PROMPTS, body, content_type="application/json", headers=bearer(token)
    )


def test_the_scopes_are_the_actions_of_the_permission_table() -> None:
    assert list(Scope.values) == [action.value for action in Action]


def test_a_token_is_shown_once_and_kept_as_a_hash(people: People) -> None:
    client = people.client("curator")
    form = {"title": "nightly", "scopes": ["view", "export"], "days": 30}
    secret = client.post(PAGE, form).context["secret"]
    row = ApiToken.objects.get()
    assert row.scopes == ["view", "export"]
    assert secret.startswith("sr_")
    for stored in (list(ApiToken.objects.values()), list(Entry.objects.values())):
        assert secret not in str(stored)
    page = client.get(PAGE).content.decode()
    assert secret not in page
    assert secret[:8] in page


def test_a_token_acts_as_its_owner_and_the_trail_names_both(people: People) -> None:
    token = token_of(people, "curator", "curate")
    assert add_prompt(token).status_code == 201
    entry = Entry.objects.filter(act=Act.PROMPT_ADDED).get()
    assert (entry.actor, entry.via) == ("curator", f"token {token[:8]}")
    assert ApiToken.objects.get().last_used_at is not None


@pytest.mark.parametrize(
    ("who", "scopes", "status"),
    [
        ("curator", ["view"], 403),  # narrower than its owner
        ("viewer", ["view", "curate", "administer"], 403),  # asks for more than its owner has
        ("stranger", list(Scope.values), 404),
        ("curator", ["curate"], 201),
    ],
)
def test_what_a_token_may_is_what_its_scopes_and_its_owners_role_both_allow(
    people: People, who: str, scopes: list[str], status: int
) -> None:
    assert add_prompt(token_of(people, who, *scopes)).status_code == status
    assert Prompt.objects.exists() == (status == 201)


def test_a_superusers_token_is_narrowed_as_well(people: People) -> None:
    root = make_user("root", is_superuser=True)
    _, token = make_token(user=root, title="robot", scopes=[], days=1)
    assert Client().get(PROMPTS, headers=bearer(token)).status_code == 200
    assert add_prompt(token).status_code == 403


@pytest.mark.parametrize("fault", ["unknown", "expired", "revoked", "inactive", "lost role"])
def test_a_token_that_is_no_good_opens_nothing(people: People, fault: str) -> None:
    token = token_of(people, "curator", "curate")
    user = people.users["curator"]
    if fault == "unknown":
        token = token[:-1] + ("a" if token[-1] != "a" else "b")
    elif fault == "expired":
        ApiToken.objects.update(expires_at=timezone.now() - dt.timedelta(seconds=1))
    elif fault == "revoked":
        people.client("curator").post(f"{PAGE}{ApiToken.objects.get().pk}/revoke")
        assert Entry.objects.filter(act=Act.TOKEN_REVOKED).exists()
    elif fault == "inactive":
        user.is_active = False
        user.save()
    else:
        people.dataset.memberships.filter(user=user).delete()
    assert add_prompt(token).status_code == (404 if fault == "lost role" else 401)
    assert not Prompt.objects.exists()


def test_a_token_opens_no_page(people: People) -> None:
    token = token_of(people, "curator", *Scope.values)
    for page in ("/d/traffic/", PAGE, "/api/openapi.json"):
        assert Client().get(page, headers=bearer(token)).status_code == 302


def test_nobody_sees_or_revokes_the_tokens_of_others(people: People) -> None:
    token_of(people, "curator", "curate")
    pk = ApiToken.objects.get().pk
    assert "robot" not in people.client("admin").get(PAGE).content.decode()
    assert people.client("admin").post(f"{PAGE}{pk}/revoke").status_code == 404
    assert ApiToken.objects.usable().exists()


def test_a_wrong_wish_is_told_and_the_number_is_limited(people: People, settings: Any) -> None:
    client = people.client("viewer")
    assert client.post(PAGE, {"title": "x", "scopes": ["fly"], "days": 9}).status_code == 422
    assert client.post(PAGE, {"title": "x", "scopes": ["view"], "days": 999}).status_code == 422
    for _ in range(50):
        token_of(people, "viewer")
    answer = client.post(PAGE, {"title": "x", "scopes": ["view"], "days": 9})
    assert "You have 50 tokens" in answer.content.decode()


def test_a_use_costs_one_query_within_a_minute(people: People) -> None:
    token = token_of(people, "viewer")
    user_of_token(token)
    with CaptureQueriesContext(connection) as queries:
        user_of_token(token)
    assert len(queries) == 1
