"""Pages of exports: who may, what they show, and the download."""

from __future__ import annotations

import io
import zipfile

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.export.jobs import write_export
from synthreview.export.models import Export
from synthreview.export.services import folder_of, freeze_export
from synthreview.export.splits import parse_ratio
from synthreview.work.models import WorkState
from tests.factories import make_approved_image, make_dataset, make_user


@pytest.fixture
def curator(db: None) -> User:
    return make_user("cora")


@pytest.fixture
def dataset(curator: User) -> Dataset:
    return make_dataset(
        "Things", curator=curator, reviewer=make_user("rita"), viewer=make_user("vera")
    )


@pytest.fixture
def page(client: Client, curator: User) -> Client:
    client.force_login(curator)
    return client


def approve(dataset: Dataset, count: int) -> None:
    classes = list(dataset.classes.all())
    for number in range(count):
        make_approved_image(classes[number % 2], User.objects.get(username="cora"))


@pytest.fixture
def export(dataset: Dataset) -> Export:
    approve(dataset, 3)
    return freeze_export(dataset=dataset, shares=parse_ratio("80/10/10"))


def list_url(dataset: Dataset) -> str:
    return reverse("exports", args=[dataset.slug])


def url(name: str, export: Export) -> str:
    return reverse(name, args=[export.dataset.slug, export.number])


def test_a_stranger_knows_of_no_export(client: Client, export: Export) -> None:
    client.force_login(make_user("stranger"))
    assert client.get(list_url(export.dataset)).status_code == 404
    assert client.post(list_url(export.dataset), {"ratio": "100"}).status_code == 404
    for name in ("export", "export-zip"):
        assert client.get(url(name, export)).status_code == 404
    assert client.post(url("export-retry", export)).status_code == 404


@pytest.mark.parametrize("username", ["vera", "rita"])
def test_who_may_only_look_may_not_export(client: Client, export: Export, username: str) -> None:
    client.force_login(User.objects.get(username=username))
    page = client.get(list_url(export.dataset))
    assert page.status_code == 200
    assert "New export" not in page.content.decode()
    assert client.get(url("export", export)).status_code == 200
    assert client.post(list_url(export.dataset), {"ratio": "100"}).status_code == 403
    assert client.get(url("export-zip", export)).status_code == 403
    assert client.post(url("export-retry", export)).status_code == 403


def test_wrong_methods_are_refused(page: Client, export: Export) -> None:
    assert page.post(url("export", export)).status_code == 405
    assert page.post(url("export-zip", export)).status_code == 405
    assert page.get(url("export-retry", export)).status_code == 405
    assert page.delete(list_url(export.dataset)).status_code == 405


def test_the_form_says_what_would_be_exported(page: Client, dataset: Dataset) -> None:
    assert "No image is approved yet" in page.get(list_url(dataset)).content.decode()
    approve(dataset, 3)
    text = page.get(list_url(dataset)).content.decode()
    assert "Export 3 approved images" in text
    assert '<dt>car</dt><dd class="number">2</dd>' in text


def test_exporting_freezes_and_leads_to_the_export(page: Client, dataset: Dataset) -> None:
    approve(dataset, 3)
    response = page.post(list_url(dataset), {"ratio": "70/30", "number": 9, "item_count": 9})
    export = Export.objects.get()
    assert response["Location"] == url("export", export)
    assert (export.number, export.item_count) == (1, 3)
    assert export.shares == pytest.approx({"train": 0.7, "validation": 0.3})
    assert export.created_by is not None
    assert export.created_by.username == "cora"
    assert export.state == WorkState.READY


def test_a_wrong_ratio_is_said_at_the_field(page: Client, dataset: Dataset) -> None:
    approve(dataset, 1)
    response = page.post(list_url(dataset), {"ratio": "a lot"})
    assert response.status_code == 422
    assert "write for example 80/10/10" in response.content.decode()
    assert 'aria-invalid="true"' in response.content.decode()
    assert not Export.objects.exists()


def test_nothing_approved_is_said_in_words(page: Client, dataset: Dataset) -> None:
    response = page.post(list_url(dataset), {"ratio": "100"})
    assert "review some first" in response.content.decode()


def test_the_page_asks_again_until_the_export_is_written(page: Client, export: Export) -> None:
    assert 'hx-trigger="every 2s"' in page.get(url("export", export)).content.decode()
    write_export(export.pk)
    whole = page.get(url("export", export)).content.decode()
    part = page.get(url("export", export), HTTP_HX_REQUEST="true").content.decode()
    assert "<html" in whole
    assert "<html" not in part
    for text in (whole, part):
        assert "hx-trigger" not in text
        assert url("export-zip", export) in text
    assert '<th scope="row">car</th>' in whole
    assert "demonstration" in whole


def test_a_failed_export_can_be_tried_again(page: Client, export: Export) -> None:
    Export.objects.update(state=WorkState.FAILED, error="No space left.", attempts=3)
    text = page.get(url("export", export)).content.decode()
    assert "No space left." in text
    response = page.post(url("export-retry", export), follow=True)
    assert "It is being written again." in response.content.decode()
    assert Export.objects.get().state == WorkState.READY


def test_the_zip_comes_with_its_size_and_name(page: Client, export: Export) -> None:
    write_export(export.pk)
    response = page.get(url("export-zip", export))
    data = b"".join(response.streaming_content)
    assert int(response["Content-Length"]) == len(data)
    assert response["Content-Disposition"] == 'attachment; filename="things-1.zip"'
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert "things-1/SHA256SUMS" in opened.namelist()


def test_there_is_no_zip_before_the_export_is_written(page: Client, export: Export) -> None:
    assert page.get(url("export-zip", export)).status_code == 404
    write_export(export.pk)
    folder_of(export).rename(folder_of(export).with_name("gone"))
    assert page.get(url("export-zip", export)).status_code == 404
    assert page.get(reverse("export", args=["things", 99])).status_code == 404


@pytest.mark.parametrize("name", ["exports", "export"])
def test_the_pages_cost_the_same_whatever_they_show(
    page: Client, dataset: Dataset, name: str
) -> None:
    def cost() -> int:
        export = freeze_export(dataset=dataset, shares=parse_ratio("80/10/10"))
        address = list_url(dataset) if name == "exports" else url("export", export)
        with CaptureQueriesContext(connection) as queries:
            page.get(address)
        return len(queries)

    approve(dataset, 2)
    cost()
    small = cost()
    approve(dataset, 18)
    assert cost() == small
