"""Verbs over money: reserve it before a call, settle it after, set what may be spent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from django.db import models, transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils.module_loading import import_string

from synthreview.catalog.models import Dataset
from synthreview.lib.money import dollars
from synthreview.spending import spool
from synthreview.spending.models import Budget, PaidWork
from synthreview.trail.acts import Act
from synthreview.trail.services import facts, many, record
from synthreview.work.models import WorkState
from synthreview.work.services import enqueue_on_commit, retry, work_models

AT_ONCE = 200  # keys in one query: SQLite takes no more than 999


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
    before = facts(budget, "limit_micro_usd")
    budget.limit_micro_usd = limit_micro_usd
    budget.overrun_micro_usd = 0
    budget.save(update_fields=["limit_micro_usd", "overrun_micro_usd"])
    record(Act.BUDGET_SET, budget, before=before, after=facts(budget, "limit_micro_usd"))
    return budget


@transaction.atomic
def reserve(dataset: Dataset, amount_micro_usd: int) -> None:
    """Set money aside for calls that are about to be put on record. Raises OverBudgetError."""
    if not amount_micro_usd or Budget.objects.reserve(dataset.pk, amount_micro_usd):
        return
    left = budget_of(dataset).left_micro_usd
    raise OverBudgetError(
        f"This may cost up to {dollars(amount_micro_usd)}, "
        f"and {dollars(left)} of the budget is left. The page of costs raises it."
    )


class Outcome(models.TextChoices):
    """What a person wants of a call whose outcome is unknown, or found out about it."""

    LOOK_UP = "look-up", "Look again for the answer"
    CHARGED = "charged", "It was charged, and nothing came"
    FREE = "free", "It was not charged"
    AGAIN = "again", "Count it as charged, and send it again"


@transaction.atomic
def resolve_unknown(dataset: Dataset, calls: Sequence[PaidWork], outcome: str) -> int:
    """End calls of unknown outcome as a person decided; returns how many.

    A call whose answer has arrived since is not unknown: it becomes rows, whatever was decided.
    LOOK_UP asks once more where the service takes the idempotency key, which charges nothing
    twice; elsewhere there is only the spool to look in. CHARGED and AGAIN book what the call
    may have cost; AGAIN sends a new one beside it and reserves its money once more. Raises
    OverBudgetError, and then nothing changed.
    """
    found = [call for call in calls if spool.exists(call.spool_key)]
    calls = [call for call in calls if call not in found]
    if outcome == Outcome.LOOK_UP:
        found += [call for call in calls if call.is_repeatable]
        calls = []
    taken_up = take_up(found)
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
    if settled := [*found, *resolved]:
        said = many([call.pk for call in settled], outcome=str(outcome))
        record(Act.UNKNOWN_DECIDED, settled[0], dataset=dataset.pk, after=said)
    return taken_up + len(resolved)


@transaction.atomic
def take_up(calls: Sequence[PaidWork]) -> int:
    """Let calls of unknown outcome go on under their own key; returns how many.

    Only for calls whose answer lies in the spool, or whose service takes the key: their money
    is still reserved, and nothing is charged for twice.
    """
    going_on = _made_ready(calls)
    enqueue_on_commit(going_on)
    return len(going_on)


def _made_ready(calls: Sequence[PaidWork]) -> list[PaidWork]:
    going_on = []
    for call in calls:
        won = (
            type(call)
            ._default_manager.filter(pk=call.pk, state=WorkState.UNKNOWN)
            .update(state=WorkState.READY, attempts=0, due_at=Now(), settled_at=None, error="")
        )
        if won:
            call.attempts = 0
            going_on.append(call)
    return going_on


def tidy_spool() -> dict[str, int]:
    """Use answers that arrived after their call was given up; drop those that are rows already.

    A worker that was taken for dead may only have been slow: what it spooled proves the outcome.
    Such a call is ended here and now: a worker on another host does not see this host's spool.
    """
    told = {"taken_up": 0, "dropped": spool.drop_old_drafts()}
    kinds = [model for model in work_models() if issubclass(model, PaidWork)]
    for keys in batched([key for key in spool.all_keys() if _is_uuid(key)], AT_ONCE):
        for model in kinds:
            rows = model._default_manager.filter(idempotency_key__in=keys)
            for row in rows.filter(state=WorkState.DONE):
                spool.clear(row.spool_key)
                told["dropped"] += 1
            for row in _made_ready(list(rows.filter(state=WorkState.UNKNOWN))):
                import_string(row.ONE_JOB or row.JOB)(row.pk)
                told["taken_up"] += 1
    return told


def batched(keys: list[str], size: int) -> Iterator[list[str]]:
    for at in range(0, len(keys), size):
        yield keys[at : at + size]


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


@transaction.atomic
def retry_paid(dataset: Dataset, calls: Sequence[PaidWork]) -> int:
    """Make failed calls ready again and reserve their money; returns how many.

    Raises OverBudgetError.
    """
    renewed = []
    needed = 0
    for call in calls:
        # Conditional: a double click reserves once.
        failed = type(call)._default_manager.filter(pk=call.pk, state=WorkState.FAILED)
        booked = 0
        if spool.exists(call.spool_key):
            # It is paid for and is used: what was booked of it is booked when its rows come.
            booked = min(spool.cost_micro_usd(call.spool_key), call.billed_micro_usd)
            won = failed.update(sent_at=None, billed_micro_usd=F("billed_micro_usd") - booked)
        else:
            # A new key, or the service would give the same useless answer again.
            won = failed.update(sent_at=None, idempotency_key=uuid.uuid4())
        if won:
            renewed.append(call)
            needed += call.estimated_micro_usd - booked
            Budget.objects.settle(dataset.pk, estimated_micro_usd=-booked, billed_micro_usd=-booked)
    if needed > 0:
        reserve(dataset, needed)
    else:
        Budget.objects.settle(dataset.pk, estimated_micro_usd=-needed, billed_micro_usd=0)
    return retry(renewed, dataset=dataset.pk)
