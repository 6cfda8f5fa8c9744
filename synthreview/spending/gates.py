"""Gates: how many calls go to a service at once and a minute, and when it is left alone.

A circuit breaker: after five failures in a row, or when the service asks for patience, nobody
calls it for a while; an empty account stays shut until a person opens it.
"""

from __future__ import annotations

import datetime as dt
import uuid
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now

from synthreview.lib.outcomes import (
    OutOfCreditError,
    RateLimitedError,
    ServiceError,
    TransientError,
)
from synthreview.spending.models import PaidWork, ServiceGate
from synthreview.trail.acts import Act
from synthreview.trail.services import record
from synthreview.work.models import WorkState

MINUTE = dt.timedelta(minutes=1)
FAILURES = 5
PAUSE_S = 30.0
LONGEST_PAUSE_S = 900.0
BUSY_S = 1.0  # when all places are taken: a place may be free again this soon
PERSON_S = 60.0  # how often a call looks whether somebody has opened the gate


@dataclass(frozen=True, slots=True)
class Passed:
    """The claim of a call that may go; `had_failures` says that a success is worth noting."""

    token: uuid.UUID
    had_failures: bool = False


@transaction.atomic
def claim(row: PaidWork, *, lease_s: int) -> Passed | None:
    """Claim the call if its service may be called now; else put it off, without an attempt."""
    manager = type(row)._default_manager
    gate = ServiceGate.objects.filter(service=row.service).first() if row.service else None
    if row.service and gate is None and row.limits:
        gate, _ = ServiceGate.objects.get_or_create(service=row.service)
    if gate is None:
        token = manager.claim(row.pk, lease_s=lease_s)
        return Passed(token) if token else None
    # The write locks the row, on either database: who comes next counts this call too.
    ServiceGate.objects.filter(pk=gate.pk).update(service=F("service"))
    gate, now = ServiceGate.objects.at_this_moment(gate.pk)
    wait_s = _wait_s(gate, row, now)
    if wait_s:
        manager.filter(pk=row.pk, state=WorkState.READY).update(
            due_at=Now() + dt.timedelta(seconds=wait_s), error=gate.reason
        )
        return None
    token = manager.claim(row.pk, lease_s=lease_s)
    if token is None:
        return None
    is_new = gate.window_started_at is None or now - gate.window_started_at >= MINUTE
    ServiceGate.objects.filter(pk=gate.pk).update(
        window_started_at=now if is_new else gate.window_started_at,
        window_count=1 if is_new else gate.window_count + 1,
    )
    return Passed(token, had_failures=gate.failures_in_a_row > 0)


def shut_s(gate: ServiceGate, now: dt.datetime) -> float:
    """Return for how long the gate stays shut, limits aside; 0: it is open."""
    if gate.needs_person:
        return PERSON_S
    if gate.closed_until and gate.closed_until > now:
        return (gate.closed_until - now).total_seconds()
    return 0.0


def _wait_s(gate: ServiceGate, row: PaidWork, now: dt.datetime) -> float:
    """Return for how long the service is to be left alone; 0: it may be called."""
    if shut := shut_s(gate, now):
        return shut
    limits = row.limits
    if limits.per_minute is not None and gate.window_started_at is not None:
        ends = gate.window_started_at + MINUTE
        if ends > now and gate.window_count >= limits.per_minute:
            return (ends - now).total_seconds()
    if limits.at_once is not None and row.running_for(row.service) >= limits.at_once:
        return BUSY_S
    return 0.0


def note_success(service: str) -> None:
    """Forget failures: the service answers again."""
    ServiceGate.objects.filter(service=service, failures_in_a_row__gt=0).update(
        failures_in_a_row=0, closed_until=None, reason=""
    )


@transaction.atomic
def note_failure(service: str, error: ServiceError) -> None:
    """Count a failure that says something of the service itself, and shut its gate by it."""
    if not service or not isinstance(error, (TransientError, OutOfCreditError)):
        return
    gate, _ = ServiceGate.objects.get_or_create(service=service)
    ServiceGate.objects.filter(pk=gate.pk).update(failures_in_a_row=F("failures_in_a_row") + 1)
    gate, now = ServiceGate.objects.at_this_moment(gate.pk)
    gate.reason = str(error)
    if isinstance(error, OutOfCreditError):
        gate.needs_person = True
    elif isinstance(error, RateLimitedError) and error.retry_after_s:
        gate.closed_until = _later(gate, now, error.retry_after_s)
    elif gate.failures_in_a_row >= FAILURES:
        pause_s = PAUSE_S * 2.0 ** min(gate.failures_in_a_row - FAILURES, 10)
        gate.closed_until = _later(gate, now, min(pause_s, LONGEST_PAUSE_S))
    gate.save(update_fields=["reason", "needs_person", "closed_until"])


def _later(gate: ServiceGate, now: dt.datetime, pause_s: float) -> dt.datetime:
    until = now + dt.timedelta(seconds=pause_s)
    return max(until, gate.closed_until or until)


def gate_of(service: str) -> ServiceGate | None:
    """Return the gate while it is shut; None where the service may be called."""
    return ServiceGate.objects.shut().filter(service=service).first()


@transaction.atomic
def open_gate(service: str, *, dataset: int) -> bool:
    """Let calls through again: a person says so, for this dataset's sake. False if it was open."""
    gates = ServiceGate.objects.filter(service=service)
    gate = gates.exclude(needs_person=False, closed_until=None).first()
    if gate is None:
        return False
    record(Act.GATE_OPENED, gate, dataset=dataset, before={"reason": gate.reason})
    gates.update(needs_person=False, closed_until=None, failures_in_a_row=0, reason="")
    return True
