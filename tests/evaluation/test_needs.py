"""Where more is needed, and whether what was added helped: worked cases."""

from __future__ import annotations

import numpy as np
import pytest

from synthreview.evaluation.needs import Seen, Stock, gain_of, needs_of, since_of

NAMES = ["car", "cup"]


def seen(right: list[int], *, ids: list[int] | None = None, validation: int = 10) -> Seen:
    """Return images of the two classes by turns, the first of them for validation; one seed."""
    count = len(right)
    labels = [number % 2 for number in range(count)]
    hits = np.array([right], dtype=float)
    said = np.where(hits == 1, labels, 1 - np.array(labels))
    return Seen(
        ids=ids or list(range(count)),
        labels=labels,
        is_validation=np.arange(count) < validation,
        right=hits,
        said=said,
        groups={"environment": ["beach" if number < 4 else "city" for number in range(count)]},
    )


def test_errors_come_first_and_scarcity_next() -> None:
    # Of ten validation images the cups (odd) are wrong four times, the cars once.
    found = needs_of(
        seen([1, 0, 1, 0, 1, 0, 1, 0, 0, 1] + [0] * 10),
        NAMES,
        {("class", "cup"): Stock(50, 50, 100), ("class", "car"): Stock(50, 0, 50)},
    )
    by_name = {row["name"]: row for row in found}
    assert by_name["cup"]["images"] == 5
    assert by_name["cup"]["wrong"][0] == 0.8
    assert by_name["cup"]["taken_for"] == "car"
    assert by_name["cup"]["gain"] > by_name["car"]["gain"] > 0
    assert by_name["cup"]["draw"] == 198  # half were approved so far: twice as many are drawn
    assert by_name["car"]["draw"] == 100
    assert by_name["beach"]["kind"] == "environment"


def test_the_rule_of_thumb_by_hand() -> None:
    # A tenth of the images is wrong; 100 more on 100 turn (1 - 2^-0.33) of it: about a fifth.
    assert gain_of(1, 10, 100) == pytest.approx(0.1 * (1 - 0.5**0.33))
    assert gain_of(1, 10, 10) > gain_of(1, 10, 1000)
    assert gain_of(0, 0, 0) == 0


def test_what_is_right_needs_nothing() -> None:
    assert needs_of(seen([1] * 20), NAMES, {}) == []


def test_only_validation_images_steer() -> None:
    assert needs_of(seen([1] * 10 + [0] * 10), NAMES, {}) == []


def test_the_next_evaluation_shows_whether_it_worked() -> None:
    before = seen([0] * 20)
    now = seen([0] * 10 + [1] * 10)
    needs = [{"kind": "class", "name": "cup", "approved": 5}]
    stocks = {("class", "cup"): Stock(approved=25)}
    found = since_of(before, now, needs, NAMES, stocks)
    assert found is not None
    assert found["images"] == 10  # those that measure
    assert found["difference"] == [1, 1, 1]
    (row,) = found["needs"]
    assert (row["added"], row["images"], row["before"], row["now"]) == (20, 5, 0, 1)


def test_only_images_that_both_judged_are_compared() -> None:
    now = seen([1] * 20, ids=list(range(100, 120)))
    assert since_of(seen([1] * 20), now, [], NAMES, {}) is None
    half = seen([1] * 20, ids=[*range(100, 115), *range(15, 20)])
    found = since_of(seen([1] * 20), half, [], NAMES, {})
    assert found is not None
    assert found["images"] == 5
