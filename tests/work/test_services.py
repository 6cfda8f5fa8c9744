"""Durable work: claimed once, held while its lease holds, swept, retried."""

from __future__ import annotations

import datetime as dt
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import django_rq
import pytest
import redis as redis_client
from django.db import close_old_connections, connection, transaction
from django.db.models.functions import Now

from synthreview.generation.models import Call
from synthreview.work import services
from synthreview.work.models import WorkState
from synthreview.work.services import (
    enqueue_on_commit,
    job_id,
    note_sweeper,
    retry,
    sweep,
    sweeper_host,
    take_back_overdue,
)
from tests.factories import make_call, make_dataset, make_prompt, make_run

pytestmark = pytest.mark.django_db
DOWN = "redis://127.0.0.1:1/0"


@pytest.fixture
def call() -> Call:
    return ready_call()


def ready_call(**fields: Any) -> Call:
    dataset = make_dataset()
    prompt = make_prompt(dataset.classes.all()[0])
    call = make_call(make_run(dataset), prompt, **{"state": WorkState.READY, **fields})
    call.refresh_from_db()  # its times are the database's
    return call


def run_out(call: Call) -> None:
    """Let the lease of a claimed call be over."""
    past = Now() - dt.timedelta(seconds=1)
    assert Call.objects.filter(pk=call.pk).update(lease_expires_at=past)


def queued() -> list[str]:
    return django_rq.get_queue("generation").get_job_ids()


# --- Claim and lease --------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_ten_deliveries_at_once_have_one_winner() -> None:
    calls = [ready_call() for _ in range(5)]

    def claim(pk: int) -> uuid.UUID | None:
        try:
            return Call.objects.claim(pk, lease_s=60)
        finally:
            close_old_connections()
            connection.close()

    with ThreadPoolExecutor(10) as pool:
        for call in calls:
            tokens = [token for token in pool.map(claim, [call.pk] * 10) if token]
            call.refresh_from_db()
            assert tokens == [call.lease_token]
            assert (call.state, call.attempts) == (WorkState.RUNNING, 1)


def test_what_is_not_due_is_not_claimed(call: Call) -> None:
    Call.objects.filter(pk=call.pk).update(due_at=Now() + dt.timedelta(seconds=30))
    assert Call.objects.claim(call.pk, lease_s=60) is None


@pytest.mark.parametrize("state", [s for s in WorkState if s not in {"ready", "running"}])
def test_what_has_ended_is_not_claimed(state: WorkState) -> None:
    assert Call.objects.claim(ready_call(state=state).pk, lease_s=60) is None


def test_late_writes_of_a_worker_that_lost_its_lease_change_nothing(call: Call) -> None:
    late = Call.objects.claim(call.pk, lease_s=60)
    assert late
    run_out(call)
    assert take_back_overdue() == 1
    token = Call.objects.claim(call.pk, lease_s=60)
    assert token
    assert not Call.objects.renew(call.pk, late, lease_s=60)
    assert not Call.objects.settle(call.pk, late, WorkState.DONE)
    assert not Call.objects.postpone(call.pk, late, delay_s=0, error="late")
    assert not Call.objects.held(call.pk, late).update(error="late")
    call.refresh_from_db()
    assert (call.state, call.lease_token, call.error) == (WorkState.RUNNING, token, "")
    assert Call.objects.settle(call.pk, token, WorkState.DONE)


def test_renewing_keeps_work_from_being_taken_back(call: Call) -> None:
    token = Call.objects.claim(call.pk, lease_s=60)
    assert token
    run_out(call)
    assert Call.objects.renew(call.pk, token, lease_s=60)
    assert take_back_overdue() == 0


def test_postponed_work_waits_and_says_why(call: Call) -> None:
    token = Call.objects.claim(call.pk, lease_s=60)
    assert token
    assert Call.objects.postpone(call.pk, token, delay_s=30, error="busy")
    call.refresh_from_db()
    assert (call.state, call.error, call.lease_token) == (WorkState.READY, "busy", None)
    assert not Call.objects.due().exists()
    assert Call.objects.open().count() == 1


# --- The sweeper --------------------------------------------------------------------


def test_work_of_a_vanished_worker_is_done_again(call: Call, redis: redis_client.Redis) -> None:
    Call.objects.claim(call.pk, lease_s=60)
    run_out(call)
    assert sweep() == {"taken_back": 1, "enqueued": 1}
    call.refresh_from_db()
    assert (call.state, call.settled_at) == (WorkState.READY, None)
    assert "vanished" in call.error


def test_work_that_crashes_its_worker_is_set_aside(call: Call, redis: redis_client.Redis) -> None:
    for _ in range(Call.MAX_ATTEMPTS):
        assert Call.objects.claim(call.pk, lease_s=60)
        run_out(call)
        take_back_overdue()
    call.refresh_from_db()
    assert call.state == WorkState.FAILED
    assert call.settled_at
    assert call.attempts == Call.MAX_ATTEMPTS
    assert sweep() == {"taken_back": 0, "enqueued": 0}


@pytest.mark.parametrize("is_repeatable", [False, True])
def test_a_sent_call_is_only_sent_again_where_that_is_safe(is_repeatable: bool) -> None:
    call = ready_call(is_repeatable=is_repeatable)
    token = Call.objects.claim(call.pk, lease_s=60)
    assert token
    Call.objects.held(call.pk, token).update(sent_at=Now())
    run_out(call)
    take_back_overdue()
    call.refresh_from_db()
    assert call.state == (WorkState.READY if is_repeatable else WorkState.UNKNOWN)


def test_what_redis_lost_is_enqueued_again(
    call: Call, redis: redis_client.Redis, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        enqueue_on_commit([call])
    assert queued() == [job_id(call)]
    assert sweep()["enqueued"] == 0  # it lies there: not sent twice
    redis.flushdb()
    assert sweep()["enqueued"] == 1
    assert queued() == [job_id(call)]


def test_five_hundred_lost_messages_come_back_in_one_sweep(redis: redis_client.Redis) -> None:
    first = ready_call()
    Call.objects.bulk_create(Call(run=first.run, prompt=first.prompt) for _ in range(499))
    assert sweep()["enqueued"] == 500
    assert len(queued()) == len(set(queued())) == 500
    assert sweep()["enqueued"] == 0


def test_each_try_has_its_own_name_in_the_queue(call: Call) -> None:
    before = job_id(call)
    Call.objects.claim(call.pk, lease_s=60)
    call.refresh_from_db()
    assert job_id(call) != before


def test_a_stale_message_cannot_keep_the_next_try_out(
    call: Call, redis: redis_client.Redis
) -> None:
    services.enqueue(call)
    Call.objects.claim(call.pk, lease_s=60)
    run_out(call)
    assert sweep() == {"taken_back": 1, "enqueued": 1}
    assert len(queued()) == 2  # the first finds nothing to claim: harmless


# --- Redis down -----------------------------------------------------------------------


@pytest.fixture
def redis_is_down(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise redis_client.ConnectionError("Connection refused")

    monkeypatch.setattr("rq.queue.Queue.enqueue_call", refuse)
    monkeypatch.setattr("rq.queue.Queue.get_job_ids", refuse)


def test_redis_down_at_commit_loses_nothing(
    redis_is_down: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        call = ready_call()
        enqueue_on_commit([call])
    assert Call.objects.due().get() == call


def test_work_is_taken_back_while_redis_is_down(redis_is_down: None, call: Call) -> None:
    other = ready_call()
    Call.objects.claim(call.pk, lease_s=60)
    run_out(call)
    with pytest.raises(redis_client.ConnectionError):
        sweep()
    assert set(Call.objects.due()) == {call, other}


# --- Retry ------------------------------------------------------------------------------


def test_a_person_retries_failed_work_with_fresh_attempts(
    redis: redis_client.Redis, django_capture_on_commit_callbacks: Any
) -> None:
    failed = ready_call(state=WorkState.FAILED, attempts=3, error="broken", settled_at=Now())
    done = ready_call(state=WorkState.DONE)
    with django_capture_on_commit_callbacks(execute=True):
        assert retry([failed, done], dataset=failed.run.dataset_id) == 1
        assert retry([failed], dataset=failed.run.dataset_id) == 0  # a double click
    failed.refresh_from_db()
    assert (failed.state, failed.attempts, failed.error) == (WorkState.READY, 0, "")
    assert failed.settled_at is None
    assert queued() == [job_id(failed)]


def test_the_sweeper_leaves_a_sign_that_fades(redis: redis_client.Redis) -> None:
    assert sweeper_host() is None
    note_sweeper()
    assert sweeper_host()
    assert 0 < redis.ttl(services.SWEEPER_KEY) <= 60
