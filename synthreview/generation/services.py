"""Verbs of generation: plan, start, stop and retry runs; turn answers into images."""

from __future__ import annotations

import functools
import itertools
import secrets
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Max
from django.db.models.functions import Now, Round

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset, LabelClass
from synthreview.generation import storage
from synthreview.generation.generators.base import DrawRequest, Generator
from synthreview.generation.models import Budget, Call, Run
from synthreview.lib.adapters import load_adapter
from synthreview.prompting.models import Prompt
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit, retry

MICRO_USD = Decimal("0.000001")
MAX_IMAGES_PER_RUN = 1_000_000
MAX_IMAGES_PER_CALL = 4  # small calls: progress is seen, and little is lost with one


class RunError(ValueError):
    """The run cannot start; the message says why and what to do, in plain words."""


@functools.cache
def generator(alias: str) -> Generator:
    """Return the generator of that name. Raises UnknownAdapterError."""
    loaded: Generator = load_adapter(settings.GENERATORS, alias, "generator")
    return loaded


def load_generators() -> None:
    """Build every generator before a worker forks, so that no job pays for the imports."""
    for alias in settings.GENERATORS:
        generator(alias)


@dataclass(frozen=True, slots=True)
class RunPlan:
    """What a run would do: its calls, and the most that they cost."""

    requests: list[tuple[Prompt, int, int]]  # prompt, images, seed
    image_count: int
    estimated_usd: Decimal
    is_repeatable: bool


def approved_prompts(
    dataset: Dataset,
    *,
    classes: Sequence[LabelClass] | None = None,
    techniques: Sequence[str] | None = None,
) -> list[Prompt]:
    """Return the prompts that may be drawn: classes take turns, and techniques within them."""
    prompts = Prompt.objects.approved().filter(dataset=dataset).select_related("label_class")
    if classes is not None:
        prompts = prompts.filter(label_class__in=classes)
    if techniques is not None:
        prompts = prompts.filter(technique__in=techniques)
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
    prompts: Sequence[Prompt],
    count: int,
    generator_alias: str,
    size_px: int = 512,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
) -> RunPlan:
    """Share `count` images evenly over the prompts. Raises RunError, UnknownAdapterError."""
    chosen = generator(generator_alias)
    able = chosen.capabilities()
    if not prompts:
        raise RunError("There is no approved prompt to draw: write and approve prompts first.")
    if not 1 <= count <= MAX_IMAGES_PER_RUN:
        raise RunError(f"{count} images: choose between 1 and {MAX_IMAGES_PER_RUN:,}.")
    if size_px not in able.sizes_px:
        sizes = ", ".join(map(str, able.sizes_px))
        raise RunError(f"{chosen.title} draws no {size_px} px images; it draws {sizes}.")
    per_call = min(able.images_per_call, MAX_IMAGES_PER_CALL)
    requests: list[tuple[Prompt, int, int]] = []
    total = Decimal(0)
    next_seed = seed
    for number, prompt in enumerate(prompts):
        wanted = count // len(prompts) + (number < count % len(prompts))
        while wanted > 0:
            images = min(wanted, per_call)
            request = DrawRequest(
                prompt=prompt.text,
                count=images,
                size_px=size_px,
                seed=next_seed,
                options=options or {},
            )
            total += chosen.estimate_usd(request)
            requests.append((prompt, images, next_seed))
            next_seed += images
            wanted -= images
    return RunPlan(requests, count, total, able.takes_idempotency_key)


@transaction.atomic
def start_run(
    *,
    dataset: Dataset,
    prompts: Sequence[Prompt],
    count: int,
    generator_alias: str,
    size_px: int = 512,
    seed: int | None = None,
    options: Mapping[str, Any] | None = None,
    created_by: User | None = None,
) -> Run:
    """Put a run and all its calls on record, reserve what it may cost, and send it to work.

    Raises RunError (nothing to draw, wrong size, over the budget), UnknownAdapterError.
    """
    seed = secrets.randbelow(2**31) if seed is None else seed
    plan = plan_run(
        prompts=prompts,
        count=count,
        generator_alias=generator_alias,
        size_px=size_px,
        seed=seed,
        options=options,
    )
    # The lock keeps two runs of one dataset from taking one number.
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    # Rounded up, so that the calls' shares never free more than was reserved.
    share = (plan.estimated_usd / len(plan.requests)).quantize(MICRO_USD, ROUND_UP)
    _reserve(dataset, share * len(plan.requests))
    last = Run.objects.filter(dataset=dataset).aggregate(last=Max("number"))["last"] or 0
    run = Run.objects.create(
        dataset=dataset,
        number=last + 1,
        generator=generator_alias,
        options=dict(options or {}),
        size_px=size_px,
        seed=seed,
        image_count=count,
        created_by=created_by,
    )
    calls = [
        Call(
            run=run,
            prompt=prompt,
            count=images,
            seed=call_seed,
            is_repeatable=plan.is_repeatable,
            estimated_usd=share,
        )
        for prompt, images, call_seed in plan.requests
    ]
    Call.objects.bulk_create(calls, batch_size=500)
    enqueue_on_commit(calls)
    return run


def _reserve(dataset: Dataset, amount_usd: Decimal) -> None:
    if not amount_usd:
        return
    budget, _ = Budget.objects.get_or_create(dataset=dataset)
    won = Budget.objects.filter(
        pk=budget.pk, limit_usd__gte=Round(F("reserved_usd") + F("spent_usd") + amount_usd, 6)
    ).update(reserved_usd=Round(F("reserved_usd") + amount_usd, 6))
    if not won:
        left = budget.limit_usd - budget.reserved_usd - budget.spent_usd
        raise RunError(
            f"The run may cost up to ${amount_usd:.2f}, and ${left:.2f} of the budget is left."
        )


def settle_money(dataset_id: int, *, estimated_usd: Decimal, billed_usd: Decimal) -> None:
    """Turn a call's reservation into what it really cost."""
    Budget.objects.settle(dataset_id, estimated_usd=estimated_usd, billed_usd=billed_usd)


@transaction.atomic
def stop_run(run: Run) -> int:
    """Cancel what has not been sent; what is being drawn comes to its end. Returns how many."""
    freed = Decimal(0)
    stopped = 0
    for call in run.calls.filter(state=WorkState.READY):
        # One by one and conditional: a worker may claim any of them meanwhile.
        if run.calls.filter(pk=call.pk, state=WorkState.READY).update(
            state=WorkState.CANCELLED, settled_at=Now()
        ):
            stopped += 1
            freed += call.estimated_usd
    settle_money(run.dataset_id, estimated_usd=freed, billed_usd=Decimal(0))
    return stopped


@transaction.atomic
def retry_run(run: Run) -> int:
    """Draw failed calls again; returns how many. Raises RunError where the budget is used up."""
    failed: Iterable[Call] = list(run.calls.filter(state=WorkState.FAILED))
    _reserve(run.dataset, sum((call.estimated_usd for call in failed), Decimal(0)))
    for call in failed:
        # A new key, or the provider would give the same useless answer again; but an answer
        # that was spooled is paid for, and is used.
        key = str(call.idempotency_key)
        renewed = {} if storage.read_spool(key) else {"idempotency_key": uuid.uuid4()}
        run.calls.filter(pk=call.pk, state=WorkState.FAILED).update(sent_at=None, **renewed)
    return retry(failed)
