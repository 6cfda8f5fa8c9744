"""Verbs over fine-tuning: what is learnt from, the order, stop, try again, compare.

The file and the training are in `tuning/`, which knows no Django; the worker's side is
`tuning_jobs`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q, Sum
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.blobs import write_atomically
from synthreview.lib.money import micro_usd
from synthreview.lib.text import text_key
from synthreview.prompting import gate
from synthreview.prompting.authors.base import Author, Caption, Tunable
from synthreview.prompting.authors.openai import OpenAIAuthor
from synthreview.prompting.briefs import Brief
from synthreview.prompting.drafting import Desk, author, author_title, authors_of
from synthreview.prompting.learning import Rate, Tally, rate_of
from synthreview.prompting.models import (
    Comparison,
    Prompt,
    PromptOutcome,
    PromptState,
    Tuning,
    Writing,
)
from synthreview.prompting.ordering import order_writing, stop_writing
from synthreview.prompting.techniques import LOOK, WRITTEN
from synthreview.prompting.tuning.evaluation import AuthorEvaluation, assess
from synthreview.prompting.tuning.file import (
    Example,
    FileReport,
    Format,
    Row,
    chat_rows,
    check_file,
    hold_out,
    preference_rows,
    to_jsonl,
)
from synthreview.prompting.tuning.lora import LoraSettings
from synthreview.prompting.wishes import Wish, wish_of
from synthreview.spending.models import Budget
from synthreview.spending.services import reserve, resolve_unknown, retry_paid
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import enqueue_on_commit

MOST_EXAMPLES = 20_000
HELD_OUT_SHARE = 5  # of so many classes one is kept for the comparison
TRAINING_FILE, MEASURED_FILE = "training.jsonl", "measured.jsonl"


class TuningError(ValueError):
    """It cannot be trained so; the message says why and what to do."""


# --- What is learnt from --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lesson:
    """What there is to learn from: the rows of the file, and those kept for measuring."""

    rows: list[Row]
    measured: list[Row]
    report: FileReport
    approved: int
    rejected: int


def examples_of(dataset: Dataset) -> tuple[list[Example], list[Example]]:
    """Return the captions that people approved and rejected, the newest MOST_EXAMPLES.

    Where images of a caption were judged they decide; else what was made of the caption itself.
    """
    rows = Prompt.objects.filter(dataset=dataset, technique__in=WRITTEN).filter(
        Q(outcome__approved__gt=0) | Q(outcome__rejected__gt=0) | ~Q(state=PromptState.DRAFT)
    )
    good, bad = list[Example](), list[Example]()
    for name, text, technique, template, slots, state, flags, brief, yes, no in rows.order_by(
        "-pk"
    ).values_list(
        "label_class__name",
        "text",
        "technique",
        "template",
        "slots",
        "state",
        "flags",
        "writing__brief",
        "outcome__approved",
        "outcome__rejected",
    )[:MOST_EXAMPLES]:
        example = Example(
            class_name=slots.get(LOOK) or name,
            text=text,
            technique=technique,
            template=template,
            language=(brief or {}).get("language") or "en",
            slots=tuple(slots.items()),
        )
        more = (yes or 0) - (no or 0)
        if more > 0 or (not (yes or no) and state == PromptState.APPROVED):
            good.append(example)
        elif (more < 0 or state == PromptState.RETIRED) and not _is_machine_made(flags):
            bad.append(example)
    return good, bad


def _is_machine_made(flags: Iterable[Sequence[str]]) -> bool:
    return any(code == gate.NEAR_MEANING for code, _ in flags)


def suggested_held_out(dataset: Dataset) -> list[LabelClass]:
    """Return the classes that a comparison should ask for: every fifth, none of a single one."""
    classes = [one for one in dataset.classes.all() if not one.is_none_of_these]
    return classes[HELD_OUT_SHARE - 1 :: HELD_OUT_SHARE] or classes[1:][-1:]


def lesson_of(
    dataset: Dataset,
    *,
    held_out: Collection[LabelClass] = (),
    is_preference: bool = False,
    answers: Format = "lines",
    seed: int = 0,
) -> Lesson:
    """Build the training file of a dataset, and look it through."""
    good, bad = examples_of(dataset)
    names = {one.name for one in held_out}
    learnt, kept = hold_out(good, names)
    if is_preference:
        worse, _ = hold_out(bad, names)
        rows, measured = preference_rows(learnt, worse, answers=answers, seed=seed), []
    else:
        rows = chat_rows(learnt, answers=answers, seed=seed)
        measured = chat_rows(kept, answers=answers, seed=seed)
    return Lesson(rows, measured, check_file(to_jsonl(rows)), len(learnt), len(bad))


def tunable_authors(dataset: Dataset) -> list[tuple[str, Author]]:
    """Return the authors whose models can be tuned, by alias; tuned ones are not tuned again."""
    return [
        (alias, one)
        for alias, one in authors_of(dataset)
        if isinstance(one, Tunable) and not alias.startswith("tuned-")
    ]


def answers_of(base: Author) -> Format:
    """Return how the author is asked, and so what its model must learn to answer."""
    return "lines" if getattr(base, "tuned_where", "") == "local" else "json"


def training_cost_usd(base: Author, report: FileReport, epochs: int) -> Decimal | None:
    """Return what training costs; 0 on this machine, None where no price is known."""
    if not isinstance(base, OpenAIAuthor):
        return Decimal(0)
    return base.training_usd(report.tokens * epochs)


# --- The order ------------------------------------------------------------------------


def order_tuning(
    *,
    dataset: Dataset,
    base: str,
    title: str = "",
    held_out: Collection[LabelClass] = (),
    is_preference: bool = False,
    options: Mapping[str, Any] | None = None,
    created_by: User | None = None,
) -> Tuning:
    """Write the training file, put the order on record, reserve what it costs, send it to work.

    `options` are fields of `LoraSettings`; a server takes the epochs and the seed of them.
    Raises TuningError (author, file), OverBudgetError, UnknownAdapterError.
    """
    plain = author(base)
    if base not in dict(tunable_authors(dataset)) or not isinstance(plain, Tunable):
        raise TuningError(f"{plain.title} cannot be fine-tuned: it has no model of its own.")
    if is_preference and plain.tuned_where == "local":
        raise TuningError("Local training takes chats; preference pairs go to a server only.")
    try:
        settings = LoraSettings(**(options or {}))
    except TypeError as error:
        raise TuningError(f"Unknown option: {error}") from error
    lesson = lesson_of(
        dataset,
        held_out=held_out,
        is_preference=is_preference,
        answers=answers_of(plain),
        seed=settings.seed,
    )
    if not lesson.report.is_sound:
        faults = " ".join(said for _, said in lesson.report.faults[:3])
        raise TuningError(f"There is too little, or nothing good, to learn from. {faults}")
    cost = training_cost_usd(plain, lesson.report, settings.epochs)
    with transaction.atomic():
        reserve(dataset, micro_usd(cost or 0))
        tuning = Tuning.objects.create(
            dataset=dataset,
            title=title or f"{plain.title}, tuned on {dataset.name}"[:80],
            base=base,
            where=plain.tuned_where,
            is_preference=is_preference,
            options=asdict(settings),
            held_out=[one.slug for one in held_out],
            rows=lesson.report.rows,
            tokens=lesson.report.tokens,
            estimated_micro_usd=micro_usd(cost or 0),
            # By its file a job is found again: sending again pays nothing twice.
            is_repeatable=True,
            report={"cost_is_known": cost is not None},
            created_by=created_by,
        )
        for name, rows in {TRAINING_FILE: lesson.rows, MEASURED_FILE: lesson.measured}.items():
            write_atomically(tuning.folder / name, "".join(to_jsonl(rows)).encode())
        enqueue_on_commit([tuning])
        names = ("base", "where", "options", "held_out", "rows", "estimated_micro_usd")
        record(Act.TUNING_ORDERED, tuning, after=facts(tuning, *names), by=created_by)
    return tuning


@transaction.atomic
def stop_tuning(tuning: Tuning) -> bool:
    """Stop it: at once on this machine, by the worker's next look where a server trains."""
    rows = Tuning.objects.filter(pk=tuning.pk, state__in=OPEN_STATES)
    if tuning.where == "server" and tuning.sent_at:
        asked = bool(rows.update(stop_asked=True, due_at=Now()))
        if asked:
            record(Act.TUNING_STOPPED, tuning)
        return asked
    stopped = rows.filter(sent_at=None).update(
        state=WorkState.CANCELLED, settled_at=Now(), lease_token=None, lease_expires_at=None
    )
    if stopped:
        estimated = tuning.estimated_micro_usd
        Budget.objects.settle(tuning.dataset_id, estimated_micro_usd=estimated, billed_micro_usd=0)
        record(Act.TUNING_STOPPED, tuning)
    return bool(stopped)


@transaction.atomic
def retry_tuning(tuning: Tuning) -> bool:
    """Begin a failed training anew, on the same file. Raises OverBudgetError."""
    Tuning.objects.filter(pk=tuning.pk, state=WorkState.FAILED).update(
        server_file="", server_job="", stop_asked=False, steps_done=0, events=[]
    )
    return bool(retry_paid(tuning.dataset, [tuning]))


def settle_unknown_tuning(tuning: Tuning, outcome: str) -> bool:
    """End a training of unknown outcome as a person decided, or look for its job once more."""
    return bool(resolve_unknown(tuning.dataset, [tuning], outcome))


# --- The tuned author beside the plain one ----------------------------------------------


@transaction.atomic
def order_comparison(tuning: Tuning, *, count: int, created_by: User | None = None) -> Comparison:
    """Have both authors write the same for the held-out classes, as drafts, and compare them.

    Raises TuningError, OverBudgetError.
    """
    if tuning.state != WorkState.DONE:
        raise TuningError("There is no tuned author yet.")
    classes = list(tuning.dataset.classes.filter(slug__in=tuning.held_out))
    if not classes:
        raise TuningError(
            "No class was held out: what the author learnt by heart would be praised."
        )
    wish = Wish(
        dataset=tuning.dataset,
        classes=classes,
        technique=WRITTEN[0],
        count=count,
        seed=tuning.pk,
    )
    brief = Brief(open_slot="", shares_examples=False)
    plain, tuned = (
        order_writing(wish, author_alias=alias, brief=brief, created_by=created_by, is_trial=True)
        for alias in (tuning.base, tuning.alias)
    )
    comparison = Comparison.objects.create(tuning=tuning, plain=plain, tuned=tuned)
    record(
        Act.COMPARISON_ORDERED,
        comparison,
        dataset=tuning.dataset_id,
        after={"tuning": tuning.pk, "count": count},
        by=created_by,
    )
    return comparison


@dataclass(frozen=True, slots=True)
class Side:
    """One author of a comparison: its trial, its numbers, and what people made of its images."""

    title: str
    writing: Writing
    is_open: bool
    numbers: AuthorEvaluation
    tally: Tally
    rate: Rate

    @property
    def approved_percent(self) -> int:
        return round(100 * self.tally.approved / self.tally.images) if self.tally.images else 0

    @property
    def low_percent(self) -> int:
        return round(100 * self.rate.low)

    @property
    def high_percent(self) -> int:
        return round(100 * self.rate.high)


def stop_comparison(comparison: Comparison) -> int:
    """Stop both trials; returns how many answers are not asked any more."""
    return stop_writing(comparison.plain) + stop_writing(comparison.tuned)


def sides_of(comparison: Comparison) -> tuple[Side, Side]:
    """Return the plain author's side and the tuned one's."""
    return _side(comparison, comparison.plain), _side(comparison, comparison.tuned)


def _side(comparison: Comparison, writing: Writing) -> Side:
    dataset = comparison.tuning.dataset
    wish = wish_of(dataset, writing.technique, writing.asked, writing.wish)
    desk = Desk(wish, Brief.of(writing.brief), is_trial=True)
    calls = list(writing.calls.select_related("label_class").order_by("pk"))
    answers, keys = [], set[tuple[int, str]]()
    for label_class, count in desk.shares():
        request = desk.request(label_class, count, avoid=frozenset())
        judged = list(_judged(one.captions for one in calls if one.label_class == label_class))
        answers.append((request, count, judged))
        keys |= {
            (label_class.pk, text_key(one.caption.text))
            for one in judged
            if one.outcome is not gate.Outcome.DROPPED
        }
    tally = _tally(comparison, keys)
    return Side(
        title=author_title(writing.author),
        writing=writing,
        is_open=any(one.state in OPEN_STATES for one in calls),
        numbers=assess(answers),
        tally=tally,
        rate=rate_of(tally),
    )


def _judged(captions: Iterable[Iterable[Mapping[str, Any]]]) -> Iterator[gate.Judged]:
    for answer in captions:
        for one in answer:
            yield gate.Judged(
                Caption(one["text"], one["slots"]),
                gate.Outcome(one["outcome"]),
                tuple(gate.Reason(code, "") for code in one["codes"]),
            )


def _tally(comparison: Comparison, keys: Collection[tuple[int, str]]) -> Tally:
    """Return what people made of the images; a caption that both wrote counts for both."""
    rows = PromptOutcome.objects.filter(
        prompt__writing__in=[comparison.plain_id, comparison.tuned_id],
        prompt__label_class__in={pk for pk, _ in keys},
        prompt__text_key__in={key for _, key in keys},
    )
    sums = rows.aggregate(approved=Sum("approved", default=0), rejected=Sum("rejected", default=0))
    return Tally(sums["approved"], sums["rejected"])
