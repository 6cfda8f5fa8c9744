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
from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Export, Package
from synthreview.export.services import folder_of, order_export
from synthreview.export.splits import parse_wish
from synthreview.work.models import WorkState
from tests.export.frozen import frozen, package_of
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
    return frozen(dataset)


def list_url(dataset: Dataset) -> str:
    return reverse("exports", args=[dataset.slug])


def url(name: str, export: Export) -> str:
    arguments = [export.dataset.slug, export.number]
    if name in ("package-zip", "package-tar", "package-retry"):
        arguments.append(package_of(export).pk)
    return reverse(name, args=arguments)


FORM = {"split": "70/30", "keeps": "on", "format": "parquet", "encoding": "original"}


def test_a_stranger_knows_of_no_export(client: Client, export: Export) -> None:
    client.force_login(make_user("stranger"))
    assert client.get(list_url(export.dataset)).status_code == 404
    assert client.post(list_url(export.dataset), FORM).status_code == 404
    for name in ("export", "package-zip", "package-tar"):
        assert client.get(url(name, export)).status_code == 404
    for name in ("export-retry", "package-new", "package-retry"):
        assert client.post(url(name, export), FORM).status_code == 404


@pytest.mark.parametrize("username", ["vera", "rita"])
def test_who_may_only_look_may_not_export(client: Client, export: Export, username: str) -> None:
    client.force_login(User.objects.get(username=username))
    page = client.get(list_url(export.dataset))
    assert page.status_code == 200
    assert "New export" not in page.content.decode()
    assert client.get(url("export", export)).status_code == 200
    assert client.post(list_url(export.dataset), FORM).status_code == 403
    for name in ("package-zip", "package-tar"):
        assert client.get(url(name, export)).status_code == 403
    for name in ("export-retry", "package-new", "package-retry"):
        assert client.post(url(name, export), FORM).status_code == 403


def test_wrong_methods_are_refused(page: Client, export: Export) -> None:
    assert page.post(url("export", export)).status_code == 405
    for name in ("package-zip", "package-tar"):
        assert page.post(url(name, export)).status_code == 405
    for name in ("export-retry", "package-new", "package-retry"):
        assert page.get(url(name, export)).status_code == 405
    assert page.delete(list_url(export.dataset)).status_code == 405


def test_the_form_says_what_would_be_exported(page: Client, dataset: Dataset) -> None:
    assert "No image is approved yet" in page.get(list_url(dataset)).content.decode()
    approve(dataset, 3)
    text = page.get(list_url(dataset)).content.decode()
    assert "Export 3 approved images" in text
    assert '<dt>car</dt><dd class="number">2</dd>' in text


def test_ordering_leads_to_the_export(page: Client, dataset: Dataset) -> None:
    approve(dataset, 3)
    response = page.post(list_url(dataset), FORM | {"number": 9, "item_count": 9})
    export = Export.objects.get()
    assert response["Location"] == url("export", export)
    assert (export.number, export.item_count) == (1, 0)
    assert export.wanted == [{"format": "parquet", "encoding": ""}]
    assert export.wish == {"shares": {"train": 0.7, "validation": 0.3}, "keeps": True}
    assert export.selection == {}
    assert export.created_by is not None
    assert export.created_by.username == "cora"
    assert export.state == WorkState.READY


def test_a_wrong_ratio_is_said_at_the_field(page: Client, dataset: Dataset) -> None:
    approve(dataset, 1)
    response = page.post(list_url(dataset), FORM | {"split": "a lot"})
    assert response.status_code == 422
    assert "write for example 80/10/10" in response.content.decode()
    assert 'aria-invalid="true"' in response.content.decode()
    assert not Export.objects.exists()


def test_the_filters_are_part_of_the_order(page: Client, dataset: Dataset) -> None:
    approve(dataset, 3)
    filters = {
        "classes": ["car"],
        "techniques": ["plain", "style"],
        "generators": ["sketch"],
        "decisions": ["one"],
        "max_error": "2.5",
    }
    assert page.post(list_url(dataset), FORM | filters).status_code == 302
    assert Export.objects.get().selection == {
        "classes": ["car"],
        "techniques": ["plain", "style"],
        "generators": ["sketch"],
        "decisions": ["one"],
        "max_error": 0.025,
    }


def test_a_filter_that_is_unknown_is_said_and_seen(page: Client, dataset: Dataset) -> None:
    approve(dataset, 1)
    response = page.post(list_url(dataset), FORM | {"classes": ["dragon"]})
    assert response.status_code == 422
    text = response.content.decode()
    assert "dragon is not one of the available choices" in text
    assert "<details open>" in text
    assert not Export.objects.exists()


def test_nothing_approved_is_said_in_words(page: Client, dataset: Dataset) -> None:
    response = page.post(list_url(dataset), FORM)
    assert "review some first" in response.content.decode()


def test_the_page_asks_again_until_all_is_written(page: Client, dataset: Dataset) -> None:
    approve(dataset, 3)
    export = order_export(dataset=dataset, wish=parse_wish("80/10/10"))
    steps = ["will be frozen as soon as", "will be written as soon as", "Download as zip"]
    for step in steps:
        whole = page.get(url("export", export)).content.decode()
        part = page.get(url("export", export), HTTP_HX_REQUEST="true").content.decode()
        assert "<html" in whole
        assert "<html" not in part
        for text in (whole, part):
            assert step in text
            assert ('hx-trigger="every 2s"' in text) == (step != steps[-1])
        freeze(export.pk)
        for package in export.packages.all() if step == steps[1] else []:
            write_package(package.pk)
    assert url("package-zip", export) in whole
    assert '<th scope="row">car</th>' in whole
    assert "demonstration" in whole


def test_an_export_that_could_not_be_frozen_can_be_tried_again(
    page: Client, dataset: Dataset
) -> None:
    approve(dataset, 1)
    export = order_export(dataset=dataset, wish=parse_wish("100"))
    Export.objects.update(state=WorkState.FAILED, error="No space left.", attempts=3)
    assert "No space left." in page.get(url("export", export)).content.decode()
    response = page.post(url("export-retry", export), follow=True)
    assert "The list is being made again." in response.content.decode()
    assert Export.objects.get().state == WorkState.READY


def test_a_failed_package_can_be_tried_again(page: Client, export: Export) -> None:
    Package.objects.update(state=WorkState.FAILED, error="No space left.", attempts=3)
    text = page.get(url("export", export)).content.decode()
    assert "No space left." in text
    response = page.post(url("package-retry", export), follow=True)
    assert "It is being written again." in response.content.decode()
    assert Package.objects.get().state == WorkState.READY


def test_a_frozen_export_is_written_in_another_form(page: Client, export: Export) -> None:
    for _ in range(2):  # a double click orders it once
        response = page.post(
            url("package-new", export), {"format": "csv", "encoding": "JPEG-64px-q70"}
        )
        assert response["Location"] == url("export", export)
    package = export.packages.get(format="csv")
    assert package.encoding == "jpeg-64px-q70"
    assert package.created_by == User.objects.get(username="cora")
    assert export.packages.count() == 2
    text = page.get(url("export", export)).content.decode()
    assert "JPEG, quality 70, at most 64 px on the longer side" in text


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"format": "tfrecord"}, "Select a valid choice"),
        ({"encoding": "gif"}, "choose jpeg, png, webp, or the originals"),
        ({"encoding": "../x"}, "write original, png, jpeg-512px"),
    ],
)
def test_a_form_that_is_none_is_said_at_the_field(
    page: Client, export: Export, form: dict[str, str], words: str
) -> None:
    response = page.post(url("package-new", export), FORM | form)
    assert response.status_code == 422
    assert words in response.content.decode()
    assert export.packages.count() == 1
    response = page.post(list_url(export.dataset), FORM | form)
    assert response.status_code == 422
    assert words in response.content.decode()
    assert Export.objects.count() == 1


def test_what_is_not_frozen_is_not_written(page: Client, dataset: Dataset) -> None:
    approve(dataset, 1)
    export = order_export(dataset=dataset, wish=parse_wish("100"))
    response = page.post(url("package-new", export), FORM, follow=True)
    assert "is not frozen yet" in response.content.decode()
    assert not Package.objects.exists()


def test_the_zip_comes_with_its_size_and_name(page: Client, export: Export) -> None:
    write_package(package_of(export).pk)
    response = page.get(url("package-zip", export))
    data = b"".join(response.streaming_content)
    assert int(response["Content-Length"]) == len(data)
    assert response["Content-Disposition"] == 'attachment; filename="things-1-imagefolder.zip"'
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        assert opened.testzip() is None
        assert "things-1-imagefolder/SHA256SUMS" in opened.namelist()


def test_there_is_no_zip_before_the_export_is_written(page: Client, export: Export) -> None:
    assert page.get(url("package-zip", export)).status_code == 404
    write_package(package_of(export).pk)
    folder_of(package_of(export)).rename(folder_of(package_of(export)).with_name("gone"))
    assert page.get(url("package-zip", export)).status_code == 404
    assert page.get(reverse("export", args=["things", 99])).status_code == 404


@pytest.mark.parametrize("name", ["exports", "export"])
def test_the_pages_cost_the_same_whatever_they_show(
    page: Client, dataset: Dataset, name: str
) -> None:
    def cost() -> int:
        export = frozen(dataset)
        address = list_url(dataset) if name == "exports" else url("export", export)
        with CaptureQueriesContext(connection) as queries:
            page.get(address)
        return len(queries)

    approve(dataset, 2)
    cost()
    small = cost()
    approve(dataset, 18)
    assert cost() == small
