"""Triggers that keep a table append-only, on SQLite and on PostgreSQL.

The owner of the database can drop them: they hold against our own mistakes, and against whoever
gets at the application but not at the database's schema.
"""

from __future__ import annotations

from typing import Any

SQLITE = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
"""
FUNCTION = """
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = '23001'; END $$
"""
POSTGRESQL = """
CREATE TRIGGER {table}_no_{verb} BEFORE {verb} ON {table}
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()
"""


def verbs(vendor: str) -> tuple[str, ...]:
    """Return what is refused; SQLite knows no TRUNCATE."""
    return ("update", "delete", "truncate") if vendor == "postgresql" else ("update", "delete")


def install(connection: Any, table: str) -> None:
    """Refuse to change, delete or empty the rows of `table` from now on."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(FUNCTION)
        words = POSTGRESQL if connection.vendor == "postgresql" else SQLITE
        for verb in verbs(connection.vendor):
            cursor.execute(words.format(table=table, verb=verb))


def remove(connection: Any, table: str) -> None:
    """Take the triggers away: for migrations backwards, and for tests that empty their tables."""
    on = f" ON {table}" if connection.vendor == "postgresql" else ""
    with connection.cursor() as cursor:
        for verb in verbs(connection.vendor):
            cursor.execute(f"DROP TRIGGER IF EXISTS {table}_no_{verb}{on}")
