"""Filters of a search, on the attributes of files: the same in Python for every database."""

import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from engine.errors import InvalidRequest

Attributes: TypeAlias = Mapping[str, Any]
FileFilter: TypeAlias = Callable[[Attributes], bool]

ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
COMPARISONS = ("eq", "ne", *ORDERS, "in", "nin")
COMPOUNDS = ("and", "or")
MOST_DEPTH = 8
MOST_PARTS = 100


def read_filter(data: object, param: str = "filters") -> FileFilter:
    """Return a function that tells whether a file meets a filter.

    A file without the attribute meets `ne` and `nin` alone. Values of two kinds are never equal and
    have no order. Raise `InvalidRequest` for a filter that is malformed, too deep or too long.
    """
    return _Reading(param).filter(data, param, 1)


class _Reading:
    def __init__(self, param: str) -> None:
        self._param = param
        self._parts = 0

    def filter(self, data: object, place: str, depth: int) -> FileFilter:
        self._parts += 1
        if depth > MOST_DEPTH or self._parts > MOST_PARTS:
            most = f"{MOST_DEPTH} levels and {MOST_PARTS} parts"
            raise InvalidRequest(f"A filter may have {most}.", param=self._param)
        kind = data.get("type") if isinstance(data, dict) else None
        if isinstance(data, dict) and kind in COMPOUNDS:
            return self._compound(str(kind), data.get("filters"), place, depth)
        if isinstance(data, dict) and kind in COMPARISONS:
            return _comparison(str(kind), data.get("key"), data.get("value"), place)
        names = ", ".join((*COMPARISONS, *COMPOUNDS))
        message = f"Invalid value for '{place}.type': it should be one of {names}."
        raise InvalidRequest(message, param=f"{place}.type", code="invalid_value")

    def _compound(self, kind: str, parts: object, place: str, depth: int) -> FileFilter:
        if not isinstance(parts, list) or not parts:
            message = f"Invalid value for '{place}.filters': it should be a list of filters."
            raise InvalidRequest(message, param=f"{place}.filters", code="invalid_type")
        inner = [
            self.filter(each, f"{place}.filters[{at}]", depth + 1) for at, each in enumerate(parts)
        ]
        every = all if kind == "and" else any
        return lambda attributes: every(each(attributes) for each in inner)


def _comparison(kind: str, key: object, value: object, place: str) -> FileFilter:
    if not isinstance(key, str):
        message = f"Invalid value for '{place}.key': it should be a string."
        raise InvalidRequest(message, param=f"{place}.key", code="invalid_type")
    values = value if isinstance(value, list) else [value]
    listed = kind in ("in", "nin")
    if listed != isinstance(value, list) or not all(map(_is_scalar, values)):
        wanted = "a list of strings, numbers or booleans" if listed else "a string, number, boolean"
        message = f"Invalid value for '{place}.value': it should be {wanted}."
        raise InvalidRequest(message, param=f"{place}.value", code="invalid_type")
    if kind in ORDERS:
        order = ORDERS[kind]
        return lambda attributes: (
            _same_kind(attributes.get(key), value) and order(attributes[key], value)
        )
    negated = kind in ("ne", "nin")
    return lambda attributes: negated != any(_equal(attributes.get(key), each) for each in values)


def _is_scalar(value: object) -> bool:
    return isinstance(value, str | int | float | bool)


def _same_kind(one: object, other: object) -> bool:
    """Return whether two values can be compared: texts, or numbers that are no booleans."""
    for kind in (str, bool, (int, float)):
        if isinstance(other, kind):
            return isinstance(one, kind) and isinstance(one, bool) == isinstance(other, bool)
    return False


def _equal(one: object, other: object) -> bool:
    return _same_kind(one, other) and one == other
