"""The worker side of batches: send one, look at it, and put its answers where calls find theirs.

Killed at any point it goes on from what is proven. An answer goes into the spool under its
call's key, and from there the call itself makes its images, by the one path that every paid
answer takes: once.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid

from django.db import transaction
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.generation.batch_models import CallBatch
from synthreview.generation.generators.base import DrawRequest
from synthreview.generation.generators.batching import Batching, BatchItem, BatchLook
from synthreview.generation.jobs import as_spooled, request_of
from synthreview.generation.models import Call, service_of
from synthreview.generation.services import generator
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    OutOfCreditError,
    RateLimitedError,
    ServiceError,
    TransientError,
    UnusableAnswerError,
)
from synthreview.spending import gates, spool
from synthreview.spending.flushing import flushed
from synthreview.spending.models import ServiceGate
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit

logger = logging.getLogger(__name__)
LEASE_S = 900
FIRST_LOOK_S = 5.0
LOOK_EVERY_S = 60.0
# The service promises a day; what is open so long after that is a person's case.
OVERDUE = dt.timedelta(days=3)


def advance(batch_pk: int) -> None:
    """Claim the batch and take it one step further: sent, looked at, or ended."""
    token = CallBatch.objects.claim(batch_pk, lease_s=LEASE_S)
    if token is None:
        return
    batch = CallBatch.objects.select_related("run").get(pk=batch_pk)
    try:
        chosen = generator(batch.run.generator)
        if not isinstance(chosen, Batching):
            raise TransientError(f"{chosen.title} takes no batches any more: look at its settings.")
        if batch.remote_name:
            _follow(batch, token, chosen)
        elif batch.sent_at:
            _find(batch, token, chosen)
        else:
            _send(batch, token, chosen)
    except Exception as error:
        if not isinstance(error, ServiceError):
            logger.exception("%s broke off", batch)
        _again(batch, token, error)


# --- Sending ----------------------------------------------------------------------------


def _send(batch: CallBatch, token: uuid.UUID, chosen: Batching) -> None:
    """Put the batch and its calls on record as sent, then send it."""
    service = service_of(batch.run.generator)
    if gate := gates.gate_of(service):
        gate, now = ServiceGate.objects.at_this_moment(gate.pk)
        _put_off(batch, token, max(1.0, gates.shut_s(gate, now)), gate.reason)
        return
    with flushed(if_paid=True), transaction.atomic():
        if not CallBatch.objects.held(batch.pk, token).update(sent_at=Now()):
            return
        batch.calls.filter(state=WorkState.READY).update(sent_at=Now())
    requests = _requests_of(batch)
    if not requests:
        CallBatch.objects.settle(batch.pk, token, WorkState.CANCELLED)
        return
    try:
        name = chosen.send_batch(requests, key=str(batch.key))
    except OutcomeUnknownError as error:
        _put_off(batch, token, LOOK_EVERY_S, str(error))  # it may be there: looked for next time
    except ServiceError as error:
        gates.note_failure(service, error)
        _not_sent(batch, token, error)
    else:
        gates.note_success(service)
        held = CallBatch.objects.held(batch.pk, token)
        if held.update(remote_name=name, attempts=0):
            _put_off(batch, token, FIRST_LOOK_S, "")


def _not_sent(batch: CallBatch, token: uuid.UUID, error: ServiceError) -> None:
    """Take back the record of sending: nothing was ordered. Try again where that may help."""
    with transaction.atomic():
        if not CallBatch.objects.held(batch.pk, token).update(sent_at=None):
            return
        batch.calls.filter(state=WorkState.READY).update(sent_at=None)
    if isinstance(error, OutOfCreditError):
        _put_off(batch, token, gates.PERSON_S, str(error))
    elif isinstance(error, TransientError) and batch.attempts < CallBatch.MAX_ATTEMPTS:
        wait_s = error.retry_after_s if isinstance(error, RateLimitedError) else None
        delay_s = wait_s or 10.0 * 2.0**batch.attempts
        CallBatch.objects.postpone(batch.pk, token, delay_s=delay_s, error=str(error))
    else:
        _end(batch, token, WorkState.FAILED, str(error))


def _find(batch: CallBatch, token: uuid.UUID, chosen: Batching) -> None:
    """Look for a batch that was sent and never answered: it is not sent a second time."""
    if name := chosen.find_batch(str(batch.key)):
        if CallBatch.objects.held(batch.pk, token).update(remote_name=name, attempts=0):
            _put_off(batch, token, 0, "")
    else:
        _end(batch, token, WorkState.UNKNOWN, "It was sent, and the service has no such batch.")


# --- Following ---------------------------------------------------------------------------


def _follow(batch: CallBatch, token: uuid.UUID, chosen: Batching) -> None:
    """Look at the batch, ask it to stop where somebody wants that, and end it with its results."""
    look = chosen.look_at_batch(batch.remote_name)
    if batch.stop_asked_at and not look.is_ended:
        chosen.stop_batch(batch.remote_name)
    CallBatch.objects.held(batch.pk, token).update(
        remote_state=look.state,
        done_count=look.done,
        failed_count=look.failed,
        looked_at=Now(),
        ends_at=look.ends_at,
    )
    if look.is_ended:
        _collect(batch, token, chosen, look)
    elif batch.sent_at and timezone.now() - batch.sent_at > OVERDUE:
        _end(batch, token, WorkState.UNKNOWN, f"After three days it is still {look.state}.")
    else:
        age_s = (timezone.now() - batch.sent_at).total_seconds() if batch.sent_at else 0
        _put_off(batch, token, min(LOOK_EVERY_S, max(FIRST_LOOK_S, age_s / 4)), "")


def _collect(batch: CallBatch, token: uuid.UUID, chosen: Batching, look: BatchLook) -> None:
    """Spool every answer under its call's key; then let those calls go, and end the others."""
    requests = _requests_of(batch)
    faults: dict[str, str] = {}
    for item in chosen.batch_results(batch.remote_name, requests):
        _spool(item, faults)
        if not CallBatch.objects.renew(batch.pk, token, lease_s=LEASE_S):
            return  # another worker has it, and reads the same answers
    with transaction.atomic():
        # A batch that was stopped is no failure: what it has done comes, the rest is freed.
        if not CallBatch.objects.settle(batch.pk, token, WorkState.DONE, error=look.said):
            return
        _let_go(batch, look, faults)


def _spool(item: BatchItem, faults: dict[str, str]) -> None:
    """Keep a drawing, or what a useless answer cost; note why there is none."""
    if not isinstance(item.result, ServiceError):
        spool.write(item.key, as_spooled(item.result, {}))
    elif isinstance(item.result, UnusableAnswerError):
        spool.write(
            item.key,
            {"cost_micro_usd": item.result.cost_micro_usd, "images": [], "fault": str(item.result)},
        )
    else:
        faults[item.key] = str(item.result)


def _let_go(batch: CallBatch, look: BatchLook, faults: dict[str, str]) -> None:
    waiting = list(batch.calls.filter(state=WorkState.READY))
    answered = [call for call in waiting if spool.exists(call.spool_key)]
    Call.objects.filter(pk__in=[call.pk for call in answered]).update(due_at=Now())
    enqueue_on_commit(answered)
    kept = {call.pk for call in answered}
    for call in waiting:
        if call.pk not in kept and (why := faults.get(call.spool_key)):
            batch.end_calls(WorkState.FAILED, why, only=call.pk)
    if look.is_whole:
        state, why = WorkState.UNKNOWN, "The batch ended, and its answers do not name this."
    elif batch.stop_asked_at:
        state, why = WorkState.CANCELLED, ""
    else:
        state, why = WorkState.FAILED, f"The batch is {look.state}. {look.said}".strip()
    batch.end_calls(state, why, but=kept)


def _requests_of(batch: CallBatch) -> dict[str, DrawRequest]:
    calls = batch.calls.filter(state=WorkState.READY).order_by("pk")
    rows = calls.select_related("run", "prompt")
    return {call.spool_key: request_of(call) for call in rows}


# --- Ends --------------------------------------------------------------------------------


def _put_off(batch: CallBatch, token: uuid.UUID, delay_s: float, why: str) -> None:
    """Give the batch back until later; a look that went well is no attempt."""
    CallBatch.objects.held(batch.pk, token).update(attempts=0)
    CallBatch.objects.postpone(batch.pk, token, delay_s=delay_s, error=why)


def _again(batch: CallBatch, token: uuid.UUID, error: Exception) -> None:
    """Put off what failed without harm: what was sent is asked after until it is overdue."""
    said = str(error) if isinstance(error, ServiceError) else f"{type(error).__name__}: {error}"
    if batch.sent_at and timezone.now() - batch.sent_at > OVERDUE:
        _end(batch, token, WorkState.UNKNOWN, said)
    elif batch.sent_at or batch.attempts < CallBatch.MAX_ATTEMPTS:
        CallBatch.objects.held(batch.pk, token).update(
            attempts=1 if batch.sent_at else batch.attempts
        )
        CallBatch.objects.postpone(batch.pk, token, delay_s=LOOK_EVERY_S, error=said)
    else:
        _end(batch, token, WorkState.FAILED, said)


def _end(batch: CallBatch, token: uuid.UUID, state: WorkState, error: str) -> None:
    with transaction.atomic():
        if CallBatch.objects.settle(batch.pk, token, state, error=error):
            batch.end_calls(state, error)
