"""Parses and validates JSON request bodies, once from their bytes; errors have OpenAI's words.

A null field counts as absent.
"""

from codecs import BOM_UTF8
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec
from pydantic import BaseModel, ValidationError, model_validator

from engine.errors import InvalidRequest

B = TypeVar("B", bound=BaseModel)

NO_NUL = r"^[^\x00]*$"
"""PostgreSQL stores every character but this one."""

NO_NUMBERS = (b"NaN", b"Infinity")
"""Words that Python's parsers take for numbers and that JSON does not know."""

CALLERS_OWN = {"metadata", "parameters", "schema", "subject"}
"""Fields whose value is JSON of the caller's own, in which null is a value like any other."""


class Body(BaseModel):
    """A request body. As in OpenAI's API, a null field counts as absent.

    The same holds within a field, unless the field is unknown here: its null may mean something.
    """

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, data: Any) -> Any:  # noqa: ANN401 -- whatever was sent
        if not isinstance(data, dict):
            return data
        known = cls.model_fields.keys() - CALLERS_OWN
        return {
            name: _given(each) if name in known else each
            for name, each in data.items()
            if each is not None
        }


def _given(value: Any) -> Any:  # noqa: ANN401
    """Return JSON without the nulls of its objects, however deep they are."""
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return [_given(each) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name: each if name in CALLERS_OWN else _given(each)
        for name, each in value.items()
        # Some servers refuse an assistant's message that has no content at all.
        if each is not None or name == "content"
    }


def read_body(model: type[B], data: bytes) -> B:
    """Return `data` as a `model`; raise `InvalidRequest` that names the first wrong field."""
    data = data.removeprefix(BOM_UTF8)
    if any(each in data for each in NO_NUMBERS):
        _parsed(data)
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_context=False)
        raise invalid_body(findings, _parsed(data)) from error


def read_field(model: type[B], data: object, name: str) -> B:
    """Return the part `name` of a body as a `model`; raise `InvalidRequest` where it is none."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        findings = error.errors(include_url=False, include_context=False)
        raise invalid_body(findings, data, name) from error


def invalid_body(findings: Sequence[Any], data: object, name: str = "") -> InvalidRequest:
    """Return the error for the first of pydantic's findings in `data`, the part `name` of all."""
    first = findings[0]
    kind, says = first["type"], first["msg"]
    param = name + _place(first["loc"], data, missing=kind == "missing")
    param = param.removeprefix(".")
    if kind == "missing":
        message = f"Missing required parameter: '{param}'."
        return InvalidRequest(message, param=param, code="missing_required_parameter")
    code = "invalid_type" if kind.endswith(("_type", "_parsing")) else "invalid_value"
    message = f"Invalid value for '{param}': {says[0].lower()}{says[1:]}." if param else f"{says}."
    return InvalidRequest(message, param=param or None, code=code)


def _parsed(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not JSON: {error}.", code="invalid_json") from error


def _place(path: Sequence[str | int], data: Any, *, missing: bool) -> str:  # noqa: ANN401
    """Return the path as OpenAI writes it, `messages[0].content`.

    Pydantic's has also the names of the members of a union, which are no keys of the data.
    """
    place = ""
    for at, key in enumerate(path):
        if isinstance(data, list) and isinstance(key, int):
            place += f"[{key}]"
            data = data[key]
        elif isinstance(data, dict) and (key in data or (missing and at == len(path) - 1)):
            place += f".{key}"
            data = data.get(key)
    return place
