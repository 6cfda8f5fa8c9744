"""What was charged is booked or declared unknown, whatever went wrong before and after it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.db.models.functions import Now
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from synthreview.generation import jobs
from synthreview.generation.generators.base import DrawRequest
from synthreview.generation.models import Call, GeneratedImage, Run
from synthreview.generation.services import orders_of, retry_run, start_run, stop_run
from synthreview.lib.outcomes import OutcomeUnknownError, PermanentError, TransientError
from synthreview.spending import spool
from synthreview.spending.models import Budget
from synthreview.spending.services import Outcome, resolve_unknown, tidy_spool
from synthreview.work.models import WorkState
from synthreview.work.services import take_back_overdue
from tests.factories import make_dataset, make_prompt, make_user
from tests.generation.fakes import PRICE, AfterCharge, ScriptedGenerator, scripted

pytestmark = pytest.mark.django_db
LOST = AfterCharge(OutcomeUnknownError("time-out"))


@pytest.fixture
def plain(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings) as generator:
        yield generator


@pytest.fixture
def keyed(settings: Any) -> Iterator[type[ScriptedGenerator]]:
    with scripted(settings, is_repeatable=True) as generator:
        yield generator


def make_ready(count: int = 1, **members: Any) -> Run:
    dataset = make_dataset(name="World", **members)
    Budget.objects.create(dataset=dataset, limit_micro_usd=10 * PRICE)
    prompts = [make_prompt(dataset.classes.get(name="car")) for _ in range(count)]
    return start_run(
        dataset=dataset, orders=orders_of(prompts), count=count, generator_alias="scripted"
    )


def draw(run: Run, tries: int = 1) -> Call:
    """Let every call of the run that is ready be tried so often; return the first."""
    for _ in range(tries):
        run.calls.filter(state=WorkState.READY).update(due_at=Now())
        for pk in run.calls.values_list("pk", flat=True):
            jobs.draw_call(pk)
    found = run.calls.order_by("pk").first()
    assert found is not None
    return found


def money(run: Run) -> tuple[int, int]:
    budget = Budget.objects.get(dataset=run.dataset)
    return budget.reserved_micro_usd, budget.spent_micro_usd


def lose_worker(call: Call, *, attempts: int) -> Call:
    """Leave the call as a worker that was killed at its last try after sending."""
    Call.objects.filter(pk=call.pk).update(
        state=WorkState.RUNNING,
        lease_token="6d6f1c36-7f5b-4a2b-8c07-111111111111",
        lease_expires_at=timezone.now() - timezone.timedelta(seconds=1),
        sent_at=Now(),
        attempts=attempts,
    )
    take_back_overdue()
    call.refresh_from_db()
    return call


# --- Tried as often as may be, with a key ---------------------------------------------


def test_a_charge_whose_answer_never_comes_stays_reserved(keyed: type[ScriptedGenerator]) -> None:
    run = make_ready()
    keyed.script[:] = [LOST, LOST, LOST]
    assert draw(run, tries=4).state == WorkState.UNKNOWN
    assert len(keyed.charges) == 1
    assert money(run) == (PRICE, 0)


@pytest.mark.parametrize("error", [TransientError("busy"), PermanentError("gone")])
def test_a_later_fault_does_not_prove_that_nothing_was_charged(
    keyed: type[ScriptedGenerator], error: Exception
) -> None:
    run = make_ready()
    keyed.script[:] = [LOST, error, error]
    assert draw(run, tries=4).state == WorkState.UNKNOWN
    assert money(run) == (PRICE, 0)


def test_workers_that_die_after_sending_leave_it_unknown(keyed: type[ScriptedGenerator]) -> None:
    run = make_ready()
    assert lose_worker(run.calls.get(), attempts=2).state == WorkState.READY
    assert lose_worker(run.calls.get(), attempts=3).state == WorkState.UNKNOWN
    assert money(run) == (PRICE, 0)


def test_what_costs_nothing_is_only_set_aside(settings: Any) -> None:
    with scripted(settings, is_repeatable=True, price=0):
        run = make_ready()
        assert lose_worker(run.calls.get(), attempts=3).state == WorkState.FAILED


# --- No room for the answer -----------------------------------------------------------


def test_a_full_disk_asks_for_nothing_and_goes_on_once_there_is_room(
    plain: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_ready()
    with monkeypatch.context() as patch:
        patch.setattr(spool, "has_room", lambda: False)
        call = draw(run, tries=5)
    assert (call.state, call.attempts, call.sent_at) == (WorkState.READY, 0, None)
    assert "is full" in call.error
    assert not plain.charges
    assert draw(run).state == WorkState.DONE
    assert money(run) == (0, PRICE)


# --- The answer is kept and its rows cannot be made -----------------------------------


def break_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("a fault of ours")

    monkeypatch.setattr(jobs, "_image_of", broken)


def test_an_answer_that_is_set_aside_is_booked_once(
    plain: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_ready()
    with monkeypatch.context() as patch:
        break_rows(patch)
        call = draw(run, tries=3)
    assert (call.state, call.billed_micro_usd) == (WorkState.FAILED, PRICE)
    assert money(run) == (0, PRICE)
    retry_run(run)
    assert money(run) == (PRICE, 0)
    call = draw(run)
    assert (call.state, call.billed_micro_usd) == (WorkState.DONE, PRICE)
    assert money(run) == (0, PRICE)
    assert len(plain.charges) == GeneratedImage.objects.count() == 1


def test_an_answer_whose_workers_die_is_booked_too(
    plain: type[ScriptedGenerator], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_ready()
    with monkeypatch.context() as patch:
        break_rows(patch)
        draw(run)
    call = lose_worker(run.calls.get(), attempts=3)
    assert (call.state, call.billed_micro_usd) == (WorkState.FAILED, PRICE)
    assert money(run) == (0, PRICE)


# --- Stopped, and late ---------------------------------------------------------------


def test_stopping_does_not_forget_what_may_have_been_charged(
    keyed: type[ScriptedGenerator],
) -> None:
    run = make_ready(count=2)
    keyed.script[:] = [LOST]
    jobs.draw_call(run.calls.order_by("pk")[0].pk)
    assert stop_run(run) == 2
    assert list(run.calls.order_by("pk").values_list("state", flat=True)) == [
        WorkState.UNKNOWN,
        WorkState.CANCELLED,
    ]
    assert money(run) == (PRICE, 0)


def answer_late(run: Run, fake: type[ScriptedGenerator]) -> Call:
    """Leave an unknown call whose slow worker has come back and spooled its answer."""
    fake.script[:] = [LOST]
    call = draw(run)
    assert call.state == WorkState.UNKNOWN
    drawn = fake()._images(DrawRequest(prompt="", count=1, size_px=512, seed=1))
    entry = {
        "sha256": jobs.storage.blobs().put(drawn[0].data),
        "seed": 1,
        "revised_prompt": "",
        "facts": {},
        "private": {},
    }
    spool.write(
        call.spool_key,
        {"model": "m", "model_version": "1", "cost_micro_usd": PRICE, "images": [entry]},
    )
    return call


def test_an_answer_that_comes_late_is_used(plain: type[ScriptedGenerator]) -> None:
    run = make_ready()
    call = answer_late(run, plain)
    assert tidy_spool() == {"taken_up": 1, "dropped": 0}
    call.refresh_from_db()  # the host that has the answer ended it: no worker was asked
    assert (call.state, call.billed_micro_usd) == (WorkState.DONE, PRICE)
    assert money(run) == (0, PRICE)
    assert len(plain.charges) == len(plain.requests) == 1


@pytest.mark.parametrize("outcome", Outcome.values)
def test_whatever_is_decided_an_answer_that_came_counts(
    plain: type[ScriptedGenerator], outcome: str
) -> None:
    run = make_ready()
    call = answer_late(run, plain)
    assert resolve_unknown(run.dataset, [call], outcome) == 1
    assert draw(run).state == WorkState.DONE
    assert money(run) == (0, PRICE)


def test_the_spool_holds_only_what_is_needed(plain: type[ScriptedGenerator]) -> None:
    run = make_ready()
    call = draw(run)
    spool.write(call.spool_key, {"cost_micro_usd": PRICE})
    drafts = [spool.path(call.spool_key).with_name(f".{age}.json.part") for age in ("old", "new")]
    for draft in drafts:
        draft.write_text("{")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(drafts[0], (two_days_ago, two_days_ago))
    assert tidy_spool() == {"taken_up": 0, "dropped": 2}
    assert not spool.all_keys()
    assert [draft.exists() for draft in drafts] == [False, True]


# --- A person decides --------------------------------------------------------------------


def test_looking_up_asks_again_where_that_is_free(keyed: type[ScriptedGenerator]) -> None:
    run = make_ready()
    keyed.script[:] = [LOST, LOST, LOST]
    call = draw(run, tries=3)
    assert resolve_unknown(run.dataset, [call], Outcome.LOOK_UP) == 1
    assert draw(run).state == WorkState.DONE
    assert len(keyed.charges) == 1
    assert money(run) == (0, PRICE)


def test_looking_up_elsewhere_changes_nothing_without_an_answer(
    plain: type[ScriptedGenerator],
) -> None:
    run = make_ready()
    plain.script[:] = [LOST]
    call = draw(run)
    assert resolve_unknown(run.dataset, [call], Outcome.LOOK_UP) == 0
    assert draw(run).state == WorkState.UNKNOWN
    assert (len(plain.charges), money(run)) == (1, (PRICE, 0))


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("outcome", "state", "reserved", "spent"),
    [
        (Outcome.LOOK_UP, WorkState.READY, PRICE, 0),
        (Outcome.CHARGED, WorkState.FAILED, 0, PRICE),
        (Outcome.FREE, WorkState.FAILED, 0, 0),
        (Outcome.AGAIN, WorkState.READY, PRICE, PRICE),
    ],
)
def test_each_choice_counts_once_also_when_it_is_clicked_twice_at_once(
    keyed: type[ScriptedGenerator], outcome: Outcome, state: str, reserved: int, spent: int
) -> None:
    """Each click is a request of its own, with its own connection to the database."""
    run = make_ready(curator=make_user("curator"))
    keyed.script[:] = [LOST, LOST, LOST]
    call = draw(run, tries=3)
    page = reverse("run-unknown", args=["world", run.number])
    pages = click_at_once(page, {"outcome": outcome, "call": [call.pk]})
    assert pages == [302] * 4
    call.refresh_from_db()
    assert call.state == state
    assert money(run) == (reserved, spent)
    if state == WorkState.READY:
        draw(run, tries=3)
        call.refresh_from_db()
        charged = len(keyed.charges) * PRICE
        assert (call.state, call.billed_micro_usd) == (WorkState.DONE, charged)
        assert money(run) == (0, charged)
        assert len(keyed.charges) == (2 if outcome == Outcome.AGAIN else 1)


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
def test_retrying_twice_at_once_reserves_once(plain: type[ScriptedGenerator]) -> None:
    run = make_ready(count=3, curator=make_user("curator"))
    plain.script[:] = [PermanentError("no")] * 3
    draw(run)
    assert money(run) == (0, 0)
    assert click_at_once(reverse("run-retry", args=["world", run.number]), {}) == [302] * 4
    assert money(run) == (3 * PRICE, 0)


def click_at_once(page: str, fields: dict[str, Any], clicks: int = 4) -> list[int]:
    clients = [Client() for _ in range(clicks)]
    for client in clients:
        client.login(username="curator", password="curator")
    barrier = threading.Barrier(clicks)

    def click(client: Client) -> int:
        barrier.wait()
        try:
            return client.post(page, fields).status_code
        finally:
            connection.close()

    with ThreadPoolExecutor(clicks) as pool:
        return list(pool.map(click, clients))
