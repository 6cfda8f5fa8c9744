"""Queries that are compiled and planned once: for the few that every click of a reviewer asks.

Django turns a queryset into SQL anew each time, which for a query over six tables takes longer
than the database takes to answer it. Here that is done once for each process. And it writes the
values into the text, so that PostgreSQL plans each statement anew: `planned_cursor` does not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.db import connection
from django.db.models import Model, QuerySet
from django.db.models.query import get_related_populators

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

Row = TypeVar("Row", bound=Model)
FIRST_NUMBER = 2**53  # no key of a row, no limit and no version is as large


@contextmanager
def planned_cursor() -> Iterator[CursorWrapper]:
    """Give a cursor whose repeated statements PostgreSQL plans once for each connection.

    For statements whose text does not vary: their values travel beside it. In the connection's
    transaction, and counted and logged like any other. Not for all of Django, whose bulk inserts
    may hold more than the 65,535 values that one statement takes that way.
    """
    if connection.vendor != "postgresql":  # sqlite3 keeps its statements by itself
        with connection.cursor() as cursor:
            yield cursor
        return
    from psycopg import Cursor

    connection.ensure_connection()
    django: Any = connection
    with django._prepare_cursor(Cursor(connection.connection)) as cursor:
        yield cursor


class Prepared(Generic[Row]):
    """A queryset with gaps, which are filled in each time that it is asked for its first row.

    `build` gets a number for each of `gaps` and must use it as a value only: in a filter, or as
    a parameter of raw SQL. What varies otherwise needs a Prepared of its own. The values must be
    numbers or text that the database takes as they are.
    """

    def __init__(self, build: Callable[..., QuerySet[Row]], *gaps: str) -> None:
        self.build = build
        self.gaps = gaps
        self._compiled: dict[str, _Compiled] = {}

    def first(self, **values: Any) -> Row | None:
        """Return the first row, with what it selects beside it; one query."""
        compiled = self._compiled.get(connection.vendor)
        if compiled is None:
            compiled = _Compiled(self.build, self.gaps)
            self._compiled[connection.vendor] = compiled
        found: Row | None = compiled.first(values)
        return found


class _Compiled:
    """The SQL for one kind of database, and how its columns become objects."""

    def __init__(self, build: Callable[..., QuerySet[Any]], gaps: tuple[str, ...]) -> None:
        numbers = {name: FIRST_NUMBER + place for place, name in enumerate(gaps)}
        names = {form(number): name for name, number in numbers.items() for form in (int, str)}
        queryset = build(**numbers)[:1]
        compiler: Any = queryset.query.get_compiler(connection=connection)
        self.sql, params = compiler.as_sql()
        # Each parameter: the gap that it fills, or its value.
        self.params = [
            (names.get(value) if isinstance(value, int | str) else None, value) for value in params
        ]
        assert {gap for gap, _ in self.params if gap} == set(gaps), "a gap is not a plain value"
        self.select = compiler.select
        info = compiler.klass_info
        self.model = info["model"]
        self.start, self.end = info["select_fields"][0], info["select_fields"][-1] + 1
        self.names = [column[0].target.attname for column in self.select[self.start : self.end]]
        # The stubs are ahead of the Django that we run on.
        populators: Any = get_related_populators
        self.related = populators(info, self.select, connection.alias)
        self.annotations = compiler.annotation_col_map or {}
        annotated = [self.select[column][0] for column in self.annotations.values()]
        columns = [column[0] for column in self.select]
        assert all(one in columns for one in annotated)
        self.converters = compiler.get_converters(columns)

    def first(self, values: dict[str, Any]) -> Any:
        with planned_cursor() as cursor:
            cursor.execute(self.sql, [values[gap] if gap else value for gap, value in self.params])
            found = cursor.fetchone()
        if found is None:
            return None
        row = list(found)
        for column, (convert, expression) in self.converters.items():
            for one in convert:
                row[column] = one(row[column], expression, connection)
        made = self.model.from_db(connection.alias, self.names, row[self.start : self.end])
        for related in self.related:
            related.populate(row, made)
        for name, column in self.annotations.items():
            setattr(made, name, row[column])
        return made
