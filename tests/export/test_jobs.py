"""Freezing and writing: all of it or nothing, by one worker at a time."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import pkgutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from django.db import connection
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.storage import blobs
from synthreview.export import freezing, jobs, records, services
from synthreview.export.frozen_list import list_path
from synthreview.export.jobs import freeze, write_package
from synthreview.export.models import Package
from synthreview.export.services import Form, folder_of, lists_folder, order_export
from synthreview.export.splits import parse_wish
from synthreview.export.writers.formats import FORMATS
from synthreview.export.writers.imagefolder import ImageFolderWriter
from synthreview.review import services as review
from synthreview.work.models import DurableWork, WorkState
from synthreview.work.services import retry, sweep
from tests.export.entries import all_files
from tests.export.frozen import frozen, package_of
from tests.factories import make_approved_image, make_dataset, make_score, make_user, make_version


def make_things() -> Dataset:
    reviewer = make_user("rita")
    dataset = make_dataset("Things", reviewer=reviewer)
    for label_class in dataset.classes.all():
        for _ in range(3):
            make_approved_image(label_class, reviewer)
    return dataset


@pytest.fixture
def dataset(db: None) -> Dataset:
    return make_things()


@pytest.fixture
def package(dataset: Dataset) -> Package:
    return package_of(frozen(dataset, "100"))


def everything() -> list[Path]:
    """Return what lies in the exports' folder, but for the frozen lists."""
    exports = lists_folder().parent
    found = exports.rglob("*") if exports.exists() else []
    return sorted(path for path in found if not path.is_relative_to(lists_folder()))


# --- Freezing -------------------------------------------------------------------------


def test_an_order_is_frozen_by_the_worker(dataset: Dataset) -> None:
    export = order_export(dataset=dataset, wish=parse_wish("100"), forms=[Form(), Form("csv")])
    assert (export.state, export.frozen_at, export.items.count()) == (WorkState.READY, None, 0)
    freeze(export.pk)
    export.refresh_from_db()
    assert (export.state, export.item_count) == (WorkState.DONE, 6)
    assert list_path(lists_folder(), export.list_sha256).exists()
    assert [package.format for package in export.packages.all()] == ["imagefolder", "csv"]
    freeze(export.pk)
    assert export.packages.count() == 2


def test_a_list_with_nothing_left_to_freeze_fails_in_words(dataset: Dataset) -> None:
    export = order_export(dataset=dataset, wish=parse_wish("100"))
    while review.undo(dataset=dataset, reviewer=User.objects.get()):
        pass
    freeze(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.FAILED
    assert "No image is approved any more" in export.error


def test_what_changes_later_is_not_in_the_list(dataset: Dataset) -> None:
    """A new score, another name, an undone decision: the same export gives the same bytes."""
    export = frozen(dataset, "100")
    package = package_of(export)
    write_package(package.pk)
    before = all_files(folder_of(package))
    item = export.items.first()
    make_score(item.image, 0.9, version=make_version())
    dataset.name, dataset.description = "Other things", "Changed."
    dataset.save()
    dataset.classes.filter(name="car").update(name="changed", definition="Changed.")
    assert review.undo(dataset=dataset, reviewer=User.objects.get())
    Package.objects.update(state=WorkState.READY, settled_at=None)
    write_package(package.pk)
    assert all_files(folder_of(package)) == before


def test_pages_of_rows_give_every_image_once(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "PAGE", 4)
    monkeypatch.setattr(freezing, "BATCH", 4)
    export = frozen(dataset, "100")
    stems = [entry.stem for entry in services.entries_of(export)]
    assert len(set(stems)) == len(stems) == 6


def test_a_changed_or_lost_list_is_never_written(package: Package) -> None:
    path = list_path(lists_folder(), package.export.list_sha256)
    data = path.read_bytes()
    for damage in (lambda: path.write_bytes(data[:-1] + b"x"), path.unlink):
        damage()
        write_package(package.pk)
        package.refresh_from_db()
        assert package.state == WorkState.FAILED
        assert "the frozen list" in package.error
        assert everything() == []
        retry([package], dataset=package.export.dataset_id)


# --- Writing --------------------------------------------------------------------------


def test_a_written_package_is_done(package: Package) -> None:
    write_package(package.pk)
    package.refresh_from_db()
    assert (package.state, package.done_count) == (WorkState.DONE, 6)
    folder = folder_of(package)
    assert package.byte_count == sum(len(data) for data in all_files(folder).values())
    for item in package.export.items.select_related("image"):
        path = folder / f"train/{item.class_folder}/{item.image_id:08d}.png"
        assert path.read_bytes() == blobs().read(item.image.sha256)


def test_a_second_delivery_changes_nothing(package: Package) -> None:
    write_package(package.pk)
    before = {path: path.stat().st_ino for path in everything()}
    write_package(package.pk)
    assert {path: path.stat().st_ino for path in everything()} == before


def test_the_same_list_written_twice_is_the_same_bytes(package: Package, tmp_path: Path) -> None:
    for name in ("one", "two"):
        jobs.write_folder(package, tmp_path / name)
    assert all_files(tmp_path / "one") == all_files(tmp_path / "two")


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_writing_that_breaks_off_leaves_nothing(
    package: Package, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write = ImageFolderWriter.write

    def break_off(self: ImageFolderWriter, *arguments: object) -> None:
        write(self, *arguments)  # type: ignore[arg-type]
        raise error

    monkeypatch.setattr(ImageFolderWriter, "write", break_off)
    if isinstance(error, OSError):
        write_package(package.pk)
        package.refresh_from_db()
        assert package.state == WorkState.FAILED
        assert package.error == "It could not be written: No space left on device."
    else:
        with pytest.raises(KeyboardInterrupt):
            write_package(package.pk)
    assert everything() == []


def test_an_original_that_is_no_image_any_more_is_said(dataset: Dataset) -> None:
    package = package_of(frozen(dataset, "100", forms=[Form("jsonl", "png")]))
    image = package.export.items.first().image
    blobs().path(image.sha256).write_bytes(b"x" * image.byte_count)
    write_package(package.pk)
    package.refresh_from_db()
    assert package.state == WorkState.FAILED
    assert "not a PNG, JPEG or WebP image" in package.error
    assert everything() == []


def test_a_failed_package_can_be_written_again(package: Package) -> None:
    original = blobs().path(package.export.items.first().image.sha256)
    data = original.read_bytes()
    original.unlink()
    write_package(package.pk)
    package.refresh_from_db()
    assert package.state == WorkState.FAILED
    assert str(original.parent) not in package.error
    original.write_bytes(data)
    assert retry([package], dataset=package.export.dataset_id) == 1
    write_package(package.pk)
    package.refresh_from_db()
    assert package.state == WorkState.DONE


def test_a_worker_that_lost_its_lease_leaves_the_field(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ImageFolderWriter.write

    def lose_the_lease(self: ImageFolderWriter, *arguments: object) -> None:
        write(self, *arguments)  # type: ignore[arg-type]
        Package.objects.filter(pk=package.pk).update(
            state=WorkState.READY, lease_token=None, lease_expires_at=None
        )

    monkeypatch.setattr(ImageFolderWriter, "write", lose_the_lease)
    write_package(package.pk)
    package.refresh_from_db()
    assert package.state == WorkState.READY
    assert everything() == []


def test_the_lease_is_kept_and_the_progress_said_while_images_are_written(
    package: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "BEAT_S", 0.0)
    seen: list[int] = []
    add = "synthreview.export.writers.bundle.Bundle.add"
    original = pkgutil.resolve_name(add)

    def look(self: object, *arguments: object, **named: object) -> bytes:
        package.refresh_from_db()
        seen.append(package.done_count)
        assert package.lease_expires_at
        assert package.lease_expires_at > timezone.now() + dt.timedelta(seconds=200)
        Package.objects.update(lease_expires_at=timezone.now())
        line: bytes = original(self, *arguments, **named)
        return line

    monkeypatch.setattr(add, look)
    write_package(package.pk)
    assert seen == [0, 1, 2, 3, 4, 5]


# --- Killed at named points -----------------------------------------------------------

POINTS = {
    "claimed, nothing collected": ("synthreview.export.jobs.make_items", 1),
    "some items written": ("synthreview.export.freezing._item", 5),
    "all items written, not yet frozen": ("synthreview.export.collecting.promise_of", 1),
    "frozen, list not begun": ("synthreview.export.jobs.make_list", 1),
    "half of the list written": ("synthreview.export.records._row", 4),
    "list in place, row not told": ("synthreview.export.jobs.facts_as_json", 1),
    "row told, packages not ordered": ("synthreview.export.jobs.enqueue_on_commit", 1),
    "draft folder made": ("synthreview.export.jobs.frozen_facts", 1),
    "half of the images written": ("synthreview.export.writers.bundle.Bundle.add", 4),
    "images written, no card": ("synthreview.export.writers.bundle.Bundle.finish", 1),
    "card begun, no checksums": ("synthreview.export.writers.bundle.card_text", 1),
    "whole, without its name": ("synthreview.export.jobs.publish", 1),
    "named, row not told": ("synthreview.export.jobs.folder_size", 1),
}


# Until the draft folder is made nothing depends on the format.
FORMAT_MATTERS = list(POINTS).index("draft folder made")
POINTS_AND_FORMATS = [(point, "imagefolder") for point in list(POINTS)[:FORMAT_MATTERS]] + [
    (point, name) for point in list(POINTS)[FORMAT_MATTERS:] for name in FORMATS
]


@contextlib.contextmanager
def killed_at(target: str, call: int) -> Iterator[None]:
    """Have this process killed at the n-th call of a function."""
    calls = 0
    original: Callable[..., object] = pkgutil.resolve_name(target)

    def count(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    with mock.patch(target, count):
        yield


def run_and_be_killed(target: str, call: int, jobs_to_run: Callable[[], None]) -> None:
    """Run the jobs in a child that the n-th call of `target` kills."""
    connection.close()
    child = os.fork()
    if child == 0:
        with killed_at(target, call):
            jobs_to_run()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), f"{target} was not reached"
    assert os.WTERMSIG(status) == signal.SIGKILL


def settle(row: DurableWork, job: Callable[[int], None]) -> None:
    """Let the lease run out, take the work back, and do it again."""
    ago = timezone.now() - dt.timedelta(seconds=1)
    type(row)._default_manager.filter(lease_token__isnull=False).update(lease_expires_at=ago)
    sweep()
    job(row.pk)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
@pytest.mark.parametrize(("point", "name"), POINTS_AND_FORMATS)
def test_killed_anywhere_nothing_looks_complete(
    transactional_db: None, monkeypatch: pytest.MonkeyPatch, point: str, name: str
) -> None:
    monkeypatch.setattr(freezing, "BATCH", 2)
    monkeypatch.setattr(records, "PAGE", 2)
    dataset = make_things()
    export = order_export(dataset=dataset, wish=parse_wish("60/40"), forms=[Form(name)])

    def work() -> None:
        freeze(export.pk)
        write_package(package_of(export).pk)

    run_and_be_killed(*POINTS[point], work)

    export.refresh_from_db()
    written = [path for path in everything() if not path.name.startswith(".")]
    visible = [path for path in written if not any(p.name.startswith(".") for p in path.parents)]
    if export.state == WorkState.DONE:
        assert list_path(lists_folder(), export.list_sha256).exists()
        package = package_of(export)
        assert package.state != WorkState.DONE
    else:
        assert not Package.objects.exists()
    assert bool(visible) == (point == "named, row not told")
    if visible:
        assert folder_of(package_of(export)).joinpath("SHA256SUMS").exists()

    settle(export, freeze)
    package = package_of(export)
    settle(package, write_package)
    package.refresh_from_db()
    assert (package.state, package.done_count) == (WorkState.DONE, 6)
    assert list(lists_folder().parent.rglob("*.part")) == []
    jobs.write_folder(package, lists_folder().parent / "again")
    assert all_files(folder_of(package)) == all_files(lists_folder().parent / "again")
