"""The oracle sees what it is there to see: each kind of damage, on a site that was sound."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.db.models import F
from django.utils import timezone

from synthreview.catalog import storage
from synthreview.generation.models import Call, GeneratedImage
from synthreview.spending import spool
from synthreview.spending.models import Budget
from synthreview.work.models import WorkState
from tests.factories import make_call, make_dataset, make_image, make_prompt, make_run
from tests.faults import oracle

pytestmark = pytest.mark.django_db
PRICE = 40_000


@pytest.fixture
def ledger() -> list[dict[str, Any]]:
    """One image drawn and paid for, one call unknown and charged; the service's books of both."""
    dataset = make_dataset()
    prompt, run = make_prompt(dataset.classes.first()), make_run(dataset)
    paid = {"estimated_micro_usd": PRICE, "sent_at": timezone.now(), "settled_at": timezone.now()}
    image = make_image(run=run, prompt=prompt)
    Call.objects.update(billed_micro_usd=PRICE, **paid)
    done = Call.objects.get()
    unknown = make_call(run, prompt, state=WorkState.UNKNOWN, **paid)
    Budget.objects.create(
        dataset=dataset,
        limit_micro_usd=10 * PRICE,
        spent_micro_usd=PRICE,
        reserved_micro_usd=PRICE,
    )
    return [
        {"key": done.spool_key, "charged_micro_usd": PRICE, "sha256s": [image.sha256]},
        {"key": unknown.spool_key, "charged_micro_usd": PRICE, "sha256s": ["f" * 64]},
    ]


def call(state: str) -> Call:
    return Call.objects.get(state=state)


def change(old_state: str, **fields: Any) -> None:
    Call.objects.filter(state=old_state).update(**fields)


def write_blob(name: str, data: bytes) -> None:
    image = GeneratedImage.objects.get()
    storage.blobs().path(image.sha256, name).write_bytes(data)


def lose_blob(name: str) -> None:
    storage.blobs().path(GeneratedImage.objects.get().sha256, name).unlink()


def run_out() -> None:
    change(
        "unknown",
        state=WorkState.RUNNING,
        lease_token=uuid.uuid4(),
        lease_expires_at=timezone.now() - dt.timedelta(minutes=1),
        settled_at=None,
    )


def write_spool(key: str, text: str = '{"cost_micro_usd": 1}') -> None:
    spool.path(key).parent.mkdir(parents=True, exist_ok=True)
    spool.path(key).write_text(text)


def budget(**fields: Any) -> None:
    Budget.objects.update(**fields)


DAMAGE: dict[str, tuple[Callable[[], object], str]] = {
    "a lease that ran out": (run_out, "overdue"),
    "an end without a time": (lambda: change("done", settled_at=None), "is done, lease None"),
    "a missing row": (lambda: GeneratedImage.objects.all().delete(), "has images []"),
    "an image too many": (
        lambda: GeneratedImage.objects.update(call=call("unknown")),
        "is unknown and has images",
    ),
    "rotten bytes": (lambda: write_blob("original", b"rotten"), "does not hold what its name says"),
    "a lost original": (lambda: lose_blob("original"), "lost its original"),
    "a lost rendition": (lambda: lose_blob("thumb"), "has no thumb"),
    "a damaged rendition": (lambda: write_blob("view", b"rotten"), "has no view"),
    "half an answer": (lambda: write_spool(call("done").spool_key, "{"), "no whole answer"),
    "a stranger's answer": (lambda: write_spool(str(uuid.uuid4())), "belongs to no call"),
    "a late answer": (lambda: write_spool(call("unknown").spool_key), "lies in the spool"),
    "money spent of which no call knows": (
        lambda: budget(spent_micro_usd=PRICE + 1),
        f"{PRICE + 1} spent, {PRICE} billed",
    ),
    "money kept for nothing": (lambda: budget(reserved_micro_usd=0), f"0 reserved, {PRICE} open"),
    "a bill of our own": (lambda: change("done", billed_micro_usd=1), f"1 billed, {PRICE} charged"),
    "too little kept": (lambda: change("unknown", estimated_micro_usd=1), "less is reserved"),
    "a charge that was never sent": (
        lambda: change("done", sent_at=None),
        "not on record as sent",
    ),
    "an image of other bytes": (
        lambda: GeneratedImage.objects.update(sha256="a" * 64),
        "other images than were sent",
    ),
}


def test_a_sound_site_is_found_sound(ledger: list[dict[str, Any]]) -> None:
    assert oracle.everything(ledger) == []
    assert oracle.open_calls() == []
    assert oracle.double_charges(ledger) == 0


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_each_kind_of_damage_is_seen(ledger: list[dict[str, Any]], damage: str) -> None:
    do, words = DAMAGE[damage]
    do()
    assert any(words in told for told in oracle.everything(ledger)), oracle.everything(ledger)


def test_a_second_charge_is_seen(ledger: list[dict[str, Any]]) -> None:
    ledger.append(ledger[0])
    assert "was charged 2 times" in oracle.sentence(oracle.charges(ledger))
    assert oracle.double_charges(ledger) == 1


def test_a_charge_that_we_do_not_know_is_seen(ledger: list[dict[str, Any]]) -> None:
    ledger.append({"key": "another", "charged_micro_usd": 1, "sha256s": []})
    assert "no call knows of it" in oracle.sentence(oracle.charges(ledger))


def test_work_that_has_not_ended_is_seen(ledger: list[dict[str, Any]]) -> None:
    change("done", state=WorkState.READY, attempts=F("attempts") + 1)
    assert "is ready" in oracle.sentence(oracle.open_calls())
