"""Adapters by alias, from a setting of the shape of Django's STORAGES."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any


class UnknownAdapterError(LookupError):
    """No adapter of that name; the message lists the known ones."""


def load_adapter(setting: Mapping[str, Mapping[str, Any]], alias: str, kind: str) -> Any:
    """Build the adapter `alias` of {alias: {"BACKEND": dotted path, "OPTIONS": {}}}.

    Raises UnknownAdapterError, and whatever the adapter's constructor raises.
    """
    try:
        entry = setting[alias]
    except KeyError:
        known = ", ".join(sorted(setting))
        raise UnknownAdapterError(f"No {kind} is called {alias!r}; known: {known}.") from None
    module, _, name = entry["BACKEND"].rpartition(".")
    return getattr(import_module(module), name)(**entry.get("OPTIONS", {}))
