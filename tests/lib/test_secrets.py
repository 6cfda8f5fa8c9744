"""The installation's secret: made once, by whoever comes first, and read by its owner alone."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from synthreview.lib.secrets import load_or_create_secret


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "secret"
    secret = load_or_create_secret(path)
    assert len(secret) > 60
    assert load_or_create_secret(path) == secret
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["secret"]


def test_many_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: load_or_create_secret(path), range(40)))
    assert len(secrets) == 1


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch()
    with pytest.raises(ValueError, match="is empty: delete it"):
        load_or_create_secret(path)
