"""What a dataset may spend, and what every kind of paid call has in common.

Money is counted in whole millionths of a dollar (lib/money.py).
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import ClassVar, Self

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Greatest, Now

from synthreview.catalog.models import Dataset
from synthreview.spending import spool
from synthreview.spending.limits import Limits
from synthreview.work.models import DurableWork, WorkState


class BudgetQuerySet(models.QuerySet["Budget"]):
    def reserve(self, dataset_id: int, amount_micro_usd: int) -> bool:
        """Set money aside; False where so much is not left, and nothing changed."""
        return bool(
            self.filter(
                dataset_id=dataset_id,
                limit_micro_usd__gte=F("reserved_micro_usd")
                + F("spent_micro_usd")
                + amount_micro_usd,
            ).update(reserved_micro_usd=F("reserved_micro_usd") + amount_micro_usd)
        )

    def settle(self, dataset_id: int, *, estimated_micro_usd: int, billed_micro_usd: int) -> None:
        """Turn a call's reservation into what it really cost.

        A bill above its estimate may pass the limit: it is paid for, and the images must not
        be lost. What passes it is counted as overrun, and nothing more can be reserved.
        """
        if not (estimated_micro_usd or billed_micro_usd):
            return
        reserved = Greatest(F("reserved_micro_usd") - estimated_micro_usd, 0)
        spent = F("spent_micro_usd") + billed_micro_usd
        self.filter(dataset_id=dataset_id).update(
            reserved_micro_usd=reserved,
            spent_micro_usd=spent,
            overrun_micro_usd=Greatest(
                F("overrun_micro_usd"), reserved + spent - F("limit_micro_usd")
            ),
        )


class Budget(models.Model):
    """What a dataset may spend on paid services: one row, so that its check is atomic.

    `overrun` is by how much bills above their estimates passed the limit.
    """

    dataset = models.OneToOneField(Dataset, on_delete=models.CASCADE, related_name="+")
    limit_micro_usd = models.BigIntegerField(default=0)
    reserved_micro_usd = models.BigIntegerField(default=0)
    spent_micro_usd = models.BigIntegerField(default=0)
    overrun_micro_usd = models.BigIntegerField(default=0)

    objects = BudgetQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="spending_budget_kept",
                condition=Q(
                    reserved_micro_usd__gte=0,
                    spent_micro_usd__gte=0,
                    overrun_micro_usd__gte=0,
                    limit_micro_usd__gte=F("reserved_micro_usd")
                    + F("spent_micro_usd")
                    - F("overrun_micro_usd"),
                ),
            )
        ]

    def __str__(self) -> str:
        return f"budget of {self.dataset}"

    @property
    def left_micro_usd(self) -> int:
        """What may still be reserved; never below 0."""
        return max(0, self.limit_micro_usd - self.reserved_micro_usd - self.spent_micro_usd)


class ServiceGateQuerySet(models.QuerySet["ServiceGate"]):
    """Gates by the database's time: the hosts' clocks may differ."""

    def shut(self) -> Self:
        """Return those through which no call goes now."""
        return self.filter(Q(needs_person=True) | Q(closed_until__gt=Now()))

    def at_this_moment(self, pk: int) -> tuple[ServiceGate, dt.datetime]:
        """Return a gate as it stands, and what time it is."""
        gate = self.annotate(now=Now()).get(pk=pk)
        return gate, vars(gate)["now"]


class ServiceGate(models.Model):
    """The door to one outside service, shared by all workers of all hosts.

    Its row is locked while a worker decides whether it may call now: so many calls at once,
    so many a minute, none before `closed_until`. `needs_person` keeps it shut until somebody
    opens it (the account is empty). It lives as long as the service is used.
    """

    service = models.CharField(max_length=100, unique=True)
    window_started_at = models.DateTimeField(null=True)
    window_count = models.PositiveIntegerField(default=0)
    failures_in_a_row = models.PositiveIntegerField(default=0)
    closed_until = models.DateTimeField(null=True)
    needs_person = models.BooleanField(default=False)
    reason = models.TextField(blank=True)

    objects = ServiceGateQuerySet.as_manager()

    def __str__(self) -> str:
        return f"gate of {self.service}"


class PaidWork(DurableWork):
    """One call to a service that may cost money, on record before its bytes leave.

    UNKNOWN: it was sent and no outcome is proven; it is never resent by itself except
    where the service takes an idempotency key. FAILED with an answer still in the spool: that
    answer is paid for and in `billed`. Subclasses name the dataset that pays.
    """

    # Where JOB goes on to further calls: the function that does this one only.
    ONE_JOB: ClassVar[str] = ""

    idempotency_key = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    is_repeatable = models.BooleanField(
        default=False, help_text="The service takes the idempotency key: sending again is safe."
    )
    estimated_micro_usd = models.BigIntegerField(default=0)
    billed_micro_usd = models.BigIntegerField(default=0)
    usage = models.JSONField(default=dict, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta(DurableWork.Meta):
        abstract = True
        constraints = [
            *DurableWork.Meta.constraints,
            models.CheckConstraint(
                name="%(app_label)s_%(class)s_money",
                condition=Q(estimated_micro_usd__gte=0, billed_micro_usd__gte=0),
            ),
        ]

    @property
    def payer_id(self) -> int:
        """Return the dataset whose budget pays."""
        raise NotImplementedError

    @property
    def asked_for(self) -> str:
        """Return what was asked for, in a person's words: for the page that decides."""
        return str(self)

    @property
    def service(self) -> str:
        """Return the name of the service that is called, for its gate; empty: it needs none."""
        return ""

    @property
    def limits(self) -> Limits:
        """Return how hard the service may be called."""
        return Limits()

    @classmethod
    def running_for(cls, service: str) -> int:
        """Return how many calls to the service are under way, on all hosts."""
        raise NotImplementedError

    @property
    def may_cost(self) -> bool:
        """Whether sending it may have cost anything; what is drawn at home does not."""
        return self.estimated_micro_usd > 0

    @property
    def spool_key(self) -> str:
        return str(self.idempotency_key)

    def lease_lost_state(self) -> WorkState:
        """A paid call that was sent and never answered is not sent again by itself.

        With an idempotency key it is, as often as anything; after that it is unknown too.
        """
        state = super().lease_lost_state()
        is_last = state == WorkState.FAILED and self.may_cost
        if self.sent_at and (is_last or not self.is_repeatable):
            return state if spool.exists(self.spool_key) else WorkState.UNKNOWN
        return state

    def set_aside(self) -> None:
        """Free what the call reserved; what is spooled is paid for, and a retry reads it."""
        billed = spool.cost_micro_usd(self.spool_key)
        if billed:
            type(self)._default_manager.filter(pk=self.pk).update(
                billed_micro_usd=F("billed_micro_usd") + billed
            )
        Budget.objects.settle(
            self.payer_id,
            estimated_micro_usd=self.estimated_micro_usd,
            billed_micro_usd=billed,
        )
