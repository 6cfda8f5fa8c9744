"""Verbs over captions that a worker has written: order, stop, try again, and how far it is.

Each answer that a language model is asked for is a `WritingCall`, on record before it is sent and
paid from the dataset's budget (docs/work.md).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Min, Sum
from django.db.models.functions import Now
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.lib.money import micro_usd
from synthreview.prompting.briefs import Brief
from synthreview.prompting.drafting import Desk, author, server_of
from synthreview.prompting.models import (
    PromptState,
    Writing,
    WritingCall,
    service_of,
)
from synthreview.prompting.services import note_writing
from synthreview.prompting.wishes import Wish
from synthreview.spending import spool
from synthreview.spending.gates import gate_of, open_gate
from synthreview.spending.limits import Limits
from synthreview.spending.models import Budget, ServiceGate
from synthreview.spending.services import reserve, resolve_unknown, retry_paid
from synthreview.trail.acts import Act
from synthreview.trail.services import record
from synthreview.work.models import OPEN_STATES, WorkState
from synthreview.work.services import enqueue_on_commit

PATIENCE = dt.timedelta(seconds=20)  # due work that nobody takes for so long: no worker is there


@dataclass(frozen=True, slots=True)
class WritingPlan:
    """The calls of an order, and the most they cost; None where no price is known."""

    calls: list[WritingCall]
    estimated_usd: Decimal | None

    @property
    def estimated_micro_usd(self) -> int:
        return sum(call.estimated_micro_usd for call in self.calls)


def plan_writing(
    wish: Wish, *, author_alias: str, brief: Brief, is_trial: bool = False
) -> WritingPlan:
    """Divide a wish into answers. Raises ValueError, UnknownAdapterError."""
    Limits.of(settings.AUTHORS[server_of(wish.dataset, author_alias)])
    writer = author(author_alias)
    desk = Desk(wish, brief, is_trial=is_trial)
    calls, total = list[WritingCall](), Decimal(0)
    is_known = True
    for label_class, planned in desk.shares():
        if not planned:
            continue
        whole = desk.request(label_class, planned, avoid=frozenset())
        for start in range(0, planned, writer.batch):
            count = min(writer.batch, planned - start)
            price = writer.estimate_usd(replace(whole, count=count, start=start))
            is_known = is_known and price is not None
            total += price or 0
            calls.append(
                WritingCall(
                    label_class=label_class,
                    count=count,
                    start=start,
                    planned=planned,
                    estimated_micro_usd=micro_usd(price or 0),
                    # What costs nothing may be asked again where no answer came.
                    is_repeatable=price == 0,
                )
            )
    return WritingPlan(calls, total if is_known else None)


@transaction.atomic
def order_writing(
    wish: Wish,
    *,
    author_alias: str,
    brief: Brief | None = None,
    state: str = PromptState.DRAFT,
    created_by: User | None = None,
    is_trial: bool = False,
) -> Writing:
    """Put an order and all its calls on record, reserve what they may cost, send them to work.

    Raises ValueError (template, axes, no label), OverBudgetError, UnknownAdapterError.
    """
    brief = brief or Brief()
    plan = plan_writing(wish, author_alias=author_alias, brief=brief, is_trial=is_trial)
    reserve(wish.dataset, plan.estimated_micro_usd)
    writing = Writing.objects.create(
        dataset=wish.dataset,
        technique=wish.technique,
        author=author_alias,
        author_version=author(author_alias).version,
        server=server_of(wish.dataset, author_alias),
        wish=wish.facts(),
        brief=brief.facts(),
        state=state,
        is_trial=is_trial,
        asked=wish.count,
        written=0,
        created_by=created_by,
    )
    for call in plan.calls:
        call.writing = writing
    enqueue_on_commit(WritingCall.objects.bulk_create(plan.calls, batch_size=500))
    note_writing(writing, by=created_by)
    return writing


@transaction.atomic
def stop_writing(writing: Writing) -> int:
    """Cancel the calls that have not been sent; what is being written arrives. Returns how many."""
    stopped = freed = 0
    for call in writing.calls.filter(state=WorkState.READY):
        if spool.exists(call.spool_key):  # it is paid for
            continue
        # One by one and conditional: a worker may claim any of them meanwhile.
        if writing.calls.filter(pk=call.pk, state=WorkState.READY).update(
            state=WorkState.CANCELLED, settled_at=Now()
        ):
            stopped += 1
            freed += call.estimated_micro_usd
    Budget.objects.settle(writing.dataset_id, estimated_micro_usd=freed, billed_micro_usd=0)
    if stopped:
        record(Act.WRITING_STOPPED, writing, after={"calls": stopped})
    return stopped


def retry_writing(writing: Writing) -> int:
    """Ask failed calls again; returns how many. Raises OverBudgetError."""
    return retry_paid(writing.dataset, list(writing.calls.filter(state=WorkState.FAILED)))


def settle_unknown(writing: Writing, outcome: str) -> int:
    """End the writing's calls of unknown outcome as a person decided. Raises OverBudgetError."""
    unknown = list(writing.calls.filter(state=WorkState.UNKNOWN))
    return resolve_unknown(writing.dataset, unknown, outcome)


def resume_author(writing: Writing) -> bool:
    """Open the gate of the writing's author: somebody has put right what was wrong."""
    if not open_gate(service_of(writing.server), dataset=writing.dataset_id):
        return False
    waiting = writing.calls.filter(state=WorkState.READY, due_at__gt=Now())
    waiting.update(due_at=Now(), error="")
    return True


# --- How far it is --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a writing is. `settled` of `asked` captions are not waited for any more.

    `reports` are (state, error, captions). `cost_is_known` is false where tokens were used and
    no price was known. `gate` is the author's, while it is shut.
    """

    calls: Mapping[str, int]
    settled: int
    billed_micro_usd: int
    estimated_micro_usd: int
    tokens_in: int
    tokens_out: int
    cost_is_known: bool
    reports: Sequence[tuple[str, str, int]]
    gate: ServiceGate | None
    is_stuck: bool

    @property
    def open(self) -> int:
        return sum(self.calls[state] for state in OPEN_STATES)


def progress_of(writing: Writing) -> Progress:
    """Return how far a writing by a language model is, with five queries."""
    calls = dict.fromkeys(WorkState.values, 0)
    asked = dict.fromkeys(WorkState.values, 0)
    billed = estimated = 0
    rows = writing.calls.order_by().values("state")
    for row in rows.annotate(
        calls=Count("pk"),
        captions=Sum("count"),
        billed=Sum("billed_micro_usd"),
        estimated=Sum("estimated_micro_usd"),
    ):
        calls[row["state"]], asked[row["state"]] = row["calls"], row["captions"]
        billed, estimated = billed + row["billed"], estimated + row["estimated"]
    tokens_in, tokens_out, is_known = _tokens(writing.calls.values_list("usage", flat=True))
    errors = writing.calls.exclude(error="").order_by().values_list("state", "error")
    waiting = WritingCall.objects.due().filter(writing=writing)
    since = waiting.aggregate(since=Min("due_at"))["since"]
    is_stuck = since is not None and timezone.now() - since > PATIENCE
    return Progress(
        calls=calls,
        settled=writing.asked - sum(asked[state] for state in OPEN_STATES),
        billed_micro_usd=billed,
        estimated_micro_usd=estimated,
        tokens_in=tokens_in,
        tokens_out=tokens_out,
        cost_is_known=is_known,
        reports=list(errors.annotate(captions=Sum("count")).order_by("-captions", "error")[:5]),
        gate=gate_of(service_of(writing.server)),
        is_stuck=is_stuck and not calls[WorkState.RUNNING],
    )


def _tokens(usages: Any) -> tuple[int, int, bool]:
    tokens_in = tokens_out = 0
    is_known = True
    for usage in usages:
        tokens_in += usage.get("tokens_in", 0)
        tokens_out += usage.get("tokens_out", 0)
        is_known = is_known and usage.get("cost_is_known", True)
    return tokens_in, tokens_out, is_known
