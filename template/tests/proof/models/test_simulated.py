"""The simulated model: the same again from the same seed, and every feature of the wire format."""

import json
from collections.abc import AsyncIterator

import numpy as np
import pytest
from aiohttp import ClientSession

from engine.errors import (
    AppError,
    InvalidRequest,
    ModelRateLimited,
    ModelUnavailable,
    Unsupported,
)
from engine.models.interface import EmbeddingsRequest
from engine.models.schema import instance
from engine.models.simulated import (
    CHAT,
    EMBEDDINGS,
    Simulated,
    open_provider,
)
from engine.process.tokenizer import Tokenizer
from tests.proof.models.asking import Json, body, chat, settings, streamed, text_of

pytestmark = pytest.mark.anyio

FAST = {"simulated_latency": 0, "simulated_tokens_per_second": 100_000}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 2}},
    "required": ["city", "days"],
}
WEATHER = {"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}}
CLOCK = {"type": "function", "function": {"name": "clock"}}


@pytest.fixture
async def simulated(http: ClientSession, tokenizer: Tokenizer) -> AsyncIterator[Simulated]:
    async with open_provider(settings(**FAST), http, tokenizer) as opened:
        yield opened


async def test_the_seeds_and_the_request_decide_the_words(tokenizer: Tokenizer) -> None:
    async def words(process_seed: int, text: str, seed: int) -> str:
        model = Simulated(settings(simulated_seed=process_seed, **FAST), tokenizer)
        return (await model.complete(chat(CHAT, text, seed=seed))).text

    assert await words(1, "Hello", 1) == await words(1, "Hello", 1)
    others = {await words(*each) for each in [(1, "Hello", 1), (2, "Hello", 1), (1, "Bye", 1)]}
    assert len(others | {await words(1, "Hello", 2)}) == 4


async def test_a_limit_of_tokens_is_used_up(simulated: Simulated) -> None:
    answer = await simulated.complete(chat(CHAT, max_tokens=100))
    assert body(answer)["choices"][0]["finish_reason"] == "length"
    assert answer.usage.completion_tokens == 100
    assert len(answer.text.split()) == 100


async def test_an_answer_without_a_limit_ends_by_itself(simulated: Simulated) -> None:
    answer = await simulated.complete(chat(CHAT))
    assert body(answer)["choices"][0]["finish_reason"] == "stop"
    assert len(answer.text.split()) == 32


async def test_nothing_of_a_stop_is_shown(simulated: Simulated) -> None:
    text = (await simulated.complete(chat(CHAT))).text
    stop = text[20:40]  # the end of a token, whole ones, and the start of another
    parsed = await streamed(simulated, chat(CHAT, stop=["not there", stop]))
    assert text_of(parsed) == text[:20]
    assert parsed[-1]["choices"][0]["finish_reason"] == "stop"


async def test_log_probabilities_come_with_each_token(simulated: Simulated) -> None:
    request = chat(CHAT, logprobs=True, top_logprobs=1, max_tokens=5)
    choice = body(await simulated.complete(request))["choices"][0]
    entries = choice["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries) == choice["message"]["content"]
    assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 1 for entry in entries)
    assert all(bytes(entry["bytes"]).decode() == entry["token"] for entry in entries)


@pytest.mark.parametrize(
    ("choice", "name"),
    [("required", "clock"), ({"type": "function", "function": {"name": "weather"}}, "weather")],
    ids=["required", "named"],
)
async def test_a_tool_that_must_be_called_is_called_whole_and_streamed(
    simulated: Simulated, choice: object, name: str
) -> None:
    request = chat(CHAT, tools=[CLOCK, WEATHER], tool_choice=choice)
    whole = body(await simulated.complete(request))["choices"][0]
    (call,) = whole["message"]["tool_calls"]
    assert whole["finish_reason"] == "tool_calls"
    assert call["function"]["name"] == name
    arguments = json.loads(call["function"]["arguments"])
    assert arguments == ({"city": "x", "days": 2} if name == "weather" else {})
    deltas = [
        part
        for event in await streamed(simulated, request)
        for part in event["choices"][0]["delta"].get("tool_calls", [])
    ]
    assert deltas[0]["id"] == call["id"]
    pieces = [part["function"].get("arguments", "") for part in deltas]
    assert "".join(pieces) == call["function"]["arguments"]


@pytest.mark.parametrize(
    ("choice", "text", "name"),
    [
        (None, "Hello", "clock"),
        ("auto", "What is the weather?", "weather"),
        ("none", "What is the weather?", None),
    ],
)
async def test_a_tool_that_may_be_called_is_called_once_and_then_answered(
    simulated: Simulated, choice: str | None, text: str, name: str | None
) -> None:
    fields: Json = {"tools": [CLOCK, WEATHER], "tool_choice": choice}
    message = body(await simulated.complete(chat(CHAT, text, **fields)))["choices"][0]["message"]
    calls = message.get("tool_calls", [])
    assert [call["function"]["name"] for call in calls] == ([name] if name else [])
    result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
    messages = [{"role": "user", "content": text}, message, result]
    answer = await simulated.complete(chat(CHAT, messages=messages, **fields))
    assert answer.text
    assert body(answer)["choices"][0]["finish_reason"] == "stop"


async def test_each_tool_that_the_question_names_is_called_in_its_turn(
    simulated: Simulated,
) -> None:
    messages: list[Json] = [{"role": "user", "content": "Ask the weather, the clock, the weather."}]
    called = []
    while True:
        request = chat(CHAT, messages=messages, tools=[CLOCK, WEATHER])
        message = body(await simulated.complete(request))["choices"][0]["message"]
        if not message.get("tool_calls"):
            break
        called.append(message["tool_calls"][0]["function"]["name"])
        messages += [message, {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}]
    assert called == ["weather", "clock"]
    assert message["content"]


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [{"type": "function"}]},
        {"tools": [], "tool_choice": "required"},
        {"tools": [CLOCK], "tool_choice": {"type": "function", "function": {"name": "other"}}},
        {"tools": [CLOCK], "tool_choice": {"type": "function"}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/x"}}}},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#"}}}},
    ],
)
async def test_a_schema_that_nothing_fits_is_refused(simulated: Simulated, fields: Json) -> None:
    with pytest.raises(InvalidRequest):
        await simulated.complete(chat(CHAT, **fields))


@pytest.mark.parametrize(
    ("prompt", "value"),
    [
        ("Answer with JSON.", {"answer": "yes"}),
        ("JSON with the keys name and age.", {"name": "x", "age": "x"}),
        ("Fields: `title`, `year`", {"title": "x", "year": "x"}),
        ('Return {"team": ..., "urgent": ...}.', {"team": "x", "urgent": "x"}),
        ('For example {"a": 1, "b": [2]}.', {"a": 1, "b": [2]}),
        (f"As in {json.dumps(PARAMETERS)}.", {"city": "x", "days": 2}),
    ],
)
async def test_a_json_object_is_what_the_prompt_asks_for(
    simulated: Simulated, prompt: str, value: Json
) -> None:
    request = chat(CHAT, prompt, response_format={"type": "json_object"})
    assert json.loads((await simulated.complete(request)).text) == value


async def test_a_json_object_follows_the_schema_that_is_given(simulated: Simulated) -> None:
    form = {"type": "json_object", "schema": PARAMETERS}
    answer = await simulated.complete(chat(CHAT, "The keys a and b.", response_format=form))
    assert json.loads(answer.text) == {"city": "x", "days": 2}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("functions", [{"name": "x"}]),
        ("function_call", {"name": "x"}),
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy", "format": "wav"}),
        ("web_search_options", {}),
        ("moderation", {"model": "omni"}),
        ("tools", [{"type": "custom", "custom": {"name": "x"}}]),
    ],
)
async def test_a_parameter_that_would_change_the_answer_is_refused_by_name(
    simulated: Simulated, field: str, value: object
) -> None:
    with pytest.raises(Unsupported, match=field) as caught:
        await simulated.complete(chat(CHAT, "Hello", **{field: value}))
    assert caught.value.param == field


@pytest.mark.parametrize(
    "fields",
    [
        {"functions": [], "function_call": "none", "modalities": ["text"], "tools": []},
        {"prediction": {"type": "content", "content": "x"}, "store": True, "verbosity": "low"},
    ],
)
async def test_a_parameter_that_only_tunes_is_accepted(simulated: Simulated, fields: Json) -> None:
    assert (await simulated.complete(chat(CHAT, **fields))).text


async def test_json_fits_the_schema(simulated: Simulated) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": PARAMETERS}}
    answer = await simulated.complete(chat(CHAT, response_format=schema))
    assert json.loads(answer.text) == {"city": "x", "days": 2}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "minLength": 3}, "xxx"),
        ({"type": "string", "format": "date"}, "2000-01-01"),
        ({"type": ["null", "string"]}, None),
        ({"type": "boolean"}, False),
        ({"type": "number"}, 0),
        ({"type": "integer", "exclusiveMinimum": 0}, 1),
        ({"type": "integer", "minimum": 7, "multipleOf": 5}, 10),
        ({"type": "integer", "maximum": -3}, -3),
        ({"type": "array", "items": {"const": 1}, "minItems": 2}, [1, 1]),
        ({"enum": ["a", "b"]}, "a"),
        ({"anyOf": [{"type": "null"}, {"type": "string"}]}, None),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"const": 1}}}, 1),
        ({"$ref": "#/definitions/a", "definitions": {"a": {"const": 1}}}, 1),
        ({"properties": {"a": {"const": 1}, "b": {}}, "required": ["a"]}, {"a": 1}),
    ],
)
def test_the_smallest_value_of_a_schema(schema: Json, value: object) -> None:
    assert instance(schema) == value


async def test_failures_come_at_their_rates_and_in_the_same_order(tokenizer: Tokenizer) -> None:
    rates = {"simulated_error_rate": 0.2, "simulated_rate_limit_rate": 0.3}

    async def outcomes() -> list[type | None]:
        model = Simulated(settings(**FAST, **rates), tokenizer)
        return [await _outcome(model) for _ in range(400)]

    seen = await outcomes()
    assert seen == await outcomes()
    assert seen.count(ModelUnavailable) == pytest.approx(80, abs=30)
    assert seen.count(ModelRateLimited) == pytest.approx(120, abs=30)
    assert None in seen


async def test_embeddings_depend_on_the_text_alone(simulated: Simulated) -> None:
    request = EmbeddingsRequest(model=EMBEDDINGS, input=["a", "b", "a"], dimensions=8)
    first, other, again = (
        item["embedding"] for item in body(await simulated.embed(request))["data"]
    )
    assert first == again != other
    assert len(first) == 8
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)


async def test_more_dimensions_than_sense_are_refused(simulated: Simulated) -> None:
    with pytest.raises(Unsupported, match="4096"):
        await simulated.embed(EmbeddingsRequest(model=EMBEDDINGS, input="a", dimensions=10**9))


async def _outcome(model: Simulated) -> type | None:
    try:
        await model.complete(chat(CHAT, max_tokens=1))
    except AppError as error:
        return type(error)
    return None
