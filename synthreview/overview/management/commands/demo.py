"""`manage.py demo`: the whole product with example data, until Ctrl+C."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from synthreview.overview import demo


class Command(BaseCommand):
    help = "Run everything on this machine with example data, until Ctrl+C."
    requires_system_checks = ()  # its own processes check

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data", type=Path, default=settings.BASE_DIR / "var" / "demo")
        parser.add_argument("--port", type=int, default=os.environ.get("PORT") or 8000)

    def handle(self, *args: Any, data: Path, port: int, **options: Any) -> None:
        folder = data.resolve()
        if demo.IN_DEMO not in os.environ:
            # The settings are read by now: begin again with the demonstration's.
            environment = demo.environment(folder, os.environ)
            os.execve(sys.executable, [sys.executable, *sys.argv], environment)
        try:
            demo.run(folder, port, self.stdout.write)
        except demo.DemoError as error:
            raise CommandError(str(error)) from error
