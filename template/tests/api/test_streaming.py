"""How streams begin, break and end, with a model whose every step the test decides."""

import asyncio
import json
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import httpx
import pytest
from starlette.types import Message

from app.api import streaming
from app.api.streaming import EventStream
from app.main import create_app
from engine.errors import ModelUnavailable
from engine.models.interface import ChatRequest, Chunk
from tests.api.serving import Streaming, serving, with_model
from tests.lines import chat_body
from tests.service import Service

pytestmark = pytest.mark.anyio
CHAT = "/v1/chat/completions"
STREAMED = chat_body("Hello", stream=True)
RESPONSE = {"model": "simulated-chat", "input": "Hello", "stream": True}
each_stream = pytest.mark.parametrize(
    ("url", "body"), [(CHAT, STREAMED), ("/v1/responses", RESPONSE)], ids=["chat", "response"]
)
TOKEN = Chunk(b'data: {"choices": []}\n\n')


class Scripted(Streaming):
    """A model that gives `chunks`, then raises, ends or never goes on; it knows when it stopped."""

    def __init__(
        self, chunks: int, error: Exception | None = None, *, ending: bool = False
    ) -> None:
        self._chunks, self._error, self._ending = chunks, error, ending
        self.begun, self.stopped = asyncio.Event(), asyncio.Event()

    async def stream(self, _request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        self.begun.set()
        try:
            for _ in range(self._chunks):
                yield TOKEN
            if self._error:
                raise self._error
            if not self._ending:
                await asyncio.Event().wait()
        finally:
            self.stopped.set()


@pytest.fixture(scope="module")
def key_of_module(prepared: Service) -> str:
    return prepared.new_key()


Chatting = Callable[[Scripted], AbstractAsyncContextManager[httpx.AsyncClient]]


@pytest.fixture
def chatting(prepared: Service, key_of_module: str) -> Chatting:
    """Gives a client of a server with a model of the test's own."""

    @asynccontextmanager
    async def chatting(model: Scripted) -> AsyncIterator[httpx.AsyncClient]:
        async with serving(with_model(create_app(prepared.settings), model)) as client:
            client.headers["authorization"] = f"Bearer {key_of_module}"
            yield client

    return chatting


def events(answer: httpx.Response) -> list[str]:
    return [each.removeprefix("data: ") for each in answer.text.split("\n\n") if each]


async def within_limit(event: asyncio.Event) -> None:
    await asyncio.wait_for(event.wait(), 30)


async def test_an_error_before_the_first_byte_is_a_plain_error(chatting: Chatting) -> None:
    async with chatting(Scripted(0, ModelUnavailable("It is away."))) as client:
        answer = await client.post(CHAT, json=STREAMED)
    assert answer.status_code == 503
    assert answer.json()["error"]["message"] == "It is away."


async def test_a_model_that_says_nothing_is_a_plain_error(chatting: Chatting) -> None:
    async with chatting(Scripted(0, ending=True)) as client:
        answer = await client.post(CHAT, json=STREAMED)
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "model_unavailable"


async def test_an_error_after_the_first_byte_is_the_last_event(chatting: Chatting) -> None:
    async with chatting(Scripted(2, ModelUnavailable("It broke."))) as client:
        answer = await client.post(CHAT, json=STREAMED)
    assert answer.status_code == 200
    assert [list(json.loads(event)) for event in events(answer)] == [
        ["choices"],
        ["choices"],
        ["error"],
    ]
    assert json.loads(events(answer)[-1])["error"]["message"] == "It broke."


async def test_an_unforeseen_error_in_a_stream_tells_nothing_internal(chatting: Chatting) -> None:
    async with chatting(Scripted(1, RuntimeError("a secret"))) as client:
        answer = await client.post(CHAT, json=STREAMED)
    assert json.loads(events(answer)[-1])["error"]["message"] == "The answer broke off."
    assert "a secret" not in answer.text


@each_stream
async def test_a_client_that_leaves_a_stream_stops_the_model(
    chatting: Chatting, url: str, body: dict[str, object]
) -> None:
    model = Scripted(1)
    async with chatting(model) as client:
        async with client.stream("POST", url, json=body) as answer:
            await anext(answer.aiter_bytes())
            assert not model.stopped.is_set()
        await within_limit(model.stopped)


@pytest.mark.parametrize("body", [STREAMED, chat_body("Hello")], ids=["streamed", "whole"])
async def test_a_client_that_leaves_before_the_answer_stops_the_model(
    chatting: Chatting, body: dict[str, object]
) -> None:
    model = Scripted(0)
    async with chatting(model) as client:
        request = asyncio.create_task(client.post(CHAT, json=body))
        await within_limit(model.begun)
        request.cancel()
        await within_limit(model.stopped)


async def test_silence_is_filled_with_comments(
    chatting: Chatting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PING_SECONDS", 0.1)
    async with (
        chatting(Scripted(1)) as client,
        client.stream("POST", CHAT, json=STREAMED) as answer,
    ):
        pieces = answer.aiter_bytes()
        assert [await anext(pieces), await anext(pieces)] == [TOKEN.events, b": ping\n\n"]


async def test_an_ended_stream_leaves_nothing_to_the_garbage_collector() -> None:
    async def answer() -> AsyncGenerator[Chunk, None]:
        yield TOKEN

    async def stay() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    stream = EventStream(answer(), {})
    known = weakref.ref(stream)
    await stream({"type": "http", "headers": []}, stay, send)
    del stream
    assert [message.get("body") for message in sent] == [None, TOKEN.events, b""]
    assert known() is None
