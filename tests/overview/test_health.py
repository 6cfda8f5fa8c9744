"""Probes, numbers for Prometheus, and the name of each request."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
import redis as redis_client
from django.db import DatabaseError, OperationalError
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from synthreview.lib.logs import JsonFormatter, LineFormatter, doing, secrets_in
from synthreview.overview import health
from synthreview.work.models import WorkState
from synthreview.work.services import note_sweeper
from tests.factories import make_call, make_image, make_user

pytestmark = pytest.mark.django_db
REDIS_AWAY = "redis://127.0.0.1:1/0"


@pytest.fixture(autouse=True)
def asked_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for kept in (health._probed, health._migrated, health._counted):
        monkeypatch.setattr(kept, "at", -1e9)


def test_a_process_that_answers_is_alive_whatever_else_is_away(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in health.CHECKS:
        monkeypatch.setitem(health.CHECKS, name, lambda: (_ for _ in ()).throw(OSError))
    answer = client.get("/healthz")
    assert (answer.status_code, answer.content) == (200, b"ok\n")
    assert "no-store" in answer["Cache-Control"]
    assert client.get("/readyz").status_code == 503


def test_it_is_ready_where_everything_answers(client: Client, redis: redis_client.Redis) -> None:
    answer = client.get("/readyz")
    assert answer.json() == {
        "ready": True,
        "checks": dict.fromkeys(("database", "migrations", "redis", "storage"), "ok"),
    }
    assert answer.status_code == 200


@pytest.mark.parametrize(
    ("part", "fault"),
    [
        ("database", DatabaseError("no")), ("migrations", RuntimeError("one waits")),
        ("redis", redis_client.ConnectionError("no")), ("storage", OSError("full")),
    ],
)  # fmt: skip
def test_it_is_not_ready_where_a_part_is_away_and_says_which(
    client: Client, redis: Any, monkeypatch: pytest.MonkeyPatch, part: str, fault: Exception
) -> None:
    def away() -> None:
        raise fault

    monkeypatch.setitem(health.CHECKS, part, away)
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert {name for name, said in answer.json()["checks"].items() if said != "ok"} == {part}


def test_probes_are_not_sent_to_https(client: Client, settings: Any) -> None:
    settings.SECURE_SSL_REDIRECT = True
    assert client.get("/healthz").status_code == 200
    assert client.get("/account/sign-in/").status_code == 301


def numbers(client: Client, **headers: str) -> dict[tuple[str, str], float]:
    answer = client.get("/metrics", headers=headers)
    assert answer.status_code == 200
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.content.decode())
        for sample in family.samples
    }


def test_the_numbers_are_the_rows(client: Client, redis: Any, settings: Any) -> None:
    settings.METRICS_TOKEN = "a-long-token"
    image = make_image()
    run, prompt = image.run, image.prompt
    make_call(run, prompt, state=WorkState.READY)
    make_call(run, prompt, state=WorkState.FAILED)
    make_call(run, prompt, state=WorkState.UNKNOWN)
    note_sweeper()
    found = numbers(client, authorization="Bearer a-long-token")
    assert found["synthreview_work_due", "generation"] == 1
    assert found["synthreview_work_oldest_due_seconds", "generation"] >= 0
    assert found["synthreview_work_ended", "call,failed"] == 1
    assert found["synthreview_work_ended", "call,unknown"] == 1
    assert found["synthreview_images_total", ""] == image.pk
    assert found["synthreview_sweeper_up", ""] == 1
    assert found["synthreview_workers", "generation"] == 0
    assert found["synthreview_disk_free_bytes", ""] > 0
    assert {"synthreview_spent_usd", "synthreview_decisions_total"} < {name for name, _ in found}


def test_without_redis_there_are_still_numbers(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> Any:
        raise redis_client.ConnectionError

    monkeypatch.setattr(health, "queues", away)
    client.force_login(make_user("root", is_superuser=True, is_staff=True))
    found = numbers(client)
    assert found["synthreview_redis_up", ""] == 0
    assert ("synthreview_spent_usd", "") in found


def test_numbers_are_for_staff_and_for_the_token(client: Client, redis: Any, settings: Any) -> None:
    assert client.get("/metrics").status_code == 404
    wrong = {"authorization": "Bearer "}
    assert client.get("/metrics", headers=wrong).status_code == 404, "no token is set"
    settings.METRICS_TOKEN = "a-long-token"
    wrong = {"authorization": "Bearer another"}
    assert client.get("/metrics", headers=wrong).status_code == 404
    client.force_login(make_user("anyone"))
    assert client.get("/metrics").status_code == 404


# --- Outages --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/api/datasets"])
def test_a_database_that_is_away_is_a_clean_503(
    client: Client, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    client.force_login(make_user())

    def away(*args: Any, **kwargs: Any) -> None:
        raise OperationalError("server closed the connection unexpectedly: secret=1")

    monkeypatch.setattr("django.contrib.auth.get_user", away)
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", away)
    client.raise_request_exception = False
    answer = client.get(path)
    assert answer.status_code == 503
    assert answer["Retry-After"] == "10"
    assert b"secret=1" not in answer.content


def test_a_fault_of_ours_is_a_500_without_a_word_of_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ValueError("secret=1")

    monkeypatch.setattr("django.contrib.auth.get_user", broken)
    monkeypatch.setattr("django.contrib.sessions.backends.db.SessionStore.load", broken)
    client.raise_request_exception = False
    client.cookies["sessionid"] = "x"
    answer = client.get("/")
    assert answer.status_code == 500
    assert b"secret=1" not in answer.content
    assert client.get("/api/datasets").json() == {"detail": "It is our fault."}


# --- Log lines ------------------------------------------------------------------------


def record(message: str, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("synthreview.x", logging.INFO, "x.py", 1, message, (), None)
    made.__dict__.update(extra)
    return made


def test_a_json_line_says_what_was_being_done() -> None:
    with doing(request="r-1"), doing(job="call-1-0"):
        line = json.loads(JsonFormatter().format(record("Hello", fields={"ms": 1.5})))
    assert line["message"] == "Hello"
    assert (line["request"], line["job"], line["ms"]) == ("r-1", "call-1-0", 1.5)
    assert "request" not in json.loads(JsonFormatter().format(record("After")))


def test_secrets_are_hidden_in_messages_and_tracebacks() -> None:
    secrets = secrets_in(["postgres://me:hush%2Fhush@host/name", "tiny", "a-long-key"])
    assert secrets == {"hush%2Fhush", "hush/hush", "a-long-key"}
    try:
        raise ValueError("refused a-long-key")
    except ValueError as error:
        made = record("at postgres://me:hush/hush@host", exc_info=(type(error), error, None))
    for formatter in (JsonFormatter(secrets=secrets), LineFormatter(secrets=secrets)):
        line = formatter.format(made)
        assert "refused [secret]" in line
        assert "hush" not in line
        assert "a-long-key" not in line


def test_a_request_has_a_name_in_its_answer(client: Client) -> None:
    assert len(client.get("/healthz")["X-Request-ID"]) == 32
    named = client.get("/healthz", headers={"x-request-id": "from-the-proxy-1"})
    assert named["X-Request-ID"] == "from-the-proxy-1"
    forged = client.get("/healthz", headers={"x-request-id": "a b\\n{}"})
    assert len(forged["X-Request-ID"]) == 32
