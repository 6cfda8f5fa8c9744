"""`manage.py export_prompts DATASET --out FILE`: write the prompts as CSV, TSV or JSONL."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_classes, find_dataset
from synthreview.prompting.importing import export_prompts
from synthreview.prompting.models import Prompt
from synthreview.prompting.prompt_files import KINDS, STATES
from synthreview.prompting.techniques import TECHNIQUES


class Command(DatasetCommand):
    help = "Write the prompts to a file that import_prompts, spreadsheets and scripts read."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--out", required=True, help="a new file, or - for standard output")
        parser.add_argument(
            "--format", choices=KINDS, default="", help="told by the file's ending, else csv"
        )
        parser.add_argument(
            "--class", action="append", dest="class_names", metavar="NAME", help="repeatable"
        )
        for name, known in (("technique", list(TECHNIQUES)), ("state", STATES)):
            parser.add_argument(
                f"--{name}", action="append", dest=f"{name}s", choices=known, help="repeatable"
            )

    def answer_to(
        self,
        *,
        dataset: str,
        out: str | Path,
        format: str,
        class_names: list[str] | None,
        techniques: list[str] | None,
        states: list[str] | None,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        filters: dict[str, Any] = {}
        if class_names:
            filters["label_class__in"] = find_classes(found, class_names)
        if techniques:
            filters["technique__in"] = techniques
        if states:
            filters["state__in"] = states
        count = Prompt.objects.filter(dataset=found, **filters).count()
        suffix = Path(out).suffix.removeprefix(".").lower()
        kind = format or (suffix if suffix in KINDS else "csv")
        lines = export_prompts(dataset=found, kind=kind, filters=filters)
        if str(out) == "-":
            if options["as_json"]:
                raise CommandError("--json and --out - both ask for standard output: choose one.")
            for line in lines:
                self.stdout.write(line, ending="")
            return
        target = Path(out).absolute()
        self.write(lines, target)
        self.answer(
            {"dataset": found.slug, "format": kind, "prompts": count, "path": str(target)},
            f"{count:,} prompts are in {target}.",
            options,
        )

    def write(self, lines: Iterator[str], target: Path) -> None:
        """Write a new file; it appears complete or not at all."""
        if target.exists():
            raise CommandError(f"{target} is there already: name a new file.")
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
        try:
            with draft.open("x", encoding="utf-8", newline="") as file:
                file.writelines(lines)
                file.flush()
                os.fsync(file.fileno())
            draft.rename(target)
        except OSError as error:
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from error
        finally:
            with contextlib.suppress(OSError):
                draft.unlink()
