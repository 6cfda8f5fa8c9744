"""Batches: half the price, a day's time, and every image and charge once, whatever goes wrong."""

from __future__ import annotations

import datetime as dt
import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from synthreview.catalog.models import Dataset
from synthreview.generation import batch_jobs
from synthreview.generation.batch_jobs import advance
from synthreview.generation.generators.batching import Batching
from synthreview.generation.generators.openai import OpenAIGenerator
from synthreview.generation.jobs import draw_call
from synthreview.generation.models import Call, CallBatch, GeneratedImage, Run
from synthreview.generation.services import (
    Order,
    RunError,
    approved_prompts,
    generator,
    orders_of,
    retry_run,
    start_run,
    stop_run,
)
from synthreview.lib.outcomes import OutcomeUnknownError
from synthreview.spending import spool
from synthreview.spending.gates import gate_of
from synthreview.spending.models import Budget, ServiceGate
from synthreview.work.models import WorkState
from synthreview.work.services import sweep
from tests.factories import make_dataset, make_image, make_prompt, make_user
from tests.servers_fake.images_client import ImagesServer
from tests.servers_fake.images_server import PRICES

pytestmark = pytest.mark.django_db
MODEL = "test-model"
LIMIT = 10_000_000
PAST = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


@pytest.fixture
def server(images_server: Callable[..., ImagesServer], settings: Any) -> Iterator[ImagesServer]:
    """The fake server, and a generator in front of it that offers batches at half the price."""
    fake = images_server("openai")
    settings.GENERATORS = {
        "openai": {
            "BACKEND": "synthreview.generation.generators.openai.OpenAIGenerator",
            "OPTIONS": {
                "model": MODEL, "base_url": fake.base_url, "timeout_s": 20,
                "prices": {"*": {**PRICES, "batch": 0.5}},
            },
        },
        "sketch": {"BACKEND": "synthreview.generation.generators.sketch.SketchGenerator"},
    }  # fmt: skip
    generator.cache_clear()
    yield fake
    generator.cache_clear()


@pytest.fixture
def world(server: ImagesServer) -> Dataset:
    dataset = make_dataset("World", classes=["car"], curator=make_user("curator"))
    Budget.objects.create(dataset=dataset, limit_micro_usd=LIMIT)
    for number in range(4):
        make_prompt(dataset.classes.get(), f"A red car, number {number}")
    return dataset


def order(dataset: Dataset, count: int = 4, **fields: Any) -> Run:
    return start_run(
        dataset=dataset,
        orders=orders_of(approved_prompts(dataset)),
        count=count,
        generator_alias="openai",
        size_px=1024,
        is_batched=True,
        **fields,
    )


def step(batch: CallBatch) -> CallBatch:
    """Let the batch be due and take it one step further."""
    CallBatch.objects.filter(pk=batch.pk, state=WorkState.READY).update(due_at=PAST)
    advance(batch.pk)
    batch.refresh_from_db()
    return batch


def to_its_end(run: Run, steps: int = 8) -> None:
    """Take the batches of a run to their end, and draw what they brought."""
    for batch in run.batches.all():
        for _ in range(steps):
            if step(batch).state not in ("ready", "running"):
                break
    for call in Call.objects.due().filter(run=run):
        draw_call(call.pk)


def states(run: Run) -> Counter[str]:
    return Counter(run.calls.values_list("state", flat=True))


def check_money(server: ImagesServer, dataset: Dataset, *, reserved: int = 0) -> None:
    """What we say was charged is what the server charged; nothing stays reserved but this."""
    budget = Budget.objects.get(dataset=dataset)
    assert budget.spent_micro_usd == server.charged_micro_usd
    assert budget.reserved_micro_usd == reserved
    assert sum(Call.objects.values_list("billed_micro_usd", flat=True)) == server.charged_micro_usd


# --- The usual way ----------------------------------------------------------------------


def test_a_batch_is_sent_once_and_its_images_come_once_at_half_the_price(
    world: Dataset, server: ImagesServer
) -> None:
    server.batches({"looks": 2})
    run = order(world)
    batch = run.batches.get()
    whole = generator("openai")
    assert isinstance(whole, Batching)
    at_once = sum(
        OpenAIGenerator.estimate_micro_usd(whole, request)  # type: ignore[arg-type]
        for request in batch_jobs._requests_of(batch).values()
    )
    reserved = Budget.objects.get().reserved_micro_usd
    assert at_once / 2 <= reserved <= at_once / 2 + run.calls.count()
    seen = [step(batch).remote_state for _ in range(4)]
    assert seen == ["", "in_progress", "in_progress", "completed"]
    assert batch.state == "done"
    for call in run.calls.all():
        draw_call(call.pk)
        draw_call(call.pk)
    assert states(run) == {"done": 4}
    assert GeneratedImage.objects.filter(run=run).count() == 4
    assert len([r for r in server.requests if r["path"] == "/v1/batches"]) == 1
    assert all(row["route"] == "generations" for row in server.ledger)
    check_money(server, world)
    # Half of what the same images cost at once.
    per_image = server.charged_micro_usd / 4
    assert 15_000 < per_image < 15_100
    assert not list(spool.path("x").parent.glob("*.json"))


def test_calls_of_a_batch_are_not_drawn_beside_it(world: Dataset, server: ImagesServer) -> None:
    run = order(world)
    sweep()
    for call in run.calls.all():
        draw_call(call.pk)
    assert states(run) == {"ready": 4}
    # Not even if one were due by mistake: without its answer it costs nothing and says why.
    call = run.calls.earliest("pk")
    Call.objects.filter(pk=call.pk).update(due_at=PAST)
    draw_call(call.pk)
    call.refresh_from_db()
    assert (call.state, call.billed_micro_usd) == ("failed", 0)
    assert "brought no answer" in call.error
    assert server.ledger == []


def test_a_large_run_is_several_batches(
    world: Dataset, server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("synthreview.generation.generators.openai.adapter.MOST_REQUESTS", 3)
    run = order(world, count=16)
    assert [batch.calls.count() for batch in run.batches.all()] == [3, 1]
    to_its_end(run)
    assert GeneratedImage.objects.filter(run=run).count() == 16
    check_money(server, world)


def test_the_command_waits_for_a_batch(
    world: Dataset,
    server: ImagesServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batch_jobs, "FIRST_LOOK_S", 0.05)
    call_command(
        "generate", "world", generator="openai", count=3, size_px=1024, is_batched=True,
        wait=True, as_json=True, verbosity=0,
    )  # fmt: skip
    facts = json.loads(capsys.readouterr().out)
    assert (facts["images"], facts["calls"]["done"]) == (3, 3)
    check_money(server, world)


# --- What lines can end in ---------------------------------------------------------------


def test_every_line_ends_by_itself(world: Dataset, server: ImagesServer) -> None:
    server.script("answer", "refuse", "corrupt", "fail")
    run = order(world)
    to_its_end(run)
    assert states(run) == {"done": 1, "failed": 3}
    errors = " / ".join(run.calls.order_by("pk").values_list("error", flat=True))
    for words in ("will not draw this", "cannot be used", "HTTP 500"):
        assert words in errors
    # The corrupt one was charged, and is booked; the refused and the failed were not.
    assert [row["outcome"] for row in server.ledger] == ["answer", "corrupt"]
    check_money(server, world)


def test_what_failed_is_drawn_again_by_a_new_batch(world: Dataset, server: ImagesServer) -> None:
    server.script("answer", "fail", "answer", "fail")
    run = order(world)
    to_its_end(run)
    assert retry_run(run) == 2
    assert states(run) == {"done": 2, "ready": 2}
    assert [batch.calls.count() for batch in run.batches.all()] == [2, 2]
    to_its_end(run)
    assert states(run) == {"done": 4}
    assert GeneratedImage.objects.filter(run=run).count() == 4
    check_money(server, world)


@pytest.mark.parametrize(
    ("plan", "expected", "words"),
    [
        ({"ends": "expired", "done": 1}, {"done": 1, "failed": 3}, "expired before"),
        ({"ends": "failed"}, {"failed": 4}, "The model cannot do batches"),
        ({"ends": "cancelled", "done": 2}, {"done": 2, "failed": 2}, "The batch is cancelled"),
    ],
)
def test_a_batch_that_ends_early_brings_what_it_did_and_frees_the_rest(
    plan: dict[str, Any], expected: dict[str, int], words: str, world: Dataset, server: ImagesServer
) -> None:
    server.batches(plan)
    run = order(world)
    to_its_end(run)
    assert states(run) == expected
    errors = set(run.calls.filter(state="failed").values_list("error", flat=True))
    assert all(words in error for error in errors)
    check_money(server, world)


def test_a_line_that_nobody_mentions_is_unknown_and_decided_by_a_person(
    world: Dataset, server: ImagesServer
) -> None:
    server.batches({"missing": 1})
    run = order(world)
    to_its_end(run)
    assert states(run) == {"done": 3, "unknown": 1}
    lost = run.calls.get(state="unknown")
    assert "do not name this" in lost.error
    budget = Budget.objects.get()
    assert budget.reserved_micro_usd == lost.estimated_micro_usd
    assert server.charged_micro_usd - budget.spent_micro_usd <= lost.estimated_micro_usd


def test_sending_an_unknown_one_again_takes_a_new_batch(
    world: Dataset, server: ImagesServer, client: Any
) -> None:
    server.batches({"missing": 1})
    run = order(world)
    to_its_end(run)
    lost = run.calls.get(state="unknown")
    client.login(username="curator", password="curator")
    page = f"{run.get_absolute_url()}unknown"
    assert client.post(page, {"call": [lost.pk], "outcome": "again"}).status_code == 302
    lost.refresh_from_db()
    assert lost.state == "ready"
    assert lost.batch is not None
    assert lost.batch.state == "ready"
    to_its_end(run)
    assert states(run) == {"done": 4}
    assert len(server.ledger) == 5


# --- Faults on the way -------------------------------------------------------------------


def test_an_answer_that_was_lost_is_looked_for_and_never_sent_again(
    world: Dataset, server: ImagesServer
) -> None:
    server.batches({"create": "drop"})
    run = order(world)
    batch = step(run.batches.get())
    assert (batch.state, batch.remote_name) == ("ready", "")
    assert batch.sent_at
    assert step(batch).remote_name == "batch_1"
    to_its_end(run)
    assert states(run) == {"done": 4}
    assert len([r for r in server.requests if r["path"] == "/v1/batches"]) == 1
    check_money(server, world)


def test_a_batch_that_nobody_has_is_unknown(
    world: Dataset, server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = order(world)

    def lose(*_: Any, **__: Any) -> str:
        raise OutcomeUnknownError("The connection broke off.")

    monkeypatch.setattr(generator("openai"), "send_batch", lose)
    batch = step(run.batches.get())
    assert step(batch).state == "unknown"
    assert states(run) == {"unknown": 4}
    assert server.requests == []
    check_money(server, world, reserved=sum(c.estimated_micro_usd for c in run.calls.all()))


class KilledError(BaseException):
    """What ends a worker: nothing catches it."""


@pytest.mark.parametrize(
    "point",
    [
        "before sent",
        "before create",
        "after create",
        "before look",
        "between answers",
        "before end",
    ],
)
def test_a_worker_killed_at_any_point_leaves_every_image_and_charge_once(
    point: str, world: Dataset, server: ImagesServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = order(world)
    api = generator("openai")
    left = {"between answers": 2}.get(point, 0)

    def killing(real: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if after:
                real(*args, **kwargs)
            if left == 0:
                raise KilledError
            left -= 1
            return real(*args, **kwargs)

        return call

    targets: dict[str, tuple[Any, str, bool]] = {
        "before sent": (batch_jobs, "service_of", False),
        "before create": (api, "send_batch", False),
        "after create": (api, "send_batch", True),
        "before look": (api, "look_at_batch", False),
        "between answers": (batch_jobs, "_spool", False),
        "before end": (batch_jobs, "_let_go", False),
    }
    owner, name, after = targets[point]
    real = getattr(owner, name)
    monkeypatch.setattr(owner, name, killing(real, after=after))
    with pytest.raises(KilledError):
        to_its_end(run)
    monkeypatch.setattr(owner, name, real)
    CallBatch.objects.filter(state="running").update(lease_expires_at=PAST)
    sweep()
    to_its_end(run)
    if point == "before create":
        # On record as sent, and nobody knows of it: a person decides; nothing was charged.
        assert states(run) == {"unknown": 4}
        assert server.ledger == []
        return
    assert states(run) == {"done": 4}
    assert GeneratedImage.objects.filter(run=run).count() == 4
    assert len([r for r in server.requests if r["path"] == "/v1/batches"]) == 1
    check_money(server, world)


def test_ten_deliveries_send_one_batch(world: Dataset, server: ImagesServer) -> None:
    run = order(world)
    batch = run.batches.get()
    for _ in range(10):
        advance(batch.pk)
    assert len([r for r in server.requests if r["path"] == "/v1/batches"]) == 1


@pytest.mark.parametrize(
    ("how", "words", "needs_person"),
    [
        ("no_credit", "out of credit", True),
        ("rate_limit", "takes no more requests", False),
        ("fail", "failed (HTTP 503)", False),
    ],
)
def test_what_was_not_taken_is_tried_again_later_and_shuts_the_gate_where_it_must(
    how: str, words: str, needs_person: bool, world: Dataset, server: ImagesServer
) -> None:
    server.batches({"create": how})
    run = order(world)
    batch = step(run.batches.get())
    assert (batch.state, batch.sent_at) == ("ready", None)
    assert words in batch.error
    assert batch.due_at > timezone.now()
    gate = ServiceGate.objects.get(service="generator:openai")
    assert gate.needs_person == needs_person
    if needs_person or gate_of(gate.service):
        before = len(server.requests)
        step(batch)  # the gate is shut: nothing is sent
        assert len(server.requests) == before
    ServiceGate.objects.all().delete()
    to_its_end(run)
    assert states(run) == {"done": 4}
    check_money(server, world)


def test_a_batch_that_is_refused_fails_with_its_reason(
    world: Dataset, server: ImagesServer
) -> None:
    server.batches({"create": "refuse"})
    run = order(world)
    assert step(run.batches.get()).state == "failed"
    assert states(run) == {"failed": 4}
    assert "takes no batches" in run.calls.earliest("pk").error
    check_money(server, world)


def test_what_never_ends_becomes_a_persons_case(world: Dataset, server: ImagesServer) -> None:
    server.batches({"looks": 1000})
    run = order(world)
    batch = step(run.batches.get())
    step(batch)
    CallBatch.objects.update(sent_at=timezone.now() - dt.timedelta(days=4))
    batch.refresh_from_db()
    assert step(batch).state == "unknown"
    assert "still in_progress" in batch.error
    assert states(run) == {"unknown": 4}


def test_a_poisonous_batch_leaves_no_call_waiting(world: Dataset, server: ImagesServer) -> None:
    run = order(world)
    batch = step(run.batches.get())
    for _ in range(CallBatch.MAX_ATTEMPTS):
        CallBatch.objects.filter(state="ready").update(due_at=PAST)
        assert CallBatch.objects.claim(batch.pk, lease_s=60)
        CallBatch.objects.update(lease_expires_at=timezone.now() - dt.timedelta(seconds=1))
        sweep()
    batch.refresh_from_db()
    assert batch.state == "failed"
    assert states(run) == {"unknown": 4}


# --- Stopping ----------------------------------------------------------------------------


def test_what_is_not_sent_stops_at_once(world: Dataset, server: ImagesServer) -> None:
    run = order(world)
    assert stop_run(run) == 4
    assert states(run) == {"cancelled": 4}
    batch = run.batches.get()
    assert batch.state == "cancelled"
    advance(batch.pk)
    assert server.requests == []
    check_money(server, world)


def test_what_is_sent_is_stopped_by_its_service_and_what_is_done_comes(
    world: Dataset, server: ImagesServer
) -> None:
    server.batches({"looks": 1000, "done": 1})
    run = order(world)
    batch = step(run.batches.get())
    step(batch)
    assert stop_run(run) == 1
    assert stop_run(run) == 0
    to_its_end(run)
    assert states(run) == {"done": 1, "cancelled": 3}
    check_money(server, world)


# --- Pages, checks, the database ----------------------------------------------------------


def test_the_page_offers_a_batch_with_both_prices_and_shows_how_far_it_is(
    world: Dataset, server: ImagesServer, client: Any
) -> None:
    client.login(username="curator", password="curator")
    page = "/d/world/runs/new"
    assert "Order as a batch" not in client.get(f"{page}?generator=sketch").content.decode()
    body = client.get(f"{page}?generator=openai").content.decode()
    assert "Order as a batch" in body
    assert "50 % of the price, and the images come within 24 hours" in body
    form = {
        "classes": [row.pk for row in world.classes.all()], "techniques": ["plain"], "count": 4,
        "generator": "openai", "size_px": 1024, "is_batched": "on",
    }  # fmt: skip
    estimate = client.get("/d/world/runs/estimate", form).content.decode()
    assert "<dt>As a batch</dt>" in estimate
    assert "<dt>At once</dt>" in estimate
    server.batches({"looks": 3})
    run_page = client.post(page, form).headers["Location"]
    run = Run.objects.get()
    assert run.is_batched
    assert "waits to be sent" in client.get(run_page).content.decode()
    batch = step(run.batches.get())
    step(batch)
    body = client.get(run_page).content.decode()
    assert "in_progress, 0 done" in body
    assert "ends by" in body
    to_its_end(run)
    assert "completed, 4 done" in client.get(run_page).content.decode()


@pytest.mark.parametrize(
    ("alias", "technique", "words"),
    [("sketch", "plain", "takes no batches"), ("openai", "variation", "captions only")],
)
def test_what_takes_no_batch_is_refused_before_it_starts(
    alias: str, technique: str, words: str, world: Dataset
) -> None:
    prompt = make_prompt(world.classes.get(), technique=technique)
    inputs = (make_image(world),) if technique == "variation" else ()
    with pytest.raises(RunError, match=words):
        start_run(
            dataset=world, orders=[Order(prompt, inputs)], count=1, generator_alias=alias,
            size_px=1024, is_batched=True,
        )  # fmt: skip
    assert not Run.objects.filter(is_batched=True).exists()


def test_without_its_price_no_batch_is_offered() -> None:
    plain = OpenAIGenerator(model="m", prices={"*": {"image": 0.04}})
    other = OpenAIGenerator(model="m", profile="litellm", prices={"*": {"image": 1, "batch": 0.5}})
    good = OpenAIGenerator(model="m", prices={"*": {"image": 0.04, "batch": 0.5}})
    assert plain.batch_offer() is None
    assert other.batch_offer() is None
    assert good.batch_offer()


def test_a_name_without_a_record_of_sending_is_refused_by_the_database(world: Dataset) -> None:
    run = order(world)
    with pytest.raises(IntegrityError), transaction.atomic():
        CallBatch.objects.create(run=run, remote_name="batch_1")
    assert connection.is_usable()
