"""Steps of migrations on tables that grow with the images, while people work on PostgreSQL.

Django's own `AddIndex` and `AddConstraint` hold a lock on the table while they read all of it.
These take their place in a migration with `atomic = False`; on SQLite they do the same as Django's.
Both may be run again after they broke off.
"""

from __future__ import annotations

import time
from typing import Any

from django.contrib.postgres.operations import AddIndexConcurrently, NotInTransactionMixin
from django.db import OperationalError, transaction
from django.db.migrations.operations import AddConstraint, AddIndex
from django.db.models import CheckConstraint

LOCK_S = 2  # nobody waits longer behind us
TRIES = 30
PAUSE_S = 5.0


class AddIndexOnline(AddIndexConcurrently):
    """`AddIndex` beside those who read and write."""

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            AddIndex.database_forwards(self, app_label, schema_editor, *states)
            return
        self._ensure_not_in_transaction(schema_editor)
        # One that broke off leaves an index that is not valid.
        name = schema_editor.quote_name(self.index.name)
        schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
        super().database_forwards(app_label, schema_editor, *states)

    def database_backwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            AddIndex.database_backwards(self, app_label, schema_editor, *states)
            return
        super().database_backwards(app_label, schema_editor, *states)


class AddConstraintOnline(NotInTransactionMixin, AddConstraint):
    """`AddConstraint` for a check: new rows first, then the old ones are looked at without a lock.

    The lock for the first is asked for briefly and often, so that no queue forms behind a long
    transaction. Raises OperationalError where it never came.
    """

    def __init__(self, model_name: str, constraint: CheckConstraint) -> None:
        if not isinstance(constraint, CheckConstraint):
            raise TypeError("Only a check can be added online.")
        super().__init__(model_name, constraint)

    def database_forwards(self, app_label: str, schema_editor: Any, *states: Any) -> None:
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, *states)
            return
        self._ensure_not_in_transaction(schema_editor)
        _, after = states
        model = after.apps.get_model(app_label, self.model_name)
        table = schema_editor.quote_name(model._meta.db_table)
        name = schema_editor.quote_name(self.constraint.name)
        add = str(self.constraint.create_sql(model, schema_editor))
        _briefly(
            schema_editor,
            f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}",
            f"{add} NOT VALID",
        )
        schema_editor.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}", params=None)


def _briefly(schema_editor: Any, *statements: str) -> None:
    for left in reversed(range(TRIES)):
        try:
            with transaction.atomic(using=schema_editor.connection.alias):
                schema_editor.execute(f"SET LOCAL lock_timeout = '{LOCK_S}s'")
                for statement in statements:
                    schema_editor.execute(statement, params=None)
        except OperationalError:
            if not left:
                raise
            time.sleep(PAUSE_S)
        else:
            return
