"""The one verb of the trail, which every act that changes something calls in its transaction."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.db.models import Model, QuerySet

from synthreview.trail.acts import Act
from synthreview.trail.models import Entry

if TYPE_CHECKING:
    from django.contrib.auth.models import AbstractBaseUser
    from django.http import HttpRequest

NAMED = 500  # of the keys of an act on many rows
SECRETS = frozenset({"password", "secret", "token_hash"})
_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)


def record(
    act: Act,
    thing: Model,
    *,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    dataset: int | None = None,
    by: AbstractBaseUser | None = None,
) -> None:
    """Put on record that somebody did `act` to `thing`; inside the act's own transaction.

    `before` and `after` are facts by name, of which those that differ are kept: an act that
    changed nothing leaves no entry where both are given. `dataset` is its key where the thing
    does not know it; `by` who acted where no request says so.
    """
    before, after = dict(before or {}), dict(after or {})
    if before and after:
        same = {name for name in before if name in after and before[name] == after[name]}
        before = {name: value for name, value in before.items() if name not in same}
        after = {name: value for name, value in after.items() if name not in same}
        if not before and not after:
            return
    person, via = _who(by)
    Entry.objects.create(
        actor=person.get_username()[:150] if person else "",
        actor_id=person.pk if person else None,
        via=via,
        act=act,
        kind=thing._meta.label,
        thing=str(thing)[:200].replace("\0", ""),
        thing_id="" if thing.pk is None else str(thing.pk)[:40],
        dataset_id=dataset if dataset is not None else getattr(thing, "dataset_id", None),
        before=before,
        after=after,
    )


def facts(row: Model, *names: str) -> dict[str, Any]:
    """Return the row's values by field, or only those named; never a secret."""
    fields = [field for field in row._meta.concrete_fields if field.name not in SECRETS]
    return {
        field.name: getattr(row, field.attname)
        for field in fields
        if field.name in names or not names
    }


def many(keys: Iterable[int], **more: Any) -> dict[str, Any]:
    """Return the facts of an act on many rows: how many, and the first keys."""
    known = sorted(keys)
    return {"count": len(known), "keys": known[:NAMED], **more}


@contextmanager
def acting(request: HttpRequest) -> Iterator[None]:
    """Say on whose behalf this thread acts while the context lasts."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


def _who(by: AbstractBaseUser | None) -> tuple[Any, str]:
    """Return the person and the way in which they act."""
    request = _request.get()
    if request is None:
        return by, _program()
    user = getattr(request, "user", None)
    person = user if user is not None and user.is_authenticated else by
    via = getattr(request, "trail_via", "") or (
        "api" if request.path.startswith("/api/") else "web"
    )
    return person, str(via)[:80]


def _program() -> str:
    words = [Path(sys.argv[0]).name, *sys.argv[1:2]]
    return "command " + (words[1] if words[0] == "manage.py" and words[1:] else words[0])[:70]


# --- Reading it -------------------------------------------------------------------------


def entries(
    *, dataset: int | None = None, since: dt.datetime | None = None, act: str = "", actor: str = ""
) -> QuerySet[Entry]:
    """Return the entries that fit, the latest first; of one dataset or of all."""
    found = Entry.objects.all()
    if dataset is not None:
        found = found.filter(dataset_id=dataset)
    if since is not None:
        found = found.filter(at__gte=since)
    if act:
        found = found.filter(act=act)
    if actor:
        found = found.filter(actor=actor)
    return found


COLUMNS = ("id", "at", "actor", "via", "act", "kind", "thing_id", "thing", "dataset_id")


def as_row(entry: Entry) -> dict[str, Any]:
    """Return an entry as it leaves the house, by column, in their order."""
    row = {name: getattr(entry, name) for name in COLUMNS}
    return row | {"at": entry.at.isoformat(), "before": entry.before, "after": entry.after}
