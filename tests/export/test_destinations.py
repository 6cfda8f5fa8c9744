"""Folder, S3 and Hub: whole or not there, taken up where it broke off, faults in plain words."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from synthreview.export.destinations.base import Destination, DestinationError, Parcel
from synthreview.export.destinations.folder import FolderDestination
from synthreview.export.destinations.hub import HubDestination
from synthreview.export.destinations.s3 import S3Destination
from synthreview.export.writers.webdataset import WebDatasetWriter
from tests.export.entries import all_files, facts, some_entries
from tests.servers_fake.hub_server import HubServer
from tests.servers_fake.s3_server import S3Server

# huggingface_hub calls its own HTTP library in a way that it is to give up.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
TOP = "archive/things-1-webdataset/"


@pytest.fixture
def parcel(tmp_path: Path) -> Parcel:
    folder = tmp_path / "things-1-webdataset"
    folder.mkdir()
    WebDatasetWriter(shard_count=2).write(folder, some_entries(tmp_path), facts())
    return Parcel(folder, "things-1-webdataset", "things", 1)


class CutError(Exception):
    """The worker died here."""


def cut_after(calls: int) -> object:
    """Return a `tell` that breaks the sending off at its n-th call."""
    seen = 0

    def tell(sent: int) -> None:
        nonlocal seen
        seen += 1
        if seen == calls:
            raise CutError

    return tell


def send(destination: Destination, parcel: Parcel) -> tuple[str, list[int]]:
    told: list[int] = []
    return destination.send(parcel, told.append), told


def total(parcel: Parcel) -> int:
    return sum(path.stat().st_size for _, path in parcel.files())


# --- A folder -------------------------------------------------------------------------


def test_a_folder_gets_a_whole_copy(tmp_path: Path, parcel: Parcel) -> None:
    (tmp_path / "share").mkdir()
    place, told = send(FolderDestination(str(tmp_path / "share")), parcel)
    assert place == "things-1-webdataset"
    assert all_files(tmp_path / "share" / place) == all_files(parcel.folder)
    assert told == sorted(told)
    assert told[-1] == total(parcel)
    before = (tmp_path / "share" / place / "README.md").stat().st_ino
    send(FolderDestination(str(tmp_path / "share")), parcel)
    assert (tmp_path / "share" / place / "README.md").stat().st_ino == before


@pytest.mark.parametrize("calls", [1, 4, 9])
def test_a_copy_that_broke_off_has_no_name_and_goes_on(
    tmp_path: Path, parcel: Parcel, calls: int
) -> None:
    share = tmp_path / "share"
    share.mkdir()
    destination = FolderDestination(str(share))
    with pytest.raises(CutError):
        destination.send(parcel, cut_after(calls))  # type: ignore[arg-type]
    (draft,) = share.iterdir()
    assert draft.name.startswith(".")
    first = next(path for path in draft.rglob("*") if path.is_file())
    inode = first.stat().st_ino
    send(destination, parcel)
    assert all_files(share / parcel.name) == all_files(parcel.folder)
    assert (share / parcel.name / first.relative_to(draft)).stat().st_ino == inode
    assert [path.name for path in share.iterdir()] == [parcel.name]


def test_something_else_of_that_name_is_left_alone(tmp_path: Path, parcel: Parcel) -> None:
    (tmp_path / "share" / parcel.name).mkdir(parents=True)
    with pytest.raises(DestinationError, match="is something else") as caught:
        send(FolderDestination(str(tmp_path / "share")), parcel)
    assert caught.value.permanent
    with pytest.raises(DestinationError, match="is it mounted") as caught:
        send(FolderDestination(str(tmp_path / "nowhere")), parcel)
    assert not caught.value.permanent
    assert "nowhere" not in str(caught.value)


# --- S3 -------------------------------------------------------------------------------


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[S3Server]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test-secret")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with S3Server() as server:
        yield server


def bucket(storage: S3Server) -> S3Destination:
    return S3Destination(
        "exports", prefix="/archive/", endpoint_url=storage.url, region="eu-west-1"
    )


def lying(storage: S3Server) -> dict[str, bytes]:
    return {key.removeprefix(TOP): data for key, (data, _) in storage.objects.items()}


def test_a_bucket_gets_every_file_and_the_checksums_last(storage: S3Server, parcel: Parcel) -> None:
    place, told = send(bucket(storage), parcel)
    assert place == f"s3://exports/{TOP}"
    assert lying(storage) == all_files(parcel.folder)
    assert storage.puts[-1] == f"{TOP}SHA256SUMS"
    assert told[-1] == total(parcel)
    for data, headers in storage.objects.values():
        told_sha256 = {name.lower(): value for name, value in headers.items()}["x-amz-meta-sha256"]
        assert told_sha256 == hashlib.sha256(data).hexdigest()


def test_a_second_try_sends_only_what_is_missing(storage: S3Server, parcel: Parcel) -> None:
    with pytest.raises(CutError):
        bucket(storage).send(parcel, cut_after(3))  # type: ignore[arg-type]
    first = list(storage.puts)
    assert len(first) == 3
    assert f"{TOP}SHA256SUMS" not in first
    damaged = first[0]
    storage.objects[damaged] = (b"something else", storage.objects[damaged][1])
    send(bucket(storage), parcel)
    assert storage.puts[3:].count(damaged) == 1
    assert not set(storage.puts[3:]) & set(first[1:])
    assert lying(storage) == all_files(parcel.folder)


def test_a_large_file_goes_in_parts(storage: S3Server, parcel: Parcel) -> None:
    big = bytes(range(256)) * 40_000  # above boto3's 8 MiB
    (parcel.folder / "train-000009.tar").write_bytes(big)
    send(bucket(storage), parcel)
    assert lying(storage)["train-000009.tar"] == big
    assert storage.uploads == {}


def test_a_storage_that_is_busy_is_asked_again(storage: S3Server, parcel: Parcel) -> None:
    storage.fail = 2
    send(bucket(storage), parcel)
    assert lying(storage) == all_files(parcel.folder)


def test_a_storage_that_refuses_is_told_in_words(storage: S3Server, parcel: Parcel) -> None:
    storage.deny = True
    with pytest.raises(DestinationError, match="refused: AccessDenied") as caught:
        send(bucket(storage), parcel)
    assert caught.value.permanent
    assert "test-secret" not in str(caught.value)


def test_a_storage_that_is_not_there_may_be_later(
    storage: S3Server, parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    gone = S3Destination("exports", endpoint_url="http://127.0.0.1:9", region="eu-west-1")
    with pytest.raises(DestinationError, match="EndpointConnectionError") as caught:
        send(gone, parcel)
    assert not caught.value.permanent


# --- The Hub --------------------------------------------------------------------------


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    import huggingface_hub.constants
    from huggingface_hub.utils import disable_progress_bars

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(huggingface_hub.constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    disable_progress_bars()
    with HubServer() as server:
        yield server


def test_the_hub_gets_one_commit_with_everything(hub: HubServer, parcel: Parcel) -> None:
    destination = HubDestination("team", endpoint=hub.url)
    place, told = send(destination, parcel)
    assert place.startswith(f"{hub.url}/datasets/team/things/commit/")
    assert hub.files["team/things"] == all_files(parcel.folder)
    assert hub.private == {"team/things": True}
    assert hub.commits == ["Export 1"]
    assert told[-1] == total(parcel)
    assert hub.lfs.keys() >= {
        hashlib.sha256(path.read_bytes()).hexdigest() for path in parcel.folder.glob("*.tar")
    }


def test_the_next_export_replaces_what_the_hub_has(
    hub: HubServer, parcel: Parcel, tmp_path: Path
) -> None:
    destination = HubDestination("team", endpoint=hub.url, private=False)
    send(destination, parcel)
    folder = tmp_path / "things-2-webdataset"
    folder.mkdir()
    WebDatasetWriter().write(folder, some_entries(tmp_path), facts(number=2))
    send(destination, Parcel(folder, folder.name, "things", 2))
    assert hub.files["team/things"] == all_files(folder)
    assert hub.commits == ["Export 1", "Export 2"]


def test_a_wrong_token_is_told_without_it(
    hub: HubServer, parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(DestinationError, match="may the token write there") as caught:
        send(HubDestination("team", endpoint=hub.url), parcel)
    assert caught.value.permanent
    assert "hf_wrong" not in str(caught.value)
    assert hub.files == {}


def test_a_hub_that_is_not_there_may_be_later(
    parcel: Parcel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import HfApi

    def break_off(*arguments: object, **named: object) -> None:
        raise RuntimeError("connection reset by hf_test")

    monkeypatch.setattr(HfApi, "create_repo", break_off)
    with pytest.raises(DestinationError, match=r"The Hub failed: RuntimeError\.") as caught:
        send(HubDestination("team"), parcel)
    assert not caught.value.permanent


def test_a_commit_that_fails_leaves_the_old_state(hub: HubServer, parcel: Parcel) -> None:
    hub.status = 413
    with pytest.raises(DestinationError, match="The Hub answered 413"):
        send(HubDestination("team", endpoint=hub.url), parcel)
    assert hub.files == {"team/things": {}}
