"""A wrong variable is named, with what is wrong and an example; its default holds meanwhile."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from synthreview.lib.environment import Environment
from synthreview.lib.s3 import Bucket


def read(value: str, kind: str, **options: Any) -> tuple[Any, list[str]]:
    env = Environment({"NAME": value})
    return getattr(env, kind)("NAME", **options), [str(fault) for fault in env.faults]


@pytest.mark.parametrize(
    ("kind", "value", "options", "expected"),
    [
        ("str", " text ", {}, "text"), ("bool", "Yes", {"default": False}, True),
        ("bool", "0", {"default": True}, False), ("float", "2.5", {"default": 1}, 2.5),
        ("int", "12", {"default": 0}, 12), ("json", "", {"default": {}}, {}),
        ("json", '{"a": 1}', {"default": {}}, {"a": 1}),
        ("list", "a, b,,", {"default": []}, ["a", "b"]),
        ("web", "http://127.0.0.1:9000/v1", {}, "http://127.0.0.1:9000/v1"), ("web", "", {}, ""),
        ("choice", "b", {"default": "a", "among": ("a", "b")}, "b"),
    ],
)  # fmt: skip
def test_good_values_are_read(kind: str, value: str, options: Any, expected: Any) -> None:
    assert read(value, kind, **options) == (expected, [])


@pytest.mark.parametrize(
    ("kind", "value", "options", "said"),
    [
        ("bool", "maybe", {"default": False}, "'maybe' is neither true nor false.*NAME=true"),
        ("float", "ten", {"default": 60}, "'ten' is no number.*NAME=60"),
        ("float", "nan", {"default": 60}, "is no number"),
        ("float", "0", {"default": 60, "least": 1}, "0 is out of bounds: 1 or more"),
        ("float", "2", {"default": 0.5, "least": 0, "most": 1}, "from 0 to 1"),
        ("int", "1.5", {"default": 2}, "no whole number from 0.*NAME=2"),
        ("json", "{", {"default": {}}, "it is no JSON"),
        ("json", "[1]", {"default": {}}, "it is a list, not an object"),
        ("web", "ftp://x", {"default": ""}, "'ftp://x' is no web address.*https://"),
        ("choice", "debog", {"default": "info", "among": ("debug", "info")}, "NAME=debug"),
        ("str", "gpu", {"default": "cpu", "shape": "cpu|cuda", "example": "cuda"}, "NAME=cuda"),
        ("parsed", "x", {"parse": Bucket.parse, "default": None, "example": "s3://b"}, "s3://b"),
        ("database", "mysql://u:hush@h/d", {"default": "sqlite:///x"}, "PostgreSQL or SQLite"),
    ],
)  # fmt: skip
def test_bad_values_are_named_with_an_example(
    kind: str, value: str, options: Any, said: str
) -> None:
    found, faults = read(value, kind, **options)
    if kind != "database":
        assert found == options["default"]
    (fault,) = faults
    assert fault.startswith("NAME: ")
    assert re.search(said, fault), fault
    assert "hush" not in fault


def test_a_password_in_an_address_is_not_repeated() -> None:
    _, (fault,) = read("ftp://me:hush@host", "web")
    assert "hush" not in fault


def test_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("hush\n")
    (tmp_path / "empty").touch()
    source = {
        "A_FILE": str(tmp_path / "key"),
        "B_FILE": str(tmp_path / "gone"),
        "C": "own", "C_FILE": str(tmp_path / "key"),
        "D_FILE": str(tmp_path / "empty"),
    }  # fmt: skip
    env = Environment(source)
    env.read_secret_files(["A", "B", "C", "D", "E"])
    assert (source["A"], source["C"]) == ("hush", "own")
    assert [fault.name for fault in env.faults] == ["B_FILE", "D_FILE"]
    assert "cannot be read (No such file or directory)" in env.faults[0].text
    assert "hush" not in str(env.faults)


def test_what_nothing_reads_is_found_with_the_nearest_name() -> None:
    env = Environment({"OUR_HOSTZ": "x", "OUR_HOSTS": "y", "OUR_OTHER": "z", "HOME": "/"})
    env.str("OUR_HOSTS")
    assert env.unread("OUR_", {"OUR_OTHER"}) == [("OUR_HOSTZ", "OUR_HOSTS")]
