"""Durable work: rows that are claimed, leased, retried and swept.

The row is the truth and Redis only carries its key, because RQ is at-least-once
with holes: a lost message costs a delay, ten deliveries have the effect of one.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any, ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now


class WorkState(models.TextChoices):
    """READY and RUNNING go on; the others are ends."""

    READY = "ready", "waiting"
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"
    CANCELLED = "cancelled", "stopped"
    UNKNOWN = "unknown", "outcome unknown"


OPEN_STATES = (WorkState.READY, WorkState.RUNNING)


class DurableWorkQuerySet(models.QuerySet["Any"]):
    """The only way in which rows of durable work change their state.

    Times are the database's, so that hosts with skewed clocks agree.
    """

    def open(self) -> Self:
        return self.filter(state__in=OPEN_STATES)

    def due(self) -> Self:
        return self.filter(state=WorkState.READY, due_at__lte=Now())

    def overdue(self) -> Self:
        """Return running work whose lease ran out: its worker died or hangs."""
        return self.filter(state=WorkState.RUNNING, lease_expires_at__lt=Now())

    def claim(self, pk: int, *, lease_s: int) -> uuid.UUID | None:
        """Take the row for this worker; None where somebody else has it or it is not due."""
        token = uuid.uuid4()
        won = (
            self.due()
            .filter(pk=pk)
            .update(
                state=WorkState.RUNNING,
                lease_token=token,
                lease_expires_at=Now() + dt.timedelta(seconds=lease_s),
                attempts=F("attempts") + 1,
                error="",
            )
        )
        return token if won else None

    def held(self, pk: int, token: uuid.UUID) -> Self:
        """Return the row while `token` still owns it: every later write goes through this."""
        return self.filter(pk=pk, state=WorkState.RUNNING, lease_token=token)

    def renew(self, pk: int, token: uuid.UUID, *, lease_s: int) -> bool:
        """Keep the lease; False where it was lost, and then the worker must stop."""
        expires = Now() + dt.timedelta(seconds=lease_s)
        return bool(self.held(pk, token).update(lease_expires_at=expires))

    def settle(self, pk: int, token: uuid.UUID, state: WorkState, **fields: Any) -> bool:
        """End the work in `state`; False where the lease was lost, and nothing changed."""
        return bool(
            self.held(pk, token).update(
                state=state, lease_token=None, lease_expires_at=None, settled_at=Now(), **fields
            )
        )

    def postpone(self, pk: int, token: uuid.UUID, *, delay_s: float, error: str) -> bool:
        """Give the work back, to be tried again later."""
        return bool(
            self.held(pk, token).update(
                state=WorkState.READY,
                lease_token=None,
                lease_expires_at=None,
                due_at=Now() + dt.timedelta(seconds=delay_s),
                error=error,
            )
        )


class DurableWork(models.Model):
    """One piece of work. Subclasses name their queue and the job that does it.

    It ends DONE, FAILED (set aside after MAX_ATTEMPTS; shown, and retried by a person),
    CANCELLED, or UNKNOWN (a paid call of which no outcome is proven).
    """

    QUEUE: ClassVar[str]
    JOB: ClassVar[str]  # dotted path of a function that takes the primary key
    MAX_ATTEMPTS: ClassVar[int] = 3

    state = models.CharField(max_length=10, choices=WorkState, default=WorkState.READY)
    due_at = models.DateTimeField(db_default=Now())
    attempts = models.PositiveSmallIntegerField(default=0)
    lease_token = models.UUIDField(null=True, blank=True)
    lease_expires_at = models.DateTimeField(null=True, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)
    error = models.TextField(blank=True)

    objects = DurableWorkQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_lease_iff_running",
                condition=Q(
                    state=WorkState.RUNNING,
                    lease_token__isnull=False,
                    lease_expires_at__isnull=False,
                )
                | (
                    ~Q(state=WorkState.RUNNING)
                    & Q(lease_token__isnull=True, lease_expires_at__isnull=True)
                ),
            ),
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_state_known",
                condition=Q(state__in=WorkState.values),
            ),
        ]
        indexes = [
            # Serves the sweeper: what is due, what is overdue.
            models.Index(
                fields=["state", "due_at"],
                name="%(app_label)s_%(class)s_open",
                condition=Q(state__in=OPEN_STATES),
            )
        ]

    def lease_lost_state(self) -> WorkState:
        """Say what becomes of the row when its worker vanished in the middle of it."""
        if self.attempts >= self.MAX_ATTEMPTS:
            return WorkState.FAILED
        return WorkState.READY

    def set_aside(self) -> None:
        """Called by the sweeper once the row is FAILED; subclasses free what it holds."""
