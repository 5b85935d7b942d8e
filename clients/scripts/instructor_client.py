"""Instructor: typed answers in each of its modes."""

import instructor
from checks import (
    CHAT,
    KEY,
    LIMITED_KEY,
    LOCAL_CHAT,
    LOCAL_KEY,
    LOCAL_URL,
    MESSAGES,
    TOO_LONG,
    URL,
    check,
    raised,
    run,
)
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel


class City(BaseModel):
    name: str
    people: int


@check
def tools():
    assert isinstance(_ask(instructor.Mode.TOOLS), City)


@check
def tools_strict():
    assert isinstance(_ask(instructor.Mode.TOOLS_STRICT), City)


@check
def json_object():
    assert isinstance(_ask(instructor.Mode.JSON), City)


@check
def json_schema():
    assert isinstance(_ask(instructor.Mode.JSON_SCHEMA), City)


@check
async def asynchronous():
    service = AsyncOpenAI(base_url=URL, api_key=KEY)
    client = instructor.from_openai(service)
    answer = await client.chat.completions.create(
        model=CHAT, messages=MESSAGES, response_model=City
    )
    assert isinstance(answer, City)


@check
def usage():
    create = _client(instructor.Mode.TOOLS).chat.completions.create_with_completion
    _, raw = create(model=CHAT, messages=MESSAGES, response_model=City)
    assert raw.usage.total_tokens > 0


@check
def partly_streamed():
    create = _client(instructor.Mode.TOOLS).chat.completions.create_partial
    parts = list(create(model=CHAT, messages=MESSAGES, response_model=City))
    assert parts[-1].people == 0


@check
def list_streamed():
    create = _client(instructor.Mode.TOOLS).chat.completions.create_iterable
    cities = list(create(model=CHAT, messages=MESSAGES, response_model=City))
    assert isinstance(cities[0], City)


@check
def wrong_key():
    assert "401" in _failure(key="sk-wrong")


@check
def unknown_model():
    assert "404" in _failure("gpt-99")


@check
def context_too_long():
    failure = _failure(LOCAL_CHAT, LOCAL_URL, LOCAL_KEY, TOO_LONG, instructor.Mode.JSON)
    assert "context_length_exceeded" in failure, failure


@check
def rate_limit():
    assert "429" in _failure(key=LIMITED_KEY, times=3)


def _client(mode, url=URL, key=KEY):
    return instructor.from_openai(OpenAI(base_url=url, api_key=key, max_retries=0), mode=mode)


def _ask(mode):
    create = _client(mode).chat.completions.create
    return create(model=CHAT, messages=MESSAGES, response_model=City, max_retries=0)


def _failure(model=CHAT, url=URL, key=KEY, text="Hello", mode=instructor.Mode.TOOLS, times=1):
    def ask():
        create = _client(mode, url, key).chat.completions.create
        messages = [{"role": "user", "content": text}]
        for _ in range(times):
            create(model=model, messages=messages, response_model=City, max_retries=0)

    return str(raised(Exception, ask))


if __name__ == "__main__":
    run("instructor")
