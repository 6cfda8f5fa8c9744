"""What pages do with calls of unknown outcome: take a person's word, and say what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest

from synthreview.spending.models import PaidWork
from synthreview.spending.services import Outcome, OverBudgetError
from synthreview.work.models import WorkState

PAGE = 50  # calls that one page shows, and at most decides


def decide_ticked(
    request: HttpRequest,
    calls: QuerySet[Any],
    resolve: Callable[[Sequence[PaidWork], str], int],
) -> None:
    """Decide the ticked ones of `calls` by the button that was pressed; `resolve` does it.

    It may raise OverBudgetError, and then nothing changed. What somebody else has decided
    meanwhile stays as it is. Raises Http404 where a ticked one is none of `calls`.
    """
    ticked = request.POST.getlist("call")[:PAGE]
    given = {int(pk) for pk in ticked if pk.isdecimal() and len(pk) < 19}
    if len(given) < len(set(ticked)) or calls.filter(pk__in=given).count() < len(given):
        raise Http404("Not all of these calls are here.")
    outcome = request.POST.get("outcome", "")
    if outcome not in Outcome.values or not given:
        messages.error(request, "Tick one call or more, and say what became of them.")
        return
    try:
        unknown = calls.filter(pk__in=given, state=WorkState.UNKNOWN)
        resolved = resolve(list(unknown), outcome)
    except OverBudgetError as error:
        messages.error(request, str(error))
        return
    if outcome == Outcome.LOOK_UP and not resolved:
        messages.warning(request, "No answer has come, and to ask again would cost again.")
    elif outcome == Outcome.LOOK_UP:
        messages.success(request, f"{resolved} calls go on: nothing is charged twice.")
    else:
        messages.success(request, f"{resolved} calls decided.")
