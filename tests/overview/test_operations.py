"""The operations page: for staff alone, true to the rows, and a click tries failed work again."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from redis.exceptions import RedisError

from synthreview.export.models import Export
from synthreview.generation.models import Call
from synthreview.overview import health, operations
from synthreview.spending.models import Budget
from synthreview.work.models import WorkState
from synthreview.work.services import job_id
from tests.factories import make_call, make_image, make_user

pytestmark = pytest.mark.django_db
PAGE = "/operations/"
RETRY = "/operations/retry"


@pytest.fixture
def staff(client: Client, redis: Any, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(health._probed, "at", -1e9)
    monkeypatch.setattr(health._migrated, "for_s", 1e9)  # however slow the machine
    client.force_login(make_user("olga", is_staff=True))
    return client


def failed_call(**fields: Any) -> Call:
    image = make_image()
    return make_call(
        image.run, image.prompt, **{"state": WorkState.FAILED, "error": "No such model.", **fields}
    )


@pytest.mark.parametrize(("method", "path"), [("get", PAGE), ("post", RETRY)])
def test_it_is_for_staff(client: Client, redis: Any, method: str, path: str) -> None:
    assert getattr(client, method)(path).status_code == 302
    client.force_login(make_user("anyone"))
    assert getattr(client, method)(path).status_code == 404


def test_where_nothing_is_wrong_it_says_so(staff: Client) -> None:
    page = staff.get(PAGE).content.decode()
    assert "Nothing is stuck" in page
    assert "No worker runs" in page
    assert "None seen" in page
    assert page.count("<dd>Well</dd>") == 4


def test_the_fragment_is_the_page_without_its_frame(staff: Client) -> None:
    part = staff.get(PAGE, headers={"HX-Request": "true"}).content.decode()
    assert part.lstrip().startswith('<div id="operations"')


def test_stuck_work_is_shown_with_its_reason_and_tried_again(staff: Client) -> None:
    call = failed_call()
    page = staff.get(PAGE).content.decode()
    assert "No such model." in page
    answer = staff.post(RETRY, {"kind": "generation.call", "pk": call.pk}, follow=True)
    assert "It is tried again." in answer.content.decode()
    call.refresh_from_db()
    assert call.state == WorkState.READY
    again = staff.post(RETRY, {"kind": "generation.call", "pk": call.pk}, follow=True)
    assert "Nothing of it has failed any more." in again.content.decode()


def test_all_of_a_kind_are_tried_again(staff: Client) -> None:
    calls = [failed_call(), failed_call()]
    other = Export.objects.create(
        dataset=calls[0].run.dataset, number=1, wish={}, selection={}, state=WorkState.FAILED
    )
    assert "Try all 2 again: call" in staff.get(PAGE).content.decode()
    staff.post(RETRY, {"kind": "generation.call"})
    assert set(Call.objects.filter(pk__in=[c.pk for c in calls]).values_list("state")) == {
        (WorkState.READY,)
    }
    other.refresh_from_db()
    assert other.state == WorkState.FAILED
    staff.post(RETRY, {"kind": "export.export", "pk": other.pk})
    other.refresh_from_db()
    assert other.state == WorkState.READY


def test_what_has_no_money_is_not_tried_again(staff: Client) -> None:
    call = failed_call(estimated_micro_usd=2_000_000)
    Budget.objects.update_or_create(
        dataset=call.run.dataset, defaults={"limit_micro_usd": 1_000_000}
    )
    answer = staff.post(RETRY, {"kind": "generation.call", "pk": call.pk}, follow=True)
    assert "budget" in answer.content.decode().lower()
    call.refresh_from_db()
    assert call.state == WorkState.FAILED


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "accounts.user", "pk": "1"}, {"kind": "x"}, {"kind": ""}, {"kind": "a.b.c"},
        {"kind": "generation.call", "pk": "-1"}, {"kind": "generation.call", "pk": "1" * 40},
    ],
)  # fmt: skip
def test_what_is_no_work_is_not_there(staff: Client, body: dict[str, str]) -> None:
    assert staff.post(RETRY, body).status_code == 404


def test_without_redis_the_page_is_there(staff: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> Any:
        raise RedisError

    monkeypatch.setattr(operations, "queues", away)
    page = staff.get(PAGE).content.decode()
    assert "Redis does not answer. Nothing is lost" in page


def test_a_job_is_named_in_words() -> None:
    call = failed_call()
    assert operations._title_of(job_id(call)) == str(call)
    assert operations._title_of("call-99999999-0") == "call-99999999-0"
    assert operations._title_of("elsewhere") == "elsewhere"


def test_it_asks_as_often_for_many_stuck_rows_as_for_few(staff: Client) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            staff.get(PAGE)
        return len(queries)

    for _ in range(2):
        failed_call()
    count()  # whether migrations wait is asked once
    few = count()
    for _ in range(8):
        failed_call()
    assert count() == few
