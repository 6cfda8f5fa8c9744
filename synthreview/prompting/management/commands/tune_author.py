"""`manage.py tune_author DATASET`: train an author on the captions that people approved."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from synthreview.catalog.management.base import (
    DatasetCommand,
    find_classes,
    find_dataset,
    listed,
    one_line,
)
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.lib.money import dollars
from synthreview.prompting.drafting import author as author_of
from synthreview.prompting.finetuning import (
    Lesson,
    Side,
    answers_of,
    lesson_of,
    order_comparison,
    order_tuning,
    sides_of,
    suggested_held_out,
    training_cost_usd,
    tunable_authors,
)
from synthreview.prompting.jobs import write_call
from synthreview.prompting.models import Tuning, WritingCall
from synthreview.prompting.tuning.file import to_jsonl
from synthreview.prompting.tuning_jobs import tune
from synthreview.work.models import OPEN_STATES, WorkState

IDLE_S = 0.2


class Command(DatasetCommand):
    help = "Train an author on the captions that people approved; it becomes an author of its own."
    expected = (ValueError, UnknownAdapterError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--author", help="an alias of AUTHORS; the only tunable one if omitted")
        parser.add_argument("--title", default="", help="what the new author is called")
        parser.add_argument(
            "--hold-out",
            action="append",
            metavar="CLASS",
            help="keep this class out, for the comparison; repeatable. Without it, every fifth",
        )
        parser.add_argument(
            "--preference",
            action="store_true",
            help="learn from pairs of approved and rejected captions (servers only)",
        )
        parser.add_argument("--epochs", type=int, default=3, help="how often each is read")
        parser.add_argument("--learning-rate", type=float, default=2e-4, help="of local training")
        parser.add_argument("--rank", type=int, default=16, help="of the LoRA adapter")
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument(
            "--check", action="store_true", help="only say what the file holds and costs"
        )
        parser.add_argument(
            "--export", type=Path, metavar="FILE", help="only write the file, for another trainer"
        )
        parser.add_argument(
            "--compare",
            type=int,
            default=0,
            metavar="N",
            help="then have both authors write N captions for the held-out classes",
        )
        parser.add_argument("--no-wait", action="store_true", help="leave the work to a worker")

    def answer_to(
        self,
        *,
        dataset: str,
        author: str | None,
        title: str,
        hold_out: list[str] | None,
        preference: bool,
        epochs: int,
        learning_rate: float,
        rank: int,
        seed: int,
        check: bool,
        export: Path | None,
        compare: int,
        no_wait: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        known = dict(tunable_authors(found))
        alias = author or next(iter(known), "")
        if not alias and export is None:
            raise CommandError(
                "No author can be tuned: name a model in SYNTHREVIEW_LLM, or a server in "
                "SYNTHREVIEW_OPENAI_MODEL."
            )
        base = author_of(alias) if alias else None
        held_out = find_classes(found, hold_out) if hold_out else suggested_held_out(found)
        if check or export is not None:
            lesson = lesson_of(
                found,
                held_out=held_out,
                is_preference=preference,
                answers=answers_of(base) if base else "lines",
                seed=seed,
            )
            if export is not None:
                export.write_text("".join(to_jsonl(lesson.rows)), encoding="utf-8")
            cost = training_cost_usd(base, lesson.report, epochs) if base else None
            self.tell_lesson(found.slug, lesson, cost, options)
            return
        if epochs < 1 or rank < 1 or learning_rate <= 0:
            raise CommandError("--epochs, --rank and --learning-rate must be above 0.")
        tuning = order_tuning(
            dataset=found,
            base=alias,
            title=title,
            held_out=held_out,
            is_preference=preference,
            options={
                "epochs": epochs,
                "learning_rate": learning_rate,
                "rank": rank,
                "seed": seed,
            },
        )
        self.ordered = tuning
        sides: tuple[Side, ...] = ()
        if not no_wait:
            self.wait_for(tuning, options)
            if compare:
                sides = self.compared(tuning, compare)
        self.tell(tuning, sides, options)

    def wait_for(self, tuning: Tuning, options: dict[str, Any]) -> None:
        """Train along, with or without a worker, until it has ended."""
        with self.bar(total=None, unit="steps") as bar:
            bar.disable = bar.disable or options["verbosity"] == 0
            while True:
                if Tuning.objects.due().filter(pk=tuning.pk).exists():
                    tune(tuning.pk)
                tuning.refresh_from_db()
                bar.total = tuning.steps_total or None
                bar.update(tuning.steps_done - bar.n)
                if tuning.state not in OPEN_STATES:
                    break
                time.sleep(IDLE_S)
        if tuning.state != WorkState.DONE:
            raise CommandError(f"{tuning.title}: {one_line(tuning.error) or tuning.state}.")

    def compared(self, tuning: Tuning, count: int) -> tuple[Side, ...]:
        comparison = order_comparison(tuning, count=count)
        calls = WritingCall.objects.filter(writing__in=[comparison.plain, comparison.tuned])
        while calls.open().exists():
            if (next_pk := calls.due().order_by("pk").values_list("pk").first()) is None:
                time.sleep(IDLE_S)
            else:
                write_call(next_pk[0])
        return sides_of(comparison)

    def tell_lesson(self, slug: str, lesson: Lesson, cost: Any, options: dict[str, Any]) -> None:
        report = lesson.report
        facts = {
            "dataset": slug,
            "rows": report.rows,
            "approved": lesson.approved,
            "rejected": lesson.rejected,
            "tokens": report.tokens,
            "cost_usd": None if cost is None else float(cost),
            "faults": [f"line {line}: {said}" if line else said for line, said in report.faults],
            "warnings": list(report.warnings),
        }
        said = f" Not sound: {listed(facts['faults'], 3)}" if report.faults else ""
        self.answer(
            facts,
            f"{report.rows} rows of {lesson.approved} approved captions, about {report.tokens:,} "
            f"tokens.{said}",
            options,
        )

    def tell(self, tuning: Tuning, sides: tuple[Side, ...], options: dict[str, Any]) -> None:
        facts = {
            "dataset": tuning.dataset.slug,
            "author": tuning.alias,
            "title": tuning.title,
            "state": str(tuning.state),
            "rows": tuning.rows,
            "tokens": tuning.tokens,
            "billed_micro_usd": tuning.billed_micro_usd,
            "report": tuning.report,
            "comparison": {
                name: {
                    "gate_pass_rate": side.numbers.gate_pass_rate,
                    "coverage": side.numbers.coverage,
                    "distinct_1": side.numbers.distinct_1,
                    "distinct_2": side.numbers.distinct_2,
                }
                for name, side in zip(("plain", "tuned"), sides, strict=False)
            },
        }
        if tuning.state == WorkState.DONE:
            said = f"{tuning.title} is an author now: --author {tuning.alias}. "
            said += f"It cost {dollars(tuning.billed_micro_usd)}."
        else:
            said = f"{tuning.title} is ordered; a prompting worker trains it."
        self.answer(facts, said, options)

    def interrupted(self) -> str:
        if getattr(self, "ordered", None):
            return "Stopped waiting; the training goes on wherever workers run."
        return super().interrupted()
