"""Calls that are ordered together, to be drawn later and cheaper: one row for each batch.

`models.py` imports this file; what is done with the rows stands in `batch_jobs.py`.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from synthreview.spending.models import Budget
from synthreview.work.models import DurableWork, WorkState


class CallBatch(DurableWork):
    """One order of many calls to a service that does them within a day.

    Its calls wait, not due, while it is open. It is on record as sent before its bytes leave,
    and found again by `key` where the answer was lost; each look at it is one claim. It ends
    DONE when every answer lies in the spool and every call is due or ended, FAILED or CANCELLED
    where it was not taken, UNKNOWN where nobody can tell.
    """

    QUEUE = "generation"
    JOB = "synthreview.generation.batch_jobs.advance"

    run = models.ForeignKey("generation.Run", on_delete=models.PROTECT, related_name="batches")
    key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    remote_name = models.CharField(max_length=200, blank=True)
    remote_state = models.CharField(max_length=40, blank=True)
    done_count = models.PositiveIntegerField(default=0)
    failed_count = models.PositiveIntegerField(default=0)
    sent_at = models.DateTimeField(null=True, blank=True)
    looked_at = models.DateTimeField(null=True, blank=True)
    ends_at = models.DateTimeField(null=True, blank=True)
    stop_asked_at = models.DateTimeField(null=True, blank=True)

    class Meta(DurableWork.Meta):
        ordering = ["pk"]
        constraints = [
            *DurableWork.Meta.constraints,
            models.CheckConstraint(
                name="generation_batch_sent_before_named",
                condition=Q(remote_name="") | Q(sent_at__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"batch {self.pk} of {self.run_id}"

    def set_aside(self) -> None:
        """Called by the sweeper once its workers vanished too often; no call is left waiting."""
        self.end_calls(WorkState.UNKNOWN if self.sent_at else WorkState.FAILED, self.error)

    def end_calls(
        self,
        state: WorkState,
        error: str,
        *,
        but: Collection[int] = (),
        only: int | None = None,
    ) -> int:
        """End the calls that still wait in it, all but some or one alone; returns how many.

        What an unknown one may cost stays reserved; of the others nothing was charged.
        """
        waiting = self.calls.filter(state=WorkState.READY).exclude(pk__in=but)
        if only is not None:
            waiting = waiting.filter(pk=only)
        ended = 0
        for call in waiting:
            same = self.calls.filter(pk=call.pk, state=WorkState.READY)
            if not same.update(state=state, error=error, settled_at=Now()):
                continue
            ended += 1
            if state != WorkState.UNKNOWN:
                Budget.objects.settle(
                    self.run.dataset_id,
                    estimated_micro_usd=call.estimated_micro_usd,
                    billed_micro_usd=0,
                )
        return ended
