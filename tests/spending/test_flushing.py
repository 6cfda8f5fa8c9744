"""What is said of paid calls survives a power cut; what costs nothing waits for no disk."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection

from tests.generation.fakes import PRICE, scripted
from tests.spending.test_exactness import draw, make_ready

FULL, NORMAL = 2, 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("price", [PRICE, 0])
def test_sending_and_settling_are_flushed_where_they_are_paid(settings: Any, price: int) -> None:
    levels: list[tuple[str, int]] = []

    def watch(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        written = sql.partition(" WHERE ")[0]
        said = [name for name in ("sent_at", "settled_at") if f'"{name}" = ' in written]
        levels.extend((name, level()) for name in said if written.startswith("UPDATE"))
        return execute(sql, *rest)

    with scripted(settings, price=price):
        run = make_ready()
        with connection.execute_wrapper(watch):
            assert draw(run).state == "done"
    wanted = FULL if price and connection.vendor == "sqlite" else NORMAL
    assert levels == [("sent_at", wanted), ("settled_at", wanted)]
    assert level() == NORMAL


def level() -> int:
    """Return SQLite's care at a commit; PostgreSQL's is not ours to set."""
    if connection.vendor != "sqlite":
        return NORMAL
    (found,) = connection.connection.execute("PRAGMA synchronous").fetchone()
    return int(found)
