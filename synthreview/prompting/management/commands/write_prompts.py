"""`manage.py write_prompts DATASET`: have captions written for classes and techniques."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import (
    DatasetCommand,
    find_classes,
    find_dataset,
    listed,
    one_line,
)
from synthreview.catalog.models import Dataset
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.lib.outcomes import ServiceError
from synthreview.prompting.axes import add_none_of_these, add_starter_axes
from synthreview.prompting.briefs import MAX_INSTRUCTION, Brief
from synthreview.prompting.choosing import Strategy
from synthreview.prompting.drafting import author as author_of
from synthreview.prompting.jobs import write_call
from synthreview.prompting.models import (
    Prompt,
    PromptState,
    Writing,
    WritingCall,
    service_of,
)
from synthreview.prompting.ordering import order_writing
from synthreview.prompting.services import Written, write_prompts, write_set
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.prompting.wishes import Share, Wish, templates_of, varying
from synthreview.spending.gates import gate_of
from synthreview.work.models import WorkState
from synthreview.work.services import take_back_overdue

MAX_COUNT = 100_000
IDLE_S = 0.2
TAKE_BACK_EVERY_S = 5.0


class Command(DatasetCommand):
    help = "Write captions, evenly over the classes; they wait for approval unless --approve."
    expected = (ValueError, UnknownAdapterError, ServiceError)

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
        parser.add_argument(
            "--fill-gaps", action="store_true", help="first what no prompt covers yet, by name"
        )
        parser.add_argument(
            "--open-slot",
            default=Brief().open_slot,
            metavar="SLOT",
            help="the slot that a language model fills with words of its own; empty: it writes "
            "whole captions",
        )
        parser.add_argument("--language", default="", help="of a language model's captions: de")
        parser.add_argument(
            "--instruction", default="", help="what else a language model should know"
        )
        parser.add_argument(
            "--no-examples",
            action="store_false",
            dest="examples",
            help="show a language model no captions that people approved or rejected",
        )
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
        fill_gaps: bool,
        open_slot: str,
        language: str,
        instruction: str,
        examples: bool,
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
        brief = Brief(language, open_slot, instruction[:MAX_INSTRUCTION], examples, fill_gaps)
        if together:
            written = list(write_set(wish, techniques=wanted, state=state).values())
        else:
            how: dict[str, Any] = {"author_alias": author, "brief": brief, "state": state}
            wishes = [replace(wish, technique=name) for name in wanted]
            if author_of(author).needs_worker:
                written = self.wait_for([order_writing(one, **how) for one in wishes], options)
            else:
                written = [write_prompts(one, **how) for one in wishes]
        self.tell(found, author, written, options, together=together)

    def wait_for(self, ordered: list[Writing], options: dict[str, Any]) -> list[Written]:
        """Ask due questions beside any workers, until none of the writings is open."""
        self.ordered = ordered
        calls = WritingCall.objects.filter(writing__in=ordered)
        total = sum(writing.asked for writing in ordered)
        take_back_at = time.monotonic() + TAKE_BACK_EVERY_S
        with self.bar(total=total, unit="captions") as bar:
            bar.disable = bar.disable or options["verbosity"] == 0
            while calls.open().exists():
                gate = gate_of(service_of(ordered[0].server))
                if gate is not None and gate.needs_person:
                    raise CommandError(
                        f"{ordered[0].author} is paused: {one_line(gate.reason)}. What waits is "
                        "resumed on the page of its writing once that is put right."
                    )
                if (next_pk := calls.due().order_by("pk").values_list("pk").first()) is None:
                    time.sleep(IDLE_S)  # workers write the rest, or it is put off
                else:
                    write_call(next_pk[0])
                if time.monotonic() >= take_back_at:
                    take_back_overdue()
                    take_back_at = time.monotonic() + TAKE_BACK_EVERY_S
                bar.update(Prompt.objects.filter(writing__in=ordered).count() - bar.n)
        failed = calls.filter(state__in=[WorkState.FAILED, WorkState.UNKNOWN])
        errors = listed(dict.fromkeys(map(one_line, failed.values_list("error", flat=True))), 5)
        prompts = Prompt.objects.filter(writing__in=ordered).select_related("label_class")
        if errors and not prompts.exists():
            raise CommandError(f"Nothing was written: {errors}.")
        if errors:
            self.stderr.write(f"Some answers are missing: {errors}.")
        found = []
        for writing in ordered:
            writing.refresh_from_db()
            found.append(Written(writing, list(prompts.filter(writing=writing).order_by("pk"))))
        return found

    def interrupted(self) -> str:
        if getattr(self, "ordered", None):
            return "Stopped waiting; what was ordered goes on wherever workers run."
        return super().interrupted()

    def selection(self, axes: list[str]) -> dict[str, list[str]] | None:
        """Return {axis: values} of "environment=beach,forest"; no values mean all of them."""
        chosen: dict[str, list[str]] = {}
        for text in axes:
            axis, _, values = text.partition("=")
            names = [name.strip() for name in values.split(",") if name.strip()]
            chosen.setdefault(axis.strip(), []).extend(names)
        return chosen or None

    def tell(
        self,
        dataset: Dataset,
        author: str,
        written: list[Written],
        options: dict[str, Any],
        *,
        together: bool,
    ) -> None:
        prompts = [prompt for result in written for prompt in result.prompts]
        asked = sum(result.asked for result in written)
        approved = sum(prompt.state == PromptState.APPROVED for prompt in prompts)
        dropped = sum(result.writing.dropped_count for result in written)
        pairs_of = {result.writing.technique: result.pairs for result in written}
        # A set is made so that values meet in its last technique, which alone has every axis.
        told = written[-1:] if together else written
        pairs = [sum(counts) for counts in zip(*(result.pairs for result in told), strict=True)]
        where = f"In {told[0].writing.get_technique_display()} " if together else ""
        met = f" {where}{pairs[0]:,} of {pairs[1]:,} pairs of values meet." if pairs[1] else ""
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
                "pairs_by_technique": {
                    technique: {"covered": covered, "total": total}
                    for technique, (covered, total) in pairs_of.items()
                },
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
