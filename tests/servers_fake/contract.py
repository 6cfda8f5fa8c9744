"""What the OpenAI SDK's own request types say of a request, nothing added and nothing lazy.

The SDK is generated from OpenAI's published schema, so its types are that schema, and move with
the pinned version. Pydantic takes them at their word in two ways that a check must not: a
TypedDict lets unknown keys pass, and an Iterable is looked at only when somebody reads it.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import pydantic
from typing_extensions import get_type_hints, is_typeddict


class Contract:
    """The type of a request's fields: `check` says in one line what OpenAI would not take.

    Args:
        params: a TypedDict of the SDK, or a union of some.
        ranges: (least, most) of the published schema's numbers, which types do not hold:
            {"seed": (0, 2147483647)}; of a text or list its length. Wherever the name occurs.
    """

    def __init__(
        self, params: Any, ranges: Mapping[str, tuple[float, float]] | None = None
    ) -> None:
        for one in _typed_dicts(params, set()):
            one.__pydantic_config__ = {"extra": "forbid", "arbitrary_types_allowed": True}
        self._type: pydantic.TypeAdapter[Any] = pydantic.TypeAdapter(params)
        self._ranges = ranges or {}

    def check(self, fields: Mapping[str, Any]) -> None:
        """Raise ValueError where a field is unknown, missing, of a wrong type or out of range."""
        try:
            _read_all(self._type.validate_python(fields, strict=True))
        except pydantic.ValidationError as error:
            # Of a union each member complains; an unknown key says most.
            told = sorted(error.errors(), key=lambda one: one["type"] != "extra_forbidden")[0]
            where = ".".join(str(part) for part in told["loc"])
            raise ValueError(f"{where}: {told['msg']}") from None
        for name, value in _named(fields):
            least, most = self._ranges.get(name, (float("-inf"), float("inf")))
            size = len(value) if isinstance(value, str | list) else value
            if isinstance(size, int | float) and not least <= size <= most:
                raise ValueError(f"{name}: {size} is not between {least} and {most}")


def _typed_dicts(kind: Any, found: set[Any]) -> set[Any]:
    """Return every TypedDict that stands anywhere in a type."""
    if is_typeddict(kind):
        if kind not in found:
            found.add(kind)
            for part in get_type_hints(kind).values():
                _typed_dicts(part, found)
    elif get_origin(kind) is not typing.Literal:
        for part in get_args(kind):
            _typed_dicts(part, found)
    return found


def _read_all(value: Any) -> None:
    """Read what pydantic looks at only while it is read."""
    if isinstance(value, Mapping):
        for part in value.values():
            _read_all(part)
    elif isinstance(value, list | Iterator) or type(value).__name__ == "ValidatorIterator":
        for part in value:
            _read_all(part)


def _named(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping):
        for name, part in value.items():
            yield name, part
            yield from _named(part)
    elif isinstance(value, list):
        for part in value:
            yield from _named(part)
