"""A JSON body, checked once from its bytes and only after the caller is known.

FastAPI's own body parameters are read before any dependency runs, so a stranger's 10 MB would be
parsed before the 401, and go through `json` and pydantic: 274 µs against 184 µs for a chat.
"""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel

from app.dependencies.caller import CurrentCaller
from engine.body import read

B = TypeVar("B", bound=BaseModel)


def json_body(model: type[B]) -> Callable[[Request, CurrentCaller], Awaitable[B]]:
    """Return a dependency that gives the request's body as a `model`."""

    async def parse(request: Request, _caller: CurrentCaller) -> B:
        request.state.body = body = read(model, await request.body())
        return body

    return parse


def describe(model: type[BaseModel], example: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the OpenAPI description of a body that a dependency parses."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    content = {"schema": _inline(schema, definitions), **({"example": example} if example else {})}
    return {"requestBody": {"required": True, "content": {"application/json": content}}}


def _inline(node: Any, definitions: dict[str, Any]) -> Any:  # noqa: ANN401 -- any JSON
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    if not isinstance(node, dict):
        return node
    if isinstance(reference := node.get("$ref"), str):
        name = reference.rsplit("/", 1)[-1]
        others = {each: definitions[each] for each in definitions if each != name}
        # A recursive schema is unfolded once; within itself it has its name only.
        return _inline(definitions[name], others) if name in definitions else {"title": name}
    return {key: _inline(value, definitions) for key, value in node.items()}
