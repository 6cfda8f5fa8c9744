"""`manage.py export DATASET --out PATH`: freeze what is approved; write a folder or a zip."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset, one_line
from synthreview.export.jobs import write_export
from synthreview.export.models import Export
from synthreview.export.services import NothingApprovedError, folder_of, freeze_export, zip_of
from synthreview.export.splits import parse_ratio
from synthreview.work.models import WorkState

IDLE_S = 0.2


class Command(DatasetCommand):
    help = "Export the approved images as a folder (or a .zip) that training code reads."
    expected = (NothingApprovedError, ValueError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--out", type=Path, required=True, help="a new or empty folder, or a new .zip file"
        )
        parser.add_argument(
            "--split", default="80/10/10", help="train/validation/test; 80/10/10 where not given"
        )

    def answer_to(self, *, dataset: str, out: str | Path, split: str, **options: Any) -> None:
        found = find_dataset(dataset)
        shares = parse_ratio(split)
        target = Path(out).absolute()
        check_target(target)
        export = freeze_export(dataset=found, shares=shares)
        self.write(export)
        try:
            deliver(export, target)
        except OSError as error:
            raise CommandError(
                f"Export {export.number} is written, but not to {target}: {error.strerror}. "
                "It can be had from the page of exports, or run the command again."
            ) from error
        splits = {name: export.items.filter(split=name).count() for name in export.shares}
        self.answer(
            {
                "dataset": found.slug,
                "export": export.number,
                "images": export.item_count,
                "splits": splits,
                "path": str(target),
            },
            f"Export {export.number}: {export.item_count} images in {target}.",
            options,
        )

    def write(self, export: Export) -> None:
        """Write the export here, or wait for the worker that was faster. Raises CommandError."""
        while Export.objects.open().filter(pk=export.pk).exists():
            write_export(export.pk)
            if Export.objects.open().filter(pk=export.pk).exists():
                time.sleep(IDLE_S)
        export.refresh_from_db()
        if export.state != WorkState.DONE:
            raise CommandError(f"Export {export.number} failed: {one_line(export.error)}.")


def check_target(target: Path) -> None:
    """Raise CommandError unless `target` is a new zip, a new folder or an empty one."""
    if not target.parent.is_dir():
        raise CommandError(f"{target.parent} is no folder: make it first.")
    if target.suffix.lower() == ".zip":
        if target.exists():
            raise CommandError(f"{target} is there already: choose another name.")
    elif target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise CommandError(f"{target} is no new or empty folder: choose another one.")


def deliver(export: Export, target: Path) -> None:
    """Put a finished export at `target`: complete under its name, or not there. Raises OSError."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.suffix.lower() == ".zip":
            with draft.open("xb") as file:
                for chunk in zip_of(export):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        else:
            shutil.copytree(folder_of(export), draft)
        draft.replace(target)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
        shutil.rmtree(draft, ignore_errors=True)
