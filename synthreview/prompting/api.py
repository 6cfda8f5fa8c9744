"""Prompts over the API: list, create, change, write, import and export them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile as Upload
from django.db import IntegrityError, transaction
from django.http import Http404, HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from ninja import File, Form, Query, Router, Schema, Status
from ninja.errors import HttpError
from ninja.files import UploadedFile
from pydantic import Field

from synthreview.catalog.api import PROBLEMS, Problem, dataset_for
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.catalog.pages import signed_in
from synthreview.catalog.permissions import Action, require
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.lib.outcomes import ServiceError
from synthreview.prompting import services
from synthreview.prompting.authors.base import Author
from synthreview.prompting.briefs import MAX_INSTRUCTION, Brief
from synthreview.prompting.choosing import Strategy
from synthreview.prompting.downloads import download
from synthreview.prompting.drafting import author, authors_of, plan
from synthreview.prompting.importing import (
    Classes,
    PromptExistsError,
    RefusedImportError,
    Report,
    add_prompt,
    check_file,
    import_prompts,
)
from synthreview.prompting.models import Prompt, PromptState, Writing
from synthreview.prompting.ordering import (
    order_writing,
    progress_of,
    retry_writing,
    stop_writing,
)
from synthreview.prompting.prompt_files import (
    BadPromptError,
    PromptFileError,
    PromptSpec,
    prompt_of,
)
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.prompting.uploads import MAX_BYTES, drop_upload, find_upload, keep_upload
from synthreview.prompting.wishes import Share, Wish, templates_of, varying
from synthreview.spending.services import OverBudgetError
from synthreview.work.models import WorkState

MAX_ID = 2**63 - 1
MAX_COUNT = 5_000
MAX_LINES = 100_000
MAX_IDS = 10_000

State = Literal["draft", "approved", "retired"]
Kind = Literal["csv", "tsv", "jsonl"]
TechniqueKey = Annotated[str, Field(json_schema_extra={"enum": list(TECHNIQUES)})]
Id = Annotated[int, Field(ge=1, le=MAX_ID)]

router = Router(by_alias=True)


# --- What goes in and out -------------------------------------------------------


class PromptOut(Schema):
    """One prompt; `class` is its label."""

    id: int
    dataset: str
    class_name: str = Field(alias="class")
    technique: str
    text: str
    slots: dict[str, str]
    template: str = Field(description="what it was made from; empty where it was written whole")
    flags: list[str] = Field(description="why a person should look at it")
    state: State
    author: str
    question: str


class PromptsOut(Schema):
    """One page of prompts; `next` is the `after` of the following page, null on the last."""

    items: list[PromptOut]
    next: int | None


class PromptFilters(Schema):
    """Which prompts are meant; what is left out leaves all."""

    class_name: str | None = Field(None, alias="class", max_length=120)
    technique: TechniqueKey | None = None
    state: State | None = None
    author: str | None = Field(None, max_length=60, pattern=r"^[^\x00]*$")


class PageFilters(PromptFilters):
    """The same, page by page."""

    after: int = Field(0, ge=0, le=MAX_ID)
    limit: int = Field(100, ge=1, le=500)


class ExportFilters(PromptFilters):
    """The same, as a file."""

    format: Kind = "csv"


class PromptIn(Schema):
    """A prompt to be stored as it is."""

    text: str
    class_name: str = Field(alias="class")
    technique: str = "plain"
    slots: dict[str, str] = {}
    state: State = "draft"
    author: str = "person"


class PromptChange(Schema):
    """What is to be changed."""

    text: str | None = None
    state: State | None = None


class StateChange(Schema):
    """Prompts of one dataset, all of which get the state, or none."""

    ids: list[Id] = Field(min_length=1, max_length=MAX_IDS)
    state: State


class Changed(Schema):
    """How many changed; those that had the state already do not count."""

    changed: int


class SetIn(Schema):
    """What is to be written over several techniques. No classes: all. No axes: the templates'."""

    techniques: list[TechniqueKey] = Field(list(WRITTEN), min_length=1, max_length=len(TECHNIQUES))
    classes: list[str] = Field([], max_length=1_000)
    count: int = Field(20, ge=1, le=MAX_COUNT)
    seed: int = Field(0, ge=0, le=2**31 - 1)
    strategy: Strategy = Strategy.PAIRWISE
    axes: dict[str, list[str]] | None = Field(
        None, description="axis → names of its values; an empty list: all of them"
    )
    state: Literal["draft", "approved"] = "draft"


class WishIn(Schema):
    """What is to be written. No classes: all. No axes: those of the template."""

    technique: TechniqueKey = "plain"
    classes: list[str] = Field([], max_length=1_000)
    count: int = Field(20, ge=1, le=MAX_COUNT)
    template: str = Field("", max_length=10_000, description="one on each line")
    share: Share = Field(Share.EVEN, description="how many captions each of several templates gets")
    seed: int = Field(0, ge=0, le=2**31 - 1)
    strategy: Strategy = Strategy.BALANCED
    axes: dict[str, list[str]] | None = Field(
        None, description="axis → names of its values; an empty list: all of them"
    )
    label: str = Field("", description="the class that the blends of a fusion are labelled with")


class WriteIn(WishIn):
    """The same, to be stored; the last five are for language models."""

    author: str = "wordlists"
    state: Literal["draft", "approved"] = "draft"
    fills_gaps: bool = Field(False, description="first what no prompt covers yet, by name")
    open_slot: str = Field(
        Brief().open_slot,
        max_length=60,
        description="the slot that the model fills; empty, or where the template lacks it: it "
        "writes whole captions",
    )
    language: str = Field("", max_length=40)
    instruction: str = Field("", max_length=MAX_INSTRUCTION, pattern=r"^[^\x00]*$")
    shares_examples: bool = Field(
        True, description="it sees captions that people approved and rejected"
    )

    @property
    def brief(self) -> Brief:
        return Brief(
            language=self.language,
            open_slot=self.open_slot,
            instruction=self.instruction,
            shares_examples=self.shares_examples,
            fills_gaps=self.fills_gaps,
        )


class Sample(Schema):
    """A caption that would be written."""

    class_name: str = Field(alias="class")
    text: str
    slots: dict[str, str]


class ClassPlanOut(Schema):
    """What one class would get, and how many of the pairs of values would meet."""

    class_name: str = Field(alias="class")
    count: int
    combinations: int
    for_all_pairs: int
    pairs_covered: int
    pairs_total: int


class PlanOut(Schema):
    """What a wish would give; nothing is stored."""

    count: int
    combinations: int
    templates: list[str]
    classes: list[ClassPlanOut]
    samples: list[Sample]


class Dropped(Schema):
    """A caption that the gate did not let through, and why."""

    text: str
    reasons: list[str]


class WrittenOut(Schema):
    """What came of a wish."""

    asked: int
    written: int
    prompts: list[PromptOut]
    dropped: list[Dropped]
    notes: list[str]


class WritingOut(Schema):
    """One writing, and how far it is; `is_open` while a worker has to do with it."""

    id: int
    author: str
    technique: str
    is_open: bool
    asked: int
    written: int
    dropped_count: int
    dropped: list[Dropped] = Field(description="the first of them, with the reasons")
    notes: list[str]
    errors: list[str]
    unknown: int = Field(description="answers of which nobody knows whether they were charged")
    tokens_in: int
    tokens_out: int
    cost_micro_usd: int | None = Field(description="null where no price is known")


class ImportForm(Schema):
    """How a file is to be read."""

    mapping: str = Field("", description='JSON: {"Column": "text", "Other": "slot:environment"}')
    class_name: str = Field("", alias="class", description="where a line names none")
    technique: str = Field("", description="where a line names none")
    state: str = Field("", description="where a line names none")
    create_classes: bool = False
    dry_run: bool = False


class BadLineOut(Schema):
    """A line that cannot be taken."""

    line: int
    reason: str


class ImportOut(Schema):
    """What a file holds and what came of it; with bad lines nothing was stored."""

    detail: str
    format: str
    source: str
    mapping: dict[str, str]
    prompts: int
    stored: int
    already_there: int
    new_classes: list[str]
    bad_count: int
    bad: list[BadLineOut]


class TechniqueOut(Schema):
    """A kind of synthetic image."""

    key: str
    title: str
    help: str
    question: str
    label_rule: str
    templates: list[str]
    axes: list[str]
    is_text: bool


class AuthorOut(Schema):
    """Who can write captions. One that needs a worker is started by page or command."""

    alias: str
    title: str
    version: str
    needs_worker: bool


# --- Helpers --------------------------------------------------------------------


def _out(prompt: Prompt, slug: str) -> dict[str, Any]:
    return {
        "id": prompt.pk,
        "dataset": slug,
        "class": prompt.label_class.name,
        "technique": prompt.technique,
        "text": prompt.text,
        "slots": prompt.slots,
        "template": prompt.template,
        "flags": [reason for _, reason in prompt.flags],
        "state": str(prompt.state),
        "author": prompt.author,
        "question": prompt.question,
    }


def _classes(dataset: Dataset, names: list[str]) -> list[LabelClass]:
    """Return the classes of those names, each once. Raises HttpError."""
    known = Classes(dataset)
    found = dict[int, LabelClass]()
    for name in names:
        if (one := known.find(name)) is None:
            there = ", ".join(dataset.classes.values_list("name", flat=True)[:30]) or "none yet"
            raise HttpError(422, f"No class is called {name[:120]!r}; {dataset.name} has: {there}.")
        found[one.pk] = one
    return list(found.values())


def _class(dataset: Dataset, name: str) -> LabelClass:
    return _classes(dataset, [name])[0]


def _filters(dataset: Dataset, filters: PromptFilters) -> dict[str, Any]:
    chosen: dict[str, Any] = {
        name: value
        for name in ("technique", "state", "author")
        if (value := getattr(filters, name)) is not None
    }
    if filters.class_name is not None:
        chosen["label_class"] = _class(dataset, filters.class_name)
    return chosen


def _prompt(request: HttpRequest, pk: int, action: Action = Action.VIEW) -> Prompt:
    user = signed_in(request)
    if pk > MAX_ID:
        raise Http404
    visible = Prompt.objects.visible_to(user).select_related("dataset", "label_class")
    prompt = get_object_or_404(visible, pk=pk)
    require(user, prompt.dataset, action)
    return prompt


def _spec(values: dict[str, Any]) -> PromptSpec:
    try:
        return prompt_of(values)
    except BadPromptError as error:
        raise HttpError(422, f"This prompt is not taken: {error}.") from error


def _wish(dataset: Dataset, data: WishIn) -> Wish:
    _check_techniques([data.technique])
    return Wish(
        dataset=dataset,
        classes=_classes(dataset, data.classes) or list(dataset.classes.all()),
        technique=data.technique,
        count=data.count,
        templates=templates_of(data.template),
        share=data.share,
        seed=data.seed,
        strategy=data.strategy,
        label=_class(dataset, data.label) if data.label else None,
        **varying(data.axes),
    )


def _check_techniques(names: list[str]) -> None:
    if unknown := [name for name in names if name not in TECHNIQUES]:
        known = ", ".join(TECHNIQUES)
        raise HttpError(422, f"No technique is called {unknown[0][:40]!r}; known: {known}.")


# --- Prompts --------------------------------------------------------------------


@router.get("datasets/{slug:slug}/prompts", response={200: PromptsOut, **PROBLEMS})
def list_prompts(request: HttpRequest, slug: str, filters: Query[PageFilters]) -> Any:
    """List prompts, oldest first; `after` the last one seen goes on."""
    dataset = dataset_for(request, slug)
    rows = Prompt.objects.filter(dataset=dataset, **_filters(dataset, filters))
    rows = rows.filter(pk__gt=filters.after).select_related("label_class").order_by("pk")
    page = list(rows[: filters.limit + 1])
    more = len(page) > filters.limit
    page = page[: filters.limit]
    return {
        "items": [_out(prompt, slug) for prompt in page],
        "next": page[-1].pk if more else None,
    }


@router.post("datasets/{slug:slug}/prompts", response={201: PromptOut, 409: Problem, **PROBLEMS})
def create_prompt(request: HttpRequest, slug: str, data: PromptIn) -> Any:
    """Store one prompt."""
    dataset = dataset_for(request, slug, Action.CURATE)
    spec = _spec(data.dict(by_alias=True))
    try:
        prompt = add_prompt(
            dataset=dataset,
            prompt=spec,
            label_class=_class(dataset, spec.class_name),
            created_by=signed_in(request),
        )
    except PromptExistsError as error:
        raise HttpError(409, str(error)) from error
    return Status(201, _out(prompt, slug))


@router.post("datasets/{slug:slug}/prompts/state", response={200: Changed, **PROBLEMS})
def change_states(request: HttpRequest, slug: str, data: StateChange) -> Any:
    """Give many prompts a state; one that is not of this dataset spoils the whole request."""
    dataset = dataset_for(request, slug, Action.CURATE)
    ids = set(data.ids)
    if Prompt.objects.filter(dataset=dataset, pk__in=ids).count() != len(ids):
        raise Http404
    state = PromptState(data.state)
    return {"changed": services.set_prompt_state(ids, dataset=dataset, state=state)}


@router.get("prompts/{int:pk}", response={200: PromptOut, **PROBLEMS})
def get_prompt(request: HttpRequest, pk: int) -> Any:
    """Return one prompt."""
    prompt = _prompt(request, pk)
    return _out(prompt, prompt.dataset.slug)


@router.patch("prompts/{int:pk}", response={200: PromptOut, 409: Problem, **PROBLEMS})
def change_prompt(request: HttpRequest, pk: int, data: PromptChange) -> Any:
    """Change a prompt's words, its state, or both."""
    prompt = _prompt(request, pk, Action.CURATE)
    try:
        with transaction.atomic():
            if data.text is not None:
                spec = _spec({"text": data.text, "class": prompt.label_class.name})
                services.edit_prompt(prompt, spec.text)
            if data.state is not None:
                services.set_prompt_state(
                    [pk], dataset=prompt.dataset, state=PromptState(data.state)
                )
    except IntegrityError:
        raise HttpError(409, "The class has this caption already.") from None
    return _out(_prompt(request, pk), prompt.dataset.slug)


# --- Writing --------------------------------------------------------------------


@router.post("datasets/{slug:slug}/prompts/preview", response={200: PlanOut, **PROBLEMS})
def preview_prompts(request: HttpRequest, slug: str, wish: WishIn) -> Any:
    """Say what the word lists would write, and show the first captions; nothing is stored."""
    dataset = dataset_for(request, slug, Action.CURATE)
    try:
        planned = plan(_wish(dataset, wish))
    except ValueError as error:
        raise HttpError(422, str(error)) from error
    return {
        "count": planned.count,
        "combinations": planned.combinations,
        "templates": list(planned.templates),
        "classes": [
            {
                "class": one.label_class.name,
                "count": one.count,
                "combinations": one.combinations,
                "for_all_pairs": one.for_all_pairs,
                "pairs_covered": one.coverage.pairs_covered,
                "pairs_total": one.coverage.pairs_total,
            }
            for one in planned.classes
        ],
        "samples": [
            {"class": label_class.name, "text": caption.text, "slots": dict(caption.slots)}
            for label_class, caption in planned.samples
        ],
    }


@router.post(
    "datasets/{slug:slug}/prompts/write",
    response={201: WrittenOut, 202: WritingOut, **PROBLEMS},
)
def write_prompts(request: HttpRequest, slug: str, wish: WriteIn) -> Any:
    """Write prompts and store them (201); a language model does it in the background (202)."""
    dataset = dataset_for(request, slug, Action.CURATE)
    order: dict[str, Any] = {
        "author_alias": wish.author,
        "brief": wish.brief,
        "state": PromptState(wish.state),
        "created_by": signed_in(request),
    }
    try:
        if author(wish.author).needs_worker:
            return Status(202, _writing_out(order_writing(_wish(dataset, wish), **order)))
        written = services.write_prompts(_wish(dataset, wish), **order)
    except (ValueError, ServiceError, UnknownAdapterError) as error:
        raise HttpError(422, str(error)) from error
    return Status(201, _written(slug, [written]))


@router.get("datasets/{slug:slug}/writings/{int:pk}", response={200: WritingOut, **PROBLEMS})
def get_writing(request: HttpRequest, slug: str, pk: int) -> Any:
    """Say how far a writing is."""
    return _writing_out(_find_writing(dataset_for(request, slug), pk))


@router.post("datasets/{slug:slug}/writings/{int:pk}/stop", response={200: Changed, **PROBLEMS})
def stop_one(request: HttpRequest, slug: str, pk: int) -> Any:
    """Cancel the questions that have not been sent; what is being written still arrives."""
    dataset = dataset_for(request, slug, Action.CURATE)
    return {"changed": stop_writing(_find_writing(dataset, pk))}


@router.post("datasets/{slug:slug}/writings/{int:pk}/retry", response={200: Changed, **PROBLEMS})
def retry_one(request: HttpRequest, slug: str, pk: int) -> Any:
    """Ask the failed questions again."""
    dataset = dataset_for(request, slug, Action.CURATE)
    try:
        return {"changed": retry_writing(_find_writing(dataset, pk))}
    except OverBudgetError as error:
        raise HttpError(422, str(error)) from error


def _find_writing(dataset: Dataset, pk: int) -> Writing:
    if pk > MAX_ID:
        raise Http404
    return get_object_or_404(Writing, dataset=dataset, pk=pk)


def _writing_out(writing: Writing) -> dict[str, Any]:
    progress = progress_of(writing)
    return {
        "id": writing.pk,
        "author": writing.author,
        "technique": writing.technique,
        "is_open": bool(progress.open),
        "asked": writing.asked,
        "written": writing.written,
        "dropped_count": writing.dropped_count,
        "dropped": [
            {"text": one["text"], "reasons": [text for _, text in one["reasons"]]}
            for one in writing.dropped
        ],
        "notes": writing.notes,
        "errors": [error for _, error, _ in progress.reports],
        "unknown": progress.calls[WorkState.UNKNOWN],
        "tokens_in": progress.tokens_in,
        "tokens_out": progress.tokens_out,
        "cost_micro_usd": progress.billed_micro_usd if progress.cost_is_known else None,
    }


@router.post("datasets/{slug:slug}/prompts/write-set", response={201: WrittenOut, **PROBLEMS})
def write_set(request: HttpRequest, slug: str, wish: SetIn) -> Any:
    """Write prompts by word lists over several techniques, and store all of them or none."""
    dataset = dataset_for(request, slug, Action.CURATE)
    _check_techniques(wish.techniques)
    try:
        written = services.write_set(
            Wish(
                dataset=dataset,
                classes=_classes(dataset, wish.classes) or list(dataset.classes.all()),
                technique=wish.techniques[0],
                count=wish.count,
                seed=wish.seed,
                strategy=wish.strategy,
                **varying(wish.axes),
            ),
            techniques=wish.techniques,
            state=PromptState(wish.state),
            created_by=signed_in(request),
        )
    except ValueError as error:
        raise HttpError(422, str(error)) from error
    return Status(201, _written(slug, list(written.values())))


def _written(slug: str, written: list[services.Written]) -> dict[str, Any]:
    return {
        "asked": sum(one.asked for one in written),
        "written": sum(len(one.prompts) for one in written),
        "prompts": [_out(prompt, slug) for one in written for prompt in one.prompts],
        "dropped": [
            {"text": judged.caption.text, "reasons": [reason.text for reason in judged.reasons]}
            for one in written
            for _, judged in one.dropped
        ],
        "notes": [note for one in written for note in one.notes],
    }


# --- Files ----------------------------------------------------------------------


@router.get("datasets/{slug:slug}/prompts/export", response=PROBLEMS)
def export_file(request: HttpRequest, slug: str, filters: Query[ExportFilters]) -> HttpResponseBase:
    """Return the prompts as a file: CSV, TSV or JSONL."""
    dataset = dataset_for(request, slug, Action.CURATE)
    return download(dataset, filters.format, _filters(dataset, filters))


@router.post(
    "datasets/{slug:slug}/prompts/import",
    response={200: ImportOut, 413: Problem, **PROBLEMS, 422: ImportOut | Problem},
)
def import_file(
    request: HttpRequest, slug: str, file: File[UploadedFile], form: Form[ImportForm]
) -> Any:
    """Import a file of prompts, whole or not at all; `dry_run` only checks it."""
    dataset = dataset_for(request, slug, Action.CURATE)
    if (file.size or 0) > MAX_BYTES:
        raise HttpError(413, f"The file is larger than {MAX_BYTES // 1_000_000} MB: divide it.")
    try:
        report = _imported(request, dataset, file, form)
    except PromptFileError as error:
        raise HttpError(422, str(error)) from error
    refusal = str(RefusedImportError(report)) if report.bad_count else ""
    return Status(
        422 if refusal else 200,
        {
            "detail": refusal or f"{report.prompts:,} prompts are good.",
            "format": report.shape.kind,
            "source": report.shape.source,
            "mapping": report.mapping,
            "prompts": report.prompts,
            "stored": report.stored,
            "already_there": report.already_there,
            "new_classes": report.new_classes,
            "bad_count": report.bad_count,
            "bad": [{"line": bad.line, "reason": bad.reason} for bad in report.bad],
        },
    )


def _imported(
    request: HttpRequest, dataset: Dataset, file: Upload[Any], form: ImportForm
) -> Report:
    user = signed_in(request)
    defaults = {"class": form.class_name, "technique": form.technique, "state": form.state}
    wish: dict[str, Any] = {
        "dataset": dataset,
        "mapping": _mapping(form.mapping),
        "defaults": {name: value for name, value in defaults.items() if value},
        "create_classes": form.create_classes,
        "max_lines": MAX_LINES,
    }
    token = keep_upload(file, dataset=dataset, user=user)
    try:
        path = find_upload(token, dataset=dataset, user=user)
        if path is None:
            raise PromptFileError("The file is gone. Send it again.")
        if form.dry_run:
            return check_file(**wish, path=path)
        return import_prompts(**wish, path=path, created_by=user)
    except RefusedImportError as error:
        return error.report
    finally:
        drop_upload(token, dataset=dataset, user=user)


def _mapping(text: str) -> dict[str, str]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(isinstance(one, str) for one in found.values()):
        raise PromptFileError('mapping must be a JSON object, such as {"Prompt": "text"}.')
    return found


# --- What can be written --------------------------------------------------------


@router.get("techniques", response={200: list[TechniqueOut], 401: Problem})
def list_techniques(request: HttpRequest) -> Any:
    """List the kinds of synthetic images."""
    return [
        {
            "key": one.key,
            "title": one.title,
            "help": one.help,
            "question": one.question,
            "label_rule": one.label_rule.value,
            "templates": list(one.templates),
            "axes": list(one.axes),
            "is_text": one.is_text,
        }
        for one in TECHNIQUES.values()
    ]


@router.get("authors", response={200: list[AuthorOut], 401: Problem})
def list_authors(request: HttpRequest) -> Any:
    """List who can write captions for any dataset."""
    return _authors((alias, author(alias)) for alias in settings.AUTHORS)


@router.get("datasets/{slug:slug}/authors", response={200: list[AuthorOut], **PROBLEMS})
def list_authors_of(request: HttpRequest, slug: str) -> Any:
    """List who can write captions for this dataset, its fine-tuned authors among them."""
    return _authors(authors_of(dataset_for(request, slug)))


def _authors(found: Iterable[tuple[str, Author]]) -> list[dict[str, Any]]:
    return [
        {
            "alias": alias,
            "title": one.title,
            "version": one.version,
            "needs_worker": one.needs_worker,
        }
        for alias, one in found
    ]
