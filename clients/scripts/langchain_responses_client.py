"""LangChain by responses, as it asks for the newer models of OpenAI."""

import openai
from checks import (
    ANSWER,
    OUTPUT,
    check_agents,
    check_approvals,
    check_doors,
    check_thinking,
    raised,
    run,
)
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel

QUESTION = HumanMessage("How is the weather in Rome?")


class City(BaseModel):
    """A city."""

    name: str
    people: int


@tool
def weather(city: str) -> str:
    """Tell the weather of a city."""
    return f"Sun in {city}"


@check_doors
def text(door):
    answer = _model(door).invoke("Hello")
    assert answer.text
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["status"] == "completed"


@check_doors
async def stream(door):
    whole = _model(door).invoke("Hello").text
    assert _sum(_model(door).stream("Hello")).text == whole
    assert "".join([chunk.text async for chunk in _model(door).astream("Hello")]) == whole


@check_doors
def stream_usage(door):
    assert _sum(_model(door).stream("Hello")).usage_metadata["output_tokens"] > 0


@check_doors
def tool_loop(door):
    model = _model(door).bind_tools([weather])
    first = model.invoke([QUESTION])
    assert model.invoke([QUESTION, first, _result(first)]).text


@check_doors
def tool_loop_streamed(door):
    model = _model(door).bind_tools([weather])
    first = _sum(model.stream([QUESTION]))
    assert _sum(model.stream([QUESTION, first, _result(first)])).text


@check_doors
def tool_loop_continued(door):
    model = _model(door, use_previous_response_id=True)
    first = model.bind_tools([weather]).invoke([QUESTION])
    given = [QUESTION, first, _result(first)]
    second = model.bind_tools([weather]).invoke(given)
    assert second.text
    assert model.invoke([*given, second, HumanMessage("And now?")]).text


@check_doors
def structured(door):
    structured = _model(door).with_structured_output(City, method="json_schema")
    assert isinstance(structured.invoke("Name a city."), City)


@check_doors
def structured_streamed(door):
    structured = _model(door).with_structured_output(City, method="json_schema")
    assert isinstance(list(structured.stream("Name a city."))[-1], City)


@check_doors
def structured_by_tool(door):
    structured = _model(door).with_structured_output(City, method="function_calling")
    assert isinstance(structured.invoke("Name a city."), City)


@check_doors
def cut_off(door):
    answer = _model(door, max_tokens=3).invoke("Hello")
    assert answer.response_metadata["incomplete_details"]["reason"] == "max_output_tokens"


@check_doors
def unknown_model(door):
    raised(openai.NotFoundError, lambda: _model(door, model="gpt-99").invoke("Hello"))


@check_thinking
def reasoning_tool_loop(door):
    model = _model(door).bind_tools([weather])
    first = model.invoke([QUESTION])
    assert _thought(first)
    second = model.invoke([QUESTION, first, _result(first)])
    assert second.text
    assert _thought(second)


@check_thinking
def reasoning_tool_loop_streamed(door):
    model = _model(door).bind_tools([weather])
    first = _sum(model.stream([QUESTION]))
    assert _thought(first)
    assert _sum(model.stream([QUESTION, first, _result(first)])).text


@check_agents
def agent(door):
    answer = _model(door).invoke("Hello")
    assert answer.text == ANSWER
    assert OUTPUT in str(answer.content_blocks)
    assert answer.usage_metadata["output_tokens"] > 0


@check_agents
def agent_streamed(door):
    answer = _sum(_model(door).stream("Hello"))
    assert answer.text == ANSWER
    assert OUTPUT in str(answer.content_blocks)


@check_agents
def agent_turns(door):
    for first in (_model(door).invoke("Hello"), _sum(_model(door).stream("Hello"))):
        given = [HumanMessage("Hello"), first, HumanMessage("And now?")]
        assert _model(door).invoke(given).text == ANSWER
        assert _model(door, use_previous_response_id=True).invoke(given).text == ANSWER


@check_agents
def agent_chat(door):
    chat = _model(door, use_responses_api=False)
    assert chat.invoke("Hello").text == ANSWER
    assert _sum(chat.stream("Hello")).text == ANSWER


@check_approvals
def approval(door):
    first = _model(door).invoke("Hello")
    second = _model(door).invoke([_approval(first)], previous_response_id=_id(first))
    assert second.text == ANSWER
    assert OUTPUT in str(second.content_blocks)


@check_approvals
def approval_streamed(door):
    first = _sum(_model(door).stream("Hello"))
    second = _model(door).stream([_approval(first)], previous_response_id=_id(first))
    assert _sum(second).text == ANSWER


def _model(door, **more):
    asked = {"model": door.model, "use_responses_api": True, "max_retries": 0, **more}
    return ChatOpenAI(base_url=door.url, api_key=door.key, **asked)


def _approval(message):
    (asked,) = [block for block in message.content if block["type"] == "mcp_approval_request"]
    answer = {"type": "mcp_approval_response", "approval_request_id": asked["id"]}
    return HumanMessage([{**answer, "approve": True}])


def _id(message):
    return message.response_metadata["id"]


def _sum(chunks):
    first, *rest = chunks
    return sum(rest, first)


def _result(message):
    (call,) = message.tool_calls
    return ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])


def _thought(message):
    blocks = [block for block in message.content if block["type"] == "reasoning"]
    return "".join(part["text"] for block in blocks for part in block["summary"])


if __name__ == "__main__":
    run("langchain-openai")
