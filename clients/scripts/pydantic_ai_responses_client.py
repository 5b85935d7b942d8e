"""Pydantic AI by its model for responses."""

from checks import (
    ANSWER,
    check_agents,
    check_approvals,
    check_doors,
    check_thinking,
    raised,
    run,
)
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ThinkingPart, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

QUESTION = "How is the weather in Rome?"


class City(BaseModel):
    name: str
    people: int


@check_doors
async def text(door):
    result = await _agent(door).run("Hello")
    assert result.output
    assert _usage(result).output_tokens > 0


@check_doors
async def stream(door):
    text, result = await _streamed(_agent(door), "Hello")
    assert text == (await _agent(door).run("Hello")).output
    assert _usage(result).output_tokens > 0


@check_doors
async def tool_loop(door):
    agent, asked = _with_tool(door)
    assert (await agent.run(QUESTION)).output
    assert len(asked) == 1, f"the tool was called {len(asked)} times"


@check_doors
async def tool_loop_streamed(door):
    agent, asked = _with_tool(door)
    assert (await _streamed(agent, QUESTION))[0]
    assert len(asked) == 1, f"the tool was called {len(asked)} times"


@check_doors
async def tool_loop_continued(door):
    settings = {"openai_previous_response_id": "auto"}
    agent, asked = _with_tool(door)
    first = await agent.run(QUESTION, model_settings=settings)
    assert len(asked) == 1, f"the tool was called {len(asked)} times"
    history = first.all_messages()
    assert (await agent.run("And?", message_history=history, model_settings=settings)).output


@check_doors
async def turns(door):
    agent, _ = _with_tool(door)
    first = await agent.run(QUESTION)
    assert (await agent.run("And now?", message_history=first.all_messages())).output


@check_doors
async def structured(door):
    assert isinstance((await _agent(door, NativeOutput(City)).run("Name a city.")).output, City)


@check_doors
async def structured_streamed(door):
    async with _agent(door, NativeOutput(City)).run_stream("Name a city.") as result:
        assert isinstance(await result.get_output(), City)


@check_doors
async def tool_forced(door):
    assert isinstance((await _agent(door, ToolOutput(City)).run("Name a city.")).output, City)


@check_doors
def unknown_model(door):
    agent = Agent(_model(door, "gpt-99"))
    assert raised(ModelHTTPError, lambda: agent.run_sync("Hello")).status_code == 404


@check_thinking
async def reasoning_tool_loop(door):
    agent, asked = _with_tool(door)
    result = await agent.run(QUESTION)
    assert asked == ["Rome"]
    assert len(_thoughts(result)) == 2, result.all_messages()


@check_thinking
async def reasoning_tool_loop_streamed(door):
    agent, asked = _with_tool(door)
    text, result = await _streamed(agent, QUESTION)
    assert text
    assert asked == ["Rome"]
    assert len(_thoughts(result)) == 2, result.all_messages()


@check_agents
async def agent(door):
    result = await _agent(door).run("Hello")
    assert result.output == ANSWER
    assert _calls(result) == ["weather"]


@check_agents
async def agent_streamed(door):
    text, result = await _streamed(_agent(door), "Hello")
    assert text == ANSWER
    assert _calls(result) == ["weather"]


@check_agents
async def agent_turns(door):
    for settings in (None, {"openai_previous_response_id": "auto"}):
        first = await _agent(door).run("Hello", model_settings=settings)
        more = {"message_history": first.all_messages(), "model_settings": settings}
        assert (await _agent(door).run("And now?", **more)).output == ANSWER


@check_agents
async def agent_chat(door):
    chat = Agent(_model(door, kind=OpenAIChatModel))
    assert (await chat.run("Hello")).output == ANSWER
    assert (await _streamed(chat, "Hello"))[0] == ANSWER


@check_approvals
async def approval(door):
    await _agent(door).run("Hello")


def _model(door, name=None, kind=OpenAIResponsesModel):
    client = AsyncOpenAI(base_url=door.url, api_key=door.key, max_retries=0)
    return kind(name or door.model, provider=OpenAIProvider(openai_client=client))


def _agent(door, output=str):
    return Agent(_model(door), output_type=output)


def _with_tool(door):
    agent, asked = _agent(door), []

    @agent.tool_plain
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "Sun"

    return agent, asked


async def _streamed(agent, prompt):
    async with agent.run_stream(prompt) as result:
        return "".join([piece async for piece in result.stream_text(delta=True)]), result


def _usage(result):
    return result.usage() if callable(result.usage) else result.usage


def _calls(result):
    """Return the tools that the server has called."""
    calls = [part for part in _parts(result) if "tool-call" in part.part_kind]
    return [call.args_as_dict()["tool_name"] for call in calls]


def _parts(result):
    return [part for message in result.all_messages() for part in message.parts]


def _thoughts(result):
    return [part for part in _parts(result) if isinstance(part, ThinkingPart) and part.content]


if __name__ == "__main__":
    run("pydantic-ai-slim")
