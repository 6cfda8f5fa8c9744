"""`manage.py write_prompts DATASET`: have captions written for classes and techniques."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import DatasetCommand, find_classes, find_dataset
from synthreview.catalog.models import Dataset
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.prompting.authors.base import AuthorError
from synthreview.prompting.axes import add_none_of_these, add_starter_axes
from synthreview.prompting.choosing import Strategy
from synthreview.prompting.models import PromptState
from synthreview.prompting.services import Written, write_prompts, write_set
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.prompting.wishes import Share, Wish, templates_of, varying

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
            "--together",
            action="store_true",
            help="share --count over the techniques (all text techniques where none is named), so "
            "that every two values of the axes meet",
        )
        parser.add_argument(
            "--count", type=int, default=24, help="captions per technique, over all classes"
        )
        parser.add_argument(
            "--starter-axes",
            action="store_true",
            help="first add the word lists that the techniques begin with, where the dataset "
            "lacks them, and the class for none of these where adversarial prompts need it",
        )
        parser.add_argument("--author", default="wordlists", help="an alias of AUTHORS")
        parser.add_argument(
            "--template",
            action="append",
            default=[],
            dest="templates",
            metavar="TEXT",
            help='such as "A [class] {environment}"; several take turns',
        )
        parser.add_argument(
            "--share",
            choices=[share.value for share in Share],
            default=Share.EVEN.value,
            help="how many captions each of several templates gets: learned gives more to those "
            "whose images people approve",
        )
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
        together: bool,
        count: int,
        starter_axes: bool,
        author: str,
        templates: list[str],
        share: str,
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
        wanted = list(dict.fromkeys(techniques or (WRITTEN if together else ["plain"])))
        if together and (templates or author != "wordlists"):
            raise CommandError("--together goes by word lists and the techniques' own templates.")
        if starter_axes:
            add_starter_axes(found, wanted)
            if "adversarial" in wanted:
                add_none_of_these(found)
        state = PromptState.APPROVED if approve else PromptState.DRAFT
        wish = Wish(
            dataset=found,
            classes=find_classes(found, class_names),
            technique=wanted[0],
            count=count,
            templates=templates_of("\n".join(templates)),
            share=Share(share),
            strategy=Strategy(strategy),
            label=find_classes(found, [label])[0] if label else None,
            seed=seed,
            **varying(self.selection(axes)),
        )
        if together:
            written = list(write_set(wish, techniques=wanted, state=state).values())
        else:
            # No transaction around them: an author may be an API that answers in minutes.
            written = [
                write_prompts(replace(wish, technique=name), author_alias=author, state=state)
                for name in wanted
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
                        "flags": [reason for _, reason in prompt.flags],
                    }
                    for prompt in prompts
                ],
                "notes": [note for result in written for note in result.notes],
            },
            f"Wrote {len(prompts)} captions{short}: {approved} approved, "
            f"{len(prompts) - approved} to be approved.{met}",
            options,
        )
