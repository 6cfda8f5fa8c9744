"""Verbs of prompting: write, add, change and approve captions."""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.conf import settings
from django.db import transaction

from synthreview.accounts.models import User
from synthreview.catalog.models import AxisValue, Dataset, LabelClass
from synthreview.lib.adapters import load_adapter
from synthreview.lib.text import normalised
from synthreview.prompting.authors.base import Author, Caption, WriteRequest
from synthreview.prompting.models import Prompt, PromptState
from synthreview.prompting.template import DEFAULT_TEMPLATES, check_template, slot_names

BATCH = 1_000


@functools.cache
def author(alias: str) -> Author:
    """Return the author of that name. Raises UnknownAdapterError."""
    loaded: Author = load_adapter(settings.AUTHORS, alias, "author")
    return loaded


@dataclass(frozen=True, slots=True)
class Written:
    """What came of a wish: the prompts stored, and how many were asked for."""

    prompts: list[Prompt]
    asked: int


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
) -> list[tuple[LabelClass, Caption]]:
    """Return up to `count` new captions over the classes in turn; nothing is stored.

    Raises: ValueError (template), AuthorError, UnknownAdapterError.
    """
    choices = axis_choices(dataset)
    template = template_for(technique, template, set(choices))
    writer = author(author_alias)
    captions: list[tuple[LabelClass, Caption]] = []
    for number, label_class in enumerate(classes):
        share = count // len(classes) + (number < count % len(classes))
        if not share:
            continue
        known = Prompt.objects.filter(label_class=label_class, technique=technique)
        request = WriteRequest(
            class_name=label_class.name,
            template=template,
            axes={
                slot: _for_class(choices[slot], label_class)
                for slot in slot_names(template)
                if slot in choices
            },
            count=share,
            seed=seed ^ zlib.crc32(label_class.slug.encode()),
            avoid=frozenset(known.values_list("text_key", flat=True)),
        )
        captions += [(label_class, caption) for caption in writer.write(request)]
    return captions


def _for_class(values: Iterable[AxisValue], label_class: LabelClass) -> list[tuple[str, str]]:
    """Return the values that fit the class, as (name, words)."""
    return [
        (value.name, value.phrase or value.name)
        for value in values
        if not (own := list(value.classes.all())) or label_class in own
    ]


@transaction.atomic
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
) -> Written:
    """Write and store up to `count` new prompts. Raises what `preview` raises."""
    writer = author(author_alias)
    captions = preview(
        dataset=dataset,
        classes=classes,
        technique=technique,
        count=count,
        author_alias=author_alias,
        template=template,
        seed=seed,
    )
    prompts = [
        Prompt(
            dataset=dataset,
            label_class=label_class,
            technique=technique,
            text=caption.text,
            text_key=normalised(caption.text),
            slots=dict(caption.slots),
            state=state,
            author=author_alias,
            author_version=writer.version,
            created_by=created_by,
        )
        for label_class, caption in captions
    ]
    Prompt.objects.bulk_create(prompts)
    return Written(prompts, count)


def edit_prompt(prompt: Prompt, text: str) -> Prompt:
    """Change a caption's words; slots whose words are gone from it are dropped.

    Raises IntegrityError where the class has this caption already.
    """
    prompt.text = text
    key = normalised(text)
    prompt.slots = {slot: words for slot, words in prompt.slots.items() if normalised(words) in key}
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
