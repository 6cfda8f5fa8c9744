"""`manage.py write_prompts DATASET`: have captions written for classes and techniques."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_classes, find_dataset
from synthreview.catalog.models import Dataset
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.authors.base import AuthorError
from synthreview.prompting.models import PromptState
from synthreview.prompting.services import Written, write_prompts
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
        classes = find_classes(found, class_names)
        wanted = dict.fromkeys(techniques or ["plain"])
        # No transaction around them: an author may be an API that answers in minutes.
        written = [
            write_prompts(
                dataset=found,
                classes=classes,
                technique=technique,
                count=count,
                author_alias=author,
                template=template,
                seed=seed,
                state=PromptState.APPROVED if approve else PromptState.DRAFT,
            )
            for technique in wanted
        ]
        self.tell(found, author, written, options)

    def tell(
        self, dataset: Dataset, author: str, written: list[Written], options: dict[str, Any]
    ) -> None:
        prompts = [prompt for result in written for prompt in result.prompts]
        asked = sum(result.asked for result in written)
        approved = sum(prompt.state == PromptState.APPROVED for prompt in prompts)
        reasons = {
            prompt.pk: [str(reason.text) for reason in reasons]
            for result in written
            for prompt, reasons in result.flagged
        }
        dropped = sum(len(result.dropped) for result in written)
        short = f" of {asked} asked" if len(prompts) < asked else ""
        self.answer(
            {
                "dataset": dataset.slug,
                "author": author,
                "asked": asked,
                "written": len(prompts),
                "approved": approved,
                "dropped": dropped,
                "prompts": [
                    {
                        "id": prompt.pk,
                        "class": prompt.label_class.name,
                        "technique": prompt.technique,
                        "text": prompt.text,
                        "state": str(prompt.state),
                        "flags": reasons.get(prompt.pk, []),
                    }
                    for prompt in prompts
                ],
                "notes": [note for result in written for note in result.notes],
            },
            f"Wrote {len(prompts)} captions{short}: {approved} approved, "
            f"{len(prompts) - approved} to be approved.",
            options,
        )
