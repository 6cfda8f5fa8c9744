"""What runs, what waits and what is stuck, over all datasets: for whoever runs the installation."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from django.apps import apps
from django.db import transaction
from django.db.models import Q
from redis.exceptions import RedisError
from rq.worker import BaseWorker

from synthreview.catalog.models import Dataset
from synthreview.overview.health import CHECKS, Disk, all_workers, disk, is_well
from synthreview.spending.models import Budget, PaidWork
from synthreview.spending.services import retry_paid
from synthreview.work.models import DurableWork, WorkState
from synthreview.work.services import QueueState, queues, retry, sweeper_host, work_models

SHOWN = 50  # of what is stuck
AT_ONCE = 1000
WAYS_TO_DATASET = ("dataset_id", "export.dataset_id", "package.export.dataset_id", "run.dataset_id")


@dataclass(frozen=True, slots=True)
class Running:
    """One worker, and the work in its hands."""

    name: str
    queue: str
    host: str
    pid: int | None
    work: str
    since: dt.datetime | None
    seen_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class Stuck:
    """A row that ended badly, or whose worker vanished; `kind` and `pk` find it again."""

    kind: str
    kind_title: str
    pk: int
    title: str
    state: str
    error: str
    settled_at: dt.datetime | None
    may_retry: bool


@dataclass(frozen=True, slots=True)
class State:
    """The whole page. `queues` is None where Redis does not answer."""

    parts: dict[str, bool]
    sweeper: str | None
    queues: list[QueueState] | None
    workers: list[Running]
    stuck: list[Stuck]
    counts: list[tuple[str, str, int]]
    disk: Disk
    budgets: Sequence[Budget]


def state() -> State:
    """Look at everything now."""
    parts = {name: is_well(check) for name, check in CHECKS.items()}
    found, workers, sweeper = None, [], None
    if parts["redis"]:
        try:
            found, workers, sweeper = queues(), running(), sweeper_host()
        except RedisError:
            parts["redis"] = False
    rows = stuck()
    return State(
        parts=parts,
        sweeper=sweeper,
        queues=found,
        workers=workers,
        stuck=rows[:SHOWN],
        counts=[
            (kind, title, len(list(of_kind)))
            for (kind, title), of_kind in groupby(
                (row for row in rows if row.may_retry), lambda row: (row.kind, row.kind_title)
            )
        ],
        disk=disk(),
        budgets=list(Budget.objects.select_related("dataset").order_by("-spent_micro_usd")[:20]),
    )


# --- Workers --------------------------------------------------------------------------


def running() -> list[Running]:
    """Return every worker with what it does. Raises RedisError."""
    found = [_running(worker) for worker in all_workers()]
    return sorted(found, key=lambda each: (each.queue, each.host, each.pid or 0))


def _running(worker: BaseWorker) -> Running:
    job = worker.get_current_job()
    return Running(
        name=worker.name,
        queue=", ".join(worker.queue_names()),
        host=str(worker.hostname or "?"),
        pid=worker.pid,
        work=_title_of(str(job.id)) if job else "",
        since=job.started_at if job else None,
        seen_at=worker.last_heartbeat,
    )


def _title_of(job_id: str) -> str:
    """Return what a job works on, in words: its id is kind-pk-attempt."""
    kind, _, rest = job_id.partition("-")
    pk = rest.partition("-")[0]
    for model in work_models():
        if model._meta.model_name == kind and pk.isdigit():
            row = model._default_manager.filter(pk=int(pk)).first()
            return str(row) if row else job_id
    return job_id


# --- What is stuck --------------------------------------------------------------------


def stuck() -> list[Stuck]:
    """Return what failed, is unknown or overdue, kind by kind, the newest first."""
    found = []
    for model in work_models():
        ended = Q(state__in=[WorkState.FAILED, WorkState.UNKNOWN])
        overdue = Q(pk__in=model._default_manager.overdue().values("pk"))
        rows = model._default_manager.filter(ended | overdue).order_by("-pk")[:AT_ONCE]
        found += [_stuck(row) for row in rows]
    return found


def _stuck(row: DurableWork) -> Stuck:
    is_overdue = row.state == WorkState.RUNNING
    return Stuck(
        kind=row._meta.label_lower,
        kind_title=str(row._meta.verbose_name),
        pk=row.pk,
        title=str(row),
        state="overdue" if is_overdue else row.get_state_display(),
        error=row.error,
        settled_at=row.settled_at,
        may_retry=row.state == WorkState.FAILED,
    )


def retry_stuck(kind: str, pk: int | None = None) -> int:
    """Make one failed row ready again, or all of a kind; returns how many.

    Raises LookupError for what is no kind of work, OverBudgetError where a budget has no room.
    """
    model = apps.get_model(kind)
    if model not in work_models():
        raise LookupError(f"{kind} is no kind of work")
    rows = model._default_manager.filter(state=WorkState.FAILED).order_by("pk")
    if pk is not None:
        rows = rows.filter(pk=pk)
    chosen = list(rows[:AT_ONCE])
    if not issubclass(model, PaidWork):
        return sum(retry([row], dataset=_dataset_of(row)) for row in chosen)
    return _retry_paid(chosen)


def _dataset_of(row: DurableWork) -> int | None:
    """Return the key of the dataset that the row is about."""
    for way in WAYS_TO_DATASET:
        with contextlib.suppress(AttributeError):
            return int(attrgetter(way)(row))
    return None


@transaction.atomic
def _retry_paid(rows: list[PaidWork]) -> int:
    """Reserve the money of each, from the budget of the dataset that pays."""
    count = 0
    rows = sorted(rows, key=lambda row: row.payer_id)
    for payer, of_payer in groupby(rows, lambda row: row.payer_id):
        count += retry_paid(Dataset.objects.get(pk=payer), list(of_payer))
    return count
