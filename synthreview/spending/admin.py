"""Budgets in Django's admin: the limit is set, the rest is counted."""

from typing import Any

from django.contrib import admin

from synthreview.spending.models import Budget


@admin.register(Budget)
class BudgetAdmin(admin.ModelAdmin[Any]):
    list_display = ["dataset", "limit_micro_usd", "reserved_micro_usd", "spent_micro_usd"]
    readonly_fields = ["reserved_micro_usd", "spent_micro_usd", "overrun_micro_usd"]
