"""Migrations on large tables do not stop those who work, and future ones are held to it."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.db import OperationalError, connection, connections
from django.db.migrations import AddConstraint, AddIndex, CreateModel
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.db.models import CheckConstraint, Index, Q
from django.test.utils import CaptureQueriesContext

from synthreview.generation.models import GeneratedImage
from synthreview.work import online
from synthreview.work.online import AddConstraintOnline, AddIndexOnline
from tests.factories import make_dataset, make_image

INDEX = AddIndexOnline("generatedimage", Index(fields=["width"], name="online_index"))
CHECK = AddConstraintOnline(
    "generatedimage", CheckConstraint(condition=Q(width__lt=99_999), name="online_check")
)
needs_postgresql = pytest.mark.skipif("connection.vendor != 'postgresql'", reason="its locks")


def run(operation: Any) -> list[str]:
    """Run one step as `migrate` does in a migration that is not atomic; return its statements."""
    before = ProjectState.from_apps(apps)
    after = before.clone()
    operation.state_forwards("generation", after)
    with (
        CaptureQueriesContext(connection) as asked,
        connection.schema_editor(atomic=False) as editor,
    ):
        operation.database_forwards("generation", editor, before, after)
    return [query["sql"] for query in asked.captured_queries]


def undo(operation: Any) -> None:
    after = ProjectState.from_apps(apps)
    before = after.clone()
    operation.state_forwards("generation", before)
    with connection.schema_editor(atomic=False) as editor:
        operation.database_backwards("generation", editor, before, after)


def constraints() -> dict[str, Any]:
    with connection.cursor() as cursor:
        found = connection.introspection.get_constraints(cursor, GeneratedImage._meta.db_table)
    return dict(found)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("operation", [INDEX, CHECK], ids=["index", "check"])
def test_a_step_is_there_afterwards_may_be_repeated_and_is_undone(operation: Any) -> None:
    make_image(make_dataset())
    name = operation.index.name if operation is INDEX else operation.constraint.name
    try:
        said = " ".join(run(operation))
        assert name in constraints()
        if connection.vendor == "postgresql":
            run(operation)  # as after one that broke off
            wanted = ["CREATE INDEX CONCURRENTLY"]
            if operation is CHECK:
                wanted = ["SET LOCAL lock_timeout", "NOT VALID", "VALIDATE CONSTRAINT"]
            assert all(part in said for part in wanted)
    finally:
        undo(operation)
    assert name not in constraints()


@needs_postgresql
@pytest.mark.django_db(transaction=True)
def test_a_check_waits_briefly_behind_others_and_lets_them_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = make_image(make_dataset())
    monkeypatch.setattr(online, "TRIES", 2)
    monkeypatch.setattr(online, "PAUSE_S", 0.0)
    monkeypatch.setattr(online, "LOCK_S", 0.05)
    other = connections.create_connection("default")
    try:
        other.set_autocommit(False)
        with other.cursor() as cursor:  # a long transaction of somebody else
            cursor.execute("UPDATE generation_generatedimage SET width = 5")
        with pytest.raises(OperationalError, match="lock timeout"):
            run(CHECK)
        with other.cursor() as cursor:
            cursor.execute("UPDATE generation_generatedimage SET width = 6")
        other.commit()
    finally:
        other.close()
    assert GeneratedImage.objects.get().pk == image.pk
    assert "online_check" not in constraints()


def test_new_migrations_add_to_tables_that_are_there_online() -> None:
    loader = MigrationLoader(None, ignore_no_migrations=True)
    ours = {app.label for app in apps.get_app_configs() if app.name.startswith("synthreview.")}
    replaced = {old for new in loader.disk_migrations.values() for old in new.replaces}
    for (label, name), migration in loader.disk_migrations.items():
        if label not in ours or migration.replaces or (label, name) in replaced:
            continue
        new = {one.name.lower() for one in migration.operations if isinstance(one, CreateModel)}
        for one in migration.operations:
            is_online = isinstance(one, AddIndexOnline | AddConstraintOnline)
            checks = isinstance(one, AddConstraint) and isinstance(one.constraint, CheckConstraint)
            if is_online:
                assert not migration.atomic, f"{label}/{name}: say `atomic = False`"
            elif isinstance(one, AddIndex) or checks:
                assert one.model_name_lower in new, (
                    f"{label}/{name} holds up everybody on a large installation: use "
                    "AddIndexOnline, AddConstraintOnline of synthreview/work/online.py"
                )
