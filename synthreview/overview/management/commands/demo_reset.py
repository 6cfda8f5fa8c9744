"""`manage.py demo_reset`: clear what the demonstration wrote."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from synthreview.overview import demo


class Command(BaseCommand):
    help = "Delete the demonstration's data, after asking."
    requires_system_checks = ()  # nothing of the application runs

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--data", type=Path, default=settings.BASE_DIR / "var" / "demo")
        parser.add_argument(
            "--yes", action="store_true", default=bool(os.environ.get("YES")), help="do not ask"
        )

    def handle(self, *args: Any, data: Path, yes: bool, **options: Any) -> None:
        folder = data.resolve()
        if not (folder / demo.LOCK).exists():
            self.stdout.write(f"There is no demonstration in {folder}: nothing to clear.")
            return
        try:
            with demo.locked(folder):
                if not yes and not self.confirmed(folder):
                    raise CommandError("Nothing was deleted. YES=1 make demo-reset does not ask.")
                shutil.rmtree(folder)
        except demo.DemoError as error:
            raise CommandError(f"{error}. Stop it first (Ctrl+C).") from error
        self.stdout.write(f"Cleared {folder}")

    def confirmed(self, folder: Path) -> bool:
        try:
            return input(f"Delete everything in {folder}? [y/N] ").strip().lower() in {"y", "yes"}
        except EOFError:  # nobody is there to answer
            return False
