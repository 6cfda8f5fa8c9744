"""Bringing in prompts that somebody already has, and handing them out again.

A file is read twice: once to check every line, once to gather its prompts aside; then one short
transaction stores them. So it is taken whole or not at all, memory stays bounded at any length, and
nobody who writes something else waits for it.
"""

from __future__ import annotations

import heapq
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from django.db import IntegrityError, transaction

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.services import add_class
from synthreview.lib.text import text_key
from synthreview.prompting.models import Prompt, PromptQuerySet, PromptState
from synthreview.prompting.prompt_files import (
    SLOT_NAME,
    BadLine,
    PromptFileError,
    PromptSpec,
    Shape,
    format_prompts,
    look,
    merged,
    read_prompts,
    unmapped,
)
from synthreview.prompting.staging import StagedPrompt, stage
from synthreview.trail.acts import Act
from synthreview.trail.services import record

BATCH = 500
PAGE = 2_000
MAX_LINES = 1_000_000
MAX_NEW_CLASSES = 500
MAX_SLOT_COLUMNS = 50
BAD_KEPT = 1_000
SAMPLES = 5


class RefusedImportError(ValueError):
    """The file has bad lines, so nothing of it is taken; `report` lists them."""

    def __init__(self, report: Report) -> None:
        lines = "line is" if report.bad_count == 1 else "lines are"
        super().__init__(f"{report.bad_count:,} {lines} bad, so nothing was imported.")
        self.report = report


class PromptExistsError(ValueError):
    """The class has this caption already."""


@dataclass(slots=True)
class Report:
    """What a file holds, and, once it is imported, what came of it.

    `bad` lists the first thousand of `bad_count` bad lines; `by_class` counts the good ones.
    """

    shape: Shape
    mapping: dict[str, str]
    prompts: int = 0
    bad_count: int = 0
    bad: list[BadLine] = field(default_factory=list)
    by_class: Counter[str] = field(default_factory=Counter)
    new_classes: list[str] = field(default_factory=list)
    unknown_classes: int = 0  # so many of the bad lines name a class that is not there
    samples: list[PromptSpec] = field(default_factory=list)
    stored: int = 0
    already_there: int = 0

    @property
    def unmapped(self) -> tuple[str, ...]:
        return unmapped(self.mapping)

    def refuse(self, line: int, reason: str) -> None:
        self.bad_count += 1
        if len(self.bad) < BAD_KEPT:
            self.bad.append(BadLine(line, reason))


# --- Checking -------------------------------------------------------------------


def check_file(
    *,
    dataset: Dataset,
    path: Path,
    kind: str = "",
    mapping: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    create_classes: bool = False,
    max_lines: int = MAX_LINES,
) -> Report:
    """Say what an import of the file would do; nothing is stored.

    `mapping` changes the suggested one (column → field). Raises PromptFileError.
    """
    with _opened(path) as file:
        return _checked(file, dataset, kind, mapping, defaults, create_classes, max_lines)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise PromptFileError(f"{path} cannot be read: {error.strerror}.") from error


def _checked(
    file: BinaryIO,
    dataset: Dataset,
    kind: str,
    mapping: Mapping[str, str] | None,
    defaults: Mapping[str, str] | None,
    create_classes: bool,
    max_lines: int,
) -> Report:
    shape = look(file, kind)
    report = Report(shape, merged(shape, mapping or {}))
    classes = Classes(dataset, create=create_classes)
    seen = _Seen()
    for found in read_prompts(file, shape, report.mapping, defaults):
        if report.prompts + report.bad_count >= max_lines:
            raise PromptFileError(f"The file has more than {max_lines:,} prompts: divide it.")
        if isinstance(found, BadLine):
            report.refuse(found.line, found.reason)
            continue
        name = classes.own_name(found.class_name)
        if name is None:
            report.refuse(found.line, f"no class is called {found.class_name!r}")
            report.unknown_classes += 1
            continue
        report.prompts += 1
        report.by_class[name] += 1
        seen.add(found, name)
        if len(report.samples) < SAMPLES:
            report.samples.append(found)
    if repeated := sum(1 for _ in seen.repeated()):
        report.prompts -= repeated
        report.bad_count += repeated
        both = chain(report.bad, seen.repeated())
        report.bad = heapq.nsmallest(BAD_KEPT, both, key=lambda bad: bad.line)
    report.new_classes = classes.new
    if not report.prompts and not report.bad_count:
        raise PromptFileError("The file names columns and holds no prompt.")
    return report


class Classes:
    """The classes of the dataset by name, slug and synonym, in any case; or new ones."""

    def __init__(self, dataset: Dataset, *, create: bool = False) -> None:
        rows = list(dataset.classes.all())
        self.rows: dict[str, LabelClass] = {}
        self._names: dict[str, str] = {}
        # The strongest come last.
        for keys in (lambda c: c.synonyms, lambda c: [c.slug], lambda c: [c.name]):
            self.rows |= {key.casefold(): row for row in rows for key in keys(row)}
        self._create = create
        self.new: list[str] = []

    def find(self, name: str) -> LabelClass | None:
        """Return the class of that name."""
        return self.rows.get(name.casefold())

    def own_name(self, name: str) -> str | None:
        """Return the class's name as the dataset has it, None where there is none such."""
        key = name.casefold()
        if key in self.rows:
            return self.rows[key].name
        if key not in self._names and self._create:
            if len(self.new) >= MAX_NEW_CLASSES:
                raise PromptFileError(
                    f"The file names more than {MAX_NEW_CLASSES} new classes: "
                    "is the right column chosen for the class?"
                )
            self._names[key] = name
            self.new.append(name)
        return self._names.get(key)


class _Seen:
    """Finds prompts that stand twice in a file, at 24 bytes for each."""

    def __init__(self) -> None:
        self._digests = array("Q")
        self._lines = array("Q")

    def add(self, prompt: PromptSpec, class_name: str) -> None:
        key = f"{class_name}\0{prompt.technique}\0{text_key(prompt.text)}"
        self._digests.frombytes(blake2b(key.encode(), digest_size=16).digest())
        self._lines.append(prompt.line)

    def repeated(self) -> Iterator[BadLine]:
        """Yield the lines that say what an earlier one says, equal ones together."""
        if not self._lines:
            return
        digests = np.frombuffer(self._digests, dtype=np.uint64).reshape(-1, 2)
        order = np.lexsort((digests[:, 1], digests[:, 0]))  # stable: the first line stays first
        ordered = digests[order]
        is_same = (ordered[1:] == ordered[:-1]).all(axis=1)
        first = 0
        for at in np.flatnonzero(is_same):
            if not at or not is_same[at - 1]:
                first = self._lines[order[at]]
            yield BadLine(self._lines[order[at + 1]], f"the same prompt as in line {first}")


# --- Storing --------------------------------------------------------------------


def import_prompts(
    *,
    dataset: Dataset,
    path: Path,
    kind: str = "",
    mapping: Mapping[str, str] | None = None,
    defaults: Mapping[str, str] | None = None,
    create_classes: bool = False,
    created_by: User | None = None,
    max_lines: int = MAX_LINES,
) -> Report:
    """Store every prompt of the file, or none; what is there already is counted and left as it is.

    Raises: RefusedImportError (bad lines, with the report), PromptFileError.
    """
    with _opened(path) as file:
        report = _checked(file, dataset, kind, mapping, defaults, create_classes, max_lines)
        if report.bad_count:
            raise RefusedImportError(report)
        prompts = _good(read_prompts(file, report.shape, report.mapping, defaults))
        planned = Classes(dataset, create=create_classes)
        numbers: dict[str, int] = {}  # of each class's name, before those that are new exist
        with stage() as staged:
            while batch := list(islice(prompts, BATCH)):
                staged.add([_staged(one, planned, numbers) for one in batch])
            with transaction.atomic():
                # One import of a dataset at a time, so that both do not make the same class.
                # A plain FOR UPDATE would stop every decision in it, on PostgreSQL.
                Dataset.objects.select_for_update(no_key=True).get(pk=dataset.pk)
                classes = Classes(dataset)
                for name in report.new_classes:
                    if classes.own_name(name) is None:
                        classes.rows[name.casefold()] = add_class(dataset=dataset, name=name)
                report.stored = staged.store(
                    {number: _found(classes, name).pk for name, number in numbers.items()},
                    dataset_id=dataset.pk,
                    created_by_id=created_by.pk if created_by else None,
                )
                if report.stored:
                    facts = {"prompts": report.stored, "new_classes": list(report.new_classes)}
                    record(
                        Act.PROMPTS_IMPORTED,
                        dataset,
                        dataset=dataset.pk,
                        after=facts,
                        by=created_by,
                    )
        report.already_there = report.prompts - report.stored
    return report


def _good(found: Iterable[PromptSpec | BadLine]) -> Iterator[PromptSpec]:
    for one in found:
        if isinstance(one, BadLine):
            raise PromptFileError("The file was changed while it was read. Nothing was imported.")
        yield one


def _staged(one: PromptSpec, classes: Classes, numbers: dict[str, int]) -> StagedPrompt:
    name = classes.own_name(one.class_name)
    if name is None:
        raise PromptFileError(f"The class {one.class_name!r} is gone. Nothing was imported.")
    return StagedPrompt(
        position=one.line,
        class_number=numbers.setdefault(name, len(numbers)),
        technique=one.technique,
        text=one.text,
        text_key=text_key(one.text),
        slots=one.slots,
        state=PromptState(one.state).value,
        author=one.author,
        template=one.template,
    )


def _found(classes: Classes, name: str) -> LabelClass:
    label_class = classes.find(name)
    if label_class is None:
        raise PromptFileError(f"The class {name!r} is gone. Nothing was imported.")
    return label_class


def _row(
    one: PromptSpec, dataset: Dataset, label_class: LabelClass, created_by: User | None
) -> Prompt:
    return Prompt(
        dataset=dataset,
        label_class=label_class,
        technique=one.technique,
        text=one.text,
        text_key=text_key(one.text),
        slots=dict(one.slots),
        state=PromptState(one.state),
        author=one.author,
        template=one.template,
        created_by=created_by,
    )


def add_prompt(
    *, dataset: Dataset, prompt: PromptSpec, label_class: LabelClass, created_by: User | None = None
) -> Prompt:
    """Store one prompt. Raises PromptExistsError."""
    row = _row(prompt, dataset, label_class, created_by)
    try:
        with transaction.atomic():
            row.save(force_insert=True)
            record(Act.PROMPT_ADDED, row, after={"text": row.text, "state": row.state})
    except IntegrityError:
        raise PromptExistsError("The class has this caption already.") from None
    return row


# --- Handing out ----------------------------------------------------------------


def export_prompts(
    *, dataset: Dataset, kind: str, filters: Mapping[str, Any] | None = None
) -> Iterator[str]:
    """Yield the lines of a file with the dataset's prompts, oldest first.

    `filters` are those of a queryset of prompts. What is written meanwhile may be in it or not.
    """
    rows = Prompt.objects.filter(dataset=dataset, **(filters or {}))
    slots = _slot_columns(rows) if kind != "jsonl" else None
    return format_prompts(_specs(rows), kind=kind, slots=slots)


def _slot_columns(rows: PromptQuerySet) -> list[str] | None:
    """Return the slots that become columns; None where they are too many or oddly named."""
    found: dict[str, None] = {}
    last = 0
    light = rows.order_by("pk").values_list("pk", "slots")
    while page := list(light.filter(pk__gt=last)[:PAGE]):
        found |= dict.fromkeys(name for _, slots in page for name in slots)
        last = page[-1][0]
    if len(found) > MAX_SLOT_COLUMNS or not all(map(SLOT_NAME.fullmatch, found)):
        return None
    return sorted(found)


def _specs(rows: PromptQuerySet) -> Iterator[PromptSpec]:
    for prompt in _by_page(rows.select_related("label_class")):
        yield PromptSpec(
            text=prompt.text,
            class_name=prompt.label_class.name,
            technique=prompt.technique,
            slots=prompt.slots,
            state=str(prompt.state),
            author=prompt.author,
            template=prompt.template,
        )


def _by_page(rows: PromptQuerySet) -> Iterator[Prompt]:
    """Yield the rows page by page: no query stays open while a slow reader takes them."""
    last = 0
    while page := list(rows.filter(pk__gt=last).order_by("pk")[:PAGE]):
        yield from page
        last = page[-1].pk
