"""With images in a bucket: drawn, shown, exported on one host and downloaded from another."""

from __future__ import annotations

import io
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from synthreview.catalog.storage import blobs, store_image
from synthreview.export.services import folder_of
from synthreview.lib.s3 import Bucket, S3Blobs, StorageError
from synthreview.prompting.uploads import drop_expired_shared, drop_upload, find_upload, keep_upload
from tests.export.entries import all_files
from tests.export.frozen import written
from tests.factories import make_approved_image, make_dataset, make_image, make_user, tiny_png
from tests.servers_fake.s3_server import S3Server

pytestmark = pytest.mark.django_db


@pytest.fixture(scope="module")
def running() -> Iterator[S3Server]:
    with pytest.MonkeyPatch.context() as patch, S3Server("images") as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "key")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        patch.setattr("synthreview.lib.s3.RETRIES", 0)
        yield server


@pytest.fixture
def server(running: S3Server, settings: Any) -> S3Server:
    running.reset()
    settings.STORAGE = Bucket.parse("s3://images/ours", endpoint_url=running.url, region="eu")
    return running


def move_to(settings: Any, folder: Path) -> None:
    """Be another host: the same services, a data folder of its own."""
    settings.DATA_DIR = folder
    for name in ("BLOBS", "SPOOL", "EXPORTS"):
        setattr(settings, f"{name}_DIR", folder / name.lower())


def test_an_image_lies_in_the_bucket_and_is_shown_to_whoever_may_see_it(
    server: S3Server, client: Client, own_data_folder: Path
) -> None:
    curator = make_user("cora")
    image = make_image(make_dataset(curator=curator))
    assert {key.split("/")[2] for key in server.objects} >= {"original", "thumb"}
    assert not list(own_data_folder.rglob(image.sha256))
    url = reverse("rendition", args=[image.pk, "thumb"])
    client.force_login(make_user("stranger"))
    assert client.get(url).status_code == 404
    client.force_login(curator)
    response = client.get(url)
    assert b"".join(response.streaming_content) == blobs().read(image.sha256, "thumb")
    original = client.get(reverse("original", args=[image.pk]))
    assert b"".join(original.streaming_content) == blobs().read(image.sha256)


def test_browsers_may_be_sent_to_the_bucket_for_a_minute(
    server: S3Server, client: Client, settings: Any
) -> None:
    settings.SERVE_MEDIA = "presigned"
    curator = make_user("cora")
    image = make_image(make_dataset(curator=curator))
    url = reverse("rendition", args=[image.pk, "thumb"])
    client.force_login(make_user("stranger"))
    assert client.get(url).status_code == 404
    client.force_login(curator)
    response = client.get(url)
    assert response["Location"].startswith(f"{server.url}/images/ours/blobs/thumb/")
    assert response["Cache-Control"] == "private, max-age=30"


def test_a_proxy_may_send_what_a_view_allows(client: Client, settings: Any) -> None:
    settings.SERVE_MEDIA = "x-accel"
    curator = make_user("cora")
    image = make_image(make_dataset(curator=curator))
    url = reverse("rendition", args=[image.pk, "thumb"])
    client.force_login(make_user("stranger"))
    assert client.get(url).status_code == 404
    client.force_login(curator)
    response = client.get(url)
    assert response.content == b""
    place = response["X-Accel-Redirect"].removeprefix("/_blobs/")
    assert (settings.BLOBS_DIR / place).read_bytes() == blobs().read(image.sha256, "thumb")


def test_a_proxy_may_ask_the_bucket_in_our_stead(
    server: S3Server, client: Client, settings: Any
) -> None:
    settings.SERVE_MEDIA = "x-accel"
    curator = make_user("cora")
    image = make_image(make_dataset(curator=curator))
    client.force_login(curator)
    response = client.get(reverse("rendition", args=[image.pk, "thumb"]))
    place = response["X-Accel-Redirect"]
    assert place.startswith("/_bucket/images/ours/blobs/thumb/")
    with urllib.request.urlopen(server.url + place.removeprefix("/_bucket")) as answer:
        assert answer.read() == blobs().read(image.sha256, "thumb")


def test_a_storage_that_is_away_is_no_missing_file(server: S3Server, client: Client) -> None:
    curator = make_user("cora")
    image = make_image(make_dataset(curator=curator))
    server.is_down = True
    with pytest.raises(StorageError):
        blobs().read(image.sha256)
    client.force_login(curator)
    client.raise_request_exception = False
    answer = client.get(reverse("rendition", args=[image.pk, "thumb"]))
    assert answer.status_code == 503
    assert answer["Retry-After"]


def test_an_export_of_one_host_is_downloaded_from_another(
    server: S3Server, client: Client, settings: Any, tmp_path: Path
) -> None:
    curator = make_user("cora")
    dataset = make_dataset("Things", curator=curator)
    for label_class in dataset.classes.all():
        make_approved_image(label_class, curator)
    package = written(dataset)
    files = all_files(folder_of(package))
    move_to(settings, tmp_path / "other")
    client.force_login(curator)
    answer = client.get(reverse("package-zip", args=[dataset.slug, 1, package.pk]))
    with zipfile.ZipFile(io.BytesIO(b"".join(answer.streaming_content))) as archive:
        assert archive.testzip() is None
        assert len(archive.namelist()) == len(files)
    assert all_files(folder_of(package)) == files
    again = written(dataset)  # a list frozen here, its images read from the bucket
    assert again.export.item_count == 2


def test_an_upload_is_found_by_the_host_of_the_next_page(
    server: S3Server, settings: Any, tmp_path: Path
) -> None:
    from django.core.files.uploadedfile import SimpleUploadedFile

    curator = make_user("cora")
    dataset = make_dataset(curator=curator)
    token = keep_upload(SimpleUploadedFile("x", b"text"), dataset=dataset, user=curator)
    move_to(settings, tmp_path / "other")
    assert find_upload(token, dataset=dataset, user=make_user("stranger")) is None
    path = find_upload(token, dataset=dataset, user=curator)
    assert path is not None
    assert path.read_bytes() == b"text"
    drop_upload(token, dataset=dataset, user=curator)
    assert server.objects == {}
    server.objects["ours/uploads/old.upload"] = (b"", {})
    assert drop_expired_shared() == 1
    assert server.objects == {}


def test_a_paid_picture_waits_on_the_disk_for_the_bucket(server: S3Server) -> None:
    server.is_down = True
    store = blobs()
    assert isinstance(store, S3Blobs)
    (sha256,) = store.hold([tiny_png()])
    with pytest.raises(OSError, match="the storage failed"):
        store_image(tiny_png())
    server.is_down = False
    assert store_image(store.read(sha256))[0] == sha256
    assert not store.held.exists(sha256)
