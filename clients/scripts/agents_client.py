"""OpenAI's Agents SDK, which asks for responses unless it is told not to."""

from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIResponsesModel,
    Runner,
    function_tool,
    set_tracing_disabled,
)
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
from openai import APIStatusError, AsyncOpenAI
from pydantic import BaseModel

set_tracing_disabled(True)

QUESTION = "How is the weather in Rome?"


class City(BaseModel):
    name: str
    people: int


@check_doors
async def text(door):
    result = await Runner.run(_agent(door), "Hello")
    assert result.final_output
    assert result.context_wrapper.usage.total_tokens > 0


@check_doors
async def stream(door):
    result = Runner.run_streamed(_agent(door), "Hello")
    assert await _text(result) == result.final_output
    assert result.final_output == (await Runner.run(_agent(door), "Hello")).final_output


@check_doors
async def tool_loop(door):
    asked = []
    assert (await Runner.run(_agent(door, asked), QUESTION)).final_output
    assert len(asked) == 1, f"the tool was called {len(asked)} times"


@check_doors
async def tool_loop_streamed(door):
    asked = []
    result = Runner.run_streamed(_agent(door, asked), QUESTION)
    assert await _text(result) == result.final_output
    assert len(asked) == 1, f"the tool was called {len(asked)} times"


@check_doors
async def tool_loop_continued(door):
    asked = []
    chained = {"auto_previous_response_id": True}
    result = await Runner.run(_agent(door, asked), QUESTION, **chained)
    assert len(asked) == 1, f"the tool was called {len(asked)} times"
    more = {"previous_response_id": result.last_response_id}
    assert (await Runner.run(_agent(door), "And now?", **more)).final_output


@check_doors
async def turns(door):
    first = await Runner.run(_agent(door, []), QUESTION)
    given = [*first.to_input_list(), {"role": "user", "content": "And now?"}]
    assert (await Runner.run(_agent(door), given)).final_output


@check_doors
async def handoff(door):
    other = _agent(door)
    agent = Agent(name="first", model=other.model, handoffs=[other])
    result = await Runner.run(agent, "Hello")
    assert result.last_agent is other
    assert result.final_output


@check_doors
async def structured(door):
    result = await Runner.run(_agent(door, output_type=City), "Name a city.")
    assert isinstance(result.final_output, City)


@check_doors
async def structured_streamed(door):
    result = Runner.run_streamed(_agent(door, output_type=City), "Name a city.")
    await _text(result)
    assert isinstance(result.final_output, City)


@check_doors
def unknown_model(door):
    agent = Agent(name="one", model=_model(door, "gpt-99"))
    error = raised(APIStatusError, lambda: Runner.run_sync(agent, "Hello"))
    assert error.status_code == 404


@check_thinking
async def reasoning_tool_loop(door):
    asked = []
    result = await Runner.run(_agent(door, asked), QUESTION)
    assert asked == ["Rome"]
    kinds = [item.type for item in result.new_items]
    assert kinds.count("reasoning_item") == 2, kinds


@check_thinking
async def reasoning_tool_loop_streamed(door):
    asked = []
    result = Runner.run_streamed(_agent(door, asked), QUESTION)
    assert await _text(result)
    assert asked == ["Rome"]


@check_agents
async def agent(door):
    result = await Runner.run(_agent(door), "Hello")
    assert result.final_output == ANSWER
    assert [call.output for call in _calls(result)] == [OUTPUT]


@check_agents
async def agent_streamed(door):
    result = Runner.run_streamed(_agent(door), "Hello")
    assert await _text(result) == result.final_output == ANSWER
    assert [call.output for call in _calls(result)] == [OUTPUT]


@check_agents
async def agent_turns(door):
    first = await Runner.run(_agent(door), "Hello")
    more = {"previous_response_id": first.last_response_id}
    assert (await Runner.run(_agent(door), "And now?", **more)).final_output == ANSWER
    given = [*first.to_input_list(), {"role": "user", "content": "And now?"}]
    assert (await Runner.run(_agent(door), given)).final_output == ANSWER


@check_agents
async def agent_chat(door):
    chat = Agent(name="one", model=_model(door, kind=OpenAIChatCompletionsModel))
    assert (await Runner.run(chat, "Hello")).final_output == ANSWER
    result = Runner.run_streamed(chat, "Hello")
    assert await _text(result) == result.final_output == ANSWER


@check_approvals
async def approval(door):
    await Runner.run(_agent(door), "Hello")


def _model(door, name=None, kind=OpenAIResponsesModel):
    return kind(name or door.model, AsyncOpenAI(base_url=door.url, api_key=door.key, max_retries=0))


def _calls(result):
    raw = [item.raw_item for item in result.new_items]
    return [item for item in raw if getattr(item, "type", None) == "mcp_call"]


def _agent(door, asked=None, **more):
    @function_tool
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "Sun"

    tools = [] if asked is None else [weather]
    settings = ModelSettings(include_usage=True)
    return Agent(name="one", model=_model(door), tools=tools, model_settings=settings, **more)


async def _text(result):
    """Return the text that the last answer streamed."""
    pieces = []
    async for event in result.stream_events():
        if event.type == "raw_response_event":
            if event.data.type == "response.created":
                pieces = []
            if event.data.type == "response.output_text.delta":
                pieces.append(event.data.delta)
    return "".join(pieces)


if __name__ == "__main__":
    run("openai-agents")
