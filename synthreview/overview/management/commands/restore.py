"""`manage.py restore BACKUP`: bring a backup back, once all of it is checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from synthreview.catalog.management.base import ScriptCommand
from synthreview.overview.backups import BackupError, restore


class Command(ScriptCommand):
    help = "Bring a backup back into the database and the store that the settings name."

    expected = (BackupError, OSError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("backup", type=Path, help="one backup: TARGET/2026-11-30T120000Z")
        parser.add_argument(
            "--replace", action="store_true", help="throw away what the database holds now"
        )

    def answer_to(self, *, backup: Path, replace: bool, **options: Any) -> None:
        done = restore(backup, replace=replace, tell=lambda said: self.stderr.write(f"{said} …"))
        self.answer(
            {"rows": done.rows, "blobs": done.blobs, "new_blobs": done.new_blobs},
            f"{done.rows:,} rows and {done.blobs:,} stored files are back. Start the workers and "
            "the sweeper: what was under way goes on.",
            options,
        )
