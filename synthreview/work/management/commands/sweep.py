"""`manage.py sweep`: run every automatic step, each at its own pace, until stopped."""

from __future__ import annotations

import logging
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import close_old_connections
from django.utils.module_loading import import_string

logger = logging.getLogger(__name__)
AGAIN_S = 5.0  # a step that failed, as while the database is away, does not wait for its next turn


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
                    went_well = run_step(step.name, step.run)
                    pause_s = step.every_s if went_well else min(step.every_s, AGAIN_S)
                    next_at[step] = time.monotonic() + pause_s
            if once:
                return
            close_old_connections()
            time.sleep(0.25)


def run_step(name: str, run: Any) -> bool:
    """Run one step; a fault in it must not keep the others from running. Say whether it went."""
    try:
        run()
        return True
    except Exception:  # the loop is the last line: it logs and goes on
        logger.exception("Automatic step %s failed; it is tried again", name)
        return False
