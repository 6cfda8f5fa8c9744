"""Migrations run forwards on a filled database of the previous release, on both databases."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.upgrades.filled import previous_release

ROOT = Path(__file__).parents[2]


@pytest.fixture
def fresh_database(transactional_db: None, tmp_path: Path) -> Iterator[str]:
    """Give the address of a database that holds nothing."""
    if connection.vendor == "sqlite":
        yield f"sqlite:///{tmp_path / 'upgraded.sqlite3'}"
        return
    name = f"upgraded_{uuid.uuid4().hex[:12]}"
    with connection.cursor() as cursor:
        cursor.execute(f'CREATE DATABASE "{name}"')
    yield urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    with connection.cursor() as cursor:
        cursor.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.mark.slow
def test_a_filled_database_of_the_previous_release_comes_forwards(
    fresh_database: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.upgrades.upgrade"],
        cwd=ROOT,
        env=os.environ
        | {
            "DATABASE_URL": fresh_database,
            "DJANGO_SETTINGS_MODULE": "synthreview.settings",
            "SYNTHREVIEW_DATA": str(tmp_path / "data"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    rows = {table: len(one["rows"]) for table, one in previous_release()["tables"].items()}
    assert found["images"] == rows["generation_generatedimage"]
    assert found["calls"] == rows["generation_call"]
    assert found["decisions"] == rows["review_decision"]
    assert found["money"] == [25_000_000, 120_000, 40_000], "dollars became millionths"
    assert found["next_image"], "numbers go on where they were"
    assert {page: status for page, status in found["pages"].items() if status != 200} == {}
