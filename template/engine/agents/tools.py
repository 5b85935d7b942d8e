"""Tools of agents: typed async functions, whose arguments are checked before they run."""

import inspect
import json
import re
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, NotRequired, cast

import pydantic_core
from pydantic import ConfigDict, TypeAdapter, ValidationError
from typing_extensions import TypedDict

from engine.errors import AppError, readable_error
from engine.models.wire import Json
from engine.operations.bound_model import BoundModel
from engine.resources import Resources
from engine.responses.native import Relay

NAME = re.compile("[A-Za-z0-9_-]{1,64}")
"""Names of functions that model servers take."""

MARK = "__"
"""Stands between the label of an MCP server and the name of its tool."""

MOST_BYTES = 65_536
"""Longest output of a tool. The rest is cut off, and the model is told so."""

TOOL_SECONDS = 300.0

IN_DOUBT = "It is not known whether this was done: the call was cut off. Do not repeat it unasked."


class ToolError(AppError):
    """A tool cannot do what the model asks for; the message goes to the model."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool: a parameter of this type receives it."""

    key: str
    """The same at each repetition: hand it on as idempotency key to whatever has an effect."""
    attempt: int
    """1, or more where a worker died during the call."""
    model: BoundModel
    """The model bound to the caller of the run, at the run's priority."""

    @property
    def resources(self) -> Resources:
        """All that the process has open."""
        return self.model.resources

    @property
    def caller_id(self) -> str:
        """Caller of the run: a tool answers only with what is this caller's."""
        return self.model.caller_id


ToolFunction = Callable[..., Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call, with the JSON schema of its arguments."""

    name: str
    description: str
    parameters: Json
    run: Callable[[ToolCall, str], Awaitable[object]]
    """Takes the arguments as JSON. Raises `ToolError` where they do not fit."""
    approval: bool = False
    """Whether a human must agree to each call."""
    repeat: bool = True
    """Whether a call may run again whose worker died in its midst."""
    seconds: float = TOOL_SECONDS
    """Longest time of one call."""
    relay: Callable[[Json, Sequence[str]], Relay] | None = None
    """Makes events of the answers of the model, which may refer to the tool's outputs so far."""

    @property
    def schema(self) -> Json:
        """The tool as a response's request has it."""
        return {
            "type": "function",
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
            "strict": False,
        }


def tool(
    function: ToolFunction,
    *,
    approval: bool = False,
    repeat: bool = True,
    seconds: float = TOOL_SECONDS,
) -> Tool:
    """Return the tool that a typed async function makes. The model reads its docstring.

    Raise `TypeError` where the function is not async or a parameter has no type.
    """
    name = function.__name__
    if not inspect.iscoroutinefunction(function):
        raise TypeError(f"The tool {name} is not async: begin it with `async def`.")
    if MARK in name:
        raise TypeError(f"The tool {name} has {MARK} in its name, as only those of MCP servers do.")
    adapter, handles = _parameters_of(function)
    return Tool(
        name,
        inspect.getdoc(function) or name,
        adapter.json_schema(),
        _checked(function, adapter, handles),
        approval,
        repeat,
        seconds,
    )


def _parameters_of(function: ToolFunction) -> tuple[TypeAdapter[dict[str, Any]], list[str]]:
    """Return the type of the arguments, and the names of the parameters that receive the call."""
    name = function.__name__
    fields: dict[str, Any] = {}
    handles = []
    for each in inspect.signature(function, eval_str=True).parameters.values():
        if each.annotation is ToolCall:
            handles.append(each.name)
        elif each.annotation is each.empty or each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise TypeError(
                f"The parameter {each.name} of the tool {name} needs a type of its own."
            )
        else:
            needed = each.default is each.empty
            fields[each.name] = each.annotation if needed else NotRequired[each.annotation]
    arguments = cast("Any", TypedDict)(name, fields)
    arguments.__pydantic_config__ = ConfigDict(extra="forbid")
    return TypeAdapter(arguments), handles


def _checked(
    function: ToolFunction, adapter: TypeAdapter[dict[str, Any]], handles: Collection[str]
) -> Callable[[ToolCall, str], Awaitable[object]]:
    @wraps(function)  # checks of blocking code find the function itself
    async def run(call: ToolCall, arguments: str) -> object:
        try:
            found = adapter.validate_json(arguments or "{}")
        except ValidationError as error:
            raise ToolError(readable_faults(error)) from None
        return await function(**found, **dict.fromkeys(handles, call))

    return run


def readable_faults(error: ValidationError) -> str:
    """Return a sentence for each fault of a call's arguments."""
    faults = [
        f"{'.'.join(map(str, fault['loc'])) or 'arguments'}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return "The arguments do not fit. " + "; ".join(faults)


def told_output(result: object) -> str:
    """Return what a tool gave as the text that the model reads."""
    if result is None:
        return "Done."
    text = result if isinstance(result, str) else pydantic_core.to_json(result).decode()
    return cut_output(text)


def told_failure(error: Exception) -> str:
    """Return the reason of a failed call as the text that the model reads."""
    if isinstance(error, AppError):
        return readable_error(error.message, MOST_BYTES)
    return readable_error(f"{type(error).__name__}: {error}", 2000)


def cut_output(text: str) -> str:
    """Return the text, or its beginning with a note where it is too long."""
    data = text.encode(errors="replace")
    if len(data) <= MOST_BYTES:
        return data.decode()
    beginning = data[:MOST_BYTES].decode(errors="ignore")
    return f"{beginning}\n[Cut: of {len(data)} bytes these are the first {MOST_BYTES}.]"


def same_arguments(one: bytes, other: bytes) -> bool:
    """Whether two calls have the same arguments, however they are written."""
    try:
        return bool(json.loads(one) == json.loads(other))
    except ValueError:
        return one == other
