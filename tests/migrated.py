"""A database with all migrations applied, made once and then copied.

Applying them takes some twenty seconds of a core, in every process that tests. SQLite's copy is
a file that stays in var/tests/ until a migration or a pinned version changes; PostgreSQL's is a
database on the run's server, which its other databases take for their template.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

ROOT = Path(__file__).resolve().parent.parent
KEPT = ROOT / "var/tests"


def key() -> str:
    """Return what changes whenever the migrated database may."""
    digest = hashlib.sha256((ROOT / "constraints.txt").read_bytes())
    for path in sorted((ROOT / "synthreview").glob("*/migrations/*.py")):
        digest.update(f"{path.parent.parent.name}/{path.name}".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def copy_sqlite(target: Path) -> None:
    """Put a migrated database at `target`."""
    kept = KEPT / f"migrated-{key()}.sqlite3"
    with _one_at_a_time():
        if not kept.exists():
            for old in KEPT.glob("migrated-*"):
                old.unlink()
            with tempfile.TemporaryDirectory(dir=KEPT) as folder:
                new = Path(folder) / "new.sqlite3"
                _migrate(f"sqlite:///{new}")
                new.rename(kept)
        shutil.copyfile(kept, target)


def postgres_template(url: str) -> str:
    """Return the name of a migrated database on the server of `url`; only tests use it."""
    name = f"synthreview_migrated_{key()}"
    with _one_at_a_time(), psycopg.connect(url, autocommit=True) as server:
        if not server.execute("SELECT FROM pg_database WHERE datname = %s", [name]).rowcount:
            draft = f"{name}_draft"
            for statement in ("DROP DATABASE IF EXISTS {}", "CREATE DATABASE {}"):
                server.execute(sql.SQL(statement).format(sql.Identifier(draft)))
            _migrate(urlunsplit(urlsplit(url)._replace(path=f"/{draft}")))
            rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            server.execute(rename.format(sql.Identifier(draft), sql.Identifier(name)))
    return name


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _migrate(url: str) -> None:
    subprocess.run(
        [sys.executable, ROOT / "manage.py", "migrate", "-v0"],
        check=True,
        env={**os.environ, "DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "synthreview.settings"},
    )
