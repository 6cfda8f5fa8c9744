"""`manage.py generate DATASET`: start a run, and with --wait draw until it has ended."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from synthreview.catalog.management.base import (
    DatasetCommand,
    find_classes,
    find_dataset,
    listed,
    one_line,
)
from synthreview.catalog.models import Dataset
from synthreview.generation.batch_jobs import advance
from synthreview.generation.jobs import draw_call
from synthreview.generation.masks import Box
from synthreview.generation.models import GeneratedImage, Run, service_of
from synthreview.generation.services import RunError, approved_prompts, orders_of, start_run
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.overview.deriving import MaskRule, Origin, Wish, derivations, sources
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.services import write_prompts
from synthreview.prompting.techniques import INSTRUCTED, TECHNIQUES, WRITTEN
from synthreview.prompting.wishes import Wish as PromptWish
from synthreview.spending.gates import gate_of
from synthreview.work.models import WorkState
from synthreview.work.services import take_back_overdue

FIRST_PROMPTS = 4  # captions per class and technique of a first run
IDLE_S = 0.2
TAKE_BACK_EVERY_S = 5.0


class Command(DatasetCommand):
    help = "Have images drawn from the approved captions, evenly."
    expected = (RunError, UnknownAdapterError)

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--count", type=int, required=True, help="images")
        parser.add_argument(
            "--class", action="append", dest="class_names", metavar="NAME", help="repeatable"
        )
        parser.add_argument(
            "--technique",
            action="append",
            dest="techniques",
            choices=list(TECHNIQUES),
            help="repeatable; of those that start from images, one alone",
        )
        parser.add_argument(
            "--from",
            dest="origin",
            default=Origin.APPROVED,
            metavar="approved|reference|IDs",
            help="which images a derivation starts from; IDs are image numbers, 12,15",
        )
        parser.add_argument("--partner", metavar="CLASS", help="fuse with this other class")
        parser.add_argument("--label", metavar="CLASS", help="what a fusion of two classes is")
        parser.add_argument(
            "--keep",
            type=float,
            nargs=4,
            metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
            help="inpaint: the middle that stays, in percent of the picture; the rest is repainted",
        )
        parser.add_argument(
            "--repaint",
            type=float,
            nargs=4,
            metavar=("LEFT", "TOP", "RIGHT", "BOTTOM"),
            help="inpaint: the rectangle that is repainted, in percent; the rest stays",
        )
        parser.add_argument(
            "--keep-subject",
            action="store_true",
            help="inpaint: the subject stays, found by the model of SYNTHREVIEW_SEGMENTER",
        )
        parser.add_argument("--negative", default="", help="what the picture shall not show")
        parser.add_argument("--generator", default="sketch", help="an alias of GENERATORS")
        parser.add_argument(
            "--size",
            type=int,
            default=512,
            dest="size_px",
            help="pixels; inpaint and typographic images are as large as their sources",
        )
        parser.add_argument("--seed", type=int, help="the same seed, the same run")
        parser.add_argument(
            "--option",
            action="append",
            dest="settings_given",
            metavar="KEY=VALUE",
            help="of the generator, such as fault_rate=0.2; repeatable",
        )
        parser.add_argument(
            "--batch",
            action="store_true",
            dest="is_batched",
            help="order it as a batch: cheaper, within a day, where the generator offers that",
        )
        parser.add_argument(
            "--first-run",
            action="store_true",
            help="write captions where there are none; do nothing where there are images",
        )
        parser.add_argument(
            "--wait", action="store_true", help="draw along, with or without workers, to the end"
        )

    def answer_to(
        self,
        *,
        dataset: str,
        count: int,
        class_names: list[str] | None,
        techniques: list[str] | None,
        origin: str,
        partner: str | None,
        label: str | None,
        keep: list[float] | None,
        repaint: list[float] | None,
        keep_subject: bool,
        negative: str,
        generator: str,
        size_px: int,
        seed: int | None,
        settings_given: list[str] | None,
        is_batched: bool,
        first_run: bool,
        wait: bool,
        **options: Any,
    ) -> None:
        found = find_dataset(dataset)
        if seed is not None and not 0 <= seed < 2**62:
            raise CommandError(f"--seed {seed}: choose 0 or above, below 2^62.")
        given = dict(parse_option(text) for text in settings_given or [])
        if first_run and GeneratedImage.objects.filter(dataset=found).exists():
            facts = {"dataset": found.slug, "run": None, "images": 0, "state": "has images"}
            self.answer(facts, f"{found.name} has images already; nothing was started.", options)
            return
        classes = find_classes(found, class_names)
        with transaction.atomic():
            if first_run and not Prompt.objects.filter(dataset=found).exists():
                write_first_prompts(found)
            derived = [technique for technique in techniques or () if technique in INSTRUCTED]
            if derived and techniques != derived[:1]:
                raise CommandError(f"{derived[0]} starts from images: give it a run of its own.")
            if derived:
                wish = Wish(
                    technique=derived[0],
                    **origin_of(origin),
                    classes=classes,
                    partner=find_classes(found, [partner])[0] if partner else None,
                    label=find_classes(found, [label])[0] if label else None,
                    pairs=count,
                    seed=seed or 0,
                    **mask_of(keep, repaint, keep_subject),
                )
                todo = derivations(found, replace(wish, each=each_of(found, wish, count)))
            else:
                todo = orders_of(approved_prompts(found, classes=classes, techniques=techniques))
            run = start_run(
                dataset=found,
                orders=todo,
                count=count,
                negative_prompt=negative,
                generator_alias=generator,
                size_px=size_px,
                seed=seed,
                options=given,
                is_batched=is_batched,
            )
        self.started = run
        if wait:
            self.wait_for(run, quiet=options["verbosity"] == 0)
        self.tell(run, options)

    def wait_for(self, run: Run, *, quiet: bool) -> None:
        """Draw due calls beside any workers until none of the run is open."""
        take_back_at = time.monotonic() + TAKE_BACK_EVERY_S
        with self.bar(total=run.image_count, unit="images") as bar:
            bar.disable = bar.disable or quiet
            while run.calls.open().exists():
                if (gate := gate_of(service_of(run.generator))) and gate.needs_person:
                    raise CommandError(
                        f"{run.generator} is paused: {one_line(gate.reason)}. Run {run.number} "
                        "waits; resume it on its page once that is put right."
                    )
                for batch_pk in list(run.batches.due().values_list("pk", flat=True)):
                    advance(batch_pk)
                if (next_pk := run.calls.due().order_by("pk").values_list("pk").first()) is None:
                    time.sleep(IDLE_S)  # workers draw the rest, or it is put off
                else:
                    draw_call(next_pk[0])
                if time.monotonic() >= take_back_at:
                    take_back_overdue()
                    take_back_at = time.monotonic() + TAKE_BACK_EVERY_S
                bar.update(GeneratedImage.objects.filter(run=run).count() - bar.n)

    def tell(self, run: Run, options: dict[str, Any]) -> None:
        """Answer with what there is; failed calls end the command with code 1 all the same."""
        counts = run.counts()
        reasons = Counter(
            one_line(error)[:200]
            for error in run.calls.filter(
                state__in=[WorkState.FAILED, WorkState.UNKNOWN]
            ).values_list("error", flat=True)
        )
        facts = {
            "dataset": run.dataset.slug,
            "run": run.number,
            "asked": run.image_count,
            "images": counts["images"],
            "calls": {state: counts[state] for state in WorkState.values},
            "reasons": dict(reasons.most_common(20)),
        }
        self.answer(facts, sentence(run, counts), options)
        if reasons:
            lost = counts[WorkState.FAILED] + counts[WorkState.UNKNOWN]
            said = listed((f"{number} times: {why}" for why, number in reasons.most_common()), 5)
            raise CommandError(f"{lost} calls of run {run.number} came to nothing: {said}.")

    def interrupted(self) -> str:
        if run := getattr(self, "started", None):
            return f"Stopped waiting; run {run.number} goes on wherever workers run."
        return super().interrupted()


def sentence(run: Run, counts: dict[str, int]) -> str:
    if counts["open"]:
        return f"Run {run.number}: {run.image_count} images are ordered, {counts['images']} drawn."
    return f"Run {run.number} has ended: {counts['images']} of {run.image_count} images drawn."


def each_of(dataset: Dataset, wish: Wish, count: int) -> int:
    """Return how often each source is used, so that `count` images come of all of them."""
    return max(1, -(-count // len(sources(dataset, wish))))


def origin_of(text: str) -> dict[str, Any]:
    """Return where the sources come from: `origin`, and the numbers of images that are named."""
    if text in (Origin.APPROVED, Origin.REFERENCE):
        return {"origin": text}
    numbers = [part.strip() for part in text.split(",")]
    if not all(number.isascii() and number.isdecimal() for number in numbers):
        raise CommandError(f"--from {text!r}: write approved, reference, or numbers as 12,15.")
    return {"origin": Origin.CHOSEN, "image_ids": tuple(map(int, numbers))}


def mask_of(
    keep: list[float] | None, repaint: list[float] | None, keep_subject: bool
) -> dict[str, Any]:
    """Return the mask's rule and box of a wish. Raises CommandError."""
    if sum(map(bool, (keep, repaint, keep_subject))) > 1:
        raise CommandError(
            "--keep, --keep-subject and --repaint are ways to say one thing: give one."
        )
    if keep_subject:
        return {"mask_rule": MaskRule.SUBJECT}
    try:
        if repaint:
            box = Box(*(share / 100 for share in repaint))
            return {"mask_rule": MaskRule.RECTANGLE, "box": box}
        return {"box": Box(*(share / 100 for share in keep))} if keep else {}
    except ValueError as error:
        raise CommandError(str(error)) from error


def parse_option(text: str) -> tuple[str, Any]:
    """Return ("fault_rate", 0.2) of "fault_rate=0.2"; what is no JSON is a text."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise CommandError(f"--option {text!r}: write key=value, for example fault_rate=0.2.")
    try:
        return key.strip(), json.loads(value)
    except ValueError:
        return key.strip(), value


def write_first_prompts(dataset: Dataset) -> None:
    """Give a dataset without captions some of each technique, approved."""
    classes = find_classes(dataset, None)
    for technique in WRITTEN:
        wish = PromptWish(
            dataset=dataset,
            classes=classes,
            technique=technique,
            count=FIRST_PROMPTS * len(classes),
        )
        write_prompts(wish, state=PromptState.APPROVED)
