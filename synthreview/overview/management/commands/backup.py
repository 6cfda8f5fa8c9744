"""`manage.py backup TARGET`: copy database and files, while everything runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from synthreview.catalog.management.base import ScriptCommand
from synthreview.overview.backups import BackupError, back_up
from synthreview.overview.backups import verify as check


class Command(ScriptCommand):
    help = "Copy everything that cannot be made again below TARGET, or check a copy."

    expected = (BackupError, OSError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("target", type=Path, help="the folder in which backups lie")
        parser.add_argument("--verify", action="store_true", help="check the backup TARGET instead")

    def answer_to(self, *, target: Path, verify: bool, **options: Any) -> None:
        def tell(said: str) -> None:
            self.stderr.write(f"{said} …")

        if verify:
            manifest = check(target, tell)
            said = f"{target} is whole: {manifest['blobs']:,} stored files."
            self.answer({"folder": str(target), "whole": True}, said, options)
            return
        made = back_up(target, tell)
        self.answer(
            {
                "folder": str(made.folder),
                "rows": made.rows,
                "blobs": made.blobs,
                "new_blobs": made.new_blobs,
                "files": made.files,
            },
            f"{made.folder}: {made.rows:,} rows, {made.blobs:,} stored files "
            f"({made.new_blobs:,} of them new), {made.files:,} others.",
            options,
        )
