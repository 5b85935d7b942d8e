"""A response's request as a chat, for model servers that know nothing else."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from engine.errors import InvalidRequest, Unsupported
from engine.models.wire import Json
from engine.responses.schema import REFUSED, ResponseRequest

SAME = (
    "parallel_tool_calls",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "temperature",
    "top_p",
    "user",
)
"""Fields with the same name and meaning in a chat."""

PARTS = {"input_text": "text", "output_text": "text", "text": "text", "refusal": "refusal"}
"""Kinds of content that are text, and the field that has it."""

OWN_ID = re.compile("[a-z]+_[0-9a-f]{32}")
"""An id as `new_id` makes them."""


def chat_fields(request: ResponseRequest, items: Sequence[Json], first: int = 0) -> Json:
    """Return the fields of a chat that asks for the same. Own items begin at index `first`.

    Raise `InvalidRequest` for an item that is malformed, `Unsupported` for one of a kind that no
    chat knows, both with its place in `input`.
    """
    known = request.model_dump(include={*SAME}, exclude_unset=True, exclude_none=True)
    sent = request.model_extra or {}
    extra = {name: sent[name] for name in sent.keys() - REFUSED.keys()}  # such as vLLM's `top_k`
    chat = {
        **extra,
        **known,
        "model": request.model,
        "messages": list(_messages(request.instructions, items, first)) or [_nothing()],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": request.max_output_tokens,
        "reasoning_effort": request.reasoning.effort if request.reasoning else None,
        "verbosity": request.text.verbosity if request.text else None,
        "response_format": _response_format(request),
        **_tools(request),
        **_logprobs(request),
    }
    if not chat.get("tools"):
        chat.pop("parallel_tool_calls", None)
    return {name: each for name, each in chat.items() if each is not None}


def require_readable(items: Sequence[Json]) -> None:
    """Raise `InvalidRequest` for one of a conversation's new `items` that is malformed."""
    for number, item in enumerate(items):
        with suppress(Unsupported):  # by a chat, but some servers know more
            list(_messages(None, [item], -number, "items"))


def item_place(item: Json, number: int, field: str = "input") -> str:
    """Return the place of an item in the request, or the id of one that came before it."""
    return f"{field}[{number}]" if number >= 0 else str(item.get("id"))


def _nothing() -> Json:
    raise InvalidRequest("The request has no input: send `input` or `instructions`.", param="input")


def _messages(
    instructions: str | None, items: Sequence[Json], first: int, field: str = "input"
) -> Iterator[Json]:
    """Yield the messages. All calls of a turn and the text before them make one message."""
    if instructions:
        yield {"role": "system", "content": instructions}
    assistant: Json | None = None
    for number, item in readable_items(items):
        place = Place(item_place(item, number - first, field), item)
        kind = item.get("type", "message")
        if kind == "reasoning":
            continue  # no server reads another's, and it is no content
        if kind == "function_call":
            assistant = assistant or {"role": "assistant", "content": None}
            assistant.setdefault("tool_calls", []).append(_call(place))
            continue
        if assistant:
            yield assistant
        assistant, message = None, _message(kind, place)
        if message["role"] == "assistant":
            assistant = message
        else:
            yield message
    if assistant:
        yield assistant


def readable_items(items: Sequence[Json]) -> Iterator[tuple[int, Json]]:
    """Yield each item that a model server reads, with its number.

    Calls that were run here become the calls and outputs of functions, and those that stand
    together one turn. Requests for an approval and the answers to them are no content.
    """
    outputs: list[tuple[int, Json]] = []
    for number, item in enumerate(items):
        kind = item.get("type")
        if kind == "mcp_call":
            called = {"call_id": item.get("id"), "name": item.get("name")}
            yield number, {"type": "function_call", **called, "arguments": item.get("arguments")}
            said = {"call_id": item.get("id"), "output": item.get("output") or ""}
            outputs.append((number, {"type": "function_call_output", **said}))
        elif kind not in ("mcp_approval_request", "mcp_approval_response") and not _was_here(item):
            yield from outputs
            outputs = []
            yield number, item
    yield from outputs


def _was_here(item: Json) -> bool:
    """Whether an item is a search that was made here: what it found was shown at its time."""
    return item.get("type") == "file_search_call" and bool(OWN_ID.fullmatch(str(item.get("id"))))


class Place:
    """An object in a request, whose faults are told with its place."""

    def __init__(self, name: str, value: Json) -> None:
        self.name = name
        self.value = value

    def text(self, field: str) -> str:
        """Return the text in a field; raise `InvalidRequest` where there is none."""
        name = f"{self.name}.{field}"
        if self.value.get(field) is None:
            message = f"Missing required parameter: '{name}'."
            raise InvalidRequest(message, param=name, code="missing_required_parameter")
        if not isinstance(self.value[field], str):
            message = f"Invalid value for '{name}': it should be a string."
            raise InvalidRequest(message, param=name, code="invalid_type")
        return str(self.value[field])

    def content(self, field: str, role: str) -> str | list[Json]:
        """Return a content as a chat has it: a text, or a list of parts."""
        parts = self.value.get(field)
        if not isinstance(parts, list):
            return self.text(field)
        name = f"{self.name}.{field}"
        translated = [_part(Place(f"{name}[{at}]", part)) for at, part in enumerate(parts)]
        if role != "assistant" and len(translated) != 1:
            return translated
        if all(part["type"] == "text" for part in translated):
            return "".join(part["text"] for part in translated)
        return translated

    def unsupported(self, what: str) -> Unsupported:
        """Return the refusal of this."""
        return Unsupported(f"{what} is not supported with this model.", param=self.name)


def _message(kind: object, place: Place) -> Json:
    if kind == "message":
        role = place.text("role")
        if role not in ("user", "assistant", "system", "developer"):
            message = f"Invalid value for '{place.name}.role': there is no role {role}."
            raise InvalidRequest(message, param=f"{place.name}.role", code="invalid_value")
        role = "system" if role == "developer" else role  # which every server knows
        return {"role": role, "content": place.content("content", role)}
    if kind == "function_call_output":
        content = place.content("output", "tool")
        return {"role": "tool", "tool_call_id": place.text("call_id"), "content": content}
    raise place.unsupported(f"An item of the type '{kind}'")


def _call(place: Place) -> Json:
    function = {"name": place.text("name"), "arguments": place.text("arguments")}
    return {"id": place.text("call_id"), "type": "function", "function": function}


def _part(place: Place) -> Json:
    if not isinstance(place.value, dict):
        message = f"Invalid value for '{place.name}': it should be an object."
        raise InvalidRequest(message, param=place.name, code="invalid_type")
    kind = place.value.get("type")
    if field := PARTS.get(str(kind)):
        return {"type": "text", "text": place.text(field)}
    if kind == "input_image" and "image_url" in place.value:
        detail = place.value.get("detail") or "auto"
        return {
            "type": "image_url",
            "image_url": {"url": place.text("image_url"), "detail": detail},
        }
    raise place.unsupported(f"Content of the type '{kind}'")


def _tools(request: ResponseRequest) -> Json:
    tools = [_tool(Place(f"tools[{at}]", tool)) for at, tool in enumerate(request.tools)]
    choice = request.tool_choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        allowed = choice.get("tools")
        if not isinstance(allowed, list):
            message = "Invalid value for 'tool_choice.tools': it should be a list."
            raise InvalidRequest(message, param="tool_choice.tools", code="invalid_type")
        named = [tool.get("name") for tool in allowed if isinstance(tool, dict)]
        tools = [tool for tool in tools if tool["function"]["name"] in named]
        choice = choice.get("mode") or "auto"
    if isinstance(choice, dict):
        place = Place("tool_choice", choice)
        if choice.get("type") != "function":
            raise place.unsupported(f"A tool choice of the type '{choice.get('type')}'")
        choice = {"type": "function", "function": {"name": place.text("name")}}
    elif choice not in ("none", "auto", "required"):
        message = "Invalid value for 'tool_choice': it is none, auto, required or a function."
        raise InvalidRequest(message, param="tool_choice", code="invalid_value")
    if tools:
        return {"tools": tools, "tool_choice": choice}
    if choice in ("none", "auto"):
        return {}
    message = "`tool_choice` asks for a tool that is not there."
    raise InvalidRequest(message, param="tool_choice")


def _tool(place: Place) -> Json:
    if place.value.get("type") != "function":
        raise place.unsupported(f"A tool of the type '{place.value.get('type')}'")
    names = ("description", "parameters", "strict")
    given = {name: place.value[name] for name in names if place.value.get(name) is not None}
    return {"type": "function", "function": {"name": place.text("name"), **given}}


def _response_format(request: ResponseRequest) -> Json | None:
    form = (request.text.format if request.text else None) or {"type": "text"}
    place = Place("text.format", form)
    match form.get("type"):
        case "text":
            return None
        case "json_object":
            return {"type": "json_object"}
        case "json_schema" if isinstance(form.get("schema"), dict):
            place.text("name")
            schema = {name: each for name, each in form.items() if name != "type"}
            return {"type": "json_schema", "json_schema": schema}
        case "json_schema":
            name = "text.format.schema"
            message = f"Missing required parameter: '{name}'."
            raise InvalidRequest(message, param=name, code="missing_required_parameter")
        case other:
            raise place.unsupported(f"A text of the format '{other}'")


def _logprobs(request: ResponseRequest) -> dict[str, Any]:
    wanted = "message.output_text.logprobs" in request.include
    return {"logprobs": True, "top_logprobs": request.top_logprobs or 0} if wanted else {}
