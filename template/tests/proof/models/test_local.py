"""The model in this process: fields of a request that it honours or refuses."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import ClientSession

from engine.errors import InvalidRequest, Misconfigured, Unsupported
from engine.models.interface import ChatRequest, EmbeddingsRequest
from engine.models.local import (
    CHAT,
    EMBEDDINGS,
    Local,
    open_provider,
)
from engine.process.tokenizer import Tokenizer
from tests.proof.models.asking import (
    Json,
    body,
    chat,
    collect,
    events,
    settings,
    text_of,
    until,
)

pytestmark = pytest.mark.anyio

FRANCE = "What is the capital of France? One sentence."


@pytest.fixture(scope="module")
async def local(http: ClientSession, tokenizer: Tokenizer) -> AsyncIterator[Local]:
    """Have one thread: two wait for each other in a busy loop, at each of a token's many steps.

    Measured beside a load of 13 on 2 cores: 0.4 s a token with one thread, 3.5 s with two.
    """
    configured = settings(local_context=512, local_parallel=2)
    async with open_provider(configured, http, tokenizer) as opened:
        yield opened


async def test_the_local_model_knows_the_capital_of_france(local: Local) -> None:
    assert "Paris" in (await local.complete(chat(CHAT, FRANCE))).text


async def test_nothing_of_the_engine_reaches_the_caller(local: Local) -> None:
    chunks = await collect(local.stream(chat(CHAT, max_tokens=3)))
    for event in events(chunks):
        assert event["model"] == CHAT
        assert "timings" not in event
        assert ".gguf" not in json.dumps(event)


async def test_nothing_is_printed(local: Local, capfd: pytest.CaptureFixture[str]) -> None:
    await local.complete(chat(CHAT, max_tokens=3))
    assert capfd.readouterr() == ("", "")


async def test_a_system_prompt_is_added_where_there_is_none(local: Local) -> None:
    without = await local.complete(chat(CHAT, "Hi", max_tokens=1))
    system = {"role": "system", "content": "You are a helpful AI assistant."}
    messages = [system, {"role": "user", "content": "Hi"}]
    given = await local.complete(chat(CHAT, max_tokens=1, messages=messages))
    assert without.usage == given.usage


async def test_the_local_model_stops_at_a_stop(local: Local) -> None:
    answer = await local.complete(chat(CHAT, FRANCE, stop=["Paris"]))
    assert answer.text == "The capital of France is "
    assert body(answer)["choices"][0]["finish_reason"] == "stop"


async def test_log_probabilities_come_whole_and_streamed(local: Local) -> None:
    request = chat(CHAT, FRANCE, logprobs=True, top_logprobs=2, max_tokens=3)
    whole = body(await local.complete(request))["choices"][0]["logprobs"]["content"]
    assert [entry["token"] for entry in whole] == ["The", " capital", " of"]
    assert all(len(entry["top_logprobs"]) == 2 and entry["logprob"] <= 0 for entry in whole)
    parsed = events(await collect(local.stream(request)))
    parts = [choice.get("logprobs") for event in parsed for choice in event["choices"]]
    assert [entry for part in parts if part for entry in part["content"]] == whole


async def test_the_same_seed_gives_the_same_answer(local: Local) -> None:
    def ask(seed: int) -> asyncio.Task[str]:
        request = chat(CHAT, "Invent a name.", seed=seed, temperature=1.5, max_tokens=12)
        return asyncio.ensure_future(_text(local, request))

    first, again, other = [await ask(seed) for seed in (1, 1, 2)]
    assert first == again != other


async def test_json_fits_the_schema(local: Local) -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"enum": ["Paris", "Rome"]}, "sure": {"type": "boolean"}},
        "required": ["city", "sure"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "city", "schema": schema}}
    parsed = json.loads((await local.complete(chat(CHAT, FRANCE, response_format=form))).text)
    assert parsed["city"] in {"Paris", "Rome"}
    assert isinstance(parsed["sure"], bool)


async def test_a_json_object_is_json(local: Local) -> None:
    request = chat(CHAT, FRANCE, response_format={"type": "json_object"}, max_tokens=100)
    assert isinstance(json.loads((await local.complete(request)).text), dict)


async def test_several_choices_cost_their_sum(local: Local) -> None:
    answer = await local.complete(chat(CHAT, "Tell a story.", n=2, max_tokens=5))
    assert answer.usage.completion_tokens == 10


async def test_the_engines_own_options_cannot_lift_the_limits(local: Local) -> None:
    answer = await local.complete(chat(CHAT, "Tell a story.", max_tokens=5, n_predict=-1))
    assert answer.usage.completion_tokens == 5


async def test_an_answer_ends_with_the_context(local: Local) -> None:
    """The question fills most of the context: reading costs 8 ms a token, writing 22 ms."""
    question = "word " * 400 + "Count from 1 to 1000."
    request = chat(CHAT, question, max_tokens=100_000, logit_bias={"2": -100})
    answer = await local.complete(request)
    assert body(answer)["choices"][0]["finish_reason"] == "length"
    assert answer.usage.prompt_tokens + answer.usage.completion_tokens <= 512 + 1


async def test_too_long_a_conversation_is_told_the_limit(local: Local) -> None:
    """In OpenAI's words: by them clients choose another model or shorten the conversation."""
    words = (
        r"This model's maximum context length is 512 tokens\. However, your messages resulted in "
    )
    with pytest.raises(InvalidRequest, match=words + r"6\d\d tokens\.") as caught:
        await local.complete(chat(CHAT, "word " * 600))
    assert caught.value.code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("tools", {"tools": [{"type": "function", "function": {"name": "x"}}]}),
        ("n", {"n": 3}),
        ("functions", {"functions": [{"name": "x"}]}),
        ("modalities", {"modalities": ["audio"]}),
        ("web_search_options", {"web_search_options": {}}),
        (
            "messages",
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        ),
    ],
)
async def test_a_parameter_that_the_local_model_lacks_is_refused_by_name(
    local: Local, param: str, fields: Json
) -> None:
    with pytest.raises(Unsupported) as caught:
        await local.complete(chat(CHAT, **fields))
    assert caught.value.param == param


@pytest.mark.parametrize(
    "fields",
    [
        {"response_format": {"type": "poem"}},
        {"top_logprobs": 2},
        {"messages": [{"role": "user"}]},
        {"response_format": {"type": "json_schema", "json_schema": {"schema": {"$ref": "#/x"}}}},
    ],
    ids=["format", "logprobs", "content", "schema"],
)
async def test_nonsense_is_the_callers_fault(local: Local, fields: Json) -> None:
    with pytest.raises(InvalidRequest):
        await local.complete(chat(CHAT, **fields))


async def test_conversations_beyond_the_limit_wait_and_may_leave(local: Local) -> None:
    long = chat(CHAT, "Tell a long story.", max_tokens=400, logit_bias={"2": -100})
    busy = [asyncio.ensure_future(local.complete(long)) for _ in range(2)]
    await until(lambda: local._generating.borrowed_tokens == 2)
    waiting = asyncio.ensure_future(local.complete(long))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert local._generating.borrowed_tokens == 2
    assert not any(call.done() for call in busy)
    for call in busy:
        call.cancel()
    await asyncio.wait(busy)
    await until(lambda: local._generating.borrowed_tokens == 0)
    assert "Paris" in (await local.complete(chat(CHAT, FRANCE))).text


class Counted:
    """The engine, with a count of the chunks that it has made."""

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 -- from native code
        self._engine = engine
        self.made = 0

    def handle_chat_completions(self, options: Json, take: Callable[[Json], bool]) -> object:
        def count(chunk: Json) -> bool:
            self.made += 1
            return take(chunk)

        return self._engine.handle_chat_completions(options, count)


@pytest.mark.parametrize("whole", [True, False], ids=["cancelled", "closed"])
async def test_the_engine_stops_long_before_its_end(
    local: Local, monkeypatch: pytest.MonkeyPatch, *, whole: bool
) -> None:
    engine = Counted(local._chat)
    monkeypatch.setattr(local, "_chat", engine)
    endless = chat(CHAT, "Tell a long story.", max_tokens=400, logit_bias={"2": -100})
    if whole:
        call = asyncio.ensure_future(local.complete(endless))
        await until(lambda: engine.made)
        call.cancel()
        await asyncio.wait([call])
    else:
        stream = local.stream(endless)
        await anext(stream)
        await stream.aclose()
    await until(lambda: local._generating.borrowed_tokens == 0)
    assert 0 < engine.made < 200


async def test_the_loop_runs_on_while_it_generates(local: Local) -> None:
    turns = 0
    call = asyncio.ensure_future(_text(local, chat(CHAT, "Tell a story.", max_tokens=40)))
    while not call.done():
        await asyncio.sleep(0)
        turns += 1
    assert turns > 1000


async def test_a_stream_comes_token_by_token(local: Local) -> None:
    parsed = events(await collect(local.stream(chat(CHAT, "Tell a story.", max_tokens=20))))
    assert len(parsed) > 20
    assert text_of(parsed)


@pytest.mark.parametrize("size", [64, 128, 256])
async def test_embeddings_are_unit_vectors_of_three_sizes(local: Local, size: int) -> None:
    request = EmbeddingsRequest(model=EMBEDDINGS, input="a cat", dimensions=size)
    (item,) = body(await local.embed(request))["data"]
    assert len(item["embedding"]) == size
    assert np.linalg.norm(item["embedding"]) == pytest.approx(1, abs=1e-5)


async def test_near_texts_have_near_vectors(local: Local) -> None:
    texts = ["a cat sleeps", "a kitten naps", "stock market prices"]
    request = EmbeddingsRequest(model=EMBEDDINGS, input=texts, encoding_format="base64")
    items = body(await local.embed(request))["data"]
    cat, kitten, market = (np.frombuffer(base64.b64decode(i["embedding"]), "<f4") for i in items)
    assert cat @ kitten > cat @ market


async def test_tokens_embed_as_their_text(local: Local) -> None:
    vectors = [
        body(await local.embed(EmbeddingsRequest(model=EMBEDDINGS, input=inputs)))["data"]
        for inputs in ("Hello", [9906], [[9906]])
    ]
    assert vectors[0] == vectors[1] == vectors[2]


async def test_an_empty_text_has_a_vector_too(local: Local) -> None:
    request = EmbeddingsRequest(model=EMBEDDINGS, input=["", "a"])
    assert len(body(await local.embed(request))["data"]) == 2


@pytest.mark.parametrize(
    ("param", "fields"),
    [
        ("dimensions", {"dimensions": 100}),
        ("input", {"input": [10**9]}),
        ("input", {"input": [-1]}),
    ],
)
async def test_embeddings_that_cannot_be_are_refused_by_name(
    local: Local, param: str, fields: Json
) -> None:
    request = EmbeddingsRequest.model_validate({"model": EMBEDDINGS, "input": "x", **fields})
    with pytest.raises(InvalidRequest) as caught:
        await local.embed(request)
    assert caught.value.param == param


async def test_a_model_file_that_is_not_there_stops_the_start(
    http: ClientSession, tokenizer: Tokenizer
) -> None:
    configured = settings(local_model_path=Path("/nowhere/model.gguf"))
    with pytest.raises(Misconfigured, match="LOCAL_MODEL_PATH"):
        async with open_provider(configured, http, tokenizer):
            pass


async def _text(local: Local, request: ChatRequest) -> str:
    return (await local.complete(request)).text
