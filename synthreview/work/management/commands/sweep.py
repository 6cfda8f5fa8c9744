"""`manage.py sweep`: run every automatic step, each at its own pace, until stopped."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Run the automatic steps of synthreview/cron.py until stopped. Several may run at once."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--once", action="store_true", help="run each step once and end")

    def handle(self, *args: Any, once: bool, **options: Any) -> None:
        # A dotted path: cron stands above every stage, and work must not import it.
        steps = import_string("synthreview.cron.STEPS")
        next_at = dict.fromkeys(steps, 0.0)
        while True:
            for step in steps:
                if time.monotonic() >= next_at[step]:
                    run_step(step.name, step.run)
                    next_at[step] = time.monotonic() + step.every_s
            if once:
                return
            close_old_connections()
            time.sleep(0.25)


def run_step(name: str, run: Any) -> None:
    """Run one step; a fault in it must not keep the others from running."""
    try:
        run()
    except Exception:  # the loop is the last line: it logs and goes on
        logger.exception("Automatic step %s failed; it is tried again", name)
