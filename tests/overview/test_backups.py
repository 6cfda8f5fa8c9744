"""A backup is whole or named as damaged, and what is restored from it passes the oracle."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from synthreview.catalog.storage import blobs
from synthreview.export.services import folder_of
from synthreview.generation.models import Call
from synthreview.lib.s3 import Bucket
from synthreview.overview import backups
from synthreview.overview.backups import BackupError, back_up, verify
from synthreview.spending import spool
from synthreview.work.models import WorkState
from tests.export.frozen import written
from tests.factories import make_approved_image, make_call, make_dataset, make_user
from tests.servers_fake.s3_server import S3Server

ROOT = Path(__file__).parents[2]
ORACLE = """
import json, django; django.setup()
from tests.faults import oracle
from synthreview.generation.models import GeneratedImage
from synthreview.export.models import Package
from synthreview.export.services import fetch_package
found = oracle.everything()
sums = [(fetch_package(p) / "SHA256SUMS").read_text() for p in Package.objects.all()]
print(json.dumps({"wrong": found, "images": GeneratedImage.objects.count(), "sums": sums}))
"""


def fill() -> str:
    """Have images, an export, and a paid answer that is no row yet; return the export's sums."""
    curator = make_user("cora")
    dataset = make_dataset("Things", curator=curator)
    for label_class in dataset.classes.all():
        image = make_approved_image(label_class, curator)
    package = written(dataset)
    call = make_call(image.run, image.prompt, state=WorkState.READY, estimated_micro_usd=0)
    spool.write(call.spool_key, {"cost_micro_usd": 0, "images": []})
    Call.objects.filter(state=WorkState.DONE).update(settled_at="2026-01-01T00:00:00Z")
    (folder_of(package).parent / ".draft.part").mkdir()
    return (folder_of(package) / "SHA256SUMS").read_text()


@pytest.fixture
def fresh_database(tmp_path: Path) -> Iterator[str]:
    """Give the address of a database that holds nothing."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path / 'restored.sqlite3'}"
        return
    name = f"restored_{uuid.uuid4().hex[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    yield urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def elsewhere(data: Path, database: str, *command: str, **variables: str) -> Any:
    """Run Python on another host: its own folder, its own database."""
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        env=os.environ
        | {
            "SYNTHREVIEW_DATA": str(data),
            "DATABASE_URL": database,
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
            "PYTHONPATH": str(ROOT),
        }
        | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize("is_in_bucket", [False, True], ids=["folder", "bucket"])
@pytest.mark.django_db(transaction=True)
def test_what_is_restored_passes_the_oracle(
    tmp_path: Path, fresh_database: str, settings: Any, is_in_bucket: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    variables = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret"}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with S3Server("images") as server:
        if is_in_bucket:
            settings.STORAGE = Bucket.parse("s3://images", endpoint_url=server.url, region="eu")
            variables |= {
                "SYNTHREVIEW_STORAGE": "s3://images/restored",
                "SYNTHREVIEW_STORAGE_ENDPOINT": server.url,
                "SYNTHREVIEW_STORAGE_REGION": "eu",
            }
        sums = fill()
        made = back_up(tmp_path / "backups")
        assert made.blobs == made.new_blobs > 0
        assert made.rows > 0
        data = tmp_path / "elsewhere"
        done = elsewhere(
            data, fresh_database, "manage.py", "restore", str(made.folder), **variables
        )
        assert done.returncode == 0, done.stderr
        done = elsewhere(data, fresh_database, "-c", ORACLE, **variables)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == {"wrong": [], "images": 2, "sums": [sums]}
        again = elsewhere(
            data, fresh_database, "manage.py", "restore", str(made.folder), **variables
        )
        assert "holds something already" in again.stderr


@pytest.mark.django_db(transaction=True)
def test_a_second_backup_copies_what_is_new_and_each_damage_is_named(
    tmp_path: Path, own_data_folder: Path
) -> None:
    fill()
    first = back_up(tmp_path / "backups")
    assert list((tmp_path / "backups").glob(".*")) == []
    assert not list(first.folder.rglob(".draft*")), "a draft is no backup's business"
    make_approved_image(Call.objects.first().run.dataset.classes.all()[0], make_user("rita"))  # type: ignore[union-attr]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backups, "STAMP", "second")
        second = back_up(tmp_path / "backups")
    assert (second.blobs - first.blobs, second.new_blobs) == (3, 3)
    verify(first.folder)
    verify(second.folder)

    copy = next((tmp_path / "backups" / "blobs" / "thumb").glob("*/*/*"))
    whole = copy.read_bytes()
    copy.write_bytes(whole[:-1])
    with pytest.raises(BackupError, match=copy.name):
        verify(second.folder)
    copy.write_bytes(whole)
    dump = next(first.folder.glob("database.*"))
    dump.write_bytes(dump.read_bytes() + b"x")
    with pytest.raises(BackupError, match=dump.name):
        verify(first.folder)
    with pytest.raises(CommandError, match=dump.name):
        call_command("restore", str(first.folder), "--replace")
    (second.folder / "SHA256SUMS").unlink()
    with pytest.raises(BackupError, match="no whole backup"):
        verify(second.folder)


@pytest.mark.django_db(transaction=True)
def test_a_damaged_original_stops_the_backup_with_its_name(tmp_path: Path) -> None:
    curator = make_user("cora")
    image = make_approved_image(make_dataset().classes.all()[0], curator)
    blobs().file(image.sha256).write_bytes(b"x")
    with pytest.raises(BackupError, match=image.sha256):
        back_up(tmp_path / "backups")
    assert not list((tmp_path / "backups").glob("*Z"))
    assert not list((tmp_path / "backups").glob(".*"))


@pytest.mark.django_db(transaction=True)
def test_a_backup_holds_no_secret(tmp_path: Path, own_data_folder: Path) -> None:
    own_data_folder.mkdir(exist_ok=True)
    (own_data_folder / "secret_key").write_text("hush")
    make_user("cora")
    made = back_up(tmp_path / "backups")
    assert not [path for path in made.folder.rglob("*") if path.name == "secret_key"]
