"""Runs: planned evenly, paid from a budget that holds, stopped, tried again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from synthreview.catalog import storage
from synthreview.catalog.models import Dataset, ReferenceImage
from synthreview.catalog.storage import store_image
from synthreview.generation.jobs import draw_call
from synthreview.generation.models import Call, GeneratedImage, Run
from synthreview.generation.services import (
    Order,
    RunError,
    approved_prompts,
    orders_of,
    plan_run,
    retry_run,
    start_run,
    stop_run,
)
from synthreview.lib.adapters import UnknownAdapterError
from synthreview.lib.outcomes import PermanentError
from synthreview.prompting.models import PromptState
from synthreview.spending import spool
from synthreview.spending.models import Budget
from synthreview.work.models import WorkState
from synthreview.work.services import take_back_overdue
from tests.factories import make_dataset, make_image, make_prompt, tiny_png
from tests.generation.fakes import PRICE, ScriptedGenerator, scripted

pytestmark = pytest.mark.django_db


@pytest.fixture
def fake(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings) as generator:
        yield generator


@pytest.fixture
def free(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings, price=0) as generator:
        yield generator


def start(count: int = 4, prompts: int = 2, limit: int = 10_000_000, **fields: Any) -> Run:
    dataset = make_dataset()
    Budget.objects.create(dataset=dataset, limit_micro_usd=limit)
    car = dataset.classes.get(name="car")
    return start_run(
        dataset=dataset,
        orders=orders_of(make_prompt(car) for _ in range(prompts)),
        count=count,
        generator_alias="scripted",
        seed=7,
        **fields,
    )


def budget(run: Run) -> Budget:
    return Budget.objects.get(dataset=run.dataset)


# --- Plans --------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "prompts"), [(1, 3), (3, 3), (10, 3), (11, 4), (100, 7)])
def test_images_are_shared_evenly_and_no_seed_comes_twice(
    free: type[ScriptedGenerator], count: int, prompts: int
) -> None:
    car = make_dataset().classes.all()[0]
    rows = [make_prompt(car) for _ in range(prompts)]
    plan = plan_run(orders=orders_of(rows), count=count, generator_alias="scripted", seed=5)
    shares: Counter[int] = Counter()
    seeds: list[int] = []
    for call in plan.calls:
        assert 1 <= call.count <= 4
        shares[call.order.prompt.pk] += call.count
        seeds += range(call.seed, call.seed + call.count)
    assert sum(shares.values()) == plan.image_count == count
    assert len(set(seeds)) == count
    assert max(shares.values()) - min(shares[row.pk] for row in rows) <= 1


def test_classes_take_turns() -> None:
    dataset = make_dataset()
    car, umbrella = dataset.classes.get(name="car"), dataset.classes.get(name="umbrella")
    cars = [make_prompt(car) for _ in range(3)]
    umbrellas = [make_prompt(umbrella)]
    make_prompt(car, state=PromptState.DRAFT)
    make_prompt(car, state=PromptState.RETIRED)
    assert approved_prompts(dataset) == [cars[0], umbrellas[0], cars[1], cars[2]]
    assert approved_prompts(dataset, classes=[umbrella]) == umbrellas
    assert approved_prompts(dataset, techniques=["style"]) == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"count": 0}, "choose between 1 and"),
        ({"count": 1_000_001}, "choose between 1 and"),
        ({"size_px": 300}, "it draws 256, 512"),
        ({"orders": []}, "no approved prompt"),
    ],
)
def test_a_run_that_cannot_be_says_why(
    free: type[ScriptedGenerator], fields: dict[str, Any], words: str
) -> None:
    prompt = make_prompt(make_dataset().classes.all()[0])
    with pytest.raises(RunError, match=words):
        plan_run(
            **{
                "orders": orders_of([prompt]),
                "count": 1,
                "generator_alias": "scripted",
                **fields,
            }
        )


def test_an_unknown_generator_lists_the_known_ones(free: type[ScriptedGenerator]) -> None:
    prompt = make_prompt(make_dataset().classes.all()[0])
    with pytest.raises(UnknownAdapterError, match="known: scripted"):
        plan_run(orders=orders_of([prompt]), count=1, generator_alias="dream")


def test_runs_are_numbered_within_their_dataset(free: type[ScriptedGenerator]) -> None:
    dataset = make_dataset()
    orders = orders_of([make_prompt(dataset.classes.all()[0])])
    numbers = [
        start_run(dataset=dataset, orders=orders, count=1, generator_alias="scripted").number
        for _ in range(3)
    ]
    assert numbers == [1, 2, 3]
    assert start(prompts=1).number == 1


def test_a_free_run_needs_no_budget(free: type[ScriptedGenerator]) -> None:
    dataset = make_dataset()
    orders = orders_of([make_prompt(dataset.classes.all()[0])])
    start_run(dataset=dataset, orders=orders, count=9, generator_alias="scripted")
    assert not Budget.objects.exists()


# --- Money ----------------------------------------------------------------------------


def test_a_run_reserves_what_it_may_cost(fake: type[ScriptedGenerator]) -> None:
    run = start(count=4)
    assert (budget(run).reserved_micro_usd, budget(run).spent_micro_usd) == (4 * PRICE, 0)


def test_a_run_over_the_budget_leaves_nothing_behind(fake: type[ScriptedGenerator]) -> None:
    with pytest.raises(RunError, match=r"may cost up to \$0.16, and \$0.15 of the budget is left"):
        start(count=4, limit=150_000)
    assert not Run.objects.exists()
    assert not Call.objects.exists()
    assert Budget.objects.get().reserved_micro_usd == 0


def test_without_a_budget_nothing_paid_can_run(fake: type[ScriptedGenerator]) -> None:
    dataset = make_dataset()
    with pytest.raises(RunError, match="of the budget is left"):
        start_run(
            dataset=dataset,
            orders=orders_of([make_prompt(dataset.classes.all()[0])]),
            count=1,
            generator_alias="scripted",
        )


def test_a_budget_can_be_used_to_the_last_cent(fake: type[ScriptedGenerator]) -> None:
    fake.price = 100_000
    run = start(count=3, prompts=3, limit=300_000)
    for call in run.calls.all():
        draw_call(call.pk)
    assert run.counts()["done"] == 3
    assert (budget(run).reserved_micro_usd, budget(run).spent_micro_usd) == (0, 300_000)


@pytest.mark.parametrize("price", [1, 333_333, 70_000, 1_100_000])
@pytest.mark.parametrize("prompts", [3, 7, 11])
def test_what_was_reserved_is_freed_to_the_last_millionth(
    fake: type[ScriptedGenerator], price: int, prompts: int
) -> None:
    fake.price = price
    run = start(count=prompts + 1, prompts=prompts, limit=100_000_000)
    for call in run.calls.all():
        draw_call(call.pk)
    assert run.counts()["done"] == run.calls.count()
    assert budget(run).reserved_micro_usd == 0
    assert budget(run).spent_micro_usd == price * (prompts + 1)


def test_a_bill_above_its_estimate_keeps_the_images(fake: type[ScriptedGenerator]) -> None:
    run = start(count=1, prompts=1, limit=PRICE)
    fake.price = 5_000_000
    draw_call(run.calls.get().pk)
    assert run.counts()["images"] == 1
    row = budget(run)
    assert (row.spent_micro_usd, row.limit_micro_usd) == (5_000_000, PRICE)
    assert row.overrun_micro_usd == 5_000_000 - PRICE
    with pytest.raises(RunError, match=r"\$0.00 of the budget is left"):
        start_run(
            dataset=run.dataset,
            orders=orders_of([run.calls.get().prompt]),
            count=1,
            generator_alias="scripted",
        )


def test_settling_nothing_asks_no_database(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(0):
        Budget.objects.settle(1, estimated_micro_usd=0, billed_micro_usd=0)


# --- Stop and retry ---------------------------------------------------------------------


def test_stopping_cancels_what_waits_and_frees_its_money(fake: type[ScriptedGenerator]) -> None:
    run = start(count=3, prompts=3)
    first, second, _ = run.calls.order_by("pk")
    draw_call(first.pk)
    token = Call.objects.claim(second.pk, lease_s=60)
    assert stop_run(run) == 1
    counts = run.counts()
    assert (counts["done"], counts["running"], counts["cancelled"]) == (1, 1, 1)
    assert (budget(run).reserved_micro_usd, budget(run).spent_micro_usd) == (PRICE, PRICE)
    assert token
    assert stop_run(run) == 0


def test_failed_calls_are_drawn_again_and_paid_once(fake: type[ScriptedGenerator]) -> None:
    run = start(count=2, prompts=2)
    fake.script[:] = [PermanentError("no"), PermanentError("no")]
    for call in run.calls.all():
        draw_call(call.pk)
    assert run.counts()["failed"] == 2
    assert run.counts()["lost"] == 2
    assert budget(run).reserved_micro_usd == 0
    assert retry_run(run) == 2
    assert budget(run).reserved_micro_usd == 2 * PRICE
    for call in run.calls.all():
        draw_call(call.pk)
    assert run.counts()["images"] == 2
    assert (budget(run).reserved_micro_usd, budget(run).spent_micro_usd) == (0, 2 * PRICE)
    assert retry_run(run) == 0


def test_a_retry_over_the_budget_changes_nothing(fake: type[ScriptedGenerator]) -> None:
    run = start(count=1, prompts=1, limit=PRICE)
    fake.script[:] = [PermanentError("no")]
    draw_call(run.calls.get().pk)
    Budget.objects.update(limit_micro_usd=0)
    with pytest.raises(RunError, match="budget"):
        retry_run(run)
    assert run.calls.get().state == WorkState.FAILED


def test_what_the_sweeper_sets_aside_frees_its_money(fake: type[ScriptedGenerator]) -> None:
    run = start(count=1, prompts=1)
    for _ in range(Call.MAX_ATTEMPTS):
        assert Call.objects.claim(run.calls.get().pk, lease_s=-1)
        take_back_overdue()
    assert run.calls.get().state == WorkState.FAILED
    assert budget(run).reserved_micro_usd == 0


# --- Derivations: images that start from images -----------------------------------------


def make_reference(dataset: Dataset, use: str = "source", n: int = 1) -> ReferenceImage:
    sha256, decoded = store_image(tiny_png(n))
    return ReferenceImage.objects.create(
        dataset=dataset,
        label_class=dataset.classes.get(name="car"),
        use=use,
        sha256=sha256,
        media_type=decoded.media_type,
        byte_count=1,
        width=decoded.width,
        height=decoded.height,
    )


def test_a_derivation_sends_its_inputs_and_remembers_its_parents(
    free: type[ScriptedGenerator],
) -> None:
    dataset = make_dataset()
    car = dataset.classes.get(name="car")
    parent = make_image(label_class=car)
    reference = make_reference(dataset, n=77)
    prompt = make_prompt(car, technique="fusion")
    run = start_run(
        dataset=dataset,
        orders=[Order(prompt, (parent, reference))],
        count=2,
        generator_alias="scripted",
    )
    draw_call(run.calls.get().pk)
    assert free.requests[0].capability == "fusion"
    assert free.requests[0].images == (
        storage.blobs().read(parent.sha256),
        storage.blobs().read(reference.sha256),
    )
    children = GeneratedImage.objects.filter(run=run)
    assert len(children) == 2
    for child in children:
        assert child.family == parent.family
        assert [(row.role, row.source) for row in child.inputs] == [
            ("subject", parent),
            ("setting", reference),
        ]
    assert not parent.inputs.exists()


@pytest.mark.parametrize(
    ("technique", "inputs", "words"),
    [("variation", 0, "needs 1 images"), ("fusion", 1, "needs 2 images"), ("plain", 1, "needs 0")],
)
def test_a_derivation_without_its_inputs_is_refused(
    free: type[ScriptedGenerator], technique: str, inputs: int, words: str
) -> None:
    car = make_dataset().classes.get(name="car")
    order = Order(make_prompt(car, technique=technique), (make_image(label_class=car),) * inputs)
    with pytest.raises(RunError, match=words):
        plan_run(orders=[order], count=1, generator_alias="scripted")


def test_what_a_generator_lacks_is_said(free: type[ScriptedGenerator]) -> None:
    car = make_dataset().classes.get(name="car")
    order = Order(make_prompt(car, technique="inpaint"), (make_image(label_class=car),))
    with pytest.raises(RunError, match="Scripted cannot do inpaint; it can do fusion, text, var"):
        plan_run(orders=[order], count=1, generator_alias="scripted")
    with pytest.raises(RunError, match="takes no negative prompt"):
        plan_run(
            orders=orders_of([make_prompt(car)]),
            count=1,
            generator_alias="scripted",
            negative_prompt="people",
        )


@pytest.mark.parametrize("use", ["test", "train"])
def test_a_real_test_image_never_becomes_a_source(free: type[ScriptedGenerator], use: str) -> None:
    dataset = make_dataset()
    order = Order(
        make_prompt(dataset.classes.get(name="car"), technique="variation"),
        (make_reference(dataset, use),),
    )
    with pytest.raises(RunError, match="never becomes a source"):
        plan_run(orders=[order], count=1, generator_alias="scripted")


def test_stopping_leaves_a_call_whose_answer_is_paid_for(fake: type[ScriptedGenerator]) -> None:
    run = start(count=2, prompts=2)
    paid, _ = run.calls.order_by("pk")
    spool.write(paid.spool_key, {"cost_micro_usd": PRICE, "images": []})
    assert stop_run(run) == 1
    assert run.counts()["ready"] == 1
