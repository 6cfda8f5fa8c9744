"""Verbs of generation: plan, start, stop and retry runs; turn answers into images."""

from __future__ import annotations

import datetime as dt
import functools
import itertools
import secrets
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Max
from django.db.models.functions import Now

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass, ReferenceImage, ReferenceUse
from synthreview.generation.generators.base import (
    FUSION,
    INPUTS,
    KEEPS_SIZE,
    TEXT,
    Capabilities,
    DrawRequest,
    Generator,
    Interruptible,
)
from synthreview.generation.generators.batching import Batching, BatchOffer
from synthreview.generation.models import Call, CallBatch, CallInput, GeneratedImage, InputRole, Run
from synthreview.generation.segmenters.base import Segmenter
from synthreview.lib.adapters import UnknownAdapterError, load_adapter
from synthreview.prompting.models import Prompt
from synthreview.prompting.techniques import TECHNIQUES, WRITTEN
from synthreview.spending import spool
from synthreview.spending.limits import Limits
from synthreview.spending.models import Budget
from synthreview.spending.services import (
    OverBudgetError,
    reserve,
    resolve_unknown,
    retry_paid,
)
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, record
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import enqueue_on_commit

MAX_IMAGES_PER_RUN = 1_000_000
# A batch ends within three days, or a person decides (batch_jobs.OVERDUE): its calls wait longer.
WAIT_FOR_BATCH = dt.timedelta(days=30)
# Small calls: progress is seen, and little is lost with one. What is free is only drawn again.
MAX_IMAGES_PER_CALL, MAX_FREE_PER_CALL = 4, 8


class RunError(ValueError):
    """The run cannot start; the message says why and what to do, in plain words."""


@functools.cache
def generator(alias: str) -> Generator:
    """Return the generator of that name. Raises UnknownAdapterError."""
    loaded: Generator = load_adapter(settings.GENERATORS, alias, "generator")
    return loaded


@functools.cache
def segmenter() -> Segmenter | None:
    """Return what finds subjects in pictures; None where none is configured. Loads no model."""
    if not settings.SEGMENTER:
        return None
    loaded: Segmenter = load_adapter({"segmenter": settings.SEGMENTER}, "segmenter", "segmenter")
    return loaded


def is_interruptible(alias: str) -> bool:
    """Whether what that generator draws can be stopped half-way; not if nobody knows it."""
    try:
        return isinstance(generator(alias), Interruptible)
    except UnknownAdapterError:
        return False


def load_generators() -> None:
    """Build every generator before a worker forks, so that no job pays for the imports."""
    for alias in settings.GENERATORS:
        generator(alias)


@dataclass(frozen=True, slots=True)
class Order:
    """One thing to draw: its prompt, and for a derivation the images that go in.

    `subject` stands in place of a mask: a worker has the segmenter find it, and keeps it.
    """

    prompt: Prompt
    inputs: tuple[GeneratedImage | ReferenceImage, ...] = ()
    mask_sha256: str = ""
    subject: str = ""


def orders_of(prompts: Iterable[Prompt]) -> list[Order]:
    """Return one order for each prompt, without inputs."""
    return [Order(prompt) for prompt in prompts]


@dataclass(frozen=True, slots=True)
class PlannedCall:
    """One request of a run before it is on record."""

    order: Order
    count: int
    seed: int
    estimated_micro_usd: int


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do: its calls, the most that they cost, and what is only emulated."""

    calls: list[PlannedCall]
    image_count: int
    is_repeatable: bool
    emulation: str = ""

    @property
    def estimated_micro_usd(self) -> int:
        return sum(call.estimated_micro_usd for call in self.calls)


def capability_of(technique: str) -> str:
    """Return what a generator is asked for by a technique: text, variation, fusion, …"""
    return TEXT if TECHNIQUES[technique].is_text else technique


def source_size(image: GeneratedImage | ReferenceImage) -> tuple[int, int]:
    """Return the width and height in pixels of what a call starts from."""
    return image.width, image.height


def drawn_px(
    able: Capabilities, capability: str, size_px: int, source: tuple[int, int] | None
) -> int:
    """Return the size to ask for: the run's, or the one that holds the source."""
    if capability in KEEPS_SIZE and source is not None:
        return able.size_for(source)
    return size_px


def approved_prompts(
    dataset: Dataset,
    *,
    classes: Sequence[LabelClass] | None = None,
    techniques: Sequence[str] | None = None,
) -> list[Prompt]:
    """Return the prompts that may be drawn: classes take turns, and techniques within them.

    Without `techniques` those of the text techniques: instructions need source images.
    """
    prompts = Prompt.objects.approved().filter(dataset=dataset).select_related("label_class")
    prompts = prompts.filter(technique__in=WRITTEN if techniques is None else techniques)
    if classes is not None:
        prompts = prompts.filter(label_class__in=classes)
    by_class: dict[int, dict[str, list[Prompt]]] = defaultdict(lambda: defaultdict(list))
    for prompt in prompts.order_by("label_class__position", "pk"):
        by_class[prompt.label_class_id][prompt.technique].append(prompt)
    return _in_turn([_in_turn(list(kinds.values())) for kinds in by_class.values()])


def _in_turn(groups: Sequence[Sequence[Prompt]]) -> list[Prompt]:
    """Return the first of each group, then the second of each, and so on."""
    turns = itertools.zip_longest(*groups)
    return [prompt for turn in turns for prompt in turn if prompt is not None]


def plan_run(
    *,
    orders: Sequence[Order],
    count: int,
    generator_alias: str,
    size_px: int = 512,
    seed: int = 0,
    negative_prompt: str = "",
    options: Mapping[str, Any] | None = None,
    is_batched: bool = False,
) -> RunPlan:
    """Share `count` images evenly over the orders. Raises RunError, UnknownAdapterError.

    `size_px` counts for nothing where an image is as large as what it is made of.
    """
    chosen = generator(generator_alias)
    able = chosen.capabilities()
    try:
        Limits.of(settings.GENERATORS[generator_alias])
    except ValueError as error:
        raise RunError(f"The settings of {generator_alias} are wrong: {error}") from error
    if not orders:
        raise RunError("There is no approved prompt to draw: write and approve prompts first.")
    if not 1 <= count <= MAX_IMAGES_PER_RUN:
        raise RunError(f"{count} images: choose between 1 and {MAX_IMAGES_PER_RUN:,}.")
    capabilities = {capability_of(order.prompt.technique) for order in orders}
    if size_px not in able.sizes_px and not capabilities <= KEEPS_SIZE:
        sizes = ", ".join(map(str, able.sizes_px))
        raise RunError(f"{chosen.title} draws no {size_px} px images; it draws {sizes}.")
    if negative_prompt and not able.takes_negative_prompt:
        raise RunError(f"{chosen.title} takes no negative prompt: leave it empty.")
    if lacking := sorted(capabilities - able.able):
        raise RunError(
            f"{chosen.title} cannot do {', '.join(lacking)}; "
            f"it can do {', '.join(sorted(able.able))}."
        )
    _check_inputs(orders)
    estimate = _batch_estimate(chosen, capabilities) if is_batched else chosen.estimate_micro_usd

    def asked(order: Order, images: int, seed: int) -> DrawRequest:
        capability = capability_of(order.prompt.technique)
        source = source_size(order.inputs[0]) if order.inputs else None
        return DrawRequest(
            prompt=order.prompt.text,
            count=images,
            size_px=drawn_px(able, capability, size_px, source),
            seed=seed,
            capability=capability,
            negative_prompt=negative_prompt,
            slots=order.prompt.slots,
            options=options or {},
            source_size=source,
        )

    calls: list[PlannedCall] = []
    next_seed = seed
    for number, order in enumerate(orders):
        is_free = estimate(asked(order, 1, next_seed)) == 0
        most = min(able.images_per_call, MAX_FREE_PER_CALL if is_free else MAX_IMAGES_PER_CALL)
        wanted = count // len(orders) + (number < count % len(orders))
        while wanted > 0:
            images = min(wanted, most)
            price = estimate(asked(order, images, next_seed))
            calls.append(PlannedCall(order, images, next_seed, price))
            next_seed += images
            wanted -= images
    emulated = [able.emulated[name] for name in sorted(capabilities) if name in able.emulated]
    return RunPlan(calls, count, able.takes_idempotency_key, "; ".join(emulated))


def batch_offer(generator_alias: str) -> BatchOffer | None:
    """Return what a generator offers by batch; None: nothing, or nobody knows it."""
    try:
        chosen = generator(generator_alias)
    except UnknownAdapterError:
        return None
    return chosen.batch_offer() if isinstance(chosen, Batching) else None


def _batch_estimate(chosen: Generator, capabilities: set[str]) -> Callable[[DrawRequest], int]:
    offer = chosen.batch_offer() if isinstance(chosen, Batching) else None
    if offer is None or not isinstance(chosen, Batching):
        raise RunError(f"{chosen.title} takes no batches.")
    if not capabilities <= offer.capabilities:
        raise RunError(f"{chosen.title} takes batches of captions only.")
    return chosen.estimate_batched_micro_usd


def _check_inputs(orders: Iterable[Order]) -> None:
    for order in orders:
        technique = order.prompt.technique
        needed = INPUTS[capability_of(technique)]
        if len(order.inputs) != needed:
            raise RunError(
                f"{TECHNIQUES[technique].title} needs {needed} images to start from; "
                f"{len(order.inputs)} were given for {order.prompt.text!r}."
            )
        kept_apart = (ReferenceUse.TEST, ReferenceUse.TRAIN)
        if any(getattr(image, "use", None) in kept_apart for image in order.inputs):
            raise RunError("An image of a real training or test set never becomes a source.")


@transaction.atomic
def start_run(
    *,
    dataset: Dataset,
    orders: Sequence[Order],
    count: int,
    generator_alias: str,
    size_px: int = 512,
    seed: int | None = None,
    negative_prompt: str = "",
    options: Mapping[str, Any] | None = None,
    is_batched: bool = False,
    created_by: User | None = None,
) -> Run:
    """Put a run and all its calls on record, reserve what it may cost, and send it to work.

    Raises RunError (nothing to draw, wrong size, over the budget), UnknownAdapterError.
    """
    seed = secrets.randbelow(2**31) if seed is None else seed
    plan = plan_run(
        orders=orders,
        count=count,
        generator_alias=generator_alias,
        size_px=size_px,
        seed=seed,
        negative_prompt=negative_prompt,
        options=options,
        is_batched=is_batched,
    )
    # The lock keeps two runs of one dataset from taking one number.
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    try:
        reserve(dataset, plan.estimated_micro_usd)
    except OverBudgetError as error:
        raise RunError(str(error)) from error
    last = Run.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
    run = Run.objects.create(
        dataset=dataset,
        number=last + 1,
        generator=generator_alias,
        options=dict(options or {}),
        negative_prompt=negative_prompt,
        emulation=plan.emulation,
        # 0: each image is as large as what it was made of.
        size_px=0 if all(_keeps_size(order) for order in orders) else size_px,
        is_batched=is_batched,
        seed=seed,
        image_count=count,
        created_by=created_by,
    )
    calls = [
        Call(
            run=run,
            prompt=planned.order.prompt,
            count=planned.count,
            seed=planned.seed,
            mask_sha256=planned.order.mask_sha256,
            subject=planned.order.subject[:120],
            is_repeatable=plan.is_repeatable,
            estimated_micro_usd=planned.estimated_micro_usd,
        )
        for planned in plan.calls
    ]
    Call.objects.bulk_create(calls, batch_size=500)
    inputs = [
        _input_of(call, position, image)
        for call, planned in zip(calls, plan.calls, strict=True)
        for position, image in enumerate(planned.order.inputs)
    ]
    CallInput.objects.bulk_create(inputs, batch_size=500)
    if is_batched:
        _put_in_batches(run, calls)
    else:
        enqueue_on_commit(calls)
    note_run(run, estimated_micro_usd=plan.estimated_micro_usd)
    return run


def note_run(run: Run, *, estimated_micro_usd: int = 0) -> None:
    """Put on record who started the run, and what it may cost."""
    names = ("generator", "options", "negative_prompt", "size_px", "seed", "image_count")
    after = facts(run, *names) | {"estimated_micro_usd": estimated_micro_usd}
    record(Act.RUN_STARTED, run, after=after, by=run.created_by)


def _put_in_batches(run: Run, calls: Sequence[Call]) -> None:
    """Give the calls to new batches: these are due now, the calls when their answers are there."""
    offer = batch_offer(run.generator)
    if offer is None:
        raise RunError(f"{run.generator} takes no batches any more: look at its settings.")
    batches = []
    for start in range(0, len(calls), offer.most_requests):
        batch = CallBatch.objects.create(run=run)
        keys = [call.pk for call in calls[start : start + offer.most_requests]]
        waiting = Call.objects.filter(pk__in=keys, state=WorkState.READY)
        waiting.update(batch=batch, due_at=Now() + WAIT_FOR_BATCH)
        batches.append(batch)
    enqueue_on_commit(batches)


def _keeps_size(order: Order) -> bool:
    return capability_of(order.prompt.technique) in KEEPS_SIZE


def _input_of(call: Call, position: int, image: GeneratedImage | ReferenceImage) -> CallInput:
    roles = {
        FUSION: (InputRole.SUBJECT, InputRole.SETTING),
    }.get(call.prompt.technique, (InputRole.SOURCE,))
    field = "reference" if isinstance(image, ReferenceImage) else "image"
    return CallInput(call=call, position=position, role=roles[position], **{field: image})


@transaction.atomic
def stop_run(run: Run) -> int:
    """Cancel what waits; what is being drawn comes to its end. Returns how many.

    What waits to be asked once more, because its first answer never came, may have been charged:
    it ends UNKNOWN and keeps its money reserved until a person decides.

    A call whose answer lies in the spool is paid for: it goes on, and its images arrive. What an
    interruptible generator draws is cancelled too: it costs nothing, and its worker, which
    loses the lease so, stops within a step.
    """
    freed = 0
    stopped = 0
    states = OPEN_STATES if is_interruptible(run.generator) else (WorkState.READY,)
    stopped += _stop_batches(run)
    for call in run.calls.filter(state__in=states):
        is_sent = call.batch_id and call.sent_at
        if is_sent or spool.exists(call.spool_key):
            continue
        # One by one and conditional: a worker may claim any of them meanwhile.
        same = run.calls.filter(
            pk=call.pk,
            state=call.state,
            lease_token=call.lease_token,
            sent_at__isnull=call.sent_at is None,
        )
        is_unknown = call.sent_at is not None and call.may_cost
        if same.update(
            state=WorkState.UNKNOWN if is_unknown else WorkState.CANCELLED,
            settled_at=Now(),
            lease_token=None,
            lease_expires_at=None,
        ):
            stopped += 1
            freed += 0 if is_unknown else call.estimated_micro_usd
    Budget.objects.settle(run.dataset_id, estimated_micro_usd=freed, billed_micro_usd=0)
    if stopped:
        record(Act.RUN_STOPPED, run, after={"calls": stopped})
    return stopped


def _stop_batches(run: Run) -> int:
    """Ask the service to stop what it was sent; batches that were not sent end at once."""
    sent = run.batches.open().filter(sent_at__isnull=False, stop_asked_at=None)
    asked: int = sent.update(stop_asked_at=Now())
    run.batches.filter(state=WorkState.READY, sent_at__isnull=False).update(due_at=Now())
    unsent = run.batches.filter(state=WorkState.READY, sent_at=None)
    unsent.update(state=WorkState.CANCELLED, settled_at=Now())
    return asked


@transaction.atomic
def retry_run(run: Run) -> int:
    """Draw failed calls again; returns how many. Raises RunError where the budget is used up."""
    calls = list(run.calls.filter(state=WorkState.FAILED))
    try:
        retried = retry_paid(run.dataset, calls)
    except OverBudgetError as error:
        raise RunError(str(error)) from error
    _batch_again(run, calls)
    return retried


@transaction.atomic
def decide_unknown(run: Run, calls: Sequence[Call], outcome: str) -> int:
    """End calls of unknown outcome as decided; returns how many. Raises OverBudgetError."""
    resolved = resolve_unknown(run.dataset, calls, outcome)
    _batch_again(run, calls)
    return resolved


def _batch_again(run: Run, calls: Sequence[Call]) -> None:
    """Give calls that are to be drawn again to new batches, at the price they were planned at."""
    ready = run.calls.filter(pk__in=[call.pk for call in calls], state=WorkState.READY)
    if run.is_batched and (again := [c for c in ready if not spool.exists(c.spool_key)]):
        _put_in_batches(run, again)
