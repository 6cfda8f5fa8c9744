"""Gathering prompts locks nothing, and storing them hinders nobody who decides."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection, connections

from synthreview.catalog.models import Dataset
from synthreview.prompting.importing import import_prompts
from synthreview.prompting.models import Prompt
from synthreview.prompting.staging import StagedPrompt, stage
from tests.factories import make_dataset

pytestmark = pytest.mark.django_db(transaction=True)


def staged(number: int) -> StagedPrompt:
    text = f"A car, number {number}"
    return StagedPrompt(number, 0, "plain", text, text.lower(), {"light": "dusk"}, "draft", "dora")


@contextmanager
def a_decision_in_progress(dataset: Dataset) -> Iterator[None]:
    """Hold what a reviewer's transaction holds, in another connection.

    On SQLite that is the one lock there is; on PostgreSQL the share lock that a foreign key
    takes on the dataset.
    """
    if connection.vendor == "sqlite":
        one = sqlite3.connect(connection.settings_dict["NAME"], isolation_level=None)
        one.execute("BEGIN IMMEDIATE")
        yield
        one.execute("ROLLBACK")
        one.close()
        return
    other: Any = connections.create_connection("default")
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("SELECT 1 FROM catalog_dataset WHERE id = %s FOR KEY SHARE", [dataset.pk])
    yield
    other.rollback()
    other.close()


def test_rows_are_gathered_while_somebody_else_writes() -> None:
    dataset = make_dataset()
    with a_decision_in_progress(dataset), stage() as rows:
        rows.add([staged(number) for number in range(1_200)])
    assert not Prompt.objects.exists()


def test_what_was_gathered_is_stored_in_order_and_once() -> None:
    dataset = make_dataset(classes=["car"])
    car = dataset.classes.get()
    for expected in (1_200, 0):
        with stage() as rows:
            rows.add([staged(number) for number in range(1_200)])
            assert rows.store({0: car.pk}, dataset_id=dataset.pk, created_by_id=None) == expected
    texts = list(Prompt.objects.order_by("pk").values_list("text", flat=True))
    assert texts == [f"A car, number {number}" for number in range(1_200)]
    prompt = Prompt.objects.select_related("label_class").order_by("pk")[0]
    assert (prompt.slots, prompt.flags, prompt.template) == ({"light": "dusk"}, [], "")
    assert (prompt.label_class, prompt.author, prompt.writing) == (car, "dora", None)
    assert prompt.created_at.tzinfo is not None


def test_nothing_is_left_of_a_stage_that_broke() -> None:
    def breaks() -> None:
        with stage() as rows:
            rows.add([staged(1)])
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            breaks()
    with stage() as rows:
        assert rows.store({}, dataset_id=1, created_by_id=None) == 0


def test_a_whole_import_passes_beside_a_decision(tmp_path: Path) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has one writer and no row locks")
    dataset = make_dataset(classes=["car"])
    path = tmp_path / "prompts.csv"
    path.write_text("text,class\nA car,car\n")
    with a_decision_in_progress(dataset):
        with connection.cursor() as cursor:
            cursor.execute("SET lock_timeout = '3s'")
        assert import_prompts(dataset=dataset, path=path).stored == 1
