"""Hosted tools of a response: those that run here, before the model is asked, and the server's."""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from pydantic import BaseModel
from sqlalchemy.orm import Session

from engine.body import read_field
from engine.errors import Unsupported
from engine.models.wire import Json
from engine.operations.bound_model import BoundModel
from engine.options import installed_options
from engine.responses.native import Relay
from engine.responses.schema import ResponseRequest

CALLERS_TOOLS = {"custom", "function"}
OBJECTS = {"connector_id", "file_ids", "server_url", "vector_store_ids"}
"""Fields of other tools that name a thing which may be another caller's, or a server of theirs."""


@dataclass(frozen=True, slots=True)
class Grounding:
    """What the tools found: the request for the model, and what makes events of its answer."""

    request: ResponseRequest
    relay: Callable[[Json], Relay]


Ground: TypeAlias = Callable[
    [BoundModel, ResponseRequest, Sequence[Json]], Awaitable[Grounding | None]
]
"""Takes a request and all its items; returns None where it has none of the tools."""

StoreCheck: TypeAlias = Callable[[Session, str, ResponseRequest], None]
"""Takes a caller and a request; raises for a store that the caller may not search."""


@cache
def tools_run_here() -> Mapping[str, type[BaseModel]]:
    """Return the hosted tools that run here, by their type."""
    options = installed_options().values()
    return {kind: model for option in options for kind, model in option.tools.items()}


def without_tools_run_here(request: ResponseRequest) -> ResponseRequest:
    """Return the request for a model, which knows none of these tools."""
    kinds = tools_run_here()
    left = [tool for tool in request.tools if tool.get("type") not in kinds]
    if len(left) == len(request.tools):
        return request
    choice = request.tool_choice
    named = choice.get("type") if isinstance(choice, dict) else choice
    if named in kinds or not left:
        choice = "auto"
    return request.model_copy(update={"tools": left, "tool_choice": choice})


def refuse_hosted_tools(request: ResponseRequest, allowed: Collection[str]) -> None:
    """Raise `Unsupported` for a tool that a server would run, and that is not allowed.

    Raise `InvalidRequest` for one that runs here and is malformed.
    """
    for at, tool in enumerate(request.tools):
        kind, container = str(tool.get("type")), tool.get("container")
        if model := tools_run_here().get(kind):
            read_field(model, tool, f"tools[{at}]")
            continue
        named = OBJECTS & tool.keys() or isinstance(container, str)
        if kind not in CALLERS_TOOLS and (named or kind not in allowed):
            message = f"A tool of the type '{kind}' is not supported with this model."
            raise Unsupported(message, param=f"tools[{at}]")


def has_tools_run_here(request: ResponseRequest) -> bool:
    """Return whether a request has a hosted tool that runs here."""
    return any(tool.get("type") in tools_run_here() for tool in request.tools)


def check_stores(session: Session, caller_id: str, request: ResponseRequest) -> None:
    """Raise `NotFound` where a tool that runs here names a store that the caller has not.

    Raise `InvalidRequest` for one that has expired.
    """
    for option in installed_options().values():
        if option.store_check:
            option.store_check(session, caller_id, request)


async def ground_response(
    model: BoundModel, request: ResponseRequest, items: Sequence[Json]
) -> Grounding:
    """Return the request with what its tools found. `items` are those that the model reads.

    Raise `NotFound` for a thing that the caller has not.
    """
    if request.tool_choice != "none":
        for option in installed_options().values():
            if option.ground and (found := await option.ground(model, request, items)):
                return found
    return Grounding(without_tools_run_here(request), Relay)
