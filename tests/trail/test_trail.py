"""The audit trail: one entry for each act, which nothing can change, handed out whole."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import LabelClass
from synthreview.catalog.services import (
    ClassInUseError,
    add_class,
    delete_class,
    set_role,
    update_class,
)
from synthreview.trail.acts import Act
from synthreview.trail.models import Entry
from synthreview.trail.services import record
from tests.factories import make_dataset, make_image, make_prompt, make_user
from tests.people import People, make_people

pytestmark = pytest.mark.django_db


@pytest.fixture
def people() -> People:
    return make_people()


def latest() -> Entry:
    found = Entry.objects.first()
    assert found
    return found


# --- What an entry says -----------------------------------------------------------------


def test_an_act_on_a_page_says_who_what_before_and_after(people: People) -> None:
    car = people.label_class
    people.client("curator").post(
        f"/d/traffic/settings/classes/{car.pk}/",
        {"name": "car", "definition": "Has four wheels", "target_count": 7},
    )
    entry = latest()
    assert (entry.actor, entry.actor_id) == ("curator", people.users["curator"].pk)
    assert (entry.via, entry.act, entry.thing) == ("web", Act.CLASS_CHANGED, "car")
    assert (entry.kind, entry.thing_id) == ("catalog.LabelClass", str(car.pk))
    assert entry.dataset_id == people.dataset.pk
    assert entry.before == {"definition": "", "guideline_version": 1, "target_count": 100}
    assert entry.after == {
        "definition": "Has four wheels",
        "guideline_version": 2,
        "target_count": 7,
    }


def test_an_act_by_the_api_and_one_by_a_program_say_so(people: People) -> None:
    people.client("curator").post(
        "/api/datasets/traffic/prompts",
        json.dumps({"text": "A car", "class": "car"}),
        content_type="application/json",
    )
    assert (latest().actor, latest().via, latest().act) == ("curator", "api", Act.PROMPT_ADDED)
    add_class(dataset=people.dataset, name="boat")
    assert (latest().actor, latest().actor_id) == ("", None)
    assert latest().via.startswith("command ")


def test_what_changes_nothing_leaves_nothing(people: People) -> None:
    before = Entry.objects.count()
    update_class(people.label_class, {"name": "car"})
    set_role(dataset=people.dataset, user=people.users["viewer"], role="viewer")
    people.client("viewer").post("/d/traffic/settings/", {"name": "Mine"})
    assert Entry.objects.count() == before


def test_an_act_that_fails_leaves_nothing(people: People) -> None:
    make_image(people.dataset)
    before = Entry.objects.count()
    with pytest.raises(ClassInUseError):
        delete_class(people.label_class)
    assert Entry.objects.count() == before
    assert LabelClass.objects.filter(pk=people.label_class.pk).exists()


def test_no_secret_is_kept() -> None:
    user = make_user("anna")
    from synthreview.trail.services import facts

    assert "password" not in facts(user)
    assert facts(user)["username"] == "anna"


def test_each_act_has_a_code_that_fits_and_words_of_its_own() -> None:
    assert len(set(Act.labels)) == len(Act.labels)
    assert all(len(code) <= 40 for code in Act.values)
    assert Entry(act="gone.act").words == "gone.act"


# --- Append-only ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement", ["UPDATE trail_entry SET actor = 'nobody'", "DELETE FROM trail_entry"]
)
def test_the_database_refuses_to_change_or_delete_an_entry(people: People, statement: str) -> None:
    before = list(Entry.objects.values())
    assert before
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement)
    assert list(Entry.objects.values()) == before


def test_the_models_cannot_change_an_entry_either(people: People) -> None:
    entry = latest()
    entry.actor = "nobody"
    for change in (entry.save, entry.delete, Entry.objects.all().delete):
        with pytest.raises((IntegrityError, DatabaseError)), transaction.atomic():
            change()


@pytest.mark.skipif("connection.vendor != 'postgresql'")
def test_the_table_cannot_be_emptied(people: People) -> None:
    with (
        pytest.raises(DatabaseError, match="append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute("TRUNCATE trail_entry")
    assert Entry.objects.exists()


def test_the_trail_outlives_what_it_tells_of(people: People) -> None:
    boat = add_class(dataset=people.dataset, name="boat")
    people.users["viewer"].delete()
    delete_class(boat)
    assert latest().act == Act.CLASS_DELETED
    assert latest().before["name"] == "boat"
    assert Entry.objects.filter(act=Act.MEMBER_SET, thing__startswith="viewer").exists()


# --- Its pages --------------------------------------------------------------------------


def test_curators_see_their_dataset_and_superusers_everything(people: People) -> None:
    make_dataset("Elsewhere")
    page = people.client("curator").get("/d/traffic/settings/trail/").content.decode()
    assert "added the class" in page
    assert "Elsewhere" not in page
    assert people.client("curator").get("/trail/").status_code == 404
    client = Client()
    client.force_login(make_user("root", is_superuser=True))
    assert "Elsewhere" in client.get("/trail/").content.decode()


def test_the_page_is_filtered_and_costs_the_same_for_2_and_20(people: People) -> None:
    client, counts = people.client("curator"), []
    for number in range(2):
        for _ in range(18 * number):
            make_prompt(people.label_class)
            record(Act.SIGNED, people.dataset, dataset=people.dataset.pk)
        with CaptureQueriesContext(connection) as queries:
            client.get("/d/traffic/settings/trail/")
        counts.append(len(queries))
    assert counts[0] == counts[1]
    page = client.get("/d/traffic/settings/trail/", {"act": Act.SIGNED}).content.decode()
    assert page.count("<tr>") == 1 + 18
    page = client.get("/d/traffic/settings/trail/", {"actor": "nobody"}).content.decode()
    assert "No act fits these filters." in page
    page = client.get("/d/traffic/settings/trail/", {"since": "never"})
    assert page.status_code == 200
    assert "Enter a valid date" in page.content.decode()


def test_text_in_an_entry_is_shown_as_text(people: People) -> None:
    add_class(dataset=people.dataset, name="<img src=x onerror=alert(1)>")
    page = people.client("curator").get("/d/traffic/settings/trail/").content.decode()
    assert "<img src=x" not in page
    assert "&lt;img src=x" in page


# --- Its files --------------------------------------------------------------------------


def body(response: Any) -> str:
    return b"".join(response.streaming_content).decode()


def test_the_file_of_a_dataset_holds_its_entries_oldest_first(people: People) -> None:
    add_class(dataset=people.dataset, name="=1+1")
    client = people.client("curator")
    rows = [
        json.loads(line)
        for line in body(client.get("/d/traffic/settings/trail/file.jsonl")).splitlines()
    ]
    known = Entry.objects.filter(dataset_id=people.dataset.pk).order_by("pk")
    assert [row["id"] for row in rows] == list(known.values_list("pk", flat=True))
    assert rows[-1]["thing"] == "=1+1"
    table = list(
        csv.DictReader(io.StringIO(body(client.get("/d/traffic/settings/trail/file.csv"))))
    )
    assert len(table) == len(rows)
    assert table[-1]["thing"] == "'=1+1"
    assert json.loads(table[-1]["after"])["name"] == "=1+1"
    assert client.get("/d/traffic/settings/trail/file.exe").status_code == 404


def test_the_command_writes_a_new_file_or_says_why_not(people: People, tmp_path: Any) -> None:
    file = tmp_path / "trail.csv"
    call_command("audit_trail", to=file, format="csv", act=Act.CLASS_ADDED)
    assert len(file.read_text().splitlines()) == 1 + 2
    with pytest.raises(CommandError, match="File exists"):
        call_command("audit_trail", to=file)
    with pytest.raises(CommandError, match="2026-01-31"):
        call_command("audit_trail", since="yesterday")


def test_the_command_writes_lines_to_stdout(people: People, capsys: Any) -> None:
    call_command("audit_trail", since="2000-01-31", dataset=people.dataset.pk)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) == Entry.objects.filter(dataset_id=people.dataset.pk).count()
    call_command("audit_trail", since="2999-01-31")
    assert capsys.readouterr().out == ""
