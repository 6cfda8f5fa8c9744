"""A dataset as a TOML file: what may stand in it, checked to the last key. No Django here.

A key that is left out leaves what the dataset has; docs/commands.md shows a whole file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 5_000_000
SLUG = re.compile(r"^[a-z0-9]+(-[a-z0-9]+)*$")
AXIS_NAME = re.compile(r"^[a-z][a-z0-9_-]{0,39}$")
TAKEN_AXIS_NAMES = ("class", "object")  # the template's and the scorer's own words


class DatasetFileError(ValueError):
    """The file cannot be taken; the message names file, key, and what is allowed."""


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """One class; `given` holds the fields that the file states."""

    name: str
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ValueSpec:
    """One value of an axis; no classes means that it fits all."""

    name: str
    phrase: str = ""
    classes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AxisSpec:
    """One axis and all of its values, in order."""

    name: str
    values: tuple[ValueSpec, ...]


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """All that a file says; `given` and `policy` hold what it states of the dataset."""

    name: str
    slug: str
    given: Mapping[str, Any]
    policy: Mapping[str, Any]
    classes: tuple[ClassSpec, ...]
    axes: tuple[AxisSpec, ...]


TYPE_NAMES = {
    str: "a text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
}
# Each table's keys: type, and whether it must be there.
DATASET_KEYS: dict[str, tuple[type, bool]] = {
    "name": (str, True),
    "slug": (str, True),
    "description": (str, False),
    "licence": (str, False),
    "policy": (dict, False),
    "classes": (list, True),
    "axes": (list, False),
}
POLICY_KEYS: dict[str, tuple[type, bool]] = {
    "target_error": (float, False),
    "confidence": (float, False),
    "reviews_per_image": (int, False),
    "blind_scores": (bool, False),
    "lease_minutes": (int, False),
    "audit_share": (float, False),
    "adapts_audit_share": (bool, False),
    "gold_share": (float, False),
    "asked_share": (float, False),
    "asks_doubtful": (bool, False),
    "accepts_unseen": (bool, False),
    "is_high_risk": (bool, False),
}
CLASS_KEYS: dict[str, tuple[type, bool]] = {
    "name": (str, True),
    "definition": (str, False),
    "guideline": (str, False),
    "synonyms": (list, False),
    "target_count": (int, False),
    "is_none_of_these": (bool, False),
}
AXIS_KEYS: dict[str, tuple[type, bool]] = {"name": (str, True), "values": (list, True)}
VALUE_KEYS: dict[str, tuple[type, bool]] = {
    "name": (str, True),
    "phrase": (str, False),
    "classes": (list, False),
}


def read_dataset_file(path: Path) -> DatasetSpec:
    """Return what the file says. Raises DatasetFileError."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DatasetFileError(f"{path}: larger than {MAX_BYTES // 1_000_000} MB")
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DatasetFileError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DatasetFileError(f"{path}: not a text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise DatasetFileError(f"{path}: not valid TOML: {error}") from error
    except RecursionError as error:
        raise DatasetFileError(f"{path}: brackets are nested too deeply") from error
    return _Reader(path).dataset(table)


class _Reader:
    """Turns tables into specs; each complaint names the file and the key's path."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fail(self, key: str, complaint: str) -> DatasetFileError:
        return DatasetFileError(f"{self.path}: {key}: {complaint}")

    def dataset(self, table: Mapping[str, Any]) -> DatasetSpec:
        self.check(table, DATASET_KEYS, "")
        slug = table["slug"]
        if not SLUG.match(slug) or len(slug) > 60:
            raise self.fail("slug", f"{slug!r}: allowed are a-z, 0-9 and single dashes, at most 60")
        policy = table.get("policy", {})
        self.check(policy, POLICY_KEYS, "policy.")
        classes = tuple(self.label_class(row, f"classes[{i}]") for i, row in self.rows(table))
        if not classes:
            raise self.fail("classes", "empty: name at least one class")
        self.check_distinct([row.name for row in classes], "classes")
        known = {row.name for row in classes}
        axes = tuple(
            self.axis(row, f"axes[{i}]", known) for i, row in self.rows(table, "axes", needed=False)
        )
        self.check_distinct([axis.name for axis in axes], "axes")
        given = {key: table[key] for key in ("description", "licence") if key in table}
        return DatasetSpec(table["name"].strip(), slug, given, policy, classes, axes)

    def label_class(self, table: Any, where: str) -> ClassSpec:
        self.check(table, CLASS_KEYS, f"{where}.")
        self.texts(table.get("synonyms", []), f"{where}.synonyms")
        if table.get("target_count", 0) < 0:
            raise self.fail(f"{where}.target_count", "below 0")
        given = {key: value for key, value in table.items() if key != "name"}
        return ClassSpec(table["name"].strip(), given)

    def axis(self, table: Any, where: str, classes: set[str]) -> AxisSpec:
        self.check(table, AXIS_KEYS, f"{where}.")
        name = table["name"]
        if not AXIS_NAME.match(name):
            raise self.fail(
                f"{where}.name", f"{name!r}: allowed are a-z, 0-9, - and _, a letter first"
            )
        if name in TAKEN_AXIS_NAMES:
            raise self.fail(f"{where}.name", f"{name!r} has a meaning of its own; choose another")
        values = tuple(
            self.value(row, f"{where}.values[{i}]", classes)
            for i, row in self.rows(table, "values", where=f"{where}.")
        )
        self.check_distinct([value.name for value in values], f"{where}.values")
        return AxisSpec(name, values)

    def value(self, table: Any, where: str, classes: set[str]) -> ValueSpec:
        self.check(table, VALUE_KEYS, f"{where}.")
        own = self.texts(table.get("classes", []), f"{where}.classes")
        if unknown := [name for name in own if name not in classes]:
            known = ", ".join(sorted(classes))
            raise self.fail(
                f"{where}.classes", f"no class is called {unknown[0]!r}; known: {known}"
            )
        return ValueSpec(table["name"].strip(), table.get("phrase", "").strip(), own)

    def rows(
        self,
        table: Mapping[str, Any],
        key: str = "classes",
        *,
        where: str = "",
        needed: bool = True,
    ) -> Iterable[tuple[int, Any]]:
        rows = table[key] if needed else table.get(key, [])
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                raise self.fail(f"{where}{key}[{number}]", f"must be a table, not {row!r}")
            yield number, row

    def texts(self, values: list[Any], where: str) -> tuple[str, ...]:
        for value in values:
            if not isinstance(value, str) or not value.strip():
                raise self.fail(where, f"must be a list of texts, and {value!r} is none")
        return tuple(value.strip() for value in values)

    def check(
        self, table: Mapping[str, Any], keys: Mapping[str, tuple[type, bool]], where: str
    ) -> None:
        """Complain of unknown keys, missing ones, wrong types, empty names and NUL."""
        allowed = ", ".join(keys)
        if unknown := [key for key in table if key not in keys]:
            raise self.fail(f"{where}{unknown[0]}", f"no such key; allowed: {allowed}")
        for key, (kind, is_needed) in keys.items():
            if key not in table:
                if is_needed:
                    raise self.fail(f"{where}{key}", f"is missing and must be {TYPE_NAMES[kind]}")
                continue
            value = table[key]
            if not _is_a(value, kind):
                raise self.fail(f"{where}{key}", f"must be {TYPE_NAMES[kind]}, not {value!r}")
            if isinstance(value, str) and "\0" in value:
                raise self.fail(f"{where}{key}", "holds a NUL character")
            if key == "name" and not value.strip():
                raise self.fail(f"{where}{key}", "is empty")

    def check_distinct(self, names: list[str], where: str) -> None:
        seen: set[str] = set()
        for name in names:
            if name.casefold() in seen:
                raise self.fail(
                    where, f"{name!r} stands there twice (upper and lower case count as one)"
                )
            seen.add(name.casefold())


def _is_a(value: Any, kind: type) -> bool:
    if isinstance(value, bool):  # Python counts it among the whole numbers
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)
