"""Workers and the sweeper go on after the database was away, by themselves."""

from __future__ import annotations

from typing import Any

import django_rq
import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import OperationalError, close_old_connections, connection
from rq.job import JobStatus

from synthreview import cron
from synthreview.accounts.models import User
from synthreview.work.management.commands import sweep
from synthreview.work.workers import ModelWorker


def count_people() -> int:
    return User.objects.count()


def end_connection() -> None:
    """End this process's connection from the server's side, as its restart does."""
    if connection.vendor == "sqlite":
        return  # has none
    connection.ensure_connection()
    wanted = connection.get_connection_params()
    known = ("host", "port", "user", "password", "dbname")
    with psycopg.connect(**{name: wanted[name] for name in known if name in wanted}) as other:
        pid = connection.connection.info.backend_pid
        other.execute("SELECT pg_terminate_backend(%s)", [pid])


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_keeps_its_process_outlives_a_restart_of_the_database(
    redis_url: str,
) -> None:
    queue = django_rq.get_queue("scoring")

    def work() -> JobStatus:
        job = queue.enqueue_call(count_people, result_ttl=60, failure_ttl=60)
        worker: Any = django_rq.get_worker(
            "scoring",
            worker_class=ModelWorker,
            serializer=settings.RQ_QUEUES["scoring"]["SERIALIZER"],
        )
        worker.work(burst=True, logging_level="CRITICAL")
        return job.get_status()

    try:
        assert work() == JobStatus.FINISHED
        end_connection()
        assert work() == JobStatus.FINISHED
    finally:
        close_old_connections()


class Clock:
    """Time that passes only while somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def test_a_step_that_failed_is_tried_again_before_its_next_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, began = Clock(), []

    def flaky() -> None:
        began.append(clock.now)
        if len(began) == 1:
            raise OperationalError("the database is starting up")
        if len(began) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(sweep, "time", clock)
    monkeypatch.setattr(sweep, "close_old_connections", lambda: None)
    monkeypatch.setattr(cron, "STEPS", (cron.Step("tidy", 3600, flaky),))
    with pytest.raises(KeyboardInterrupt):
        call_command("sweep")
    assert began == [0, sweep.AGAIN_S, sweep.AGAIN_S + 3600]
