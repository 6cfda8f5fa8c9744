"""Whether this process is alive, whether it can serve, and numbers for Prometheus."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Count, Max, Model, Sum
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from redis.exceptions import RedisError
from rq import Worker
from rq.worker import BaseWorker

from synthreview.catalog.storage import blobs
from synthreview.generation.models import GeneratedImage
from synthreview.lib.money import MICRO_PER_USD
from synthreview.review.models import Decision
from synthreview.scoring.models import Score
from synthreview.spending.models import Budget, PaidWork
from synthreview.work.models import WorkState
from synthreview.work.services import QueueState, queues, redis, sweeper_host, work_models

PROBED_S = 10.0  # a storage is asked so often at most
COUNTED_S = 30.0  # and the ends of all work


class _Kept:
    """An answer that is asked for again once it is older than `for_s`."""

    def __init__(self, for_s: float) -> None:
        self.for_s = for_s
        self.at = -for_s

    def is_due(self) -> bool:
        return time.monotonic() - self.at >= self.for_s

    def note(self) -> None:
        self.at = time.monotonic()


# --- Alive, ready ---------------------------------------------------------------------


@login_not_required
@never_cache
@require_safe
def alive(request: HttpRequest) -> HttpResponse:
    """Say that this process answers; nothing else is asked."""
    return HttpResponse("ok\n", content_type="text/plain")


@login_not_required
@never_cache
@require_safe
def ready(request: HttpRequest) -> JsonResponse:
    """Say whether everything is there that pages need: 200, or 503 with what is not."""
    found = {name: is_well(check) for name, check in CHECKS.items()}
    is_ready = all(found.values())
    told = {name: "ok" if well else "failed" for name, well in found.items()}
    return JsonResponse({"ready": is_ready, "checks": told}, status=200 if is_ready else 503)


def is_well(check: Callable[[], None]) -> bool:
    try:
        check()
    except (DatabaseError, RedisError, OSError, RuntimeError):
        return False
    return True


def check_database() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")


def check_redis() -> None:
    redis().ping()


_probed = _Kept(PROBED_S)


def check_storage() -> None:
    if _probed.is_due():
        blobs().probe()
        _probed.note()


_migrated = _Kept(PROBED_S)


def check_migrations() -> None:
    if _migrated.is_due():
        if migrations_that_wait():
            raise RuntimeError("migrations wait")
        _migrated.note()


def migrations_that_wait() -> int:
    """Return how many migrations the database still lacks. Raises DatabaseError."""
    executor = MigrationExecutor(connection)
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


CHECKS: dict[str, Callable[[], None]] = {
    "database": check_database,
    "migrations": check_migrations,
    "redis": check_redis,
    "storage": check_storage,
}


# --- Metrics --------------------------------------------------------------------------


@login_not_required
@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Numbers for Prometheus, for staff or whoever brings the token; nobody else sees the page."""
    if not (_has_token(request) or (request.user.is_active and request.user.is_staff)):
        raise Http404
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector())
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


def _has_token(request: HttpRequest) -> bool:
    kind, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.METRICS_TOKEN
    return bool(wanted) and kind == "Bearer" and secrets.compare_digest(given, wanted)


class _Collector:
    """Reads everything at the moment of asking: the rows are the truth, on every host alike."""

    def collect(self) -> Iterator[Metric]:
        try:
            found: list[QueueState] | None = queues()
            workers = {queue.name: queue.workers for queue in found or ()}
        except RedisError:
            found, workers = None, {}
        yield _gauge("synthreview_redis_up", "Whether Redis answers.", float(found is not None))
        if found is not None:
            yield _by("synthreview_workers", "Workers by queue.", "queue", workers)
            yield _by(
                "synthreview_queue_depth",
                "Keys that wait in Redis.",
                "queue",
                {queue.name: queue.waiting for queue in found},
            )
            for name, words in (
                ("due", "Rows of work that are due."),
                ("running", "Rows of work that a worker holds."),
                ("overdue", "Rows whose worker vanished and that nobody took back yet."),
                ("oldest_due_s", "Age of the oldest row that is due."),
            ):
                yield _by(
                    f"synthreview_work_{name.removesuffix('_s')}"
                    + ("_seconds" if name.endswith("_s") else ""),
                    words,
                    "queue",
                    {queue.name: getattr(queue, name) for queue in found},
                )
            yield _gauge(
                "synthreview_sweeper_up",
                "Whether a sweeper was seen within a minute.",
                float(sweeper_host() is not None),
            )
        yield from _ends()
        yield from _money()
        for name, words, model in (
            ("images", "Images that were made or imported.", GeneratedImage),
            ("scores", "Scores that were given.", Score),
            ("decisions", "Decisions that people took.", Decision),
        ):
            yield CounterMetricFamily(f"synthreview_{name}", words, value=_highest(model))
        usage = disk()
        yield _gauge("synthreview_disk_free_bytes", "Free bytes of the data folder.", usage.free)
        yield _gauge("synthreview_disk_bytes", "All bytes of its disk.", usage.total)


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value=value)


def _by(name: str, words: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, words, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _highest(model: type[Model]) -> int:
    """Return the highest key: as good as a count for a rate, and read from the index."""
    return int(model._default_manager.aggregate(highest=Max("pk"))["highest"] or 0)


_counted = _Kept(COUNTED_S)
_ended: dict[tuple[str, str], int] = {}


def _ends() -> Iterator[Metric]:
    """Yield work that ended badly: counted anew every half minute, because no index serves it."""
    if _counted.is_due():
        _ended.clear()
        _ended.update(ended_badly())
        _counted.note()
    family = GaugeMetricFamily(
        "synthreview_work_ended", "Work that came to nothing.", labels=["kind", "state"]
    )
    for (kind, state), count in sorted(_ended.items()):
        family.add_metric([kind, state], count)
    yield family


def ended_badly() -> dict[tuple[str, str], int]:
    """Return how many rows of each kind failed, or are of unknown outcome."""
    found = {}
    for model in work_models():
        states = [WorkState.FAILED] + [WorkState.UNKNOWN] * issubclass(model, PaidWork)
        rows = model._default_manager.filter(state__in=states).order_by().values("state")
        counts = {row["state"]: row["count"] for row in rows.annotate(count=Count("pk"))}
        for state in states:
            found[str(model._meta.verbose_name), str(state)] = counts.get(state, 0)
    return found


def _money() -> Iterator[Metric]:
    fields = ("limit_micro_usd", "spent_micro_usd", "reserved_micro_usd")
    sums = Budget.objects.aggregate(**{name: Sum(name) for name in fields})
    for name in fields:
        yield _gauge(
            f"synthreview_{name.removesuffix('_micro_usd')}_usd",
            f"All budgets: {name.removesuffix('_micro_usd')}.",
            (sums[name] or 0) / MICRO_PER_USD,
        )


class Disk(NamedTuple):
    """The data folder's disk, in bytes."""

    total: int
    free: int

    @property
    def used_percent(self) -> int:
        return round(100 * (1 - self.free / self.total))


def disk() -> Disk:
    """Return the disk on which the data folder lies, or will lie. Raises OSError."""
    folder = Path(settings.DATA_DIR)
    usage = shutil.disk_usage(next(at for at in (folder, *folder.parents) if at.exists()))
    return Disk(usage.total, usage.free)


def all_workers() -> list[BaseWorker]:
    """Return every worker that Redis knows. Raises RedisError."""
    return list(Worker.all(connection=redis()))
