"""The worker side of generation: one paid call after the other, by the rules of docs/work.md.

Claimed, on record as sent, drawn, spooled, turned into rows: killed at any point, the call
goes on from what is proven, and nothing is paid twice.
"""

from __future__ import annotations

import logging
import time
import uuid
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models.functions import Now

from synthreview.generation import storage
from synthreview.generation.generators.base import (
    DrawRequest,
    DrawResult,
    GeneratorError,
    OutcomeUnknownError,
    TransientError,
)
from synthreview.generation.models import Call, GeneratedImage, ImageTruth
from synthreview.generation.services import generator, settle_money
from synthreview.lib.images import BadImageError
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
LEASE_S = 300
# One message draws for this long: a job per image would spend its time on forks.
SHIFT_S = 10.0


def draw(call_pk: int) -> None:
    """Do the call, then further due calls of its run until the shift is over."""
    ends_at = time.monotonic() + SHIFT_S
    draw_call(call_pk)
    run_id = Call.objects.values_list("run_id", flat=True).filter(pk=call_pk).first()
    while time.monotonic() < ends_at:
        due = Call.objects.due().filter(run_id=run_id).order_by("pk")
        next_pk = due.values_list("pk", flat=True).first()
        if next_pk is None:
            return
        draw_call(next_pk)


def draw_call(call_pk: int) -> None:
    """Claim one call and bring it to an end, or give it back for later."""
    token = Call.objects.claim(call_pk, lease_s=LEASE_S)
    if token is None:
        return
    call = Call.objects.select_related("run", "prompt__label_class").get(pk=call_pk)
    try:
        answer = storage.read_spool(str(call.idempotency_key)) or _send(call, token)
        if answer is not None:
            _make_rows(call, token, answer)
    except GeneratorError as error:
        _end_with(call, token, error)
    except BadImageError as error:
        message = f"The generator's image could not be used: {error}."
        if _settle(call, token, WorkState.FAILED, error=message, billed_usd=_paid(call)):
            storage.clear_spool(str(call.idempotency_key))
    except Exception as error:
        logger.exception("Call %s broke off", call.pk)
        said = f"{type(error).__name__}: {error}"
        if storage.read_spool(str(call.idempotency_key)) is None:
            _end_with(call, token, OutcomeUnknownError(said))
        elif isinstance(error, OSError) or call.attempts < Call.MAX_ATTEMPTS:
            # The answer is safe: it becomes rows as soon as the disk has room again.
            Call.objects.postpone(call.pk, token, delay_s=2.0 ** min(call.attempts, 5), error=said)
        else:
            _settle(call, token, WorkState.FAILED, error=said)


def _paid(call: Call) -> Decimal:
    """Return what the spooled answer cost."""
    answer = storage.read_spool(str(call.idempotency_key)) or {}
    return Decimal(answer.get("cost_usd", 0))


def _send(call: Call, token: uuid.UUID) -> dict[str, Any] | None:
    """Put the call on record as sent, send it, and spool the answer."""
    if call.sent_at and not call.is_repeatable:
        raise OutcomeUnknownError("It was sent before, and no answer is on record.")
    if not Call.objects.held(call.pk, token).update(sent_at=Now()):
        return None
    request = DrawRequest(
        prompt=call.prompt.text,
        count=call.count,
        size_px=call.run.size_px,
        seed=call.seed,
        options=call.run.options,
    )
    key = str(call.idempotency_key)
    result = generator(call.run.generator).draw(request, idempotency_key=key)
    answer = _as_spooled(result)
    storage.write_spool(key, answer)
    return answer


def _as_spooled(result: DrawResult) -> dict[str, Any]:
    return {
        "model": result.model,
        "model_version": result.model_version,
        "cost_usd": str(result.cost_usd),
        "images": [
            {
                "sha256": storage.blobs().put(image.data),
                "seed": image.seed,
                "revised_prompt": image.revised_prompt or "",
                "private": dict(image.private),
            }
            for image in result.images
        ],
    }


def _make_rows(call: Call, token: uuid.UUID, answer: dict[str, Any]) -> None:
    """Check the images, make their renditions, then settle call and rows in one transaction."""
    if len(answer["images"]) != call.count:
        raise BadImageError(f"{len(answer['images'])} images came, {call.count} were asked")
    images = [
        _image_of(call, position, answer, entry) for position, entry in enumerate(answer["images"])
    ]
    with transaction.atomic():
        if not _settle(call, token, WorkState.DONE, billed_usd=Decimal(answer["cost_usd"])):
            return  # the lease went to another worker: its rows count, not ours
        GeneratedImage.objects.bulk_create(images)
        ImageTruth.objects.bulk_create(
            ImageTruth(image=image, facts=entry["private"])
            for image, entry in zip(images, answer["images"], strict=True)
            if entry["private"]
        )
    storage.clear_spool(str(call.idempotency_key))


def _image_of(
    call: Call, position: int, answer: dict[str, Any], entry: dict[str, Any]
) -> GeneratedImage:
    data = storage.blobs().read(entry["sha256"])
    sha256, decoded = storage.store_image(data)
    return GeneratedImage(
        dataset_id=call.run.dataset_id,
        run=call.run,
        call=call,
        position=position,
        label_class=call.prompt.label_class,
        prompt=call.prompt,
        technique=call.prompt.technique,
        caption=call.prompt.text,
        generator=call.run.generator,
        model=answer["model"],
        model_version=answer["model_version"],
        seed=entry["seed"],
        revised_prompt=entry["revised_prompt"],
        sha256=sha256,
        media_type=decoded.media_type,
        byte_count=len(data),
        width=decoded.width,
        height=decoded.height,
    )


def _settle(
    call: Call,
    token: uuid.UUID,
    state: WorkState,
    *,
    error: str = "",
    billed_usd: Decimal = Decimal(0),
) -> bool:
    with transaction.atomic():
        won = Call.objects.settle(call.pk, token, state, error=error, billed_usd=billed_usd)
        if won and state != WorkState.UNKNOWN:  # an unknown charge stays reserved
            settle_money(
                call.run.dataset_id, estimated_usd=call.estimated_usd, billed_usd=billed_usd
            )
    return won


def _end_with(call: Call, token: uuid.UUID, error: GeneratorError) -> None:
    """End the call or put it off, by the kind of error."""
    may_repeat = isinstance(error, TransientError) or (
        isinstance(error, OutcomeUnknownError) and call.is_repeatable
    )
    if may_repeat and call.attempts < Call.MAX_ATTEMPTS:
        delay_s = getattr(error, "retry_after_s", None) or 2.0**call.attempts
        if isinstance(error, TransientError):  # nothing was charged: as if never sent
            Call.objects.held(call.pk, token).update(sent_at=None)
        Call.objects.postpone(call.pk, token, delay_s=delay_s, error=str(error))
        return
    unknown = isinstance(error, OutcomeUnknownError) and not call.is_repeatable
    _settle(call, token, WorkState.UNKNOWN if unknown else WorkState.FAILED, error=str(error))
