"""The operations page: for staff, over all datasets."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from synthreview.catalog.pages import signed_in
from synthreview.overview.operations import retry_stuck, state
from synthreview.spending.services import OverBudgetError


def _require_staff(request: HttpRequest) -> None:
    if not signed_in(request).is_staff:
        raise Http404


@require_GET
def operations(request: HttpRequest) -> HttpResponse:
    """What runs, what waits and what is stuck; the fragment of it that is asked for again."""
    _require_staff(request)
    part = request.headers.get("HX-Request")
    template = f"overview/{'_operations' if part else 'operations'}.html"
    return render(request, template, {"state": state()})


@require_POST
def operations_retry(request: HttpRequest) -> HttpResponse:
    """Have failed work done again: one row, or all of a kind."""
    _require_staff(request)
    pk = request.POST.get("pk", "")
    if pk and not (pk.isascii() and pk.isdigit() and len(pk) < 19):
        raise Http404
    try:
        count = retry_stuck(request.POST.get("kind", ""), int(pk) if pk else None)
    except OverBudgetError as error:
        messages.error(request, str(error))
    except (LookupError, ValueError):
        raise Http404 from None
    else:
        said = "It is tried again." if count == 1 else f"{count} are tried again."
        messages.success(request, said if count else "Nothing of it has failed any more.")
    return redirect("operations")
