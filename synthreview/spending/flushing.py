"""Commits about money that a power cut must not take back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection


@contextmanager
def flushed(*, if_paid: bool) -> Iterator[None]:
    """Have what is committed within lie on the disk, where it is about money.

    SQLite runs with `synchronous=NORMAL`: a power cut may take the last commits with it, which is
    fine for what is done again. A call that is no longer on record as sent would be sent, and
    paid, twice. PostgreSQL flushes each commit. Within an outer transaction it changes nothing:
    the outer commit is the one that counts.
    """
    if not if_paid or connection.vendor != "sqlite" or connection.in_atomic_block:
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA synchronous=FULL")
        try:
            yield
        finally:
            cursor.execute("PRAGMA synchronous=NORMAL")
