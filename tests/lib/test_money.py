"""Money in whole millionths: never too low an estimate, and read as people write it."""

from __future__ import annotations

import pytest

from synthreview.lib.money import dollars, micro_usd


@pytest.mark.parametrize(
    ("usd", "micro"),
    [("0.04", 40_000), (0.1, 100_000), (3, 3_000_000), ("0.0000001", 1), ("0", 0)],
)
def test_dollars_become_millionths_rounded_up(usd: str | float, micro: int) -> None:
    assert micro_usd(usd) == micro


@pytest.mark.parametrize(
    ("micro", "shown"),
    [
        (0, "$0.00"),
        (1, "$0.000001"),
        (40_000, "$0.04"),
        (1_234, "$0.0012"),
        (12_300_000, "$12.30"),
        (1_234_567_890, "$1,234.57"),
        (-500_000, "-$0.50"),
    ],
)
def test_amounts_read_as_people_write_them(micro: int, shown: str) -> None:
    assert dollars(micro) == shown
