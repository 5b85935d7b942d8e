"""The promises of `interface.Model`, asked of every provider and of the documented example."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from aiohttp import ClientSession, TCPConnector

from app import features
from engine.errors import NotFound, Unsupported
from engine.models.interface import EmbeddingsRequest, Model, Usage
from engine.models.local import Local
from engine.models.upstreams import open_model
from engine.process.tokenizer import Tokenizer
from tests.proof.models.asking import (
    body,
    chat,
    collect,
    events,
    settings,
    text_of,
    until,
)
from tests.service import PROJECT
from tests.upstream import modelling, serving

pytestmark = pytest.mark.anyio

GUIDE = PROJECT / "docs" / "adding-a-provider.md"
PROVIDERS = ["simulated", "local", "openai", *(["echo"] if GUIDE.exists() else [])]
"""The last is the guide's example, where that has not been deleted."""
SIMULATED = {
    "model_provider": "simulated",
    "simulated_latency": 0,
    "simulated_tokens_per_second": 2000,
}


@dataclass(frozen=True)
class Subject:
    """A provider, the names of its models, and how much it is generating."""

    model: Model
    chat: str
    embeddings: str | None
    active: Callable[[], int]


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[ClientSession]:
    """A client whose connections end with their calls, and with them the server's tasks."""
    async with ClientSession(connector=TCPConnector(force_close=True)) as session:
        yield session


@pytest.fixture(scope="module", params=PROVIDERS)
async def subject(
    request: pytest.FixtureRequest,
    http: ClientSession,
    tokenizer: Tokenizer,
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Subject]:
    async with AsyncExitStack() as stack:

        async def opened(**values: object) -> Model:
            return await stack.enter_async_context(open_model(settings(**values), http, tokenizer))

        match request.param:
            case "simulated":
                model = await opened(**SIMULATED)
                yield Subject(model, "simulated-chat", "simulated-embeddings", _other_tasks)
            case "local":
                local = await opened(model_provider="local")
                assert isinstance(local, Local)
                generating = local._generating
                yield Subject(
                    local,
                    "smollm2-135m-instruct",
                    "wordllama-256",
                    lambda: generating.borrowed_tokens,
                )
            case "openai":
                server = modelling(await opened(**SIMULATED))
                upstream = await stack.enter_async_context(serving(server))
                model = await opened(model_provider="openai", openai_base_url=upstream.url)
                yield Subject(
                    model, "simulated-chat", "simulated-embeddings", lambda: upstream.active
                )
            case _:
                with pytest.MonkeyPatch.context() as patch:
                    folder = _example_module(tmp_path_factory.mktemp("provider"))
                    patch.setattr(features, "__path__", [*features.__path__, str(folder)])
                    model = await opened(model_provider="app.features.echo")
                yield Subject(model, "echo", None, _other_tasks)


def _example_module(folder: Path) -> Path:
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (folder / "echo.py").write_text(example)
    return folder


def _other_tasks() -> int:
    running = asyncio.all_tasks() - {asyncio.current_task()}
    return sum("complete" in str(task.get_coro()) for task in running)


async def test_the_first_chunk_has_the_role_and_the_last_the_reason(subject: Subject) -> None:
    parsed = events(await collect(subject.model.stream(chat(subject.chat, max_tokens=8))))
    assert parsed[0]["choices"][0]["delta"]["role"] == "assistant"
    reasons = [event["choices"][0]["finish_reason"] for event in parsed]
    assert reasons[-1] in {"stop", "length"}
    assert not any(reasons[:-1])


@pytest.mark.parametrize("asked", [True, False])
async def test_the_usage_is_known_once_and_shown_where_asked_for(
    subject: Subject, *, asked: bool
) -> None:
    options = {"include_usage": asked}
    request = chat(subject.chat, max_tokens=8, stream=True, stream_options=options)
    chunks = await collect(subject.model.stream(request))
    (usage,) = [chunk.usage for chunk in chunks if chunk.usage]
    assert usage.prompt_tokens > 0
    assert usage.completion_tokens > 0
    shown = [event for event in events(chunks) if not event["choices"]]
    assert len(shown) == asked
    for event in shown:
        assert _usage(event) == usage


async def test_done_is_left_to_the_caller(subject: Subject) -> None:
    chunks = await collect(subject.model.stream(chat(subject.chat, max_tokens=4)))
    assert b"[DONE]" not in b"".join(chunk.events for chunk in chunks)


async def test_every_chunk_belongs_to_one_answer_of_the_asked_model(subject: Subject) -> None:
    parsed = events(await collect(subject.model.stream(chat(subject.chat, max_tokens=4))))
    assert len({event["id"] for event in parsed}) == 1
    assert {event["object"] for event in parsed} == {"chat.completion.chunk"}
    assert {event["model"] for event in parsed} == {subject.chat}


async def test_whole_and_streamed_answers_are_the_same(subject: Subject) -> None:
    request = chat(subject.chat, "Name a colour.", seed=7, temperature=0, max_tokens=12)
    answer = await subject.model.complete(request)
    chunks = await collect(subject.model.stream(request))
    whole = body(answer)
    assert whole["object"] == "chat.completion"
    assert whole["model"] == subject.chat
    assert answer.text == text_of(events(chunks)) != ""
    (choice,) = whole["choices"]
    assert choice["finish_reason"] == events(chunks)[-1]["choices"][0]["finish_reason"]
    assert [answer.usage] == [chunk.usage for chunk in chunks if chunk.usage]
    assert _usage(whole) == answer.usage


async def test_a_whole_answer_is_whole_whatever_the_request_says_of_streams(
    subject: Subject,
) -> None:
    options = {"include_usage": True}
    request = chat(subject.chat, max_tokens=4, stream=True, stream_options=options)
    assert body(await subject.model.complete(request))["object"] == "chat.completion"


async def test_several_choices_are_given_whole_or_refused(subject: Subject) -> None:
    request = chat(subject.chat, n=2, max_tokens=6)
    try:
        parsed = events(await collect(subject.model.stream(request)))
    except Unsupported:
        return
    choices = [choice for event in parsed for choice in event["choices"]]
    for index in (0, 1):
        mine = [choice for choice in choices if choice["index"] == index]
        assert mine[0]["delta"]["role"] == "assistant"
        assert mine[-1]["finish_reason"]
        assert text_of(parsed, index)
    assert [each["index"] for each in body(await subject.model.complete(request))["choices"]] == [
        0,
        1,
    ]


async def test_closing_a_stream_stops_the_model(subject: Subject) -> None:
    request = chat(subject.chat, "Tell a long story. " * 20, max_tokens=1500)
    async with aclosing(subject.model.stream(request)) as chunks:
        for _ in range(3):
            await anext(chunks)
    await until(lambda: subject.active() == 0)


async def test_cancelling_a_whole_answer_stops_the_model(subject: Subject) -> None:
    request = chat(subject.chat, "Tell a long story. " * 20, max_tokens=1500)
    call = asyncio.ensure_future(subject.model.complete(request))
    await until(lambda: subject.active() or call.done())
    call.cancel()
    await asyncio.wait([call])
    await until(lambda: subject.active() == 0)


async def test_calls_at_once_each_get_their_own_answer(subject: Subject) -> None:
    requests = [
        chat(subject.chat, text, seed=1, temperature=0, max_tokens=8)
        for text in ("What is two plus two?", "Name a colour.", "Say hello.", "Name a city.")
    ]
    alone = [(await subject.model.complete(request)).text for request in requests]
    together = await asyncio.gather(*map(subject.model.complete, requests))
    assert [answer.text for answer in together] == alone
    assert len(set(alone)) == 4


async def test_an_unknown_model_is_not_found(subject: Subject) -> None:
    with pytest.raises(NotFound, match=subject.chat) as caught:
        await subject.model.complete(chat("gpt-9"))
    assert caught.value.code == "model_not_found"
    assert caught.value.param == "model"
    with pytest.raises(NotFound):
        await anext(subject.model.stream(chat("gpt-9")))


async def test_the_models_are_listed(subject: Subject) -> None:
    listed = {card.id for card in await subject.model.models()}
    assert listed == {subject.chat, subject.embeddings} - {None}


async def test_embeddings_keep_their_order_in_both_encodings(subject: Subject) -> None:
    texts = ["one", "two", "one"]
    if subject.embeddings is None:
        with pytest.raises(Unsupported):
            await subject.model.embed(EmbeddingsRequest(model=subject.chat, input=texts))
        return
    answers = [
        await subject.model.embed(
            EmbeddingsRequest(model=subject.embeddings, input=texts, encoding_format=encoding)
        )
        for encoding in ("float", "base64")
    ]
    as_floats, as_base64 = [
        [item["embedding"] for item in body(answer)["data"]] for answer in answers
    ]
    decoded = [np.frombuffer(base64.b64decode(text), "<f4") for text in as_base64]
    assert np.allclose(as_floats, decoded)
    assert as_floats[0] == as_floats[2] != as_floats[1]
    assert np.allclose(np.linalg.norm(as_floats, axis=1), 1)
    assert answers[0].usage.prompt_tokens == 3
    assert [item["index"] for item in body(answers[0])["data"]] == [0, 1, 2]


def _usage(parsed: dict[str, dict[str, int]]) -> Usage:
    return Usage(parsed["usage"]["prompt_tokens"], parsed["usage"]["completion_tokens"])
