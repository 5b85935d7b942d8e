"""OpenAI's own client for Python, asking for responses."""

import json
import time

import openai
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
FINAL = {"completed", "incomplete", "failed", "cancelled"}


class Answer(BaseModel):
    city: str
    people: int


@check_doors
def text(door):
    response = _ask(door)
    assert response.status == "completed"
    assert response.output_text
    assert response.usage.total_tokens > response.usage.input_tokens > 0
    assert response._request_id


@check_doors
async def asynchronous(door):
    async with openai.AsyncOpenAI(base_url=door.url, api_key=door.key) as client:
        asked = {"model": door.model, "input": "Hello", "stream": True}
        events = [event async for event in await client.responses.create(**asked)]
    assert events[-1].response.output_text == _ask(door).output_text


@check_doors
def stream(door):
    events = list(_ask(door, stream=True))
    assert _numbers(events) == list(range(len(events)))
    assert events[0].type == "response.created"
    assert events[-1].type == "response.completed"
    assert _text(events) == events[-1].response.output_text == _ask(door).output_text


@check_doors
def stream_helper(door):
    with _client(door).stream(model=door.model, input="Hello") as events:
        told = _text(events)
        assert told == events.get_final_response().output_text


@check_doors
def tool_loop(door):
    first = _ask(door, tools=TOOLS)
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert "city" in json.loads(call.arguments)
    second = _ask(door, [_result(call)], tools=TOOLS, previous_response_id=first.id)
    assert second.output_text
    third = _ask(door, "And now?", previous_response_id=second.id)
    assert third.output_text


@check_doors
def tool_loop_streamed(door):
    with _client(door).stream(model=door.model, input="Hello", tools=TOOLS) as events:
        done = [each for each in events if each.type == "response.function_call_arguments.done"]
        first = events.get_final_response()
    (call,) = [item for item in first.output if item.type == "function_call"]
    assert done[0].arguments == call.arguments
    given = [{"role": "user", "content": "Hello"}, *first.output, _result(call)]
    with _client(door).stream(model=door.model, input=given, tools=TOOLS) as events:
        assert events.get_final_response().output_text


@check_doors
def structured(door):
    answer = _client(door).parse(model=door.model, input="Where?", text_format=Answer)
    assert isinstance(answer.output_parsed, Answer)


@check_doors
def structured_streamed(door):
    asked = {"model": door.model, "input": "Where?", "text_format": Answer}
    with _client(door).stream(**asked) as events:
        assert isinstance(events.get_final_response().output_parsed, Answer)


@check_doors
def cut_off(door):
    response = _ask(door, max_output_tokens=3)
    assert response.status == "incomplete"
    assert response.incomplete_details.reason == "max_output_tokens"
    assert list(_ask(door, max_output_tokens=3, stream=True))[-1].type == "response.incomplete"


@check_doors
def item_reference(door):
    message = _ask(door).output[0]
    asked = [{"type": "item_reference", "id": message.id}, {"role": "user", "content": "Again."}]
    listed = _client(door).input_items.list(_ask(door, asked).id, order="asc").data
    assert listed[0].content[0].text == message.content[0].text
    assert listed[1].content[0].text == "Again."


@check_doors
def stored(door):
    made = _ask(door, metadata={"colour": "blue"})
    assert _client(door).retrieve(made.id) == made
    _client(door).delete(made.id)
    raised(openai.NotFoundError, lambda: _client(door).retrieve(made.id))


@check_doors
def not_stored(door):
    made = _ask(door, store=False)
    raised(openai.NotFoundError, lambda: _client(door).retrieve(made.id))


@check_doors
def input_tokens(door):
    counted = _client(door).input_tokens.count(model=door.model, input="Hello")
    assert counted.input_tokens > 0


@check_doors
def nulls(door):
    absent = {"instructions": None, "temperature": None, "text": None, "stream": None}
    assert _ask(door, tools=[], include=[], **absent).output_text


@check_doors
def background(door):
    response = _ask(door, background=True)
    assert response.status == "queued"
    response = _ended(door, response)
    assert response.status == "completed"
    assert response.output_text == _ask(door).output_text


@check_doors
def background_tool_loop(door):
    first = _ended(door, _ask(door, background=True, tools=TOOLS))
    (call,) = [item for item in first.output if item.type == "function_call"]
    more = {"previous_response_id": first.id, "tools": TOOLS}
    assert _ended(door, _ask(door, [_result(call)], background=True, **more)).output_text


@check_doors
def background_resumed(door):
    stream = _ask(door, background=True, stream=True)
    events = [next(stream) for _ in range(6)]
    stream.close()
    (response_id,) = {each.response.id for each in events if hasattr(each, "response")}
    last = events[-1].sequence_number
    events += _client(door).retrieve(response_id, stream=True, starting_after=last)
    assert _numbers(events) == list(range(len(events)))
    assert _text(events) == events[-1].response.output_text


@check_doors
def background_resumed_by_the_helper(door):
    asked = {"model": door.model, "input": "Hello", "background": True}
    with _client(door).stream(**asked) as events:
        first = next(iter(events))
    resumed = {"response_id": first.response.id, "starting_after": first.sequence_number}
    with _client(door).stream(**resumed) as events:
        assert next(iter(events)).sequence_number == first.sequence_number + 1
        assert events.get_final_response().output_text


@check_doors
def background_cancelled(door):
    client, response = _client(door), _ask(door, background=True)
    assert client.cancel(response.id).status in FINAL


@check_doors
def unsupported_parameter(door):
    error = raised(openai.BadRequestError, lambda: _ask(door, truncation="auto"))
    assert (error.code, error.param) == ("unsupported_parameter", "truncation")


@check_doors
def unknown_previous_response(door):
    error = raised(openai.BadRequestError, lambda: _ask(door, previous_response_id="resp_1"))
    assert error.code == "previous_response_not_found", error.code


@check_doors
def unknown_model(door):
    asked = {"model": "gpt-99", "input": "Hello"}
    error = raised(openai.NotFoundError, lambda: _client(door).create(**asked))
    assert error.code == "model_not_found", error.code


@check_thinking
def reasoning(door):
    thought, message = _ask(door).output
    assert thought.summary[0].text
    assert message.content[0].text


@check_thinking
def reasoning_streamed(door):
    events = list(_ask(door, stream=True))
    pieces = [e.delta for e in events if e.type == "response.reasoning_summary_text.delta"]
    assert "".join(pieces) == events[-1].response.output[0].summary[0].text


@check_thinking
def reasoning_tool_loop(door):
    first = _ask(door, tools=TOOLS)
    thought, call = first.output
    assert thought.type == "reasoning"
    given = [{"role": "user", "content": "Hello"}, *first.output, _result(call)]
    assert _ask(door, given, tools=TOOLS).output_text
    assert _ask(door, [_result(call)], previous_response_id=first.id, tools=TOOLS).output_text


@check_agents
def agent(door):
    response = _ask(door)
    call = _one(response, "mcp_call")
    assert (call.name, call.output, call.server_label) == ("weather", OUTPUT, door.model)
    assert response.output_text == ANSWER
    assert response.usage.total_tokens > response.usage.input_tokens > 0


@check_agents
def agent_streamed(door):
    events = list(_ask(door, stream=True))
    assert _numbers(events) == list(range(len(events)))
    types = [event.type for event in events]
    assert "response.mcp_call_arguments.done" in types
    assert "response.mcp_call.completed" in types
    assert _one(events[-1].response, "mcp_call").output == OUTPUT
    assert _text(events) == events[-1].response.output_text == ANSWER


@check_agents
def agent_stream_helper(door):
    with _client(door).stream(model=door.model, input="Hello") as events:
        assert _text(events) == events.get_final_response().output_text == ANSWER


@check_agents
def agent_turns(door):
    first = _ask(door)
    second = _ask(door, "And now?", previous_response_id=first.id)
    assert second.output_text == ANSWER
    given = [{"role": "user", "content": "Hello"}, *first.output]
    assert _ask(door, [*given, {"role": "user", "content": "And now?"}]).output_text == ANSWER


@check_agents
def agent_background(door):
    response = _ended(door, _ask(door, background=True))
    assert _one(response, "mcp_call").output == OUTPUT
    assert response.output_text == ANSWER


@check_agents
def agent_background_resumed(door):
    stream = _ask(door, background=True, stream=True)
    events = [next(stream) for _ in range(6)]
    stream.close()
    after = events[-1].sequence_number
    events += _client(door).retrieve(events[0].response.id, stream=True, starting_after=after)
    assert _numbers(events) == list(range(len(events)))
    assert events[-1].response.output_text == ANSWER


@check_agents
def agent_chat(door):
    chats = openai.OpenAI(base_url=door.url, api_key=door.key).chat.completions
    asked = {"model": door.model, "messages": [{"role": "user", "content": "Hello"}]}
    whole = chats.create(**asked)
    assert whole.choices[0].message.content == ANSWER
    assert whole.usage.total_tokens > 0
    chunks = list(chats.create(**asked, stream=True))
    pieces = [each.choices[0].delta.content or "" for each in chunks if each.choices]
    assert "".join(pieces) == ANSWER


@check_approvals
def approval(door):
    first = _ask(door)
    request = _one(first, "mcp_approval_request")
    assert json.loads(request.arguments) == {"city": "Rome"}
    second = _ask(door, [_answer(request, approve=True)], previous_response_id=first.id)
    call = _one(second, "mcp_call")
    assert (call.output, call.approval_request_id) == (OUTPUT, request.id)
    assert second.output_text == ANSWER
    again = {"previous_response_id": first.id}
    answers = [_answer(request, approve=True)]
    error = raised(openai.BadRequestError, lambda: _ask(door, answers, **again))
    assert error.code == "approval_request_answered"


@check_approvals
def approval_streamed(door):
    with _client(door).stream(model=door.model, input="Hello") as events:
        first = events.get_final_response()
    given = [_answer(_one(first, "mcp_approval_request"), approve=True)]
    more = {"input": given, "previous_response_id": first.id}
    with _client(door).stream(model=door.model, **more) as events:
        assert _text(events) == events.get_final_response().output_text == ANSWER


@check_approvals
def approval_denied(door):
    first = _ended(door, _ask(door, background=True))
    given = [_answer(_one(first, "mcp_approval_request"), approve=False, reason="Not today.")]
    more = {"previous_response_id": first.id, "background": True}
    call = _one(_ended(door, _ask(door, given, **more)), "mcp_call")
    assert call.status == "failed"
    assert "Not today." in call.output


def _client(door):
    return openai.OpenAI(base_url=door.url, api_key=door.key).responses


def _ask(door, given="Hello", **more):
    return _client(door).create(model=door.model, input=given, **more)


def _result(call):
    return {"type": "function_call_output", "call_id": call.call_id, "output": "Sun"}


def _one(response, kind):
    (item,) = [item for item in response.output if item.type == kind]
    return item


def _answer(request, **more):
    return {"type": "mcp_approval_response", "approval_request_id": request.id, **more}


def _ended(door, response):
    limit = time.monotonic() + 60
    while response.status not in FINAL:
        assert time.monotonic() < limit, f"the response is {response.status} after 60 s"
        time.sleep(0.1)
        response = _client(door).retrieve(response.id)
    return response


def _numbers(events):
    return [event.sequence_number for event in events]


def _text(events):
    return "".join(each.delta for each in events if each.type == "response.output_text.delta")


if __name__ == "__main__":
    run("openai")
