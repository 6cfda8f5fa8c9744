"""How one paid call is brought to its end: claimed, on record as sent, sent, spooled, made rows.

Killed at any point it goes on from what is proven, and nothing is paid twice (docs/work.md).
"""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Callable
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Now

from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    OutOfCreditError,
    ServiceError,
    TransientError,
    UnusableAnswerError,
)
from synthreview.spending import gates, spool
from synthreview.spending.flushing import flushed
from synthreview.spending.models import Budget, PaidWork
from synthreview.work.models import WorkState

logger = logging.getLogger(__name__)
Answer = dict[str, Any]
NO_ROOM_S = 15.0


class NoRoomError(Exception):
    """This host's disk is full; nothing was sent."""


def perform(
    rows: QuerySet[Any],
    pk: int,
    *,
    lease_s: int,
    prepare: Callable[[Any], Callable[[], Answer]],
    keep: Callable[[Any, Answer], Callable[[], None]],
) -> None:
    """Claim one call of `rows` and bring it to an end, or give it back for later.

    `prepare(row)` gathers what the request needs and returns what sends it: that is called once
    the call is on record as sent, if it must not be sent twice, and returns what is spooled, JSON
    with "cost_micro_usd" and "usage" in it. `keep(row, answer)` does the long work on it and
    returns what writes the rows: that runs in the transaction in which the call is settled, once.
    Both may raise ServiceError.
    """
    manager = rows.model._default_manager
    row: PaidWork | None = rows.filter(pk=pk, state=WorkState.READY).first()
    passed = gates.claim(row, lease_s=lease_s) if row else None
    if row is None or passed is None:
        return
    token = passed.token
    # As it was claimed; what it belongs to has not changed and need not be read again.
    row.refresh_from_db(fields=[f.name for f in row._meta.concrete_fields if not f.is_relation])
    try:
        answer = spool.read(row.spool_key)
        if answer is None:
            answer = _send(row, token, prepare)
        if answer is not None:
            _keep(row, token, answer, keep)
            if passed.had_failures:
                gates.note_success(row.service)
    except UnusableAnswerError as error:
        spooled = spool.read(row.spool_key) or {}
        billed = int(spooled.get("cost_micro_usd", error.cost_micro_usd))
        if _settle(row, token, WorkState.FAILED, error=str(error), billed_micro_usd=billed):
            spool.clear(row.spool_key)
    except NoRoomError as error:
        logger.error("%s waits: %s", row, error)
        manager.held(row.pk, token).update(attempts=F("attempts") - 1)
        manager.postpone(row.pk, token, delay_s=NO_ROOM_S, error=str(error))
    except ServiceError as error:
        gates.note_failure(row.service, error)
        _end_with(row, token, error)
    except Exception as error:
        logger.exception("%s broke off", row)
        said = f"{type(error).__name__}: {error}"
        if not spool.exists(row.spool_key):
            _end_with(row, token, OutcomeUnknownError(said))
        elif isinstance(error, OSError) or row.attempts < row.MAX_ATTEMPTS:
            # The answer is safe: it becomes rows as soon as the disk has room again.
            manager.postpone(row.pk, token, delay_s=2.0 ** min(row.attempts, 5), error=said)
        else:
            billed = spool.cost_micro_usd(row.spool_key)
            _settle(row, token, WorkState.FAILED, error=said, billed_micro_usd=billed)


def _send(
    row: PaidWork, token: uuid.UUID, prepare: Callable[[Any], Callable[[], Answer]]
) -> Answer | None:
    """Put the call on record as sent, send it, and spool the answer."""
    if row.sent_at and not row.is_repeatable:
        raise OutcomeUnknownError("It was sent before, and no answer is on record.")
    if not spool.has_room():
        raise NoRoomError(
            f"The disk of {socket.gethostname()} is full. Nothing is asked for there."
        )
    try:
        send = prepare(row)
    except ServiceError:
        raise
    except Exception as error:  # nothing has left: a fault of ours is no unknown outcome
        logger.exception("%s could not be prepared", row)
        raise TransientError(f"{type(error).__name__}: {error}") from error
    if row.may_cost or not row.is_repeatable:  # else it does no harm to send it again
        with flushed(if_paid=row.may_cost):
            is_held = type(row)._default_manager.held(row.pk, token).update(sent_at=Now())
        if not is_held:
            return None
    answer = send()
    spool.write(row.spool_key, answer)
    return answer


def _keep(
    row: PaidWork,
    token: uuid.UUID,
    answer: Answer,
    keep: Callable[[Any, Answer], Callable[[], None]],
) -> None:
    write_rows = keep(row, answer)
    with flushed(if_paid=row.may_cost), transaction.atomic():
        if not _settle(
            row,
            token,
            WorkState.DONE,
            billed_micro_usd=int(answer["cost_micro_usd"]),
            usage=answer.get("usage", {}),
        ):
            return  # the lease went to another worker: its rows count, not ours
        write_rows()
    spool.clear(row.spool_key)


def _settle(
    row: PaidWork,
    token: uuid.UUID,
    state: WorkState,
    *,
    billed_micro_usd: int = 0,
    **fields: Any,
) -> bool:
    with flushed(if_paid=row.may_cost), transaction.atomic(savepoint=False):
        # Beside what an earlier try of the same call may have cost.
        won: bool = type(row)._default_manager.settle(
            row.pk,
            token,
            state,
            billed_micro_usd=F("billed_micro_usd") + billed_micro_usd,
            **fields,
        )
        if won and state != WorkState.UNKNOWN:  # an unknown charge stays reserved
            Budget.objects.settle(
                row.payer_id,
                estimated_micro_usd=row.estimated_micro_usd,
                billed_micro_usd=billed_micro_usd,
            )
    return won


def _end_with(row: PaidWork, token: uuid.UUID, error: ServiceError) -> None:
    """End the call or put it off, by the kind of error.

    An earlier try of the same call may have been charged without an answer (`row` is as it was
    when this one began): then no fault of this one proves that nothing was.
    """
    manager = type(row)._default_manager
    was_sent = row.sent_at is not None
    # Nothing was charged by this try: as if never sent.
    unsent = {} if was_sent else {"sent_at": None}
    if isinstance(error, OutOfCreditError):
        # The gate is shut until a person opens it, and the call waits.
        manager.held(row.pk, token).update(attempts=F("attempts") - 1, **unsent)
        manager.postpone(row.pk, token, delay_s=gates.PERSON_S, error=str(error))
        return
    may_repeat = isinstance(error, TransientError) or (
        isinstance(error, OutcomeUnknownError) and row.is_repeatable
    )
    if may_repeat and row.attempts < row.MAX_ATTEMPTS:
        delay_s = getattr(error, "retry_after_s", None) or 2.0**row.attempts
        if isinstance(error, TransientError) and unsent:
            manager.held(row.pk, token).update(**unsent)
        manager.postpone(row.pk, token, delay_s=delay_s, error=str(error))
        return
    unknown = (isinstance(error, OutcomeUnknownError) or was_sent) and (
        row.may_cost or not row.is_repeatable
    )
    _settle(row, token, WorkState.UNKNOWN if unknown else WorkState.FAILED, error=str(error))
