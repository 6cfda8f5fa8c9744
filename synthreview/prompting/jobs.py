"""The worker side of prompting: one answer of a language model after the other."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from synthreview.lib.adapters import UnknownAdapterError
from synthreview.lib.money import micro_usd
from synthreview.lib.outcomes import (
    OutcomeUnknownError,
    PermanentError,
    ServiceError,
    UnusableAnswerError,
)
from synthreview.prompting.authors.base import (
    Author,
    Caption,
    Usage,
    WriteRequest,
    WriteResult,
    used_before,
)
from synthreview.prompting.briefs import Brief
from synthreview.prompting.drafting import Desk, author
from synthreview.prompting.gate import Judged
from synthreview.prompting.models import Writing, WritingCall
from synthreview.prompting.services import add_to_writing
from synthreview.prompting.wishes import wish_of
from synthreview.spending.performing import perform

LEASE_S = 1200  # an author asks up to nine times for one answer, each time for its time-out
SHIFT_S = 10.0  # one message writes for so long: a job per answer would spend its time on forks


def write(call_pk: int) -> None:
    """Do the call, then further due calls of its writing until the shift is over."""
    ends_at = time.monotonic() + SHIFT_S
    write_call(call_pk)
    writing_id = WritingCall.objects.values_list("writing_id", flat=True).filter(pk=call_pk).first()
    while time.monotonic() < ends_at:
        due = WritingCall.objects.due().filter(writing_id=writing_id).order_by("pk")
        next_pk = due.values_list("pk", flat=True).first()
        if next_pk is None:
            return
        write_call(next_pk)


def write_call(call_pk: int) -> None:
    """Claim one call and bring it to an end, or give it back for later."""
    calls = WritingCall.objects.select_related("writing__dataset", "label_class")
    perform(calls, call_pk, lease_s=LEASE_S, prepare=_prepare, keep=_keep)


def _desk_of(call: WritingCall) -> tuple[Desk, WriteRequest]:
    """Return what the call is asked by. Raises ValueError where the dataset was changed since."""
    writing = call.writing
    wish = wish_of(writing.dataset, writing.technique, call.count, writing.wish)
    desk = Desk(wish, Brief.of(writing.brief), is_trial=writing.is_trial)
    request = desk.request_of_part(
        call.label_class, planned=call.planned, start=call.start, count=call.count
    )
    return desk, request


def _prepare(call: WritingCall) -> Callable[[], dict[str, Any]]:
    try:
        writer = author(call.writing.author)
        _, request = _desk_of(call)
    except (ValueError, UnknownAdapterError) as error:
        raise PermanentError(str(error)) from error
    return lambda: _as_spooled(_ask(writer, request))


def _ask(writer: Author, request: WriteRequest) -> WriteResult:
    try:
        return writer.write(request)
    except OutcomeUnknownError:
        raise
    except ServiceError as error:
        # An answer before the fault was paid for: this try is billed, and a person decides.
        if cost := used_before(error).cost_usd:
            raise UnusableAnswerError(str(error), cost_micro_usd=micro_usd(cost)) from error
        raise


def _as_spooled(result: WriteResult) -> dict[str, Any]:
    return {
        "cost_micro_usd": micro_usd(result.usage.cost_usd or 0),
        "usage": _facts(result.usage),
        "model": result.model,
        "notes": list(result.notes),
        "captions": [
            {"text": one.text, "slots": dict(one.slots), "template": one.template}
            for one in result.captions
        ],
    }


def _facts(usage: Usage) -> dict[str, Any]:
    return {
        "requests": usage.requests,
        "tokens_in": usage.tokens_in,
        "tokens_out": usage.tokens_out,
        "cost_is_known": usage.cost_usd is not None,
    }


def _keep(call: WritingCall, answer: dict[str, Any]) -> Callable[[], None]:
    """Pass the captions through the gate; return what stores them."""
    desk, request = _desk_of(call)
    written = WriteResult(tuple(Caption(**one) for one in answer["captions"]))
    judged = desk.judge(call.label_class, request, written, is_checked=True)

    def write_rows() -> None:
        add_to_writing(call.writing, judged)
        _note(call.writing, answer["notes"])
        if call.writing.is_trial:
            kept = [_outcome(one) for _, one in judged]
            WritingCall.objects.filter(pk=call.pk).update(captions=kept)

    return write_rows


def _note(writing: Writing, notes: list[str]) -> None:
    writing.refresh_from_db(fields=["notes"])
    news = [note for note in notes if note not in writing.notes]
    if news:
        writing.notes = [*writing.notes, *news]
        writing.save(update_fields=["notes"])


def _outcome(judged: Judged) -> dict[str, Any]:
    return {
        "text": judged.caption.text,
        "slots": dict(judged.caption.slots),
        "outcome": str(judged.outcome),
        "codes": [reason.code for reason in judged.reasons],
    }
