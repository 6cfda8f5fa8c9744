"""Verbs of prompting: write, add, change and approve captions."""

from __future__ import annotations

import functools
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from django.conf import settings
from django.db import transaction

from synthreview.accounts.models import User
from synthreview.catalog.models import AxisValue, Dataset, LabelClass
from synthreview.lib.adapters import load_adapter
from synthreview.lib.text import normalised
from synthreview.prompting import gate
from synthreview.prompting.authors.base import Author, AuthorError, Caption, Usage, WriteRequest
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.techniques import TECHNIQUES
from synthreview.prompting.template import DEFAULT_TEMPLATES, check_template, slot_names

BATCH = 1_000
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
    """

    prompts: list[Prompt]
    asked: int
    dropped: list[tuple[LabelClass, gate.Judged]] = field(default_factory=list)
    flagged: list[tuple[Prompt, tuple[gate.Reason, ...]]] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    notes: tuple[str, ...] = ()


def template_for(technique: str, template: str, axes: set[str]) -> str:
    """Return the template to use. Raises ValueError where a given one is wrong."""
    if template:
        check_template(template, axes)
        return template
    return DEFAULT_TEMPLATES[technique]


def axis_choices(dataset: Dataset) -> dict[str, list[AxisValue]]:
    """Return the values of each axis, in order; two queries."""
    choices: dict[str, list[AxisValue]] = {axis.name: [] for axis in dataset.axes.all()}
    values = AxisValue.objects.filter(axis__dataset=dataset).select_related("axis")
    for value in values.prefetch_related("classes"):
        choices[value.axis.name].append(value)
    return choices


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
) -> list[tuple[LabelClass, Caption]]:
    """Return up to `count` new captions over the classes in turn; nothing is stored.

    Raises: ValueError (template), AuthorError, UnknownAdapterError.
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
    )
    return [(label_class, judged.caption) for label_class, judged in drafted.passed]


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
) -> Drafted:
    """Have up to `count` captions written and judged; nothing is stored. Raises as `preview`.

    Call it outside a transaction: an author may wait for a server. A failure after the first
    captions keeps them, for they are paid.
    """
    choices = axis_choices(dataset)
    template = template_for(technique, template, set(choices))
    writer, brief = author(author_alias), brief or Brief()
    judged: list[tuple[LabelClass, gate.Judged]] = []
    usage, notes = Usage(), list[str]()
    for number, label_class in enumerate(classes):
        share = count // len(classes) + (number < count % len(classes))
        if not share:
            continue
        request = _request(label_class, technique, template, choices, share, seed, brief)
        try:
            written = writer.write(request)
        except AuthorError as error:
            error.usage = usage + error.usage
            if not judged:
                raise
            notes.append(f"It stopped at {label_class.name}. {error}")
            return Drafted(judged, error.usage, tuple(notes))
        usage += written.usage
        notes += [note for note in written.notes if note not in notes]
        rules = _gate_rules(request, brief, is_checked=writer.needs_worker)
        result = gate.check(written, rules, known=_newest(label_class, technique))
        judged += [(label_class, one) for one in result.judged]
    return Drafted(judged, usage, tuple(notes))


def _request(
    label_class: LabelClass,
    technique: str,
    template: str,
    choices: Mapping[str, Iterable[AxisValue]],
    count: int,
    seed: int,
    brief: Brief,
) -> WriteRequest:
    known = Prompt.objects.filter(label_class=label_class, technique=technique)
    return WriteRequest(
        class_name=label_class.name,
        synonyms=tuple(label_class.synonyms),
        template=template,
        technique=technique,
        axes={
            slot: _for_class(choices[slot], label_class)
            for slot in slot_names(template)
            if slot in choices
        },
        count=count,
        seed=seed ^ zlib.crc32(label_class.slug.encode()),
        avoid=frozenset(known.values_list("text_key", flat=True)),
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


def _newest(label_class: LabelClass, technique: str) -> list[Caption]:
    rows = Prompt.objects.filter(label_class=label_class, technique=technique).order_by("-pk")
    return [Caption(*row) for row in rows.values_list("text", "slots")[:NEAR_KNOWN]]


def _for_class(values: Iterable[AxisValue], label_class: LabelClass) -> list[tuple[str, str]]:
    """Return the values that fit the class, as (name, words)."""
    return [
        (value.name, value.phrase or value.name)
        for value in values
        if not (own := list(value.classes.all())) or label_class in own
    ]


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
) -> Written:
    """Write and store up to `count` new prompts. Raises what `preview` raises.

    What the gate flags becomes a draft, whatever `state` says.
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
    )


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
