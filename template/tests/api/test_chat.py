"""Chat as the official client sees it, on a real server."""

import asyncio
import json

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionFunctionToolParam, ChatCompletionMessageParam

from tests.service import Service, eventually

MODEL = "simulated-chat"
HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello"}]
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def test_a_whole_answer_has_text_usage_and_a_reason_to_end(client: OpenAI) -> None:
    answer = client.chat.completions.create(model=MODEL, messages=HELLO)
    assert answer.object == "chat.completion"
    assert answer.choices[0].message.content
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream_begins_with_a_role_and_ends_with_a_reason(client: OpenAI) -> None:
    chunks = list(client.chat.completions.create(model=MODEL, messages=HELLO, stream=True))
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert all(chunk.choices for chunk in chunks)


def test_a_stream_tells_the_usage_last_where_asked_to(client: OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=HELLO, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert chunks[-1].usage.completion_tokens > 0


def test_streamed_and_whole_text_are_the_same(client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, seed=7)
    stream = client.chat.completions.create(model=MODEL, messages=HELLO, seed=7, stream=True)
    assert whole.choices[0].message.content == "".join(
        chunk.choices[0].delta.content or "" for chunk in stream
    )


def test_a_stream_ends_with_done_on_the_wire(live: Service, key: str) -> None:
    with live.http(key) as http:
        body = {"model": MODEL, "messages": HELLO, "stream": True}
        answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.text.endswith("data: [DONE]\n\n")


def test_tools_several_choices_and_formats_reach_the_provider(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, n=2, tools=[WEATHER], tool_choice="required"
    )
    assert len(answer.choices) == 2
    calls = answer.choices[1].message.tool_calls
    assert calls
    assert "city" in json.loads(calls[0].function.arguments)  # type: ignore[union-attr]


def test_unknown_fields_are_tolerated(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL, messages=HELLO, extra_body={"a_field_of_tomorrow": {"deep": True}}
    )
    assert answer.choices


def test_an_unknown_model_is_not_found_and_the_known_ones_are_named(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=MODEL) as caught:
        client.chat.completions.create(model="gpt-9", messages=HELLO)
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"


def test_every_answer_carries_its_request_id_and_what_is_left(client: OpenAI) -> None:
    answer = client.chat.completions.with_raw_response.create(model=MODEL, messages=HELLO)
    assert answer.headers["x-request-id"].startswith("req_")
    for kind in ("requests", "tokens"):
        left, limit = (
            int(answer.headers[f"x-ratelimit-{each}-{kind}"]) for each in ("remaining", "limit")
        )
        assert 0 < left < limit


def test_one_call_too_many_is_refused_with_the_time_to_wait(live: Service) -> None:
    with live.client(live.new_key("hasty", requests_per_minute=2), max_retries=0) as hasty:
        for _ in range(2):
            hasty.chat.completions.create(model=MODEL, messages=HELLO)
        with pytest.raises(openai.RateLimitError) as caught:
            hasty.chat.completions.create(model=MODEL, messages=HELLO)
    headers = caught.value.response.headers
    assert 20 < float(headers["retry-after"]) <= 30  # the share of one call of two a minute
    assert 20_000 < float(headers["retry-after-ms"]) <= 30_000
    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == (
        "2",
        "0",
    )


def test_a_request_out_of_time_is_told_so(live: Service, key: str) -> None:
    with live.http(key) as http:
        body = {"model": MODEL, "messages": HELLO}
        headers = {"x-request-timeout": "0.000001"}
        answer = http.post("/v1/chat/completions", json=body, headers=headers)
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"


@pytest.mark.anyio
async def test_many_at_once_each_get_their_own_answer(live: Service, key: str) -> None:
    async with live.async_client(key) as client:

        async def ask(number: int) -> str | None:
            answer = await client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": f"Number {number}"}]
            )
            return answer.choices[0].message.content

        first = await asyncio.gather(*map(ask, range(50)))
        again = await asyncio.gather(*map(ask, range(50)))
    assert first == again
    assert len(set(first)) == 50


def test_usage_is_counted(live: Service) -> None:
    key = live.new_key("counted")
    with live.client(key) as client, live.http(key) as http:
        answer = client.chat.completions.create(model=MODEL, messages=HELLO)
        assert answer.usage
        eventually(lambda: http.get("/v1/usage").json()["data"])
        day = http.get("/v1/usage").json()["data"][0]
    assert (day["model"], day["requests"]) == (MODEL, 1)
    assert day["completion_tokens"] == answer.usage.completion_tokens
