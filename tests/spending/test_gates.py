"""Gates: so many calls at once and a minute, and a service in trouble is left alone."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from synthreview.generation.jobs import draw_call
from synthreview.generation.models import Call, Run, service_of
from synthreview.generation.services import orders_of, start_run
from synthreview.lib.outcomes import OutOfCreditError, RateLimitedError, TransientError
from synthreview.spending import gates
from synthreview.spending.limits import Limits
from synthreview.spending.models import ServiceGate
from synthreview.spending.services import budget_of, set_budget
from synthreview.work.models import WorkState
from tests.factories import make_dataset, make_prompt, make_user
from tests.generation.fakes import PRICE, ScriptedGenerator, scripted

pytestmark = pytest.mark.django_db


@pytest.fixture
def fake(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings) as generator:
        yield generator


def run_of(calls: int) -> Run:
    dataset = make_dataset(name="World", curator=make_user("curator"))
    set_budget(dataset, limit_micro_usd=1_000 * PRICE)
    car = dataset.classes.get(name="car")
    orders = orders_of(make_prompt(car) for _ in range(calls))
    return start_run(dataset=dataset, orders=orders, count=calls, generator_alias="scripted")


def limit(settings: Any, **limits: int) -> None:
    settings.GENERATORS["scripted"]["LIMITS"] = limits


def states(run: Run) -> list[str]:
    return list(run.calls.order_by("pk").values_list("state", flat=True))


def draw_all(run: Run) -> None:
    for pk in run.calls.order_by("pk").values_list("pk", flat=True):
        draw_call(pk)


def test_so_many_calls_a_minute_and_the_rest_waits_for_the_next(
    settings: Any, fake: type[ScriptedGenerator]
) -> None:
    limit(settings, per_minute=2)
    run = run_of(4)
    draw_all(run)
    assert states(run) == ["done", "done", "ready", "ready"]
    waiting = run.calls.filter(state=WorkState.READY)
    for call in waiting:
        assert call.attempts == 0  # waiting is no attempt
        assert 50 < (call.due_at - timezone.now()).total_seconds() <= 61
    past = timezone.now() - dt.timedelta(seconds=61)
    ServiceGate.objects.update(window_started_at=past)
    waiting.update(due_at=past)
    draw_all(run)
    assert states(run) == ["done"] * 4


def test_so_many_calls_at_once(settings: Any, fake: type[ScriptedGenerator]) -> None:
    limit(settings, at_once=1)
    run = run_of(2)
    first, second = run.calls.order_by("pk")
    held = gates.claim(first, lease_s=60)
    assert held
    draw_call(second.pk)
    assert states(run) == ["running", "ready"]
    Call.objects.settle(first.pk, held.token, WorkState.DONE)
    run.calls.filter(pk=second.pk).update(due_at=timezone.now())
    draw_call(second.pk)
    assert states(run) == ["done", "done"]


def test_patience_that_a_service_asks_for_holds_for_every_call(
    fake: type[ScriptedGenerator],
) -> None:
    fake.script[:] = [RateLimitedError("slow down", retry_after_s=90)]
    run = run_of(3)
    draw_all(run)
    assert states(run) == ["ready"] * 3
    assert len(fake.requests) == 1
    gate = gates.gate_of(service_of("scripted"))
    assert gate is not None
    assert gate.reason == "slow down"


def test_after_five_failures_in_a_row_nobody_calls_for_a_while(
    fake: type[ScriptedGenerator],
) -> None:
    fake.script[:] = [TransientError("down")] * 5
    run = run_of(8)
    draw_all(run)
    assert len(fake.requests) == 5
    gate = gates.gate_of(service_of("scripted"))
    assert gate is not None
    past = timezone.now() - dt.timedelta(seconds=1)
    ServiceGate.objects.update(closed_until=past)
    run.calls.update(due_at=past)
    draw_all(run)
    assert states(run) == ["done"] * 8
    assert ServiceGate.objects.get().failures_in_a_row == 0


def test_an_empty_account_waits_for_a_person_and_loses_no_call(
    fake: type[ScriptedGenerator], client: Client
) -> None:
    fake.script[:] = [OutOfCreditError("no credit left")]
    run = run_of(2)
    draw_all(run)
    assert states(run) == ["ready", "ready"]
    assert len(fake.requests) == 1
    assert run.calls.order_by("pk")[0].attempts == 0
    assert budget_of(run.dataset).reserved_micro_usd == 2 * PRICE
    client.login(username="curator", password="curator")
    page = reverse("run", args=["world", run.number])
    body = client.get(page).content.decode()
    assert "is paused until somebody resumes it: no credit left" in body
    resume = reverse("run-resume", args=["world", run.number])
    assert "is asked again" in client.post(resume, follow=True).content.decode()
    assert "was not paused" in client.post(resume, follow=True).content.decode()
    draw_all(run)
    assert states(run) == ["done", "done"]


def test_a_free_service_without_limits_has_no_gate(fake: type[ScriptedGenerator]) -> None:
    draw_all(run_of(2))
    assert not ServiceGate.objects.exists()


@pytest.mark.parametrize("entry", [{"at_once": 0}, {"per_hour": 3}, {"per_minute": "many"}])
def test_wrong_limits_are_named(entry: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="LIMITS"):
        Limits.of({"LIMITS": entry})
