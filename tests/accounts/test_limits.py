"""Limits on what costs others something: counted per person, told with when to come back."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.conf import settings as the_settings
from django.test import Client
from django.urls import get_resolver, resolve

from synthreview.accounts.services import make_token
from synthreview.api import api
from synthreview.work.services import redis
from tests.people import People, make_people

pytestmark = pytest.mark.django_db
UNDO = "/d/traffic/review/undo"


@pytest.fixture
def people(redis_url: str, settings: Any) -> People:
    settings.RATE_LIMITS = {"review": (2, 3600), "export": (3, 3600), "paid": (1, 3600)}
    return make_people()


def test_each_limited_route_exists_and_has_a_limit() -> None:
    pages = {name for name in get_resolver().reverse_dict if isinstance(name, str)}
    paths = [re.sub(r"{[^}]*}", "1", path) for path in api.get_openapi_schema()["paths"]]
    routes = {resolve(path).view_name for path in paths}
    assert set(the_settings.LIMITED_ROUTES) <= pages | routes
    assert set(the_settings.LIMITED_ROUTES.values()) == {"review", "export", "paid"}


def test_too_much_reviewing_is_answered_with_when_to_come_back(people: People) -> None:
    client = people.client("reviewer")
    answers = [client.post(UNDO) for _ in range(4)]
    assert [a.status_code == 429 for a in answers] == [False, False, True, True]
    assert 0 < int(answers[-1]["Retry-After"]) <= 3600
    assert "That was a lot at once" in answers[-1].content.decode()
    assert client.get("/d/traffic/review/").status_code == 200  # looking is free
    assert people.client("curator").post(UNDO).status_code != 429  # and so are the others


def test_pages_and_tokens_of_one_person_count_together(people: People) -> None:
    _, token = make_token(user=people.users["reviewer"], title="x", scopes=["review"], days=1)
    people.client("reviewer").post(UNDO)
    headers = {"Authorization": f"Bearer {token}"}
    url = "/api/datasets/traffic/review/undo"
    answers = [Client().post(url, headers=headers) for _ in range(2)]
    assert [a.status_code for a in answers] == [200, 429]
    assert answers[-1]["Retry-After"]
    assert "Try again in" in answers[-1].json()["detail"]
    assert people.client("reviewer").post(url).status_code == 429


def test_exports_and_paid_actions_are_limited_each_for_itself(people: People) -> None:
    client = people.client("curator")
    body = json.dumps({"split": "100"})
    url = "/api/datasets/traffic/exports"
    sent = [client.post(url, body, content_type="application/json") for _ in range(5)]
    assert [a.status_code for a in sent] == [422, 422, 422, 429, 429]
    assert client.post("/d/traffic/runs/new").status_code != 429
    assert client.post("/d/traffic/runs/new").status_code == 429


def test_while_redis_is_away_nobody_is_held_up(
    people: People, monkeypatch: Any, settings: Any
) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    away = redis.__wrapped__()
    assert away.get_retry().get_retries() == 0  # it may sleep between tries
    monkeypatch.setattr("synthreview.accounts.limits.redis", lambda: away)
    client = people.client("reviewer")
    assert all(client.post(UNDO).status_code != 429 for _ in range(4))
