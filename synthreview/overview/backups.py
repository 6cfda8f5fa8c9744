"""A copy of everything that cannot be made again, each file with its checksum; and the way back.

    TARGET/blobs/…             every stored file, once for all backups that lie in TARGET
    TARGET/2026-11-30T120000Z/ the database at that moment, exports, spool, and what belongs to it

The database is copied first. A stored file never changes and is there before the row that names
it, so what is copied afterwards holds everything that the copied rows need. Nothing has to stop.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from synthreview import __version__
from synthreview.accounts.models import User
from synthreview.catalog.storage import blobs
from synthreview.lib.blobs import ORIGINAL, FileBlobs, write_atomically

SQLITE, POSTGRES = "database.sqlite3", "database.dump"
MANIFEST, BLOB_LIST, SUMS = "manifest.json", "blobs.jsonl", "SHA256SUMS"
FOLDERS = ("exports", "spool", "tuning")
STAMP = "%Y-%m-%dT%H%M%SZ"
CHUNK = 1 << 20
Tell = Callable[[str], None]


class BackupError(Exception):
    """It cannot be made, or is not what it was; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds, or what was brought back."""

    folder: Path
    blobs: int
    new_blobs: int
    files: int
    rows: int


# --- Making one -----------------------------------------------------------------------


def back_up(target: Path, tell: Tell = lambda said: None) -> Summary:
    """Copy everything into a new folder below `target`. Raises BackupError, OSError."""
    name = dt.datetime.now(dt.UTC).strftime(STAMP)
    draft, folder = target / f".{name}.part", target / name
    if folder.exists() or draft.exists():
        raise BackupError(f"{folder} is there already: wait a second and try again.")
    draft.mkdir(parents=True)
    try:
        tell("the database")
        database, counts = _dump(draft)
        tell("stored files")
        copied, new = _copy_blobs(target, draft / BLOB_LIST, tell)
        tell("exports and spool")
        files = sum(_copy_folder(name, draft / name) for name in FOLDERS)
        manifest = {
            "synthreview": __version__,
            "made_at": name,
            "database": connection.vendor,
            "file": database,
            "migrations": sorted(map(list, MigrationRecorder(connection).applied_migrations())),
            "rows": counts,
            "blobs": copied,
        }
        (draft / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        _write_sums(draft)
        draft.replace(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return Summary(folder, copied, new, files, sum(counts.values()))


def _dump(folder: Path) -> tuple[str, dict[str, int]]:
    """Copy the database as it is at one moment; return the file's name, and the rows in it."""
    if connection.vendor == "sqlite":
        path = folder / SQLITE
        connection.ensure_connection()
        with contextlib.closing(sqlite3.connect(path)) as copy:
            connection.connection.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            counts = _counts(lambda sql: copy.execute(sql).fetchone()[0])
        _flush(path)
        return SQLITE, counts
    path = folder / POSTGRES
    with connection.cursor() as cursor:
        # Counted in the very snapshot that is dumped.
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            cursor.execute("SELECT pg_export_snapshot()")
            snapshot = cursor.fetchone()[0]
            _postgres("pg_dump", f"--snapshot={snapshot}", "--format=custom", f"--file={path}")

            def number(sql: str) -> Any:
                cursor.execute(sql)
                return cursor.fetchone()[0]

            counts = _counts(number)
        finally:
            cursor.execute("ROLLBACK")
    _flush(path)
    return POSTGRES, counts


def _counts(number: Callable[[str], Any]) -> dict[str, int]:
    models = apps.get_models(include_auto_created=True)
    tables = sorted({model._meta.db_table for model in models if model._meta.managed})
    return {table: int(number(f'SELECT count(*) FROM "{table}"')) for table in tables}  # noqa: S608


def _postgres(program: str, *arguments: str) -> None:
    """Run one of PostgreSQL's own programs on our database; the password is no argument."""
    database = connection.settings_dict
    found = shutil.which(program) or next(
        (str(path) for path in sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{program}"))), None
    )
    if found is None:
        raise BackupError(f"{program} is not installed: it comes with PostgreSQL's client.")
    environment = os.environ | {
        "PGHOST": str(database["HOST"] or ""),
        "PGPORT": str(database["PORT"] or ""),
        "PGUSER": str(database["USER"] or ""),
        "PGPASSWORD": str(database["PASSWORD"] or ""),
    }
    environment = {name: value for name, value in environment.items() if value or name[:2] != "PG"}
    done = subprocess.run(
        [found, "--no-password", f"--dbname={database['NAME']}", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment,
    )
    if done.returncode:
        raise BackupError(f"{program} failed: {done.stderr.strip() or done.returncode}")


def _copy_blobs(target: Path, list_path: Path, tell: Tell) -> tuple[int, int]:
    """Copy what `target` does not have yet, each checked; return how many there are, and new."""
    store, copies = blobs(), FileBlobs(target / "blobs")
    count = new = 0
    with list_path.open("w") as lines:
        for count, (variant, sha256) in enumerate(store.names(), start=1):
            path = copies.path(sha256, variant)
            if path.exists():
                digest = sha256 if variant == ORIGINAL else _digest(path)
            else:
                data = store.read(sha256, variant)
                digest = hashlib.sha256(data).hexdigest()
                if variant == ORIGINAL and digest != sha256:
                    raise BackupError(f"{sha256} is damaged in the store: restore it from before.")
                write_atomically(path, data)
                new += 1
            entry = {"variant": variant, "name": sha256, "sha256": digest}
            lines.write(json.dumps(entry | {"bytes": path.stat().st_size}) + "\n")
            if count % 1000 == 0:
                tell(f"stored files: {count:,}")
        lines.flush()
        os.fsync(lines.fileno())
    return count, new


def _copy_folder(name: str, to: Path) -> int:
    """Copy a folder of the data folder, without drafts; return how many files."""
    source = {"exports": settings.EXPORTS_DIR, "spool": settings.SPOOL_DIR}.get(
        name, Path(settings.DATA_DIR) / name
    )
    count = 0
    for path in _files(Path(source)):
        place = to / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):  # used, and gone meanwhile
            shutil.copyfile(path, place)
            count += 1
    return count


def _files(folder: Path) -> Iterator[Path]:
    """Yield whole files: what begins with a dot is somebody's draft."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not any(
            part.startswith(".") for part in path.relative_to(folder).parts
        ):
            yield path


def _write_sums(folder: Path) -> None:
    lines = [f"{_digest(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    write_atomically(folder / SUMS, "".join(lines).encode())


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


# --- The way back ---------------------------------------------------------------------


def verify(folder: Path, tell: Tell = lambda said: None) -> dict[str, Any]:
    """Check every file of a backup; return its manifest. Raises BackupError, which names one."""
    try:
        lines = (folder / SUMS).read_text().splitlines()
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text())
    except (OSError, ValueError) as error:
        raise BackupError(f"{folder} is no whole backup: {error}") from error
    for line in lines:
        wanted, _, name = line.partition("  ")
        path = folder / name
        if not path.is_file() or _digest(path) != wanted:
            raise BackupError(f"{name} is damaged or missing: take another backup.")
    copies = FileBlobs(folder.parent / "blobs")
    count = 0
    for count, entry in enumerate(_blob_list(folder), start=1):
        path = copies.path(entry["name"], entry["variant"])
        if not path.is_file() or _digest(path) != entry["sha256"]:
            raise BackupError(
                f"blob {entry['name']} ({entry['variant']}) is damaged or missing: take another "
                "backup, or bring the file back from elsewhere."
            )
        if count % 1000 == 0:
            tell(f"checked {count:,} stored files")
    if count != manifest["blobs"]:
        raise BackupError(f"{count} stored files are listed, {manifest['blobs']} were copied.")
    return manifest


def _blob_list(folder: Path) -> Iterator[dict[str, Any]]:
    with (folder / BLOB_LIST).open() as lines:
        for line in lines:
            yield json.loads(line)


def restore(folder: Path, *, replace: bool = False, tell: Tell = lambda said: None) -> Summary:
    """Bring a backup back into this installation's database and store, once all of it is checked.

    The database must be of the same kind, and empty unless `replace`. Migrations that are newer
    than the backup run at the end. Raises BackupError, OSError.
    """
    tell("checking")
    manifest = verify(folder, tell)
    if manifest["database"] != connection.vendor:
        raise BackupError(
            f"The backup is of {manifest['database']}, and DATABASE_URL names "
            f"{connection.vendor}: point it at a database of the same kind."
        )
    if not replace and _holds_anything():
        raise BackupError(
            "The database holds something already: point DATABASE_URL at an empty one, or give "
            "--replace to throw away what it holds."
        )
    tell("stored files")
    copied, new = _bring_blobs_back(folder)
    files = sum(_bring_back(folder / name, name) for name in FOLDERS)
    tell("the database")
    _load(folder / manifest["file"])
    _compare(manifest["rows"])
    call_command("migrate", verbosity=0, interactive=False)
    return Summary(folder, copied, new, files, sum(manifest["rows"].values()))


def _holds_anything() -> bool:
    return User._meta.db_table in connection.introspection.table_names() and User.objects.exists()


def _bring_blobs_back(folder: Path) -> tuple[int, int]:
    store, copies = blobs(), FileBlobs(folder.parent / "blobs")
    count = new = 0
    for entry in _blob_list(folder):
        count += 1
        name, variant = entry["name"], entry["variant"]
        if store.size(name, variant) == entry["bytes"]:
            continue
        data = copies.read(name, variant)
        if variant == ORIGINAL:
            store.put(data)
        else:
            store.put_variants([(name, variant, data)])
        new += 1
    return count, new


def _bring_back(folder: Path, name: str) -> int:
    target = {"exports": settings.EXPORTS_DIR, "spool": settings.SPOOL_DIR}.get(
        name, Path(settings.DATA_DIR) / name
    )
    count = 0
    for path in _files(folder):
        write_atomically(Path(target) / path.relative_to(folder), path.read_bytes())
        count += 1
    return count


def _load(path: Path) -> None:
    if connection.vendor == "sqlite":
        place = Path(connection.settings_dict["NAME"])
        connection.close()
        draft = place.with_name(f".{place.name}.restored")
        shutil.copyfile(path, draft)
        for leftover in ("-wal", "-shm"):
            place.with_name(place.name + leftover).unlink(missing_ok=True)
        draft.replace(place)
        return
    connection.close()
    _postgres(
        "pg_restore",
        *("--clean", "--if-exists", "--no-owner", "--no-privileges"),
        *("--exit-on-error", "--single-transaction", str(path)),
    )


def _compare(wanted: dict[str, int]) -> None:
    """Raise BackupError unless every table has as many rows as were copied."""
    with connection.cursor() as cursor:
        present = set(connection.introspection.table_names(cursor))
        for table, count in wanted.items():
            if table not in present:
                raise BackupError(f"the table {table} did not come back")
            cursor.execute(f'SELECT count(*) FROM "{table}"')  # noqa: S608 - a table of ours
            found = cursor.fetchone()[0]
            if found != count:
                raise BackupError(f"{table} has {found} rows, {count} were copied")
