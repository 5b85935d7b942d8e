"""litellm, asking for responses, and for chats by way of them."""

import json

import litellm
from checks import (
    ANSWER,
    FLAT_WEATHER,
    OUTPUT,
    check_agents,
    check_approvals,
    check_doors,
    check_thinking,
    raised,
    run,
)
from pydantic import BaseModel

TOOLS = [FLAT_WEATHER]


class City(BaseModel):
    name: str
    people: int


@check_doors
def text(door):
    response = litellm.responses(**_asked(door))
    assert _text(response)
    assert response.usage.total_tokens > 0


@check_doors
async def asynchronous(door):
    assert _text(await litellm.aresponses(**_asked(door)))


@check_doors
def stream(door):
    events = list(litellm.responses(**_asked(door), stream=True))
    pieces = [each.delta for each in events if each.type == "response.output_text.delta"]
    assert "".join(pieces) == _text(litellm.responses(**_asked(door)))
    assert events[-1].type == "response.completed"


@check_doors
def tool_loop(door):
    first = litellm.responses(**_asked(door), tools=TOOLS)
    more = {"tools": TOOLS, "previous_response_id": first.id}
    assert _text(litellm.responses(**_asked(door, [_result(_call(first))]), **more))


@check_doors
def tool_loop_streamed(door):
    events = list(litellm.responses(**_asked(door), tools=TOOLS, stream=True))
    call = _call(events[-1].response)
    given = [{"role": "user", "content": "Hello"}, _as_json(call), _result(call)]
    events = list(litellm.responses(**_asked(door, given), tools=TOOLS, stream=True))
    assert _text(events[-1].response)


@check_doors
def structured(door):
    response = litellm.responses(**_asked(door, "Name a city."), text_format=City)
    assert "people" in json.loads(_text(response))


@check_doors
def stored(door):
    where = {"api_base": door.url, "api_key": door.key, "custom_llm_provider": "openai"}
    made = litellm.responses(**_asked(door))
    assert _text(litellm.get_responses(made.id, **where)) == _text(made)
    litellm.delete_responses(made.id, **where)
    raised(Exception, lambda: litellm.get_responses(made.id, **where))


@check_doors
def chat_by_responses(door):
    where = {"api_base": door.url, "api_key": door.key}
    messages = [{"role": "user", "content": "Hello"}]
    asked = {"model": f"openai/responses/{door.model}", "messages": messages, **where}
    whole = litellm.completion(**asked).choices[0].message.content
    chunks = list(litellm.completion(**asked, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole


@check_doors
async def anthropic_messages(door):
    where = {"api_base": door.url, "api_key": door.key, "max_tokens": 100}
    asked = {"model": f"openai/{door.model}", "messages": [{"role": "user", "content": "Hello"}]}
    answer = await litellm.anthropic_messages(**asked, **where)
    assert answer["content"][0]["text"]


@check_doors
def unknown_model(door):
    asked = {**_asked(door), "model": "openai/gpt-99"}
    raised(litellm.NotFoundError, lambda: litellm.responses(**asked))


@check_thinking
def reasoning_tool_loop(door):
    first = litellm.responses(**_asked(door), tools=TOOLS)
    assert _thought(first)
    given = [{"role": "user", "content": "Hello"}, *map(_as_json, first.output)]
    second = litellm.responses(**_asked(door, [*given, _result(_call(first))]), tools=TOOLS)
    assert _text(second)
    assert _thought(second)


@check_thinking
def reasoning_streamed(door):
    events = list(litellm.responses(**_asked(door), stream=True))
    assert _thought(events[-1].response)


@check_agents
def agent(door):
    response = litellm.responses(**_asked(door))
    assert _text(response) == ANSWER
    assert _one(response, "mcp_call")["output"] == OUTPUT


@check_agents
def agent_streamed(door):
    events = list(litellm.responses(**_asked(door), stream=True))
    pieces = [each.delta for each in events if each.type == "response.output_text.delta"]
    assert "".join(pieces) == _text(events[-1].response) == ANSWER
    assert _one(events[-1].response, "mcp_call")["output"] == OUTPUT


@check_agents
def agent_turns(door):
    first = litellm.responses(**_asked(door))
    chained = litellm.responses(**_asked(door, "And now?"), previous_response_id=first.id)
    assert _text(chained) == ANSWER
    question, more = ({"role": "user", "content": text} for text in ("Hello", "And now?"))
    given = [question, *map(_as_json, first.output), more]
    assert _text(litellm.responses(**_asked(door, given))) == ANSWER


@check_agents
def agent_chat(door):
    messages = [{"role": "user", "content": "Hello"}]
    where = {"api_base": door.url, "api_key": door.key}
    for name in (f"openai/{door.model}", f"openai/responses/{door.model}"):
        asked = {"model": name, "messages": messages, **where}
        assert litellm.completion(**asked).choices[0].message.content == ANSWER
        chunks = list(litellm.completion(**asked, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == ANSWER


@check_approvals
def approval(door):
    first = litellm.responses(**_asked(door))
    asked = _one(first, "mcp_approval_request")
    answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"]}
    given = [{**answer, "approve": True}]
    second = litellm.responses(**_asked(door, given), previous_response_id=first.id)
    assert _text(second) == ANSWER
    assert _one(second, "mcp_call")["output"] == OUTPUT


def _asked(door, given="Hello"):
    where = {"api_base": door.url, "api_key": door.key, "max_retries": 0}
    return {"model": f"openai/{door.model}", "input": given, **where}


def _as_json(item):
    return item if isinstance(item, dict) else item.model_dump(exclude_none=True)


def _items(response, kind):
    return [item for item in map(_as_json, response.output) if item["type"] == kind]


def _one(response, kind):
    (item,) = _items(response, kind)
    return item


def _call(response):
    (call,) = [each for each in response.output if _as_json(each)["type"] == "function_call"]
    return call


def _result(call):
    call_id = _as_json(call)["call_id"]
    return {"type": "function_call_output", "call_id": call_id, "output": "Sun"}


def _text(response):
    parts = [part for item in _items(response, "message") for part in item["content"]]
    return "".join(part["text"] for part in parts)


def _thought(response):
    parts = [part for item in _items(response, "reasoning") for part in item["summary"]]
    return "".join(part["text"] for part in parts)


if __name__ == "__main__":
    run("litellm")
