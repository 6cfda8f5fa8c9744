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

from synthreview.catalog.management.base import (
    DatasetCommand,
    find_classes,
    find_dataset,
    one_line,
)
from synthreview.catalog.models import Dataset
from synthreview.export.collecting import DECISIONS, Selection
from synthreview.export.delivering import deliver as send
from synthreview.export.delivering import destinations, order_delivery
from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Package
from synthreview.export.services import (
    Form,
    NothingApprovedError,
    fetch_package,
    order_export,
    zip_of,
)
from synthreview.export.splits import parse_wish
from synthreview.export.writers.formats import DEFAULT, FORMATS
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.work.models import DurableWork, WorkState

IDLE_S = 0.2


class Command(DatasetCommand):
    help = "Export the approved images in a form that training code reads."
    expected = (NothingApprovedError, UnknownAdapterError, ValueError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--out", type=Path, help="a new or empty folder, or a new .zip file")
        parser.add_argument(
            "--to",
            default="",
            metavar="DESTINATION",
            help="send it there: folder, s3, hub, as far as they are set up; beside --out or alone",
        )
        parser.add_argument(
            "--split",
            default="80/10/10",
            help="train/validation/test: shares, or rest/500/500; 80/10/10 where not given",
        )
        parser.add_argument(
            "--fresh",
            action="store_true",
            help="share out anew, whatever earlier exports put into which split",
        )
        for name, known in (
            ("class", "name or slug"),
            ("technique", ", ".join(TECHNIQUES)),
            ("generator", "its alias"),
            ("decision", ", ".join(DECISIONS)),
        ):
            parser.add_argument(
                f"--{name}",
                action="append",
                dest=f"only_{name}",
                default=[],
                help=f"only of this {name} ({known}); repeatable",
            )
        parser.add_argument(
            "--max-error", type=float, help="only what a certificate allows no more errors in: 0.02"
        )
        parser.add_argument(
            "--min-confidence", type=float, default=0.0, help="and that with this confidence: 0.95"
        )
        parser.add_argument(
            "--format", default=DEFAULT, help=f"{', '.join(FORMATS)}; {DEFAULT} where not given"
        )
        parser.add_argument(
            "--images",
            default="original",
            help="original, or how to encode them: jpeg-512px-q90, png-256px, webp-q80",
        )

    def answer_to(
        self, *, dataset: str, out: str | Path | None, to: str = "", **options: Any
    ) -> None:
        found = find_dataset(dataset)
        if not (out or to):
            raise CommandError("Say where to: --out PATH, --to DESTINATION, or both.")
        if to and to not in destinations():
            known = ", ".join(sorted(destinations())) or "none: set one up first"
            raise CommandError(f"No destination is called {to!r}; known: {known}.")
        wish = parse_wish(options["split"], keeps=not options["fresh"])
        selection = self.selection(found, options)
        form = Form(options["format"], options["images"])
        target = Path(out).absolute() if out else None
        if target:
            check_target(target)
        export = order_export(dataset=found, wish=wish, selection=selection, forms=[form])
        self.finish(export, freeze, f"Export {export.number}")
        package = export.packages.select_related("export__dataset").get()
        self.finish(package, write_package, f"Export {export.number}")
        if target:
            self.hand_out(package, target)
        place = ""
        if to:
            delivery = order_delivery(package=package, destination=to)
            self.finish(delivery, send, f"Sending export {export.number} to {to}")
            place = delivery.place
        self.answer(
            {
                "dataset": found.slug,
                "export": export.number,
                "format": package.format,
                "images": export.item_count,
                "splits": export.facts["splitting"]["got"],
                "largest_family": export.facts["splitting"]["largest_family"],
                "left_out": export.facts["splitting"]["omitted"],
                "notes": export.facts["splitting"]["notes"],
                "path": str(target) if target else None,
                "place": place or None,
            },
            f"Export {export.number}: {export.item_count} images in "
            f"{' and '.join(str(one) for one in (target, place) if one)}.",
            options,
        )

    def hand_out(self, package: Package, target: Path) -> None:
        """Put the finished package at `target`. Raises CommandError."""
        try:
            deliver(package, target)
        except OSError as error:
            raise CommandError(
                f"Export {package.export.number} is written, but not to {target}: "
                f"{error.strerror}. It can be had from the page of exports, or run the command "
                "again."
            ) from error

    def selection(self, dataset: Dataset, options: dict[str, Any]) -> Selection:
        """Return the filters that were given. Raises CommandError, SelectionError."""
        names = options["only_class"]
        classes = find_classes(dataset, names) if names else []
        return Selection(
            classes=tuple(row.slug for row in classes),
            techniques=tuple(options["only_technique"]),
            generators=tuple(options["only_generator"]),
            decisions=tuple(options["only_decision"]),
            max_error=options["max_error"],
            min_confidence=options["min_confidence"],
        )

    def finish(self, work: DurableWork, job: Callable[[int], None], name: str) -> None:
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
            shutil.copytree(fetch_package(package), draft)
        draft.replace(target)
    finally:
        with contextlib.suppress(OSError):
            draft.unlink()
        shutil.rmtree(draft, ignore_errors=True)
