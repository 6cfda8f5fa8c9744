"""Every format, byte for byte as it was: a change of a format is seen, and meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthreview.export.writers.formats import FORMATS
from tests.export.entries import all_files
from tests.export.golden import GOLDEN, write_golden


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_export_is_the_golden_one_byte_for_byte(tmp_path: Path, name: str) -> None:
    write_golden(name, tmp_path / name)
    made, golden = all_files(tmp_path / name), all_files(GOLDEN / name)
    assert sorted(made) == sorted(golden)
    different = [path for path in golden if made[path] != golden[path]]
    assert different == [], "if that is meant: python -m tests.export.golden, and look at the diff"
