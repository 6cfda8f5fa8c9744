"""Reads settings from environment variables, and collects what is wrong with them.

A wrong value never breaks off the reading: its default is taken and the fault kept, so that the
system checks and `doctor` can name all of them at once. Whoever serves refuses to start then.
"""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Callable, Collection, Iterable, MutableMapping
from dataclasses import dataclass
from json import loads
from pathlib import Path
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import environ

YES = {"true", "on", "ok", "y", "yes", "1"}
NO = {"false", "off", "n", "no", "0", ""}
FILE = "_FILE"
# The methods below are named as django-environ names them: these are the types.
Text: TypeAlias = str
Flag: TypeAlias = bool
Number: TypeAlias = float
Whole: TypeAlias = int
Texts: TypeAlias = list[str]
Pairs: TypeAlias = list[tuple[str, str]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fault:
    """A variable whose value is no good, why, and what would be; never the value of a secret."""

    name: str
    text: str
    example: str

    def __str__(self) -> str:
        return f"{self.name}: {self.text}. Write for example {self.example}."


class Environment:
    """The variables of one process. What was asked for is in `names`, what is wrong in `faults`."""

    def __init__(self, source: MutableMapping[str, str] | None = None) -> None:
        self.source = os.environ if source is None else source
        self.names: set[str] = set()
        self.secret_names: set[str] = set()
        self.faults: list[Fault] = []

    def read_secret_files(self, names: Iterable[Text]) -> None:
        """Take each secret of these names from the file that NAME_FILE names, if it is set.

        Container engines hand secrets over as files. Libraries that read their keys from the
        environment themselves find them there.
        """
        for name in names:
            self.names |= {name, name + FILE}
            self.secret_names.add(name)
            place = self.source.get(name + FILE, "")
            if not place or self.source.get(name):
                continue
            example = f"{name}{FILE}=/run/secrets/{name.lower()}"
            try:
                secret = Path(place).expanduser().read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                why = getattr(error, "strerror", None) or "it is no text"
                self._fault(name + FILE, f"{place} cannot be read ({why})", example)
                continue
            if not secret:
                self._fault(name + FILE, f"{place} is empty", example)
            self.source[name] = secret

    def secrets(self) -> Texts:
        """Return the values of the secrets that are set."""
        return [self.source[name] for name in sorted(self.secret_names) if self.source.get(name)]

    def unread(self, beginning: Text, others: Collection[Text] = ()) -> Pairs:
        """Return (name, nearest known name or "") of what is set and nothing has asked for."""
        known = self.names | set(others)
        return [
            (name, next(iter(difflib.get_close_matches(name, known, 1, 0.85)), ""))
            for name in sorted(self.source)
            if name.startswith(beginning) and name not in known
        ]

    # --- Kinds of values ----------------------------------------------------------------

    def str(self, name: Text, *, default: Text = "", shape: Text = "", example: Text = "") -> Text:
        """Return the text; it must match `shape`, a regular expression, where one is given."""
        value = self._read(name)
        if value is None:
            return default
        if shape and not re.fullmatch(shape, value):
            self._fault(name, f"{value!r} is not of its form", f"{name}={example}")
            return default
        return value

    def choice(self, name: Text, *, default: Text, among: Collection[Text]) -> Text:
        """Return one of the words."""
        value = self._read(name)
        if value is None or value in among:
            return default if value is None else value
        near = difflib.get_close_matches(value, among, 1)
        known = ", ".join(repr(each) for each in among)
        self._fault(
            name, f"{value!r} is not one of {known}", f"{name}={near[0] if near else default}"
        )
        return default

    def bool(self, name: Text, *, default: Flag) -> Flag:
        value = self._read(name)
        if value is None:
            return default
        word = value.strip().lower()
        if word not in YES | NO:
            self._fault(name, f"{value!r} is neither true nor false", f"{name}=true")
            return default
        return word in YES

    def float(
        self, name: Text, *, default: Number, least: Number = -math.inf, most: Number = math.inf
    ) -> Number:
        """Return the number, which lies from `least` to `most`."""
        value = self._read(name)
        if value is None:
            return default
        example = f"{name}={default:g}"
        try:
            number = Number(value)
        except ValueError:
            number = math.nan
        if math.isnan(number):
            self._fault(name, f"{value!r} is no number", example)
            return default
        if not least <= number <= most:
            bounds = f"from {least:g} to {most:g}" if most < math.inf else f"{least:g} or more"
            self._fault(name, f"{value} is out of bounds: {bounds}", example)
            return default
        return number

    def int(self, name: Text, *, default: Whole, least: Whole = 0) -> Whole:
        """Return the whole number, `least` or more."""
        value = self._read(name)
        if value is None:
            return default
        if not re.fullmatch(r"-?\d{1,18}", value) or Whole(value) < least:
            self._fault(name, f"{value!r} is no whole number from {least}", f"{name}={default}")
            return default
        return Whole(value)

    def json(self, name: Text, *, default: dict[Text, Any]) -> dict[Text, Any]:
        """Return the JSON object."""
        value = self._read(name)
        if not value:
            return default
        example = f"""{name}='{{"some-name": 1}}'"""
        try:
            found = loads(value)
        except ValueError as error:
            self._fault(name, f"it is no JSON ({error})", example)
            return default
        if not isinstance(found, dict):
            self._fault(name, f"it is a {type(found).__name__}, not an object", example)
            return default
        return found

    def list(self, name: Text, *, default: Texts) -> Texts:
        """Return the words between the commas."""
        value = self._read(name)
        if value is None:
            return default
        return [word.strip() for word in value.split(",") if word.strip()]

    def web(self, name: Text, *, default: Text = "") -> Text:
        """Return an address of http or https."""
        value = self._read(name)
        if not value:
            return default
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            shown = value.rpartition("@")[2]  # never a password
            self._fault(name, f"{shown!r} is no web address", f"{name}=https://example.org/v1")
            return default
        return value

    def parsed(self, name: Text, parse: Callable[[Text], T], *, default: T, example: Text) -> T:
        """Return what `parse` makes of it; its ValueError says what is wrong."""
        value = self._read(name)
        if not value:
            return default
        try:
            return parse(value)
        except ValueError as error:
            self._fault(name, Text(error), f"{name}={example}")
            return default

    def database(self, name: Text, *, default: Text) -> dict[Text, Any]:
        """Return Django's settings of the database at that address."""
        value = self._read(name)
        kinds = ("postgres", "postgresql", "sqlite")
        if value is not None and urlsplit(value).scheme not in kinds:
            self._fault(
                name,
                "it is no address of PostgreSQL or SQLite",
                f"{name}=postgres://user:password@host:5432/synthreview",
            )
            value = None
        found: dict[Text, Any] = environ.Env.db_url_config(value or default)
        return found

    def _read(self, name: Text) -> Text | None:
        self.names.add(name)
        value = self.source.get(name)
        return value if value is None else value.strip()

    def _fault(self, name: Text, text: Text, example: Text) -> None:
        self.faults.append(Fault(name, text, example))
