"""What the commands share: an answer for people or for scripts, a bar, one-line errors."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from tqdm import tqdm

from synthreview.catalog.models import Dataset, LabelClass


class ScriptCommand(BaseCommand):
    """A command whose answer is a sentence, or with --json one object on stdout.

    Subclasses write `answer_to(**options)`. Progress and warnings go to stderr. What is
    named in `expected` is the user's to mend: it ends the command with one line and code 1.
    """

    expected: ClassVar[tuple[type[Exception], ...]] = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--json", action="store_true", dest="as_json", help="answer with one JSON object"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.answer_to(**options)
        except self.expected as error:
            raise CommandError(one_line(error)) from error
        except DatabaseError as error:
            raise CommandError(
                f"The database says: {one_line(error)}. `manage.py doctor` tells more."
            ) from error
        except KeyboardInterrupt:
            raise CommandError(self.interrupted(), returncode=130) from None

    def answer_to(self, *args: Any, **options: Any) -> None:
        """Do the command's work and end with `answer`."""
        raise NotImplementedError

    def interrupted(self) -> str:
        """Say what Ctrl+C leaves behind."""
        return "Stopped."

    def answer(self, facts: Mapping[str, Any], sentence: str, options: Mapping[str, Any]) -> None:
        """Print the facts as JSON, or else the sentence; verbosity 0 silences the sentence."""
        if options["as_json"]:
            self.stdout.write(json.dumps(facts, ensure_ascii=False))
        elif options["verbosity"] > 0:
            self.stdout.write(sentence)

    def bar(self, *, total: int | None, unit: str) -> tqdm[NoReturn]:
        """Return a progress bar on stderr; it shows nothing where no person looks."""
        return tqdm(total=total, unit=f" {unit}", disable=not sys.stderr.isatty())


class DatasetCommand(ScriptCommand):
    """A command about one dataset, named by its slug or name."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("dataset", help="slug or name of the dataset")


def one_line(error: object) -> str:
    """Return an error's words on one line."""
    return " ".join(str(error).split()).rstrip(".")


def find_dataset(name: str) -> Dataset:
    """Return the dataset of that slug or name. Raises CommandError, which lists those there are."""
    found = Dataset.objects.filter(slug=name).first() or Dataset.objects.filter(name=name).first()
    if found is None:
        known = listed(Dataset.objects.order_by("slug").values_list("slug", flat=True))
        raise CommandError(f"There is no dataset {name!r}; there are: {known or 'none yet'}.")
    return found


def find_classes(dataset: Dataset, names: list[str] | None) -> list[LabelClass]:
    """Return the classes of those names or slugs, all of them where none is named.

    Raises CommandError, which lists those there are.
    """
    classes = list(dataset.classes.all())
    if not classes:
        raise CommandError(f"{dataset.name} has no classes yet.")
    if not names:
        return classes
    known = {key.casefold(): row for row in classes for key in (row.slug, row.name)}
    if unknown := [name for name in names if name.casefold() not in known]:
        there = listed(row.name for row in classes)
        raise CommandError(f"{dataset.name} has no class {unknown[0]!r}; it has: {there}.")
    return list({known[name.casefold()].pk: known[name.casefold()] for name in names}.values())


def listed(names: Any, limit: int = 30) -> str:
    """Return names as "a, b and 3 more"."""
    names = list(names)
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(map(str, names[:limit])) + more
