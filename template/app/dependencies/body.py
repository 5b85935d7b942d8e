"""A JSON body, checked once from its bytes and only after the caller is known.

FastAPI's own body parameters are read before any dependency runs, so a stranger's 10 MB would be
parsed before the 401, and go through `json` and pydantic: 274 µs against 184 µs for a chat.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.dependencies.caller import CurrentCaller
from app.errors import InvalidRequest

B = TypeVar("B", bound=BaseModel)


def json_body(model: type[B]) -> Callable[[Request, CurrentCaller], Awaitable[B]]:
    """Return a dependency that gives the request's body as a `model`."""

    async def parse(request: Request, _caller: CurrentCaller) -> B:
        return parse_json(model, await request.body())

    return parse


def parse_json(model: type[B], data: bytes) -> B:
    """Return `data` as a `model`; raise `InvalidRequest` that names the first wrong field."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False)) from error


def parse(model: type[B], data: object, name: str) -> B:
    """Return the part `name` of a body as a `model`; raise `InvalidRequest` where it is none."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise invalid(error.errors(include_url=False, include_context=False), name) from error


def invalid(errors: list[Any], *path: str) -> InvalidRequest:
    """Return the error for the first of pydantic's findings, in the part of a body at `path`."""
    first = errors[0]
    param = ".".join([*path, *map(str, first["loc"])]) or None
    where = f" in {param}" if param else ""
    return InvalidRequest(f"{first['msg']}{where}.", param=param, code=first["type"])


def describe(model: type[BaseModel]) -> dict[str, Any]:
    """Return the OpenAPI description of a body that a dependency parses."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    content = {"application/json": {"schema": _inline(schema, definitions)}}
    return {"requestBody": {"required": True, "content": content}}


def _inline(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 -- any JSON
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(reference := node.get("$ref"), str):
        name = reference.rsplit("/", 1)[-1]
        others = {each: definitions[each] for each in definitions if each != name}
        # What contains itself is unfolded once; within itself it has its name only.
        return _inline(definitions[name], others) if name in definitions else {"title": name}
    return {key: _inline(value, definitions) for key, value in node.items()}
