"""Verbs of prompting: write, add, change and approve captions."""

from __future__ import annotations

import dataclasses
import functools
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import transaction

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.lib.adapters import load_adapter
from synthreview.lib.text import normalised, without_note
from synthreview.prompting import gate
from synthreview.prompting.authors.base import Author, AuthorError, Caption, Usage, WriteRequest
from synthreview.prompting.coverage import (
    Coverage,
    Space,
    Strategy,
    choose,
    coverage,
    grid_coverage,
)
from synthreview.prompting.models import Prompt, PromptQuerySet, PromptState
from synthreview.prompting.planning import (
    ClassPlan,
    Plan,
    Selection,
    Stock,
    coverage_of,
    drawable,
    space_of,
)
from synthreview.prompting.techniques import (
    DEFAULT_TEMPLATES,
    INSTRUCTED,
    TECHNIQUES,
    WRITTEN,
    LabelRule,
    own_slots,
)
from synthreview.prompting.template import check_template

BATCH = 1_000
PLANNED_ROWS = 60  # so many of a covering array are made for a plan
NEAR_KNOWN = 5_000  # so many of a class's newest captions are searched for near-duplicates


@functools.cache
def author(alias: str) -> Author:
    """Return the author of that name. Raises UnknownAdapterError."""
    loaded: Author = load_adapter(settings.AUTHORS, alias, "author")
    return loaded


@dataclass(frozen=True, slots=True)
class Brief:
    """What a language model is told besides the template; word lists need none of it.

    `gaps`, `approved` and `rejected` go by the class's primary key. What reviewers wrote as
    free text has no place here. `embed` and the thresholds are the gate's.
    """

    language: str = ""
    open_slot: str = "action"
    instruction: str = ""
    gaps: Mapping[int, Sequence[Mapping[str, str]]] = field(default_factory=dict)
    approved: Mapping[int, Sequence[str]] = field(default_factory=dict)
    rejected: Mapping[int, Sequence[str]] = field(default_factory=dict)
    embed: gate.Embed | None = None
    text_threshold: float = gate.TEXT_THRESHOLD
    embedding_threshold: float = gate.EMBEDDING_THRESHOLD


@dataclass(frozen=True, slots=True)
class Drafted:
    """What an author wrote and what the gate made of it; nothing is stored yet."""

    judged: list[tuple[LabelClass, gate.Judged]]
    usage: Usage
    notes: tuple[str, ...] = ()
    coverage: Mapping[int, Coverage] = field(default_factory=dict)

    @property
    def passed(self) -> list[tuple[LabelClass, gate.Judged]]:
        return [row for row in self.judged if row[1].outcome is not gate.Outcome.DROPPED]

    @property
    def dropped(self) -> list[tuple[LabelClass, gate.Judged]]:
        return [row for row in self.judged if row[1].outcome is gate.Outcome.DROPPED]


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a wish: the prompts stored, how many were asked for, and what was not kept.

    `flagged` are stored too, always as drafts. Every reason is a code and a sentence.
    `coverage` goes by the primary key of the class that was asked for.
    """

    prompts: list[Prompt]
    asked: int
    dropped: list[tuple[LabelClass, gate.Judged]] = field(default_factory=list)
    flagged: list[tuple[Prompt, tuple[gate.Reason, ...]]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()
    coverage: Mapping[int, Coverage] = field(default_factory=dict)


def template_for(technique: str, template: str, axes: set[str]) -> str:
    """Return the template to use. Raises ValueError where a given one is wrong."""
    if template:
        check_template(template, {*axes, *own_slots(technique)})
        return template
    return DEFAULT_TEMPLATES[technique]


def preview(
    *,
    dataset: Dataset,
    classes: Sequence[LabelClass],
    technique: str,
    count: int,
    author_alias: str = "wordlists",
    template: str = "",
    seed: int = 0,
    brief: Brief | None = None,
    strategy: str = Strategy.BALANCED,
    axes: Selection | None = None,
) -> list[tuple[LabelClass, Caption]]:
    """Return up to `count` new captions over the classes in turn; nothing is stored.

    `axes` restricts the values that are used ({axis: names}; none of them: all), and gives the
    technique's own template a slot for each axis in it. Adversarial captions come with the
    label that they get, which is not the class that they resemble.
    Raises: ValueError (template, axes, no label), AuthorError, UnknownAdapterError.
    """
    drafted = draft(
        dataset=dataset,
        classes=classes,
        technique=technique,
        count=count,
        author_alias=author_alias,
        template=template,
        seed=seed,
        brief=brief,
        strategy=strategy,
        axes=axes,
    )
    return [(label_class, judged.caption) for label_class, judged in drafted.passed]


def plan(
    *,
    dataset: Dataset,
    classes: Sequence[LabelClass],
    technique: str,
    count: int,
    template: str = "",
    seed: int = 0,
    strategy: str = Strategy.BALANCED,
    axes: Selection | None = None,
    samples: int = 20,
) -> Plan:
    """Say what the word lists would write: how many of how many, what it covers, and samples.

    Nothing is stored, and no grid is made to count it: 100,000 combinations take some 50 ms.
    Raises ValueError as `preview` does.
    """
    stock, classes, strategy = Stock(dataset), drawable(classes), Strategy(strategy)
    templates = stock.templates(technique, template, axes)
    writer, known = author("wordlists"), _Known(dataset, technique)
    rows: list[ClassPlan] = []
    shown: list[tuple[LabelClass, Caption]] = []
    spaces: dict[object, Space] = {}
    per_class = -(-samples // len(classes))
    for label_class, share in _shares(classes, count):
        request = _request(
            stock, label_class, technique, templates, share, seed, Brief(), strategy, axes, known
        )
        space = space_of(request)
        key = (tuple(space.axes.items()), frozenset(request.forbidden))
        space = spaces.setdefault(key, space)
        size = space.size()
        if strategy is Strategy.GRID and share >= size:
            covered, enough = grid_coverage(space), size
        else:
            # A long covering array takes too long for a page that follows each key.
            enough = share if strategy is not Strategy.PAIRWISE else min(share, PLANNED_ROWS)
            covered = coverage(space, choose(space, strategy, count=enough, seed=request.seed))
        rows.append(
            ClassPlan(
                label_class,
                count=min(share, size),
                combinations=size,
                for_all_pairs=space.rows_for_all_pairs(),
                coverage=covered,
                covered_by=min(enough, size),
            )
        )
        if len(shown) < samples and share:
            first = share if strategy is Strategy.BALANCED else min(share, per_class)
            written = writer.write(dataclasses.replace(request, count=first))
            for caption in written.captions[:per_class]:
                judged = gate.Judged(caption, gate.Outcome.KEPT)
                label, one = stock.labelled(technique, label_class, judged)
                shown.append((label, one.caption))
    return Plan(templates, rows, shown[:samples])


def draft(
    *,
    dataset: Dataset,
    classes: Sequence[LabelClass],
    technique: str,
    count: int,
    author_alias: str = "wordlists",
    template: str = "",
    seed: int = 0,
    brief: Brief | None = None,
    strategy: str = Strategy.BALANCED,
    axes: Selection | None = None,
    label: LabelClass | None = None,
) -> Drafted:
    """Have up to `count` captions written and judged; nothing is stored. Raises as `preview`.

    Call it outside a transaction: an author may wait for a server. A failure after the first
    captions keeps them, for they are paid.
    """
    stock = Stock(dataset, label=label)
    templates = stock.templates(technique, template, axes)
    writer, brief = author(author_alias), brief or Brief()
    judged: list[tuple[LabelClass, gate.Judged]] = []
    covered: dict[int, Coverage] = {}
    usage, notes = Usage(), list[str]()
    known = _Known(dataset, technique)
    for label_class, share in _shares(drawable(classes), count):
        if not share:
            continue
        request = _request(
            stock, label_class, technique, templates, share, seed, brief, strategy, axes, known
        )
        try:
            written = writer.write(request)
        except AuthorError as error:
            error.usage = usage + error.usage
            if not judged:
                raise
            notes.append(f"It stopped at {label_class.name}. {error}")
            return Drafted(judged, error.usage, tuple(notes), covered)
        usage += written.usage
        notes += [note for note in written.notes if note not in notes]
        rules = _gate_rules(request, brief, is_checked=writer.needs_worker)
        result = gate.check(written, rules, known=known.newest(label_class))
        labelled = [stock.labelled(technique, label_class, one) for one in result.judged]
        judged += labelled
        covered[label_class.pk] = coverage_of(
            request,
            [one.caption.slots for _, one in labelled if one.outcome is not gate.Outcome.DROPPED],
        )
    return Drafted(judged, usage, tuple(notes), covered)


def _shares(classes: Sequence[LabelClass], count: int) -> Iterator[tuple[LabelClass, int]]:
    """Yield each class with its even share of the captions."""
    for number, label_class in enumerate(classes):
        yield label_class, count // len(classes) + (number < count % len(classes))


class _Known:
    """The captions that are there already, by class; of carriers, those of the whole dataset."""

    def __init__(self, dataset: Dataset, technique: str) -> None:
        self._rows = Prompt.objects.filter(dataset=dataset, technique=technique)
        self._is_shared = TECHNIQUES[technique].label_rule in (
            LabelRule.CARRIER,
            LabelRule.CHOSEN,
        )

    def _of(self, label_class: LabelClass) -> PromptQuerySet:
        return self._rows if self._is_shared else self._rows.filter(label_class=label_class)

    def keys(self, label_class: LabelClass) -> frozenset[str]:
        return frozenset(self._of(label_class).values_list("text_key", flat=True))

    def newest(self, label_class: LabelClass) -> list[Caption]:
        rows = self._of(label_class).order_by("-pk").values_list("text", "slots")
        return [Caption(*row) for row in rows[:NEAR_KNOWN]]


def _request(
    stock: Stock,
    label_class: LabelClass,
    technique: str,
    templates: tuple[str, ...],
    count: int,
    seed: int,
    brief: Brief,
    strategy: str,
    axes: Selection | None,
    known: _Known,
) -> WriteRequest:
    return WriteRequest(
        class_name=label_class.name,
        synonyms=tuple(label_class.synonyms),
        template=templates[0],
        more_templates=templates[1:],
        technique=technique,
        axes=stock.choices(label_class, technique, templates, axes),
        forbidden=stock.forbidden(label_class),
        strategy=strategy,
        count=count,
        seed=seed ^ zlib.crc32(label_class.slug.encode()),
        avoid=known.keys(label_class),
        language=brief.language or "en",
        open_slot=brief.open_slot,
        instruction=brief.instruction,
        gaps=tuple(brief.gaps.get(label_class.pk, ())),
        approved=tuple(brief.approved.get(label_class.pk, ())),
        rejected=tuple(brief.rejected.get(label_class.pk, ())),
    )


def _gate_rules(request: WriteRequest, brief: Brief, *, is_checked: bool) -> gate.GateRules:
    """Return what the captions must be. Word lists are the curator's own, in any language."""
    names = (request.class_name, *request.synonyms)
    return gate.GateRules(
        names=names if TECHNIQUES[request.technique].is_text else (),
        axes={axis: [words for _, words in values] for axis, values in request.axes.items()},
        language=request.language if is_checked or brief.language else "",
        text_threshold=brief.text_threshold,
        embedding_threshold=brief.embedding_threshold,
        embed=brief.embed,
    )


def write_prompts(
    *,
    dataset: Dataset,
    classes: Sequence[LabelClass],
    technique: str,
    count: int,
    author_alias: str = "wordlists",
    template: str = "",
    seed: int = 0,
    state: str = PromptState.DRAFT,
    created_by: User | None = None,
    brief: Brief | None = None,
    strategy: str = Strategy.BALANCED,
    axes: Selection | None = None,
    label: LabelClass | None = None,
) -> Written:
    """Write and store up to `count` new prompts. Takes and raises what `preview` does.

    What the gate flags becomes a draft, whatever `state` says. `label` is that of a fusion.
    """
    drafted = draft(
        dataset=dataset,
        classes=classes,
        technique=technique,
        count=count,
        author_alias=author_alias,
        template=template,
        seed=seed,
        brief=brief,
        strategy=strategy,
        axes=axes,
        label=label,
    )
    made = {
        (label_class.pk, normalised(judged.caption.text)): (
            Prompt(
                dataset=dataset,
                label_class=label_class,
                technique=technique,
                text=judged.caption.text,
                text_key=normalised(judged.caption.text),
                slots=dict(judged.caption.slots),
                state=PromptState.DRAFT if judged.reasons else state,
                author=author_alias,
                author_version=author(author_alias).version,
                created_by=created_by,
            ),
            judged.reasons,
        )
        for label_class, judged in drafted.passed
    }
    with transaction.atomic():
        # Somebody may have stored the same caption while a model was writing.
        rows = Prompt.objects.filter(dataset=dataset, technique=technique)
        for key in rows.values_list("label_class_id", "text_key").iterator():
            made.pop(key, None)
        prompts = Prompt.objects.bulk_create([prompt for prompt, _ in made.values()])
    return Written(
        prompts,
        count,
        dropped=drafted.dropped,
        flagged=[(prompt, reasons) for prompt, reasons in made.values() if reasons],
        usage=drafted.usage,
        notes=drafted.notes,
        coverage=drafted.coverage,
    )


def write_instructions(
    *,
    dataset: Dataset,
    classes: Sequence[LabelClass],
    technique: str,
    count: int,
    label: LabelClass | None = None,
    **wish: Any,
) -> Written:
    """Write prompts that say what to do with a source image: typographic, variation and so on.

    Their slots carry the instruction (the word and where it stands, the change, the partner,
    the edit). A fusion of two classes needs its `label` chosen beforehand; without one a class
    is blended with its own kind. Raises as `write_prompts` does.
    """
    if technique not in INSTRUCTED:
        raise ValueError(f"{technique!r} takes no source image; those: {', '.join(INSTRUCTED)}.")
    return write_prompts(
        dataset=dataset, classes=classes, technique=technique, count=count, label=label, **wish
    )


@transaction.atomic
def write_set(
    *,
    dataset: Dataset,
    classes: Sequence[LabelClass],
    count: int,
    techniques: Sequence[str] = WRITTEN,
    strategy: str = Strategy.PAIRWISE,
    axes: Selection | None = None,
    seed: int = 0,
    state: str = PromptState.DRAFT,
    created_by: User | None = None,
) -> dict[str, Written]:
    """Write `count` prompts by word lists over several techniques, poor ones first.

    The richest technique, which has the most combinations, gets what every pair of values
    needs, and what the others cannot use. Raises as `preview` does.
    """
    plans = {
        technique: plan(
            dataset=dataset,
            classes=classes,
            technique=technique,
            count=count,
            strategy=strategy,
            axes=axes,
            samples=0,
        )
        for technique in dict.fromkeys(techniques)
    }
    # By the number of slots: adversarial prompts have many combinations, and few axes.
    order = sorted(plans, key=lambda t: (len(TECHNIQUES[t].axes), plans[t].combinations))
    needed = sum(-(-9 * one.for_all_pairs // 8) for one in plans[order[-1]].classes)
    left, written = count, dict[str, Written]()
    for number, technique in enumerate(order):
        spare = max(0, count - needed) if len(order) > 1 else count
        is_last = number == len(order) - 1
        share = left if is_last else min(left, spare // (len(order) - 1))
        written[technique] = write_prompts(
            dataset=dataset,
            classes=classes,
            technique=technique,
            count=share,
            strategy=strategy,
            axes=axes,
            seed=seed,
            state=state,
            created_by=created_by,
        )
        left -= len(written[technique].prompts)
    return written


def stored_coverage(
    *, label_class: LabelClass, technique: str, template: str = "", axes: Selection | None = None
) -> Coverage:
    """Return what the class's prompts, retired ones apart, cover so far; its gaps by name."""
    stock = Stock(label_class.dataset)
    templates = stock.templates(technique, template, axes)
    request = WriteRequest(
        label_class.name,
        templates[0],
        stock.choices(label_class, technique, templates, axes),
        count=0,
        forbidden=stock.forbidden(label_class),
        more_templates=templates[1:],
    )
    rows = Prompt.objects.filter(dataset=label_class.dataset_id, technique=technique)
    rows = rows.exclude(state=PromptState.RETIRED)
    if TECHNIQUES[technique].label_rule is LabelRule.CARRIER:
        rows = rows.filter(slots__look=without_note(label_class.name))
    else:
        rows = rows.filter(label_class=label_class)
    return coverage_of(request, rows.values_list("slots", flat=True).iterator())


def edit_prompt(prompt: Prompt, text: str) -> Prompt:
    """Change a caption's words; slots whose words are gone from it are dropped.

    Raises IntegrityError where the class has this caption already.
    """
    prompt.text = text
    key = normalised(text)
    prompt.slots = {
        slot: words
        for slot, words in prompt.slots.items()
        # Whole words: "red" is not in "hundred".
        if re.search(rf"(?<!\w){re.escape(normalised(words))}(?!\w)", key)
    }
    prompt.save()
    return prompt


@transaction.atomic
def set_prompt_state(prompts: Iterable[int], *, dataset: Dataset, state: PromptState) -> int:
    """Approve, retire or reopen prompts of one dataset; returns how many changed."""
    rows = Prompt.objects.filter(dataset=dataset).exclude(state=state)
    chosen = sorted(prompts)
    # In batches: a database takes only so many numbers in one statement.
    return sum(
        rows.filter(pk__in=chosen[start : start + BATCH]).update(state=state)
        for start in range(0, len(chosen), BATCH)
    )
