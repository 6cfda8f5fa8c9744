"""Money of the first release arrives whole in millionths."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

pytestmark = pytest.mark.django_db(transaction=True)

BEFORE = [("generation", "0002_budget_in_floating_point"), ("prompting", "0001_initial")]
AFTER = [("generation", "0003_derivations"), ("prompting", "0001_initial")]


def migrate(target: list[tuple[str, str]]) -> Any:
    executor = MigrationExecutor(connection)
    executor.migrate(target)
    return MigrationExecutor(connection).loader.project_state(target).apps


@pytest.fixture
def first_release() -> Iterator[Any]:
    leaves = MigrationExecutor(connection).loader.graph.leaf_nodes()
    yield migrate(BEFORE)
    migrate(leaves)


def test_budgets_and_calls_keep_their_money(first_release: Any) -> None:
    old = first_release.get_model
    dataset = old("catalog", "Dataset").objects.create(name="World", slug="world")
    label = old("catalog", "LabelClass").objects.create(dataset=dataset, name="car", slug="car")
    prompt = old("prompting", "Prompt").objects.create(
        dataset=dataset, label_class=label, technique="plain", text="A car", text_key="a car"
    )
    run = old("generation", "Run").objects.create(
        dataset=dataset, number=1, generator="sketch", image_count=1
    )
    old("generation", "Call").objects.create(
        run=run, prompt=prompt, estimated_usd=Decimal("0.1"), billed_usd=Decimal("0.070001")
    )
    old("generation", "Budget").objects.create(
        dataset=dataset,
        limit_usd=Decimal("0.3"),
        reserved_usd=Decimal("0.1"),
        spent_usd=Decimal("0.2"),
    )
    new = migrate(AFTER).get_model
    call = new("generation", "Call").objects.get()
    assert (call.estimated_micro_usd, call.billed_micro_usd) == (100_000, 70_001)
    budget = new("spending", "Budget").objects.get()
    assert (budget.limit_micro_usd, budget.reserved_micro_usd) == (300_000, 100_000)
    assert budget.spent_micro_usd == 200_000
    # Left empty, so that going back to the newest schema meets no row without a successor.
    for app, model in [
        ("generation", "Call"),
        ("generation", "Run"),
        ("prompting", "Prompt"),
        ("spending", "Budget"),
        ("catalog", "LabelClass"),
        ("catalog", "Dataset"),
    ]:
        new(app, model).objects.all().delete()
