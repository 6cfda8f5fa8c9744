"""`manage.py write_prompts DATASET`: have captions written for classes and techniques."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from synthreview.catalog.management.base import DatasetCommand, find_classes, find_dataset
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.authors.base import AuthorError
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.services import write_prompts
from synthreview.prompting.techniques import WRITTEN

MAX_COUNT = 100_000


class Command(DatasetCommand):
    help = "Write captions, evenly over the classes; they wait for approval unless --approve."
    expected = (ValueError, UnknownAdapterError, AuthorError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--class", action="append", dest="class_names", metavar="NAME", help="repeatable"
        )
        parser.add_argument(
            "--technique",
            action="append",
            dest="techniques",
            choices=WRITTEN,
            help="repeatable; plain where none is named",
        )
        parser.add_argument(
            "--count", type=int, default=24, help="captions per technique, over all classes"
        )
        parser.add_argument("--author", default="wordlists", help="an alias of AUTHORS")
        parser.add_argument("--template", default="", help='such as "A [class] {environment}"')
        parser.add_argument("--seed", type=int, default=0, help="the same seed, the same choice")
        parser.add_argument("--approve", action="store_true", help="approve them at once")

    def answer_to(
        self,
        *,
        dataset: str,
        class_names: list[str] | None,
        techniques: list[str] | None,
        count: int,
        author: str,
        template: str,
        seed: int,
        approve: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        if not 1 <= count <= MAX_COUNT:
            raise CommandError(f"--count {count}: choose between 1 and {MAX_COUNT:,}.")
        written: list[Prompt] = []
        wanted = dict.fromkeys(techniques or ["plain"])
        with transaction.atomic():  # all techniques or none
            for technique in wanted:
                written += write_prompts(
                    dataset=found,
                    classes=find_classes(found, class_names),
                    technique=technique,
                    count=count,
                    author_alias=author,
                    template=template,
                    seed=seed,
                    state=PromptState.APPROVED if approve else PromptState.DRAFT,
                ).prompts
        asked = count * len(wanted)
        short = f" of {asked} asked; no more differ" if len(written) < asked else ""
        state = "and approved" if approve else "to be approved"
        self.answer(
            {
                "dataset": found.slug,
                "asked": asked,
                "written": len(written),
                "approved": approve,
                "author": author,
                "prompts": [
                    {
                        "id": prompt.pk,
                        "class": prompt.label_class.name,
                        "technique": prompt.technique,
                        "text": prompt.text,
                    }
                    for prompt in written
                ],
            },
            f"Wrote {len(written)} captions{short}, {state}.",
            options,
        )
