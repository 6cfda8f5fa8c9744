"""`manage.py import_dataset FILE.toml`: make a dataset from a file, or bring it up to date."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.accounts.models import User
from synthreview.catalog.dataset_file import DatasetFileError, read_dataset_file
from synthreview.catalog.loading import load_dataset
from synthreview.catalog.management.base import ScriptCommand, listed


class Command(ScriptCommand):
    help = "Make a dataset (classes, axes, policy) from a TOML file, or bring it up to date."
    expected = (DatasetFileError,)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("file", type=Path, help="for example fixtures/demo.toml")
        parser.add_argument("--owner", metavar="USERNAME", help="make this person its admin")

    def answer_to(self, *, file: str | Path, owner: str | None, **options: Any) -> None:
        file = Path(file)
        user = User.objects.filter(username=owner).first() if owner else None
        if owner and user is None:
            raise CommandError(
                f"There is no user {owner!r}; `manage.py createsuperuser` makes one."
            )
        try:
            loaded = load_dataset(read_dataset_file(file), owner=user)
        except DatasetFileError as error:
            named = str(error) if str(error).startswith(str(file)) else f"{file}: {error}"
            raise DatasetFileError(named) from error
        self.answer(
            {
                "dataset": loaded.dataset.slug,
                "created": loaded.is_new,
                "changed": loaded.changes,
                "left_alone": loaded.left_alone,
            },
            self.sentence(loaded.dataset.name, loaded.is_new, loaded.changes, loaded.left_alone),
            options,
        )

    def sentence(self, name: str, is_new: bool, changes: list[str], left_alone: list[str]) -> str:
        counted = Counter(change.split()[0] for change in changes)
        said = (
            f"Made {name} with {counted['class']} classes and {counted['axis']} axes."
            if is_new
            else f"Brought {name} up to date: {listed(changes)}."
            if changes
            else f"{name} is as the file says; nothing changed."
        )
        if left_alone:
            said += f" Not in the file and left as they are: {listed(left_alone)}."
        return said
