"""`manage.py audit_trail`: hand out the audit trail, oldest first."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime
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

    def _since(self, given: str | None) -> Any:
        if not given:
            return None
        try:
            found = parse_datetime(given) or parse_date(given)
        except ValueError:
            found = None
        if found is None:
            raise CommandError(f"--since {given}: give a date such as 2026-01-31.")
        when = parse_datetime(f"{given} 00:00") if not hasattr(found, "hour") else found
        return make_aware(when) if is_naive(when) else when
