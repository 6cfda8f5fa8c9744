"""The page of money: the limit, what is gone, what images cost; unknown outcomes decided."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from synthreview.catalog.models import Dataset
from synthreview.generation.jobs import draw_call
from synthreview.generation.models import GeneratedImage, Run
from synthreview.generation.services import orders_of, start_run
from synthreview.lib.outcomes import OutcomeUnknownError
from synthreview.overview.costs import costs_of
from synthreview.review.models import ImageState
from synthreview.spending.services import OverBudgetError, budget_of, resolve_unknown, set_budget
from synthreview.work.models import WorkState
from tests.factories import (
    make_call,
    make_dataset,
    make_prompt,
    make_review,
    make_run,
    make_user,
)
from tests.generation.fakes import PRICE, AfterCharge, ScriptedGenerator, scripted

pytestmark = pytest.mark.django_db


@pytest.fixture
def fake(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings) as generator:
        yield generator


@pytest.fixture
def world() -> Dataset:
    return make_dataset(
        name="World",
        admin=make_user("admin"),
        curator=make_user("curator"),
        viewer=make_user("viewer"),
    )


def run_of(dataset: Dataset, images: int = 2) -> Run:
    car = dataset.classes.get(name="car")
    orders = orders_of(make_prompt(car) for _ in range(images))
    return start_run(dataset=dataset, orders=orders, count=images, generator_alias="scripted")


def draw_all(run: Run) -> None:
    for call in run.calls.order_by("pk"):
        draw_call(call.pk)


def test_admins_set_the_budget_in_dollars(world: Dataset, client: Client) -> None:
    page = reverse("costs", args=["world"])
    client.login(username="curator", password="curator")
    assert client.post(page, {"limit_usd": "5"}).status_code == 403
    client.login(username="admin", password="admin")
    assert client.post(page, {"limit_usd": "12.5"}).status_code == 302
    assert budget_of(world).limit_micro_usd == 12_500_000
    assert "$12.50" in client.get(page).content.decode()
    for wrong in ("-1", "nan", "x", "1e99"):
        assert client.post(page, {"limit_usd": wrong}).status_code == 200
    assert budget_of(world).limit_micro_usd == 12_500_000


def test_costs_are_told_per_generated_and_per_approved_image(
    world: Dataset, client: Client, fake: type[ScriptedGenerator], django_assert_num_queries: Any
) -> None:
    set_budget(world, limit_micro_usd=100 * PRICE)
    draw_all(run_of(world, images=4))
    image = GeneratedImage.objects.all()[0]
    make_review(image, ImageState.APPROVED)
    with django_assert_num_queries(6):
        tables = costs_of(world)
    (by_class,) = tables["Class"]
    assert (by_class.name, by_class.billed, by_class.images) == ("car", 4 * PRICE, 4)
    assert (by_class.per_image, by_class.per_approved) == (PRICE, 4 * PRICE)
    client.login(username="viewer", password="viewer")
    body = client.get(reverse("costs", args=["world"])).content.decode()
    assert "$0.16" in body
    assert "An admin of the dataset sets the limit" in body


@pytest.mark.parametrize(
    ("outcome", "spent", "reserved", "state"),
    [
        ("charged", PRICE, 0, WorkState.FAILED),
        ("free", 0, 0, WorkState.FAILED),
        ("again", PRICE, PRICE, WorkState.READY),
    ],
)
def test_an_unknown_outcome_is_decided_by_a_person(
    world: Dataset,
    client: Client,
    fake: type[ScriptedGenerator],
    outcome: str,
    spent: int,
    reserved: int,
    state: WorkState,
) -> None:
    set_budget(world, limit_micro_usd=10 * PRICE)
    fake.script[:] = [AfterCharge(OutcomeUnknownError("cut off"))]
    run = run_of(world, images=1)
    draw_all(run)
    call = run.calls.get()
    assert call.state == WorkState.UNKNOWN
    page = reverse("run-unknown", args=["world", run.number])
    client.login(username="viewer", password="viewer")
    assert client.get(page).status_code == 403
    run_page = reverse("run", args=["world", run.number])
    assert f'href="{run_page}"' in client.get(reverse("costs", args=["world"])).content.decode()
    assert "$0.00 spent, $0.04 unknown, $0.04 at most" in client.get(run_page).content.decode()
    client.login(username="curator", password="curator")
    assert str(call.idempotency_key) in client.get(page).content.decode()
    client.post(page, {"outcome": "perhaps", "call": [call.pk]})
    theirs = make_call(make_run(world), call.prompt, state=WorkState.UNKNOWN)
    for foreign in (theirs.pk, "x"):
        answer = client.post(page, {"outcome": outcome, "call": [call.pk, foreign]})
        assert answer.status_code == 404
    assert run.calls.get().state == WorkState.UNKNOWN
    for _ in range(2):  # a double click decides once
        client.post(page, {"outcome": outcome, "call": [call.pk]})
    budget = budget_of(world)
    assert (budget.spent_micro_usd, budget.reserved_micro_usd) == (spent, reserved)
    assert run.calls.get().state == state
    if outcome == "again":
        draw_all(run)
        call = run.calls.get()
        assert (call.state, call.billed_micro_usd) == (WorkState.DONE, 2 * PRICE)
        assert budget_of(world).spent_micro_usd == 2 * PRICE == len(fake.charges) * PRICE


def test_sending_again_needs_money_and_else_changes_nothing(
    world: Dataset, fake: type[ScriptedGenerator]
) -> None:
    set_budget(world, limit_micro_usd=PRICE)
    fake.script[:] = [AfterCharge(OutcomeUnknownError("cut off"))]
    run = run_of(world, images=1)
    draw_all(run)
    with pytest.raises(OverBudgetError):
        resolve_unknown(world, list(run.calls.all()), "again")
    assert run.calls.get().state == WorkState.UNKNOWN
    assert budget_of(world).reserved_micro_usd == PRICE
