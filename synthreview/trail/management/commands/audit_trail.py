"""`manage.py audit_trail`: hand out the audit trail, oldest first."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.timezone import is_naive, make_aware

from synthreview.trail.acts import Act
from synthreview.trail.files import KINDS, lines
from synthreview.trail.services import entries


class Command(BaseCommand):
    """Write who changed what, when, from what to what, to a file or to stdout."""

    help = "Write the audit trail: who changed what, when, from what to what."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--format", choices=KINDS, default="jsonl")
        parser.add_argument("--to", type=Path, metavar="FILE", help="a new file; else stdout")
        parser.add_argument("--since", metavar="DATE", help="2026-01-31, or with a time")
        parser.add_argument("--dataset", type=int, metavar="KEY", help="of one dataset, by its key")
        parser.add_argument("--actor", default="", metavar="NAME", help="of one person")
        parser.add_argument("--act", default="", choices=["", *Act.values], metavar="CODE")

    def handle(self, *args: Any, **options: Any) -> None:
        found = entries(
            dataset=options["dataset"],
            since=self._since(options["since"]),
            act=options["act"],
            actor=options["actor"],
        ).order_by("pk")
        text = lines(found.iterator(2_000), options["format"])
        if options["to"] is None:
            for line in text:
                sys.stdout.write(line)
            return
        try:
            with options["to"].open("x", encoding="utf-8", newline="") as file:
                file.writelines(text)
        except OSError as error:
            raise CommandError(f"{options['to']}: {error.strerror}") from error
        self.stderr.write(f"{found.count():,} entries in {options['to']}")

    def _since(self, given: str | None) -> datetime | None:
        if not given:
            return None
        try:
            when = datetime.fromisoformat(given)  # a date alone is its midnight
        except ValueError as error:
            raise CommandError(f"--since {given}: give a date such as 2026-01-31.") from error
        return make_aware(when) if is_naive(when) else when
