"""How hard an outside service may be called. No Django here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Calls at once and calls a minute, over all workers and hosts; None: as many as there are.

    Of the entry of an adapter: {"BACKEND": …, "LIMITS": {"at_once": 4, "per_minute": 60}}.
    """

    at_once: int | None = None
    per_minute: int | None = None

    @classmethod
    def of(cls, entry: Mapping[str, Any] | None) -> Limits:
        """Return the limits of an adapter's entry. Raises ValueError for an unknown or bad one."""
        given = dict((entry or {}).get("LIMITS") or {})
        if unknown := sorted(set(given) - {"at_once", "per_minute"}):
            raise ValueError(f"LIMITS knows at_once and per_minute, not {unknown[0]!r}.")
        for name, value in given.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"LIMITS {name} {value!r}: give a whole number from 1.")
        return cls(**given)

    def __bool__(self) -> bool:
        return self.at_once is not None or self.per_minute is not None
