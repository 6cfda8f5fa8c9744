"""Budgets: set, reserved, settled; never passed but by a bill above its estimate."""

from __future__ import annotations

import pytest

from synthreview.spending.models import Budget
from synthreview.spending.services import OverBudgetError, budget_of, reserve, set_budget
from tests.factories import make_dataset

pytestmark = pytest.mark.django_db


def test_without_a_budget_nothing_can_be_reserved() -> None:
    dataset = make_dataset()
    with pytest.raises(OverBudgetError, match=r"cost up to \$0.50, and \$0.00 .* is left"):
        reserve(dataset, 500_000)
    reserve(dataset, 0)
    assert not Budget.objects.exists()
    assert budget_of(dataset).left_micro_usd == 0


def test_a_limit_cannot_lie_below_what_is_gone() -> None:
    dataset = make_dataset()
    set_budget(dataset, limit_micro_usd=1_000_000)
    reserve(dataset, 300_000)
    Budget.objects.settle(dataset.pk, estimated_micro_usd=100_000, billed_micro_usd=150_000)
    with pytest.raises(OverBudgetError, match=r"\$0.35 is spent or reserved"):
        set_budget(dataset, limit_micro_usd=349_999)
    budget = set_budget(dataset, limit_micro_usd=350_000)
    assert (budget.reserved_micro_usd, budget.spent_micro_usd) == (200_000, 150_000)
    assert budget.left_micro_usd == 0


def test_an_overrun_is_counted_and_a_higher_limit_takes_it_in() -> None:
    dataset = make_dataset()
    set_budget(dataset, limit_micro_usd=100)
    reserve(dataset, 100)
    Budget.objects.settle(dataset.pk, estimated_micro_usd=60, billed_micro_usd=500)
    budget = budget_of(dataset)
    assert (budget.overrun_micro_usd, budget.limit_micro_usd) == (440, 100)
    assert budget.left_micro_usd == 0
    with pytest.raises(OverBudgetError):
        reserve(dataset, 1)
    assert set_budget(dataset, limit_micro_usd=1_000).overrun_micro_usd == 0
    reserve(dataset, 460)
    assert budget_of(dataset).left_micro_usd == 0
