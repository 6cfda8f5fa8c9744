"""The page of money: the budget, what is spent, reserved and unknown, and what images cost."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from synthreview.catalog.pages import open_dataset, signed_in
from synthreview.catalog.permissions import Action, require
from synthreview.generation.models import Run
from synthreview.lib.money import MICRO_PER_USD, micro_usd
from synthreview.overview.costs import caption_costs, costs_of, question_costs
from synthreview.spending.services import OverBudgetError, budget_of, set_budget

MOST_USD = 10_000_000
UNKNOWN_RUNS = 20  # named on the page; the oldest first


class BudgetForm(forms.Form):
    """What the dataset may spend in all."""

    limit_usd = forms.DecimalField(
        label="Limit in dollars",
        min_value=0,
        max_value=MOST_USD,
        decimal_places=6,
        help_text="Paid calls stop here: what would pass it does not start.",
    )


@require_http_methods(["GET", "POST"])
def costs(request: HttpRequest, slug: str) -> HttpResponse:
    """Show what was spent on what; admins set the limit."""
    dataset, context = open_dataset(request, slug)
    budget = budget_of(dataset)
    form = BudgetForm(
        request.POST or None, initial={"limit_usd": f"{budget.limit_micro_usd / MICRO_PER_USD:.2f}"}
    )
    if request.method == "POST":
        require(signed_in(request), dataset, Action.ADMINISTER)
        if form.is_valid():
            try:
                set_budget(dataset, limit_micro_usd=micro_usd(form.cleaned_data["limit_usd"]))
            except OverBudgetError as error:
                form.add_error("limit_usd", str(error))
            else:
                messages.success(request, "The budget is set.")
                return redirect("costs", dataset.slug)
    tables = costs_of(dataset)
    captions = caption_costs(dataset)
    context |= {
        "form": form,
        "budget": budget,
        "tables": tables,
        "captions": captions,
        "questions": question_costs(dataset),
        "unknown": sum(cost.unknown for cost in tables["Generator"]),
        "unknown_runs": Run.objects.filter(dataset=dataset)
        .with_unknown()
        .order_by("pk")[:UNKNOWN_RUNS],
        "unknown_captions": sum(cost.unknown for cost in captions),
    }
    return render(request, "overview/costs.html", context)
