"""Many prompts stored at once while others go on writing.

SQLite has one writer, so what holds its lock must be short. The rows are gathered in a temporary
table first, which belongs to this connection and locks nothing. One statement then moves all of
them. If the process dies, nothing is left.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from django.db import connection, transaction

BATCH = 500

_MAKE = """
    CREATE TEMPORARY TABLE staged_prompt (
        position integer PRIMARY KEY, class_number integer NOT NULL,
        technique varchar(20) NOT NULL, text text NOT NULL, text_key text NOT NULL,
        slots text NOT NULL, state varchar(10) NOT NULL,
        author varchar(60) NOT NULL, template varchar(500) NOT NULL
    )
"""
_ADD = "INSERT INTO staged_prompt VALUES "
_ROW = "(%s, %s, %s, %s, %s, %s, %s, %s, %s)"
_MAKE_CLASSES = """
    CREATE TEMPORARY TABLE staged_class (number integer PRIMARY KEY, label_class_id bigint)
"""
_STORE = """
    INSERT INTO prompting_prompt (
        dataset_id, label_class_id, technique, text, text_key, slots, template, flags, state,
        author, author_version, created_at, created_by_id
    )
    SELECT
        %s, staged_class.label_class_id, technique, text, text_key, {slots}, template, '[]', state,
        author, '', CURRENT_TIMESTAMP, {created_by}
    FROM staged_prompt JOIN staged_class ON staged_class.number = staged_prompt.class_number
    WHERE true
    ORDER BY position
    ON CONFLICT DO NOTHING
"""
_TABLES = ("staged_prompt", "staged_class")


@dataclass(frozen=True, slots=True)
class StagedPrompt:
    """One prompt on its way; `class_number` says which class, before all classes exist.

    `position` is unique; by it they are stored in order.
    """

    position: int
    class_number: int
    technique: str
    text: str
    text_key: str
    slots: Mapping[str, str]
    state: str
    author: str
    template: str = ""


class Stage:
    """Rows that are gathered, and then stored together."""

    def add(self, rows: Sequence[StagedPrompt]) -> None:
        """Gather rows; nobody waits for it."""
        for start in range(0, len(rows), BATCH):
            batch = rows[start : start + BATCH]
            values = [
                value
                for row in batch
                for value in (
                    row.position,
                    row.class_number,
                    row.technique,
                    row.text,
                    row.text_key,
                    json.dumps(dict(row.slots)),
                    row.state,
                    row.author,
                    row.template,
                )
            ]
            with connection.cursor() as cursor:
                cursor.execute(_ADD + ", ".join([_ROW] * len(batch)), values)

    def store(
        self, classes: Mapping[int, int], *, dataset_id: int, created_by_id: int | None
    ) -> int:
        """Store everything in this transaction; returns how many were not there yet.

        Args:
            classes: the primary key of each class, by its number.
        """
        is_postgresql = connection.vendor == "postgresql"
        statement = _STORE.format(
            slots="slots::jsonb" if is_postgresql else "slots",
            created_by="%s::bigint" if is_postgresql else "%s",
        )
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO staged_class VALUES (%s, %s)", list(classes.items()))
            cursor.execute(statement, [dataset_id, created_by_id])
            return int(cursor.rowcount)


@contextmanager
def stage() -> Iterator[Stage]:
    """Give a stage, and take it away at the end."""
    _drop()
    with connection.cursor() as cursor:
        cursor.execute(_MAKE)
        cursor.execute(_MAKE_CLASSES)
    try:
        yield Stage()
    finally:
        if not (connection.in_atomic_block and transaction.get_rollback()):
            _drop()


def _drop() -> None:
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
