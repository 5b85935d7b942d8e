"""Pydantic AI: an agent with tools and typed results."""

from checks import (
    CHAT,
    KEY,
    LIMITED_KEY,
    LOCAL_CHAT,
    LOCAL_KEY,
    LOCAL_URL,
    TOO_LONG,
    URL,
    check,
    raised,
    run,
)
from openai import AsyncOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider


class City(BaseModel):
    name: str
    people: int


@check
async def chat():
    result = await _agent().run("Hello")
    assert result.output
    assert _tokens(result) > 0


@check
async def stream():
    async with _agent().run_stream("Hello") as result:
        text = "".join([piece async for piece in result.stream_text(delta=True)])
    assert text == (await _agent().run("Hello")).output


@check
async def stream_usage():
    async with _agent().run_stream("Hello") as result:
        await result.get_output()
        assert _tokens(result) > 0


@check
async def tool_forced():
    assert isinstance((await _agent(ToolOutput(City)).run("Name a city.")).output, City)


@check
async def tool_auto():
    agent, asked = _agent(), []

    @agent.tool_plain
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "Sun"

    result = await agent.run("How is the weather in Rome?")
    assert len(asked) == 1, f"the tool was called {len(asked)} times"
    assert result.output


@check
async def tool_auto_streamed():
    agent, asked = _agent(), []

    @agent.tool_plain
    def weather(city: str) -> str:
        """Tell the weather of a city."""
        asked.append(city)
        return "Sun"

    async with agent.run_stream("How is the weather in Rome?") as result:
        assert await result.get_output()
    assert len(asked) == 1, f"the tool was called {len(asked)} times"


@check
async def json_schema():
    assert isinstance((await _agent(NativeOutput(City)).run("Name a city.")).output, City)


@check
async def json_object():
    assert isinstance((await _agent(PromptedOutput(City)).run("Name a city.")).output, City)


@check
def wrong_key():
    assert _refused(_model(key="sk-wrong")).status_code == 401


@check
def unknown_model():
    assert _refused(_model("gpt-99")).status_code == 404


@check
def context_too_long():
    error = _refused(_model(LOCAL_CHAT, LOCAL_URL, LOCAL_KEY), TOO_LONG)
    assert error.status_code == 400
    assert error.body["code"] == "context_length_exceeded", error.body


@check
def rate_limit():
    assert _refused(_model(key=LIMITED_KEY), times=3).status_code == 429


def _model(name=CHAT, url=URL, key=KEY):
    client = AsyncOpenAI(base_url=url, api_key=key, max_retries=0)
    return OpenAIChatModel(name, provider=OpenAIProvider(openai_client=client))


def _agent(output=str):
    return Agent(_model(), output_type=output)


def _refused(model, prompt="Hello", times=1):
    def ask():
        for _ in range(times):
            Agent(model).run_sync(prompt)

    return raised(ModelHTTPError, ask)


def _tokens(result):
    usage = result.usage() if callable(result.usage) else result.usage
    return usage.output_tokens


if __name__ == "__main__":
    run("pydantic-ai-slim")
