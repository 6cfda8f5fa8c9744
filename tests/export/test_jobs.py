"""Writing an export: all of it or nothing, by one worker at a time."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest
from django.utils import timezone

from synthreview.accounts.models import User
from synthreview.catalog.models import Dataset
from synthreview.catalog.storage import blobs
from synthreview.export import jobs, services
from synthreview.export.jobs import write_export
from synthreview.export.models import Export
from synthreview.export.splits import parse_ratio
from synthreview.export.writers.imagefolder import ImageFolderWriter
from synthreview.work.models import WorkState
from synthreview.work.services import retry, sweep
from tests.factories import make_approved_image, make_dataset, make_user


@pytest.fixture
def export(db: None) -> Export:
    reviewer = make_user("rita")
    dataset = make_dataset("Things", reviewer=reviewer)
    for label_class in dataset.classes.all():
        make_approved_image(label_class, reviewer)
    return services.freeze_export(dataset=dataset, shares=parse_ratio("100"))


def everything(export: Export) -> list[Path]:
    exports = services.folder_of(export).parent
    return sorted(exports.rglob("*")) if exports.exists() else []


def test_a_written_export_is_done(export: Export) -> None:
    write_export(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.DONE
    assert (services.folder_of(export) / "SHA256SUMS").exists()
    for item in export.items.select_related("image"):
        path = services.folder_of(export) / f"train/{item.class_folder}/{item.image_id:08d}.png"
        assert path.read_bytes() == blobs().read(item.image.sha256)


def test_a_second_delivery_changes_nothing(export: Export) -> None:
    write_export(export.pk)
    before = {path: path.stat().st_ino for path in everything(export)}
    write_export(export.pk)
    assert {path: path.stat().st_ino for path in everything(export)} == before


def test_the_same_snapshot_written_twice_is_the_same_bytes(export: Export, tmp_path: Path) -> None:
    written = []
    for name in ("one", "two"):
        jobs.write_folder(export, tmp_path / name)
        written.append(
            {
                path.relative_to(tmp_path / name): path.read_bytes()
                for path in (tmp_path / name).rglob("*")
                if path.is_file()
            }
        )
    assert written[0] == written[1]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_writing_that_breaks_off_leaves_nothing(
    export: Export, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    write = ImageFolderWriter.write

    def break_off(self: ImageFolderWriter, *arguments: object) -> None:
        write(self, *arguments)  # type: ignore[arg-type]
        raise error

    monkeypatch.setattr(ImageFolderWriter, "write", break_off)
    if isinstance(error, OSError):
        write_export(export.pk)
        export.refresh_from_db()
        assert export.state == WorkState.FAILED
        assert export.error == "It could not be written: No space left on device."
    else:
        with pytest.raises(KeyboardInterrupt):
            write_export(export.pk)
    assert everything(export) == []


def test_a_failed_export_can_be_written_again(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = blobs().path(export.items.first().image.sha256)
    data = original.read_bytes()
    original.unlink()
    write_export(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.FAILED
    original.write_bytes(data)
    assert retry([export]) == 1
    write_export(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.DONE


def test_a_killed_worker_leaves_no_draft_for_long(export: Export, redis_url: str) -> None:
    token = Export.objects.claim(export.pk, lease_s=300)
    target = services.folder_of(export)
    draft = target.with_name(f".{target.name}.{token}.part")
    draft.mkdir(parents=True)
    (draft / "half").write_text("half")
    ago = timezone.now() - dt.timedelta(seconds=1)
    Export.objects.filter(pk=export.pk).update(lease_expires_at=ago)
    sweep()
    write_export(export.pk)
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_worker_that_lost_its_lease_leaves_the_field(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ImageFolderWriter.write

    def lose_the_lease(self: ImageFolderWriter, *arguments: object) -> None:
        write(self, *arguments)  # type: ignore[arg-type]
        Export.objects.filter(pk=export.pk).update(
            state=WorkState.READY, lease_token=None, lease_expires_at=None
        )

    monkeypatch.setattr(ImageFolderWriter, "write", lose_the_lease)
    write_export(export.pk)
    export.refresh_from_db()
    assert export.state == WorkState.READY
    assert everything(export) == []


def test_the_lease_is_renewed_while_images_are_written(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "RENEW_EVERY", 1)
    renewed: list[bool] = []
    renew = type(Export.objects.all()).renew

    def count(self: object, *arguments: object, **named: object) -> bool:
        renewed.append(renew(self, *arguments, **named))  # type: ignore[arg-type]
        return renewed[-1]

    monkeypatch.setattr(type(Export.objects.all()), "renew", count)
    monkeypatch.setattr(type(Export.objects), "renew", count, raising=False)
    write_export(export.pk)
    assert renewed == [True, True, True]


def test_pages_of_rows_give_every_image_once(
    export: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    reviewer = User.objects.get(username="rita")
    dataset = Dataset.objects.get()
    for _ in range(5):
        make_approved_image(dataset.classes.first(), reviewer)
    monkeypatch.setattr(services, "PAGE", 2)
    larger = services.freeze_export(dataset=dataset, shares=parse_ratio("100"))
    stems = [entry.stem for entry in services.entries_of(larger)]
    assert stems == sorted(set(stems))
    assert len(stems) == 7
