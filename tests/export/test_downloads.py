"""Downloads: whole, in part, taken up where they broke off, and the same bytes either way."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from hypothesis import given, settings
from hypothesis import strategies as st

from synthreview.export.downloads import wanted_range
from synthreview.export.models import Package
from synthreview.export.services import folder_of
from synthreview.export.tars import StillTar
from tests.export.entries import all_files
from tests.export.frozen import written
from tests.factories import make_approved_image, make_dataset, make_user

both_kinds = pytest.mark.parametrize("kind", ["zip", "tar"])


@pytest.fixture
def package(db: None, client: Client) -> Package:
    curator = make_user("cora")
    dataset = make_dataset("Things", curator=curator)
    for label_class in dataset.classes.all():
        make_approved_image(label_class, curator)
    client.force_login(curator)
    return written(dataset)


def address(package: Package, kind: str) -> str:
    export = package.export
    return reverse(f"package-{kind}", args=[export.dataset.slug, export.number, package.pk])


def body(response: Any) -> bytes:
    return b"".join(response.streaming_content)


def test_the_tar_holds_the_folder(package: Package, client: Client) -> None:
    response = client.get(address(package, "tar"))
    assert response["Content-Type"] == "application/x-tar"
    assert response["Content-Disposition"] == 'attachment; filename="things-1-imagefolder.tar"'
    data = body(response)
    assert int(response["Content-Length"]) == len(data)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {
            member.name.removeprefix("things-1-imagefolder/"): archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive
        }
    assert found == all_files(folder_of(package))


@both_kinds
def test_a_download_is_taken_up_where_it_broke_off(
    package: Package, client: Client, kind: str
) -> None:
    where = address(package, kind)
    whole = client.get(where)
    data = body(whole)
    tag = whole["ETag"]
    assert whole["Accept-Ranges"] == "bytes"
    got = data[:1000]
    rest = client.get(where, headers={"Range": f"bytes={len(got)}-", "If-Range": tag})
    assert rest.status_code == 206
    assert rest["Content-Range"] == f"bytes 1000-{len(data) - 1}/{len(data)}"
    assert got + body(rest) == data
    part = client.get(where, headers={"Range": "bytes=5-99"})
    assert (part["Content-Length"], body(part)) == ("95", data[5:100])
    end = client.get(where, headers={"Range": "bytes=-20"})
    assert body(end) == data[-20:]


@both_kinds
def test_what_changed_since_comes_whole(package: Package, client: Client, kind: str) -> None:
    headers = {"Range": "bytes=1000-", "If-Range": '"another"'}
    answer = client.get(address(package, kind), headers=headers)
    assert answer.status_code == 200
    assert len(body(answer)) == int(answer["Content-Length"])


@both_kinds
def test_a_part_beyond_the_end_is_refused(package: Package, client: Client, kind: str) -> None:
    answer = client.get(address(package, kind), headers={"Range": "bytes=99999999-"})
    assert answer.status_code == 416
    assert answer["Content-Range"].startswith("bytes */")


@both_kinds
def test_its_size_can_be_asked_for(package: Package, client: Client, kind: str) -> None:
    answer = client.head(address(package, kind))
    assert answer.status_code == 200
    assert int(answer["Content-Length"]) > 1000


def test_a_folder_that_is_gone_is_not_there(package: Package, client: Client) -> None:
    (folder_of(package) / "SHA256SUMS").unlink()
    assert client.get(address(package, "tar")).status_code == 404


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("", None),
        ("bytes=0-", (0, 50)),
        ("bytes=10-19", (10, 20)),
        ("bytes=10-1000", (10, 50)),
        ("bytes=-5", (45, 50)),
        ("bytes=-100", (0, 50)),
        ("bytes=-0", (50, 50)),
        ("bytes=50-", (50, 50)),
        ("bytes=-", None),
        ("bytes=9-3", None),
        ("bytes=0-1,5-6", None),
        ("lines=0-1", None),
        ("bytes=٣-", None),
        ("bytes=1e3-", None),
    ],
)
def test_ranges_are_read_as_the_standard_says(header: str, wanted: tuple[int, int] | None) -> None:
    assert wanted_range(header, 50) == wanted


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6),
    cuts=st.tuples(st.floats(0, 1), st.floats(0, 1)),
)
def test_any_part_of_a_tar_is_that_part_of_the_whole(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], cuts: tuple[float, float]
) -> None:
    folder = tmp_path_factory.mktemp("tar")
    for number, size in enumerate(sizes):
        Path(folder / f"{number}.bin").write_bytes(bytes([number + 1]) * size)
    archive = StillTar(folder, "top")
    whole = b"".join(archive)
    assert len(whole) == len(archive)
    start, stop = sorted(round(cut * len(whole)) for cut in cuts)
    assert b"".join(archive.part(start, stop)) == whole[start:stop]


def test_a_file_that_changes_on_the_way_breaks_it_off(package: Package) -> None:
    archive = StillTar(folder_of(package), "top")
    (folder_of(package) / "README.md").write_text("shorter")
    with pytest.raises(OSError, match="changed while it was sent"):
        b"".join(archive)
