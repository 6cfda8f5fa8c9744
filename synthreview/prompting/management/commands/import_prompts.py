"""`manage.py import_prompts DATASET FILE`: bring in prompts from CSV, TSV or JSONL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_dataset, listed
from synthreview.prompting.importing import (
    RefusedImportError,
    Report,
    check_file,
    import_prompts,
)
from synthreview.prompting.prompt_files import KINDS, STATES, PromptFileError
from synthreview.prompting.techniques import TECHNIQUES

BAD_SHOWN = 20


class Command(DatasetCommand):
    help = "Import prompts; a file is taken as a whole or not at all."
    expected = (PromptFileError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--format", choices=KINDS, default="", help="told by the content where not given"
        )
        parser.add_argument(
            "--map",
            action="append",
            default=[],
            dest="pairs",
            metavar="COLUMN=FIELD",
            help="text, class, technique, slots, state, author, slot:NAME, or nothing to leave "
            "the column out; repeatable",
        )
        parser.add_argument(
            "--class", default="", dest="class_name", help="where a line names none"
        )
        parser.add_argument(
            "--technique", default="", choices=list(TECHNIQUES), help="where a line names none"
        )
        parser.add_argument("--state", default="", choices=STATES, help="where a line names none")
        parser.add_argument(
            "--create-classes", action="store_true", help="make the classes that are not there"
        )
        parser.add_argument("--dry-run", action="store_true", help="check the file, store nothing")

    def answer_to(
        self,
        *,
        dataset: str,
        file: str | Path,
        format: str,
        pairs: list[str],
        class_name: str,
        technique: str,
        state: str,
        create_classes: bool,
        dry_run: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        defaults = {"class": class_name, "technique": technique, "state": state}
        verb = check_file if dry_run else import_prompts
        try:
            report = verb(
                dataset=found,
                path=Path(file),
                kind=format,
                mapping=dict(map(self.pair, pairs)),
                defaults={name: value for name, value in defaults.items() if value},
                create_classes=create_classes,
            )
        except RefusedImportError as error:
            report = error.report
        self.tell(found.slug, report, dry_run, options)
        if report.bad_count:
            raise CommandError(str(RefusedImportError(report)).rstrip("."))

    def pair(self, text: str) -> tuple[str, str]:
        column, equals, target = text.rpartition("=")
        if not equals:
            raise CommandError(f"--map {text!r}: write COLUMN=FIELD, such as Prompt=text.")
        return column, target

    def tell(self, slug: str, report: Report, dry_run: bool, options: dict[str, Any]) -> None:
        if not options["as_json"]:
            if report.unmapped:
                self.stderr.write(f"Left out: {listed(report.unmapped)}. --map COLUMN=FIELD takes.")
            for bad in report.bad[:BAD_SHOWN]:
                self.stderr.write(f"line {bad.line}: {bad.reason}")
            if report.bad_count > BAD_SHOWN:
                self.stderr.write(f"… and {report.bad_count - BAD_SHOWN} more")
            if report.unknown_classes:
                self.stderr.write(
                    "--create-classes makes classes; --map COLUMN= --class NAME is one for all."
                )
        made = f"; made the classes {listed(report.new_classes)}" if report.new_classes else ""
        sentence = (
            f"{report.prompts:,} prompts can be imported."
            if dry_run
            else f"{report.stored:,} prompts imported, "
            f"{report.already_there:,} already there{made}."
        )
        facts = {
            "dataset": slug,
            "format": report.shape.kind,
            "source": report.shape.source,
            "mapping": report.mapping,
            "prompts": report.prompts,
            "stored": report.stored,
            "already_there": report.already_there,
            "new_classes": report.new_classes,
            "bad_count": report.bad_count,
            "bad": [{"line": bad.line, "reason": bad.reason} for bad in report.bad],
            "dry_run": dry_run,
        }
        if options["as_json"] or not report.bad_count:
            self.answer(facts, sentence, options)
