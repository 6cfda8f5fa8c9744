"""System checks of the settings: the name, what is wrong, and an example. Nothing is contacted."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from synthreview.lib.outcomes import ServiceError

OTHERS = {
    "SYNTHREVIEW_DEMO",
    "SYNTHREVIEW_DEMO_PASSWORD",
    "SYNTHREVIEW_TEST_RUN_FOLDER",
}  # read elsewhere
REDIS_SCHEMES = ("redis", "rediss", "unix")
EXAMPLES = {
    "GENERATORS": "synthreview.generation.generators.sketch.SketchGenerator",
    "AUTHORS": "synthreview.prompting.authors.wordlists.WordlistAuthor",
    "SCORERS": "synthreview.scoring.scorers.clip.ClipScorer",
}


@register
def check_environment(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Every variable must have a value of its kind; one that nothing reads is a slip of the pen."""
    faults: list[CheckMessage] = [
        Error(f"{fault.name}: {fault.text}.", hint=f"Write {fault.example}.", id="synthreview.E010")
        for fault in settings.ENVIRONMENT.faults
    ]
    for name, near in settings.ENVIRONMENT.unread("SYNTHREVIEW_", OTHERS):
        hint = f"Did you mean {near}?" if near else "docs/configuration.md lists all of them."
        faults.append(
            Warning(
                f"{name} is set, and nothing reads it: it is misspelt, or what it belongs to is "
                "not turned on.",
                hint=hint,
                id="synthreview.W010",
            )
        )
    return faults


@register
def check_storage(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """A bucket needs boto3, and only a bucket has addresses of its own for browsers."""
    faults: list[CheckMessage] = []
    if settings.STORAGE and importlib.util.find_spec("boto3") is None:
        faults.append(
            Error(
                "SYNTHREVIEW_STORAGE names a bucket, and boto3 is not installed.",
                hint="Run pip install 'synthreview[s3]'.",
                id="synthreview.E011",
            )
        )
    if settings.SERVE_MEDIA == "presigned" and not settings.STORAGE:
        faults.append(
            Error(
                "SYNTHREVIEW_SERVE_MEDIA is 'presigned', and no bucket is there to send pictures.",
                hint="Write x-accel behind nginx, or stream; or set SYNTHREVIEW_STORAGE.",
                id="synthreview.E012",
            )
        )
    return faults


def refuse_faults() -> None:
    """Raise ImproperlyConfigured where a setting of ours is wrong: nothing may be served then."""
    if faults := [*check_environment(), *check_storage(), *check_redis_url()]:
        errors = [fault for fault in faults if fault.is_serious()]
        if errors:
            told = "\n".join(f"  {fault.msg} {fault.hint}" for fault in errors)
            raise ImproperlyConfigured(f"Settings are wrong:\n{told}")


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
