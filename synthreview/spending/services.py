"""Verbs over money: reserve it before a call, settle it after, set what may be spent."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from django.db import models, transaction
from django.db.models import F

from synthreview.catalog.models import Dataset
from synthreview.lib.money import dollars
from synthreview.spending import spool
from synthreview.spending.models import Budget, PaidWork
from synthreview.work.models import WorkState
from synthreview.work.services import retry


class OverBudgetError(ValueError):
    """So much is not left; the message says how much is."""


def budget_of(dataset: Dataset) -> Budget:
    """Return the dataset's budget; an unsaved one with nothing in it where none was set."""
    return Budget.objects.filter(dataset=dataset).first() or Budget(dataset=dataset)


@transaction.atomic
def set_budget(dataset: Dataset, *, limit_micro_usd: int) -> Budget:
    """Say what the dataset may spend in all. Raises OverBudgetError below what is gone already."""
    Budget.objects.get_or_create(dataset=dataset)
    budget = Budget.objects.select_for_update().get(dataset=dataset)
    gone = budget.spent_micro_usd + budget.reserved_micro_usd
    if limit_micro_usd < gone:
        raise OverBudgetError(
            f"{dollars(gone)} is spent or reserved already: the limit cannot lie below that."
        )
    budget.limit_micro_usd = limit_micro_usd
    budget.overrun_micro_usd = 0
    budget.save(update_fields=["limit_micro_usd", "overrun_micro_usd"])
    return budget


@transaction.atomic
def reserve(dataset: Dataset, amount_micro_usd: int) -> None:
    """Set money aside for calls that are about to be put on record. Raises OverBudgetError."""
    if not amount_micro_usd or Budget.objects.reserve(dataset.pk, amount_micro_usd):
        return
    left = budget_of(dataset).left_micro_usd
    raise OverBudgetError(
        f"This may cost up to {dollars(amount_micro_usd)}, "
        f"and {dollars(left)} of the budget is left."
    )


class Outcome(models.TextChoices):
    """What a person found out about a call whose outcome was unknown."""

    CHARGED = "charged", "It was charged, and nothing came"
    FREE = "free", "It was not charged"
    AGAIN = "again", "Count it as charged, and send it again"


@transaction.atomic
def resolve_unknown(dataset: Dataset, calls: Sequence[PaidWork], outcome: str) -> int:
    """End calls of unknown outcome as a person decided; returns how many.

    CHARGED and AGAIN book what the call may have cost; AGAIN sends a new one beside it and
    reserves its money once more. Raises OverBudgetError, and then nothing changed.
    """
    resolved: list[PaidWork] = []
    for call in calls:
        billed = 0 if outcome == Outcome.FREE else call.estimated_micro_usd
        # Conditional: two people who decide at once decide once.
        won = (
            type(call)
            ._default_manager.filter(pk=call.pk, state=WorkState.UNKNOWN)
            .update(
                state=WorkState.FAILED,
                billed_micro_usd=F("billed_micro_usd") + billed,
                error=f"Outcome unknown. Decided by hand: {Outcome(outcome).label}.",
            )
        )
        if won:
            resolved.append(call)
            Budget.objects.settle(
                dataset.pk,
                estimated_micro_usd=call.estimated_micro_usd,
                billed_micro_usd=billed,
            )
    if outcome == Outcome.AGAIN:
        retry_paid(dataset, resolved)
    return len(resolved)


@transaction.atomic
def retry_paid(dataset: Dataset, calls: Sequence[PaidWork]) -> int:
    """Make failed calls ready again and reserve their money; returns how many.

    Raises OverBudgetError.
    """
    reserve(dataset, sum(call.estimated_micro_usd for call in calls))
    for call in calls:
        # A new key, or the service would give the same useless answer again; but an answer
        # that was spooled is paid for, and is used.
        renewed = {} if spool.exists(call.spool_key) else {"idempotency_key": uuid.uuid4()}
        type(call)._default_manager.filter(pk=call.pk, state=WorkState.FAILED).update(
            sent_at=None, **renewed
        )
    return retry(calls)
