"""What an agent's run says to its model, and what its caller reads of it."""

from collections.abc import Collection, Iterator, Sequence

import msgspec

from engine.agents.agent import Agent
from engine.agents.events import call_item
from engine.agents.steps import Step
from engine.agents.tools import Tool, same_arguments
from engine.models.wire import Json
from engine.responses.schema import ResponseRequest
from engine.sql.statements import new_id

PASSED_ON = {
    "include",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "temperature",
    "text",
    "top_p",
    "user",
}
"""Fields of a caller's request that tune each answer of the model."""

COUNTS = ("input_tokens", "output_tokens", "total_tokens")
DETAILS = {
    "input_tokens_details": ("cached_tokens", "cache_write_tokens"),
    "output_tokens_details": ("reasoning_tokens",),
}


def turn_request(
    agent: Agent, request: ResponseRequest, model: str, tools: Collection[Tool], used: int
) -> ResponseRequest:
    """Return the request for the next answer of the model, after so many tokens of output."""
    fields = request.model_dump(include=PASSED_ON, exclude_unset=True)
    if request.max_output_tokens:
        fields["max_output_tokens"] = request.max_output_tokens - used
    if agent.output:
        schema = agent.output.model_json_schema()
        form = {"type": "json_schema", "name": agent.output.__name__, "schema": schema}
        fields["text"] = {**fields.get("text", {}), "format": form}
    if tools:
        fields["tools"] = [tool.schema for tool in tools]
    instructions = [agent.instructions, request.instructions]
    fields["instructions"] = "\n\n".join(each for each in instructions if each)
    return ResponseRequest.model_validate({**fields, "model": model, "stream": True})


def run_items(found: Sequence[Step]) -> Iterator[Json]:
    """Yield the steps so far as items that the model reads."""
    for step in found:
        if step.kind == "model":
            yield from step.items
            continue
        if step.approval_id:  # its answer stands in an earlier response
            arguments = step.input.decode()
            named = {"call_id": step.id, "name": step.name, "arguments": arguments}
            yield {"type": "function_call", **named}
        yield {"type": "function_call_output", "call_id": step.id, "output": step.text}


def outputs_of(tool: str, items: Sequence[Json]) -> list[str]:
    """Return the outputs of a tool among all items that the model reads."""
    named = [item for item in items if item.get("name") == tool]
    calls = {item["call_id"] for item in named if "call_id" in item}
    outputs = [item for item in items if item.get("call_id") in calls] + named
    return [item["output"] for item in outputs if isinstance(item.get("output"), str)]


def output_items(found: Sequence[Step], agent: str) -> list[Json]:
    """Return the items of the response."""
    items: list[Json] = []
    for step in found:
        if step.kind == "model":
            items += [item for item in step.items if item["type"] != "function_call"]
        else:
            items.append(call_item(step, agent))
    return items


def keyed_calls(output: Sequence[Json]) -> tuple[list[Json], list[Json]]:
    """Return the items of an answer and the calls among them, each with an id of our own.

    Some servers give the same id to calls of several answers.
    """
    items = [
        {**item, "call_id": new_id("mcp")} if item["type"] == "function_call" else item
        for item in output
    ]
    return items, [item for item in items if item["type"] == "function_call"]


def repeats(before: Sequence[Step], name: str, arguments: bytes) -> int:
    """Return how many calls before this one, without another in between, were the same."""
    count = 0
    for step in reversed([step for step in before if step.kind == "tool"]):
        if step.name != name or not same_arguments(step.input, arguments):
            break
        count += 1
    return count


def total_usage(found: Sequence[Step]) -> Json:
    """Return the tokens of all answers, as a response has them."""
    usages = [msgspec.json.decode(step.usage) or {} for step in found if step.usage]
    return {
        **{name: _sum(usages, name) for name in COUNTS},
        **{
            details: {
                name: _sum([each.get(details) or {} for each in usages], name) for name in names
            }
            for details, names in DETAILS.items()
        },
    }


def _sum(usages: Sequence[Json], name: str) -> int:
    return sum(each.get(name) or 0 for each in usages)
