"""System checks of the settings: the name, what is wrong, and an example. Nothing is contacted."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, register
from django.utils.module_loading import import_string

from synthreview.lib.outcomes import ServiceError

REDIS_SCHEMES = ("redis", "rediss", "unix")
EXAMPLES = {
    "GENERATORS": "synthreview.generation.generators.sketch.SketchGenerator",
    "AUTHORS": "synthreview.prompting.authors.wordlists.WordlistAuthor",
    "SCORERS": "synthreview.scoring.scorers.clip.ClipScorer",
}


@register
def check_redis_url(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """REDIS_URL must be an address that a client can use."""
    url = str(settings.REDIS_URL)
    if urlsplit(url).scheme in REDIS_SCHEMES:
        return []
    shown = url.split("@")[-1]  # never the password
    return [
        Error(
            f"REDIS_URL {shown!r} is no address of a Redis server.",
            hint="Write for example redis://127.0.0.1:6379/0 or unix:///run/redis.sock.",
            id="synthreview.E001",
        )
    ]


@register
def check_adapters(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Every adapter must be importable, and without torch: pages load them too.

    Generators are built as well: that is cheap, asks nobody, and says what an option lacks.
    """
    return [
        fault
        for name, example in EXAMPLES.items()
        for alias, entry in getattr(settings, name).items()
        for fault in _check_entry(name, alias, entry, example)
    ]


def _check_entry(name: str, alias: str, entry: Any, example: str) -> list[CheckMessage]:
    hint = f'Write for example {{"{alias}": {{"BACKEND": "{example}", "OPTIONS": {{}}}}}}.'
    if not isinstance(entry, Mapping) or not isinstance(entry.get("BACKEND"), str):
        return [Error(f"{name}[{alias!r}] names no BACKEND.", hint=hint, id="synthreview.E002")]
    if unknown := sorted(set(entry) - {"BACKEND", "OPTIONS"}):
        return [
            Error(
                f"{name}[{alias!r}] has an unknown key {unknown[0]!r}; known: BACKEND, OPTIONS.",
                hint=hint,
                id="synthreview.E003",
            )
        ]
    had_torch = "torch" in sys.modules
    try:
        backend = import_string(entry["BACKEND"])
    except ImportError as error:
        return [
            Error(
                f"{name}[{alias!r}]: {entry['BACKEND']} cannot be imported: {error}.",
                hint=hint,
                id="synthreview.E004",
            )
        ]
    if "torch" in sys.modules and not had_torch:
        return [
            Error(
                f"{name}[{alias!r}]: importing {entry['BACKEND']} loads torch.",
                hint="Import torch inside its functions: web processes import adapters too.",
                id="synthreview.E005",
            )
        ]
    return _check_options(name, alias, backend, entry) if name == "GENERATORS" else []


def _check_options(
    name: str, alias: str, backend: Any, entry: Mapping[str, Any]
) -> list[CheckMessage]:
    try:
        backend(**entry.get("OPTIONS", {}))
    except (ServiceError, TypeError, ValueError) as error:
        return [
            Error(
                f"{name}[{alias!r}] cannot be built with its OPTIONS: {error}",
                hint="docs/configuration.md says what each of its variables takes.",
                id="synthreview.E006",
            )
        ]
    return []
