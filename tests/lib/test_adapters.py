"""Adapters by alias."""

from __future__ import annotations

import pytest

from synthreview.lib.adapters import UnknownAdapterError, load_adapter

SETTING = {
    "half": {"BACKEND": "fractions.Fraction", "OPTIONS": {"numerator": 1, "denominator": 2}},
    "none": {"BACKEND": "collections.Counter"},
}


def test_it_builds_the_adapter_with_its_options() -> None:
    assert load_adapter(SETTING, "half", "number") * 2 == 1
    assert not load_adapter(SETTING, "none", "number")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UnknownAdapterError) as caught:
        load_adapter(SETTING, "third", "number")
    assert str(caught.value) == "No number is called 'third'; known: half, none."
