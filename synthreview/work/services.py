"""Verbs over durable work: enqueue after commit, sweep, retry."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import django_rq
from django.apps import apps
from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min, Q
from django.db.models.functions import Now
from django.utils import timezone
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry
from rq import Worker
from rq.job import Job
from rq.queue import Queue

from synthreview.trail.acts import Act
from synthreview.trail.services import many, record
from synthreview.work.models import DurableWork, WorkState

logger = logging.getLogger(__name__)
SWEEP_LIMIT = 2000
SWEEPER_KEY = "synthreview:sweeper"
SWEEPER_SEEN_S = 60
REDIS_CONNECT_S = 0.5
REDIS_ANSWER_S = 2.0


def work_models() -> list[type[DurableWork]]:
    """Return every kind of durable work in the project."""
    return [model for model in apps.get_models() if issubclass(model, DurableWork)]


def job_id(row: DurableWork) -> str:
    """Return the one name under which this try of the row may lie in its queue."""
    return f"{row._meta.model_name}-{row.pk}-{row.attempts}"


def enqueue_on_commit(rows: Iterable[DurableWork]) -> None:
    """Send the rows' keys to Redis once the transaction that made them is committed.

    Redis may be down then: the rows stay READY and the sweeper sends them later.
    """
    rows = list(rows)
    transaction.on_commit(lambda: _enqueue_or_leave(rows))


def _enqueue_or_leave(rows: list[DurableWork]) -> None:
    try:
        for row in rows:
            enqueue(row)
    except RedisError as error:
        logger.warning("Redis does not answer (%s); the sweeper will enqueue", error)


@cache
def redis() -> Redis:
    """Return this process's client of Redis: it waits little and never tries again.

    All who ask have a way on without Redis: rows wait for the sweeper, limits let people pass. One
    client, because to open a connection takes longer than what it is opened for. Workers wait with
    RQ's own.
    """
    return Redis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=REDIS_CONNECT_S,
        socket_timeout=REDIS_ANSWER_S,
        health_check_interval=30,
        retry=Retry(NoBackoff(), 0),
    )


@cache
def _queue(name: str) -> Queue:
    return django_rq.get_queue(name, connection=redis())


def enqueue(row: DurableWork) -> None:
    """Send one row's key to its queue. Raises RedisError."""
    _queue(row.QUEUE).enqueue_call(row.JOB, args=(row.pk,), job_id=job_id(row))


def withdraw(row: DurableWork) -> None:
    """Take a row's key out of its queue: whoever calls does the row now, without its message.

    A message of a row that is done costs a worker a fork. If this worker dies before it has
    claimed the row, the sweeper sends the key again.
    """
    with contextlib.suppress(RedisError):
        queue = _queue(row.QUEUE)
        with queue.connection.pipeline() as pipe:
            # Done in order, the key lies near the head, where the search begins.
            pipe.lrem(queue.key, 1, job_id(row))
            pipe.delete(Job.key_for(job_id(row)))
            pipe.execute()


def sweep() -> dict[str, int]:
    """Take back work whose lease ran out and enqueue due work that Redis has lost.

    Any number of sweepers may run at once: each change is one conditional UPDATE, and
    a key enqueued twice is claimed once.
    """
    # All is taken back before anything is enqueued: the first needs no Redis.
    taken_back = take_back_overdue()
    return {"taken_back": taken_back, "enqueued": sum(map(_enqueue_lost, work_models()))}


def take_back_overdue() -> int:
    """Take back all work whose lease ran out; returns how many rows. Needs no Redis."""
    return sum(map(_take_back, work_models()))


def _take_back(model: type[DurableWork]) -> int:
    taken = 0
    for row in model._default_manager.overdue()[:SWEEP_LIMIT]:
        state = row.lease_lost_state()
        ended = {} if state == WorkState.READY else {"settled_at": Now()}
        with transaction.atomic():
            won = (
                model._default_manager.overdue()
                .filter(pk=row.pk, lease_token=row.lease_token)
                .update(
                    state=state,
                    lease_token=None,
                    lease_expires_at=None,
                    due_at=Now(),
                    error="The worker vanished while it worked on this.",
                    **ended,
                )
            )
            if won and state == WorkState.FAILED:
                row.set_aside()
        taken += won
        logger.warning("%s %s: lease ran out, now %s", model.__name__, row.pk, state)
    return taken


def _enqueue_lost(model: type[DurableWork]) -> int:
    due = list(model._default_manager.due().order_by("due_at", "pk")[:SWEEP_LIMIT])
    if not due:
        return 0
    waiting = set(_queue(model.QUEUE).get_job_ids())
    lost = [row for row in due if job_id(row) not in waiting]
    for row in lost:
        enqueue(row)
    return len(lost)


@transaction.atomic
def retry(rows: Iterable[DurableWork], *, dataset: int | None) -> int:
    """Make failed work of one dataset ready again, with fresh attempts; returns how many rows."""
    retried = []
    for row in rows:
        won = (
            type(row)
            ._default_manager.filter(pk=row.pk, state=WorkState.FAILED)
            .update(state=WorkState.READY, attempts=0, due_at=Now(), settled_at=None, error="")
        )
        if won:
            row.attempts = 0
            retried.append(row)
    if retried:
        keys = many([row.pk for row in retried])
        record(Act.WORK_RETRIED, retried[0], dataset=dataset, after=keys)
    enqueue_on_commit(retried)
    return len(retried)


# --- Queues, as they are now ------------------------------------------------------


@dataclass(frozen=True, slots=True)
class QueueState:
    """One queue: keys in Redis, and the rows behind them."""

    name: str
    workers: int
    waiting: int
    due: int
    running: int
    overdue: int
    oldest_due_s: float


def queues() -> list[QueueState]:
    """Return every queue. Raises RedisError."""
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in settings.QUEUE_NAMES}
    for model in work_models():
        found = model._default_manager.open().aggregate(
            due=Count("pk", filter=Q(state=WorkState.READY, due_at__lte=Now())),
            running=Count("pk", filter=Q(state=WorkState.RUNNING)),
            overdue=Count("pk", filter=Q(state=WorkState.RUNNING, lease_expires_at__lt=Now())),
            oldest=Min("due_at", filter=Q(state=WorkState.READY, due_at__lte=Now())),
        )
        rows[model.QUEUE].append(found)
    return [_state_of(name, of_queue) for name, of_queue in rows.items()]


def _state_of(name: str, rows: list[dict[str, Any]]) -> QueueState:
    oldest = [row["oldest"] for row in rows if row["oldest"]]
    queue = _queue(name)
    return QueueState(
        name=name,
        workers=Worker.count(queue=queue),
        waiting=queue.count,
        due=sum(row["due"] for row in rows),
        running=sum(row["running"] for row in rows),
        overdue=sum(row["overdue"] for row in rows),
        oldest_due_s=max(0.0, (timezone.now() - min(oldest)).total_seconds()) if oldest else 0.0,
    )


# --- The sweeper's sign of life ---------------------------------------------------


def note_sweeper() -> None:
    """Leave a sign that a sweeper runs on this host; it fades by itself."""
    with contextlib.suppress(RedisError):  # the sweep itself complains of that
        redis().set(SWEEPER_KEY, socket.gethostname(), ex=SWEEPER_SEEN_S)


def sweeper_host() -> str | None:
    """Return the host whose sweeper was seen last, within a minute. Raises RedisError."""
    host = redis().get(SWEEPER_KEY)
    return host.decode(errors="replace") if isinstance(host, bytes) else None
