"""Exports over the API: ordered, watched, written, compared; by those who may."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from synthreview.catalog.models import Dataset
from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Export, Package
from tests.export.frozen import frozen
from tests.factories import make_approved_image, make_dataset, make_user

pytestmark = pytest.mark.django_db
EXPORTS = "/api/datasets/things/exports"


@pytest.fixture
def dataset() -> Dataset:
    curator = make_user("cora")
    dataset = make_dataset(
        "Things", curator=curator, viewer=make_user("vera"), reviewer=make_user("rita")
    )
    for _ in range(4):
        make_approved_image(dataset.classes.get(name="car"), curator)
    return dataset


def client_of(name: str) -> Client:
    client = Client()
    client.login(username=name, password=name)
    return client


def post(client: Client, url: str, body: Any) -> Any:
    return client.post(url, json.dumps(body), content_type="application/json")


def test_an_export_is_ordered_watched_and_fetched(dataset: Dataset) -> None:
    client = client_of("cora")
    body = {"split": "50/50", "classes": ["car"], "forms": [{"format": "csv"}]}
    answer = post(client, EXPORTS, body)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["number"], made["state"], made["packages"]) == (1, "ready", [])
    export = Export.objects.get()
    assert export.created_by is not None
    assert export.created_by.username == "cora"
    freeze(export.pk)
    write_package(Package.objects.get().pk)
    found = client.get(f"{EXPORTS}/1").json()
    assert (found["state"], found["images"], found["filters"]) == ("done", 4, ["classes: car"])
    assert found["splitting"]["got"] == {"train": 2, "validation": 2}
    (package,) = found["packages"]
    assert (package["format"], package["images"], package["state"]) == ("csv", "original", "done")
    assert b"".join(client.get(package["zip"]).streaming_content)[:2] == b"PK"
    assert client.get(EXPORTS).json() == [found]


def test_a_frozen_export_is_written_in_further_forms(dataset: Dataset) -> None:
    frozen(dataset)
    client = client_of("cora")
    form = {"format": "webdataset", "images": "webp-64px-q50"}
    first = post(client, f"{EXPORTS}/1/packages", form)
    assert (first.status_code, first.json()["images"]) == (201, "webp-64px-q50")
    assert post(client, f"{EXPORTS}/1/packages", form).json()["id"] == first.json()["id"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"split": "a lot"}, "write for example 80/10/10"),
        ({"classes": ["dragon"]}, "'dragon' is not one of car"),
        ({"techniques": ["magic"]}, "'magic' is not one of plain"),
        ({"max_error": 7}, "an error lies between 0 and 1"),
        ({"forms": [{"format": "tfrecord"}]}, "known: coco, csv"),
        ({"forms": [{"images": "gif"}]}, "choose jpeg, png, webp"),
        ({"forms": [{}] * 21}, "forms"),
        ({"split": ["80"]}, "split"),
    ],
)
def test_a_wrong_order_is_answered_in_words(
    dataset: Dataset, body: dict[str, Any], words: str
) -> None:
    answer = post(client_of("cora"), EXPORTS, body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert not Export.objects.exists()


def test_two_exports_are_compared(dataset: Dataset) -> None:
    frozen(dataset)
    make_approved_image(dataset.classes.get(name="car"), make_user("otto"))
    after = frozen(dataset)
    answer = client_of("vera").get(f"{EXPORTS}/2/compare/1").json()
    assert (answer["before"], answer["after"], answer["added"]["count"]) == (1, 2, 1)
    assert client_of("vera").get(f"{EXPORTS}/2/compare/9").status_code == 404
    Export.objects.filter(pk=after.pk).update(state="failed")
    assert client_of("vera").get(f"{EXPORTS}/2/compare/1").status_code == 404


@pytest.mark.parametrize(
    ("name", "look", "change"),
    [("vera", 200, 403), ("rita", 200, 403), ("cora", 200, 201), ("stranger", 404, 404)],
)
def test_who_may(dataset: Dataset, name: str, look: int, change: int) -> None:
    make_user("stranger")
    frozen(dataset)
    client = client_of(name)
    for path in ("", "/1", "/1/compare/1"):
        assert client.get(f"{EXPORTS}{path}").status_code == look
    assert post(client, EXPORTS, {}).status_code == change
    assert post(client, f"{EXPORTS}/1/packages", {"format": "csv"}).status_code == change


def test_the_list_costs_the_same_for_any_number(dataset: Dataset) -> None:
    client = client_of("vera")

    def cost() -> int:
        with CaptureQueriesContext(connection) as queries:
            client.get(EXPORTS)
        return len(queries)

    frozen(dataset)
    small = cost()
    for _ in range(4):
        frozen(dataset)
    assert cost() == small
