"""What pages do with calls of unknown outcome: take a person's word, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import HttpRequest

from synthreview.spending.models import PaidWork
from synthreview.spending.services import Outcome, OverBudgetError

PAGE = 50  # calls that one page shows, and at most decides


def decide_ticked(
    request: HttpRequest,
    calls: QuerySet[Any],
    resolve: Callable[[Sequence[PaidWork], str], int],
) -> None:
    """Decide the ticked ones of `calls` by the button that was pressed; `resolve` does it.

    It may raise OverBudgetError, and then nothing changed.
    """
    given = [pk for pk in request.POST.getlist("call") if pk.isdecimal() and len(pk) < 19]
    outcome = request.POST.get("outcome", "")
    if outcome not in Outcome.values or not given:
        messages.error(request, "Tick one call or more, and say what became of them.")
        return
    try:
        resolved = resolve(list(calls.filter(pk__in=given[:PAGE])), outcome)
    except OverBudgetError as error:
        messages.error(request, str(error))
        return
    if outcome == Outcome.LOOK_UP and not resolved:
        messages.warning(request, "No answer has come, and to ask again would cost again.")
    elif outcome == Outcome.LOOK_UP:
        messages.success(request, f"{resolved} calls go on: nothing is charged twice.")
    else:
        messages.success(request, f"{resolved} calls decided.")
