"""The contract of a response: without any part of it, one of the common clients breaks.

The strict types of OpenAI's own client know most of it. The fields of `Resource` are those that
Open Responses (https://www.openresponses.org) requires in `ResponseResource.json`.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any, Literal, get_args

from openai import BaseModel as ClientsModel
from openai.types.responses import Response, ResponseItem, ResponseStreamEvent
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from engine.models.wire import Json, encode_json


class Resource(BaseModel):
    """What every response has, and of which type."""

    model_config = ConfigDict(strict=True)

    id: str
    object: Literal["response"]
    created_at: int
    completed_at: int | None
    status: str
    incomplete_details: Json | None
    model: str
    previous_response_id: str | None
    instructions: str | list[Json] | None
    output: list[Json]
    error: Json | None
    tools: list[Json]
    tool_choice: str | Json
    truncation: Literal["auto", "disabled"]
    parallel_tool_calls: bool
    text: Json
    top_p: float
    presence_penalty: float
    frequency_penalty: float
    top_logprobs: int
    temperature: float
    reasoning: Json | None
    user: str | None
    usage: Json | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    store: bool
    background: bool
    service_tier: str
    metadata: Json
    safety_identifier: str | None
    prompt_cache_key: str | None


TYPES: dict[str, type[ClientsModel]] = {
    get_args(each.model_fields["type"].annotation)[0]: each
    for each in get_args(get_args(ResponseStreamEvent)[0])
}
"""The types of the events."""

UNTYPED = {
    "Response.store",
    "Response.presence_penalty",
    "Response.frequency_penalty",
    "ResponseFunctionCallArgumentsDoneEvent.name",  # required before the client's 3.9.0
}
"""Fields that OpenAI's client has no type for."""

LAX = {
    "function_call": {"id", "status"},
    "mcp_call": {"approval_request_id", "error", "output", "status"},
    "output_text": {"annotations", "logprobs"},
    "reasoning": {"status"},
}
"""Fields that the types let go, by the type of their object, and a client misses."""

ITEM: TypeAdapter[ResponseItem] = TypeAdapter(ResponseItem)

PARTS = {"message": "content", "reasoning": "summary"}


def breaches(events: Sequence[Json], expected: Sequence[str]) -> list[str]:
    """Return what is wrong with a stream. Repeated deltas count once in the expected types."""
    types = [name.removeprefix("response.") for name, _ in groupby(each["type"] for each in events)]
    found = [] if types == list(expected) else [f"the types are {types}"]
    numbers = [each.get("sequence_number") for each in events]
    if numbers != list(range(len(events))):
        found.append(f"the numbers are {numbers}")
    for event in events:
        found += _misfits(event["type"], TYPES[event["type"]], event)
        if "response" in event:
            found += _misfits(event["type"], Resource, event["response"])
        found += [f"{event['type']}: {each}" for each in _missing(event)]
    return found or [*_strays(events)]


def breaches_of_whole(response: Json) -> list[str]:
    """Return what is wrong with a response as a whole."""
    found = [*_misfits("response", Response, response), *_misfits("response", Resource, response)]
    if response.get("usage") is None:
        found.append("there is no usage")
    return [*found, *_missing(response)]


def _misfits(place: str, kind: type[BaseModel], data: Json) -> Iterator[str]:
    """Yield what is of another type, lacks, or is there without a type."""
    try:
        read = kind.model_validate_json(encode_json(data), strict=True)
    except ValidationError as error:
        yield from (f"{place}: {each['loc']}: {each['msg']}" for each in error.errors())
        return
    if isinstance(read, ClientsModel):
        yield from (f"{place}: {name} has no type" for name in sorted({*_extra(read)} - UNTYPED))


def _extra(value: object) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from (f"{type(value).__name__}.{name}" for name in value.model_extra or ())
        for _, each in value:
            yield from _extra(each)
    elif isinstance(value, list):
        for each in value:
            yield from _extra(each)


def _missing(value: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield the fields of `LAX` that an object, or one in it, has not."""
    if isinstance(value, dict):
        needed = LAX.get(str(value.get("type")), set())
        yield from (f"{value['type']} has no {name}" for name in sorted(needed - value.keys()))
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _missing(each)


def _strays(events: Sequence[Json]) -> Iterator[str]:
    """Yield what does not fit together: ids, places, pieces of texts, the final items."""
    items: dict[int, Json] = {}
    pieces: dict[int, str] = {}
    for event in events:
        at, kind = event.get("output_index"), event["type"].removeprefix("response.")
        if kind == "output_item.added":
            if at != len(items):
                yield f"an item begins at {at}"
            items[event["output_index"]] = event["item"]
        elif at is not None:
            if items[at]["id"] != event.get("item_id", event.get("item", {}).get("id")):
                yield f"{kind} at {at} has another id than its item"
            pieces[at] = pieces.get(at, "") + event.get("delta", "")
        if kind == "output_item.done":
            items[event["output_index"]] = event["item"]
            if _text(event["item"]) != pieces[event["output_index"]]:
                yield f"the pieces at {at} are not the text"
    if events[-1]["response"]["output"] != list(items.values()):
        yield "the output is not the items"
    if events[-1]["response"]["usage"] is None and events[-1]["type"] != "response.failed":
        yield "there is no usage"


def _text(item: Json) -> str:
    if item["type"] in ("function_call", "mcp_call"):
        return str(item["arguments"])
    if item["type"] == "mcp_approval_request":  # which comes as a whole
        return ""
    return "".join(
        part.get("text") or part.get("refusal", "") for part in item[PARTS[item["type"]]]
    )
