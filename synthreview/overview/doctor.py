"""What is wrong with this installation, in plain words, and what to do about it.

Looks and changes nothing. Never loads a model: what a scoring worker needs is checked by
the files and by what workers put on record.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count
from redis.exceptions import RedisError

from synthreview.catalog.storage import blobs
from synthreview.generation.generators.base import Health
from synthreview.generation.services import generator, segmenter
from synthreview.lib.blobs import FileBlobs
from synthreview.overview import checks
from synthreview.overview.health import disk, migrations_that_wait
from synthreview.prompting.drafting import author
from synthreview.scoring.models import ScorerVersion
from synthreview.scoring.scorers.base import ScorerError
from synthreview.scoring.scorers.clip_source import EMBEDDED_FOLDER, find_source
from synthreview.work.models import WorkState
from synthreview.work.services import queues, redis, sweeper_host, work_models

LOW_DISK_BYTES = 5_000_000_000
NO_DISK_BYTES = 500_000_000
OLDEST_POSTGRES = 14
WRITERS = "prompting"  # its worker is needed where a language model writes


class Level(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `advice` says what to do where it is not well."""

    area: str
    level: Level
    text: str
    advice: str = ""


Findings = Iterator[Finding]


def examine() -> list[Finding]:
    """Return what was found, area by area; a check that breaks off is a fault itself."""
    findings: list[Finding] = []
    for area, check in CHECKS.items():
        try:
            findings += check()
        except DatabaseError as error:
            findings.append(
                Finding(area, Level.FAULT, _first_line(error), "Mend the database first.")
            )
        except RedisError as error:
            findings.append(Finding(area, Level.WARNING, _first_line(error), "Mend Redis first."))
        except Exception as error:  # noqa: BLE001 - the other checks still run
            findings.append(
                Finding(area, Level.FAULT, f"{type(error).__name__}: {_first_line(error)}")
            )
    return findings


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


# --- Database ---------------------------------------------------------------------


def check_database() -> Findings:
    area = "database"
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        yield Finding(
            area,
            Level.FAULT,
            f"It does not answer: {_first_line(error)}",
            "Start it, or correct DATABASE_URL.",
        )
        return
    if connection.vendor == "sqlite":
        yield from _check_sqlite(area)
    elif connection.vendor == "postgresql":
        version = connection.pg_version // 10_000  # type: ignore[attr-defined]
        fits = version >= OLDEST_POSTGRES
        yield Finding(
            area,
            Level.OK if fits else Level.FAULT,
            f"PostgreSQL {version} answers.",
            "" if fits else f"Upgrade it to {OLDEST_POSTGRES} or newer.",
        )
    if pending := migrations_that_wait():
        yield Finding(area, Level.FAULT, f"{pending} migrations wait.", "Run `manage.py migrate`.")
    else:
        yield Finding(area, Level.OK, "All migrations are applied.")


def _check_sqlite(area: str) -> Findings:
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA journal_mode")
        mode = str(cursor.fetchone()[0]).lower()
    if mode == "wal":
        yield Finding(area, Level.OK, "SQLite answers, in WAL mode.")
    else:
        yield Finding(
            area,
            Level.WARNING,
            f"SQLite runs in {mode} mode, so readers and writers wait for each other.",
            "Keep the database on a local disk (WAL fails on network drives), or use PostgreSQL.",
        )


# --- Redis, workers, work -----------------------------------------------------------


def check_redis() -> Findings:
    area = "redis"
    try:
        redis().ping()
    except RedisError as error:
        yield Finding(
            area,
            Level.FAULT,
            f"It does not answer: {_first_line(error)}",
            "Start Redis or Valkey, or correct REDIS_URL. Nothing is lost: work waits in the "
            "database.",
        )
        return
    try:
        appends = redis().config_get("appendonly").get("appendonly")
    except RedisError:  # hosted Redis forbids the question
        yield Finding(area, Level.OK, "Redis answers; it does not say whether it keeps a log.")
        return
    if appends == "yes":
        yield Finding(area, Level.OK, "Redis answers and keeps an append-only file.")
    else:
        yield Finding(
            area,
            Level.WARNING,
            "Redis answers and keeps nothing on disk.",
            "After its restart work waits until the sweeper sends it again; `appendonly yes` "
            "spares that.",
        )


def any_author_needs_a_worker() -> bool:
    """Say whether captions are written by anybody but word lists."""
    return any(author(alias).needs_worker for alias in settings.AUTHORS)


def check_workers() -> Findings:
    area = "workers"
    found = queues()
    for queue in found:
        name, count, due = queue.name, queue.workers, queue.due
        if name == WRITERS and not (count or due or any_author_needs_a_worker()):
            continue
        if count:
            workers = "1 worker" if count == 1 else f"{count} workers"
            yield Finding(area, Level.OK, f"{name}: {workers}.")
        else:
            yield Finding(
                area,
                Level.FAULT if due else Level.WARNING,
                f"{name}: no worker, {due} pieces of work wait.",
                f"Start `manage.py work {name}`.",
            )
    if host := sweeper_host():
        yield Finding(area, Level.OK, f"The sweeper was seen on {host} within the last minute.")
    else:
        yield Finding(
            area,
            Level.FAULT if any(queue.due for queue in found) else Level.WARNING,
            "No sweeper was seen within the last minute: what breaks off is not taken up again, "
            "and scored images do not come into the queue.",
            "Start `manage.py sweep`.",
        )


def check_work() -> Findings:
    area = "work"
    well = True
    for model in work_models():
        rows = model._default_manager
        name = str(model._meta.verbose_name)
        if overdue := rows.overdue().count():
            well = False
            yield Finding(
                area,
                Level.WARNING,
                f"{name}: {overdue} overdue, their workers vanished.",
                "The sweeper takes them back within seconds; start it if it does not run.",
            )
        ended = rows.filter(state__in=[WorkState.FAILED, WorkState.UNKNOWN])
        for row in ended.order_by().values("state").annotate(count=Count("pk")):
            well = False
            if row["state"] == WorkState.UNKNOWN:
                advice = (
                    "They were sent and never answered: compare the provider's bill before you "
                    "draw them again."
                )
            else:
                advice = "Their run's or export's page says why; retry them there."
            yield Finding(area, Level.WARNING, f"{name}: {row['count']} {row['state']}.", advice)
    if well:
        yield Finding(area, Level.OK, "Nothing is overdue, failed or of unknown outcome.")


# --- Storage and secrets --------------------------------------------------------------


def check_settings() -> Findings:
    area = "settings"
    faults = [*checks.check_environment(), *checks.check_storage()]
    for fault in faults:
        level = Level.FAULT if fault.is_serious() else Level.WARNING
        yield Finding(area, level, fault.msg, str(fault.hint or ""))
    if not faults:
        yield Finding(area, Level.OK, "Every variable has a value of its kind.")


def check_storage() -> Findings:
    area = "storage"
    folder = Path(settings.DATA_DIR)
    for name in ("DATA_DIR", "SPOOL_DIR", "EXPORTS_DIR"):
        wanted = Path(getattr(settings, name))
        try:
            FileBlobs(wanted).probe()
        except OSError as error:
            yield Finding(
                area,
                Level.FAULT,
                f"{wanted} cannot be written: {error.strerror}",
                "Give the user that runs SynthReview the right to write there, or set "
                "SYNTHREVIEW_DATA.",
            )
            return
    bucket = settings.STORAGE
    try:
        blobs().probe()
    except OSError as error:
        yield Finding(
            area,
            Level.FAULT,
            f"{f's3://{bucket.name}' if bucket else settings.BLOBS_DIR}: {_first_line(error)}",
            "Correct SYNTHREVIEW_STORAGE, its endpoint, or its keys (AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY), which must be allowed to read, write, list and delete."
            if bucket
            else "Make room, or give the right to write there.",
        )
    else:
        if bucket:
            yield Finding(area, Level.OK, f"s3://{bucket.name} is written and read.")
    free = disk().free
    level = (
        Level.FAULT
        if free < NO_DISK_BYTES
        else Level.WARNING
        if free < LOW_DISK_BYTES
        else Level.OK
    )
    yield Finding(
        area,
        level,
        f"{folder} can be written; {free / 1e9:.1f} GB are free.",
        "" if level == Level.OK else "Make room: an image takes about half a megabyte.",
    )


def check_secret_key() -> Findings:
    area = "secret key"
    if os.environ.get("SYNTHREVIEW_SECRET_KEY"):
        yield Finding(area, Level.OK, "It comes from SYNTHREVIEW_SECRET_KEY.")
        return
    kept = os.environ.get("SYNTHREVIEW_SECRET_KEY_FILE") or Path(settings.DATA_DIR) / "secret_key"
    path = Path(kept)
    if not path.exists():
        yield Finding(area, Level.OK, "It is made at the next start.")
    elif (mode := stat.S_IMODE(path.stat().st_mode)) & 0o077:
        yield Finding(
            area,
            Level.FAULT,
            f"{path} can be read by others (mode {mode:o}).",
            f"Run `chmod 600 {path}`; who read it can sign in as anybody, so delete it to get a "
            "new one.",
        )
    else:
        yield Finding(area, Level.OK, "Only its owner can read it.")


# --- Adapters -------------------------------------------------------------------------


def check_models() -> Findings:
    area = "scorers"
    for alias, entry in settings.SCORERS.items():
        options: Mapping[str, Any] = entry.get("OPTIONS", {})
        yield from _check_files(area, alias, options)
        version = ScorerVersion.objects.current(alias)
        if version is None:
            yield Finding(
                area,
                Level.WARNING,
                f"{alias}: no worker has loaded it yet, so images wait for their scores.",
                "Start `manage.py work scoring`, or run `manage.py score DATASET --wait`.",
            )
            continue
        yield Finding(area, Level.OK, f"{alias}: {version}, {version.weights_sha256[:12]}.")
        if version.applies_to:
            yield Finding(
                area,
                Level.OK,
                f"{version.name} knows only the drawn demonstration world. For other images set "
                "SYNTHREVIEW_CLIP, for example to ViT-B-32/datacomp_xl_s13b_b90k.",
            )


def _check_files(area: str, alias: str, options: Mapping[str, Any]) -> Findings:
    """Check a model that lies in a folder; names of the hub are the worker's to resolve."""
    if "model_spec" not in options:
        return
    spec = str(options["model_spec"] or "").strip()
    if spec and not Path(spec).expanduser().is_dir():
        yield Finding(area, Level.OK, f"{alias}: {spec} is resolved when its worker loads it.")
        return
    try:
        source = find_source(spec, embedded=Path(options.get("embedded_dir", EMBEDDED_FOLDER)))
    except (ScorerError, OSError) as error:
        yield Finding(
            area,
            Level.FAULT,
            f"{alias}: {_first_line(error)}",
            "Restore the folder, or set SYNTHREVIEW_CLIP to a model that is there.",
        )
    else:
        yield Finding(area, Level.OK, f"{alias}: the files of {source.model} have their checksums.")


def check_adapters() -> Findings:
    kinds: tuple[tuple[str, Mapping[str, Any], Callable[[str], Health]], ...] = (
        ("generators", settings.GENERATORS, lambda alias: generator(alias).health()),
        ("authors", settings.AUTHORS, lambda alias: Health(tuple(author(alias).health()))),
    )
    if finder := segmenter():
        kinds += (("segmenter", {"segmenter": settings.SEGMENTER}, lambda _: finder.health()),)
    for area, setting, health_of in kinds:
        for alias in setting:
            try:
                health = health_of(alias)
            except Exception as error:  # noqa: BLE001 - an adapter of any kind
                said = f"it cannot be built: {type(error).__name__}: {_first_line(error)}"
                health = Health((said,))
            faults = health.faults
            if not faults:
                known = " ".join(("", *health.facts))
                yield Finding(area, Level.OK, f"{alias} is ready.{known}")
            for fault in faults:
                yield Finding(
                    area,
                    Level.FAULT,
                    f"{alias}: {fault}",
                    f"Correct its options or key, or take it out of {area.upper()}.",
                )


CHECKS: dict[str, Callable[[], Findings]] = {
    "settings": check_settings,
    "database": check_database,
    "redis": check_redis,
    "workers": check_workers,
    "work": check_work,
    "storage": check_storage,
    "secret key": check_secret_key,
    "scorers": check_models,
    "adapters": check_adapters,
}
