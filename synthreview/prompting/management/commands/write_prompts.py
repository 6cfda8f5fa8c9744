"""`manage.py write_prompts DATASET`: have captions written for classes and techniques."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_classes, find_dataset
from synthreview.catalog.models import Dataset
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.authors.base import AuthorError
from synthreview.prompting.coverage import Strategy
from synthreview.prompting.models import PromptState
from synthreview.prompting.services import Written, write_prompts
from synthreview.prompting.techniques import TECHNIQUES

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
            choices=list(TECHNIQUES),
            help="repeatable; plain where none is named",
        )
        parser.add_argument(
            "--count", type=int, default=24, help="captions per technique, over all classes"
        )
        parser.add_argument("--author", default="wordlists", help="an alias of AUTHORS")
        parser.add_argument("--template", default="", help='such as "A [class] {environment}"')
        parser.add_argument(
            "--axis",
            action="append",
            default=[],
            dest="axes",
            metavar="AXIS[=VALUE,VALUE]",
            help="vary this axis, over these values or all; repeatable. Without it, those of the "
            "template",
        )
        parser.add_argument(
            "--strategy",
            choices=[strategy.value for strategy in Strategy],
            default=Strategy.BALANCED.value,
            help="how combinations are chosen",
        )
        parser.add_argument(
            "--label", default="", metavar="NAME", help="the class of a fusion's blends"
        )
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
        axes: list[str],
        strategy: str,
        label: str,
        seed: int,
        approve: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        if not 1 <= count <= MAX_COUNT:
            raise CommandError(f"--count {count}: choose between 1 and {MAX_COUNT:,}.")
        classes = find_classes(found, class_names)
        wanted = dict.fromkeys(techniques or ["plain"])
        chosen_label = find_classes(found, [label])[0] if label else None
        # No transaction around them: an author may be an API that answers in minutes.
        written = [
            write_prompts(
                dataset=found,
                classes=classes,
                technique=technique,
                count=count,
                author_alias=author,
                template=template,
                axes=self.selection(axes),
                strategy=strategy,
                label=chosen_label,
                seed=seed,
                state=PromptState.APPROVED if approve else PromptState.DRAFT,
            )
            for technique in wanted
        ]
        self.tell(found, author, written, options)

    def selection(self, axes: list[str]) -> dict[str, list[str]] | None:
        """Return {axis: values} of "environment=beach,forest"; no values mean all of them."""
        chosen: dict[str, list[str]] = {}
        for text in axes:
            axis, _, values = text.partition("=")
            names = [name.strip() for name in values.split(",") if name.strip()]
            chosen.setdefault(axis.strip(), []).extend(names)
        return chosen or None

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
        covered = [one for result in written for one in result.coverage.values()]
        pairs = (sum(one.pairs_covered for one in covered), sum(one.pairs_total for one in covered))
        met = f" {pairs[0]:,} of {pairs[1]:,} pairs of values meet." if pairs[1] else ""
        short = f" of {asked} asked" if len(prompts) < asked else ""
        self.answer(
            {
                "dataset": dataset.slug,
                "author": author,
                "asked": asked,
                "written": len(prompts),
                "approved": approved,
                "dropped": dropped,
                "pairs": {"covered": pairs[0], "total": pairs[1]},
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
            f"{len(prompts) - approved} to be approved.{met}",
            options,
        )
