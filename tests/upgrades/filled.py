"""The database of the previous release, filled, as rows: tables are made as they were then.

`previous_release.json.gz` was written by that release's own code from its own services: a dataset
with axes, a budget, 30 images, calls in every state, scores, a certificate under way, 18 decisions
and an export. It names the migrations that it had. For the next release, write it anew from the
commit that is released then.
"""

from __future__ import annotations

import base64
import gzip
import json
from pathlib import Path
from typing import Any

from django.db import connection, transaction
from django.db.migrations.executor import MigrationExecutor

FILE = Path(__file__).with_name("previous_release.json.gz")


def previous_release() -> dict[str, Any]:
    with gzip.open(FILE, "rt") as file:
        found: dict[str, Any] = json.load(file)
    return found


def build() -> None:
    """Make the tables of the previous release in an empty database, and fill them."""
    found = previous_release()
    executor = MigrationExecutor(connection)
    # The steps as that release took them, though one squashed migration now stands for them.
    executor.loader.replace_migrations = False
    executor.loader.build_graph()
    had = {tuple(node) for node in found["migrations"]}
    graph = executor.loader.graph
    leaves = [
        node
        for node in had & set(graph.nodes)
        if not any(child.key in had for child in graph.node_map[node].children)
    ]
    # A leaf of every app: an app's children may be other apps' migrations.
    leaves += [max(node for node in had if node[0] == app) for app in {node[0] for node in had}]
    executor.migrate(sorted(set(leaves)))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(
            "PRAGMA defer_foreign_keys=ON"
            if connection.vendor == "sqlite"
            else "SET CONSTRAINTS ALL DEFERRED"
        )
        for table, rows in found["tables"].items():
            _insert(cursor, table, rows)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for table, rows in found["tables"].items():
                if "id" in rows["columns"]:  # numbers go on behind the highest
                    last = f"setval(pg_get_serial_sequence('{table}', 'id'), max(id))"
                    cursor.execute(f'SELECT {last} FROM "{table}"')


def _insert(cursor: Any, table: str, rows: dict[str, Any]) -> None:
    names = ", ".join(f'"{column}"' for column in rows["columns"])
    marks = ", ".join("%s" for _ in rows["columns"])
    values = [
        [_value(kind, value) for kind, value in zip(rows["kinds"], row, strict=True)]
        for row in rows["rows"]
    ]
    cursor.executemany(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', values)


def _value(kind: str, value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["bytes"])
    if connection.vendor == "sqlite" and isinstance(value, str):
        if kind == "UUIDField":
            return value.replace("-", "")
        if kind == "DateTimeField":
            return value.replace("T", " ").removesuffix("+00:00")
    return value
