"""`manage.py export DATASET --out PATH`: freeze what is approved; write a folder or a zip."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset, one_line
from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Export, Package
from synthreview.export.services import Form, NothingApprovedError, folder_of, order_export, zip_of
from synthreview.export.splits import parse_ratio
from synthreview.export.writers.formats import DEFAULT, FORMATS
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.work.models import DurableWork, WorkState

IDLE_S = 0.2


class Command(DatasetCommand):
    help = "Export the approved images in a form that training code reads."
    expected = (NothingApprovedError, UnknownAdapterError, ValueError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--out", type=Path, required=True, help="a new or empty folder, or a new .zip file"
        )
        parser.add_argument(
            "--split", default="80/10/10", help="train/validation/test; 80/10/10 where not given"
        )
        parser.add_argument(
            "--format", default=DEFAULT, help=f"{', '.join(FORMATS)}; {DEFAULT} where not given"
        )
        parser.add_argument(
            "--images",
            default="original",
            help="original, or how to encode them: jpeg-512px-q90, png-256px, webp-q80",
        )

    def answer_to(self, *, dataset: str, out: str | Path, **options: Any) -> None:
        found = find_dataset(dataset)
        shares = parse_ratio(options["split"])
        form = Form(options["format"], options["images"])
        target = Path(out).absolute()
        check_target(target)
        export = order_export(dataset=found, shares=shares, forms=[form])
        self.finish(export, freeze, f"Export {export.number}")
        package = export.packages.select_related("export__dataset").get()
        self.finish(package, write_package, f"Export {export.number}")
        try:
            deliver(package, target)
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
                "format": package.format,
                "images": export.item_count,
                "splits": splits,
                "path": str(target),
            },
            f"Export {export.number}: {export.item_count} images in {target}.",
            options,
        )

    def finish(self, work: Export | Package, job: Callable[[int], None], name: str) -> None:
        """Do the work here, or wait for the worker that was faster. Raises CommandError."""
        model: type[DurableWork] = type(work)
        while model._default_manager.open().filter(pk=work.pk).exists():
            job(work.pk)
            if model._default_manager.open().filter(pk=work.pk).exists():
                time.sleep(IDLE_S)
        work.refresh_from_db()
        if work.state != WorkState.DONE:
            raise CommandError(f"{name} failed: {one_line(work.error)}.")


def check_target(target: Path) -> None:
    """Raise CommandError unless `target` is a new zip, a new folder or an empty one."""
    if not target.parent.is_dir():
        raise CommandError(f"{target.parent} is no folder: make it first.")
    if target.suffix.lower() == ".zip":
        if target.exists():
            raise CommandError(f"{target} is there already: choose another name.")
    elif target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise CommandError(f"{target} is no new or empty folder: choose another one.")


def deliver(package: Package, target: Path) -> None:
    """Put a finished package at `target`: complete under its name, or not there. Raises OSError."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if target.suffix.lower() == ".zip":
            with draft.open("xb") as file:
                for chunk in zip_of(package):
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        else:
            shutil.copytree(folder_of(package), draft)
        draft.replace(target)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
        shutil.rmtree(draft, ignore_errors=True)
