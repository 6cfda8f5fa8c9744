"""The stage that sees every other one, so the system checks are registered here."""

from __future__ import annotations

from django.apps import AppConfig


class OverviewConfig(AppConfig):
    name = "synthreview.overview"

    def ready(self) -> None:
        from synthreview.overview import checks  # noqa: F401 - importing registers them
