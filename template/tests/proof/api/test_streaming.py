"""A stream stays alive while its model thinks for long."""

import asyncio
from collections.abc import AsyncGenerator

import pytest

from app.api import streaming
from app.main import create_app
from engine.models.interface import ChatRequest, Chunk
from tests.api.serving import Streaming, serving, with_model
from tests.lines import CHAT_URL, chat_body
from tests.service import Service

pytestmark = pytest.mark.anyio


class Thinking(Streaming):
    """A model that has begun, and says nothing until it may."""

    def __init__(self) -> None:
        self.may = asyncio.Event()

    async def stream(self, _request: ChatRequest) -> AsyncGenerator[Chunk, None]:
        yield Chunk(b"")
        await self.may.wait()
        yield Chunk(b'data: {"choices": []}\n\n')


@pytest.fixture
def key(prepared: Service) -> str:
    return prepared.new_key()


async def test_a_stream_that_has_begun_without_an_event_begins_with_a_ping(
    prepared: Service, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "PING_SECONDS", 3600.0)  # none of those that fill silence
    model = Thinking()
    body = chat_body("Hello", stream=True)
    headers = {"authorization": f"Bearer {key}"}
    async with (
        serving(with_model(create_app(prepared.settings), model)) as client,
        client.stream("POST", CHAT_URL, json=body, headers=headers) as answer,
    ):
        pieces = answer.aiter_bytes()
        assert await anext(pieces) == b": ping\n\n"
        model.may.set()
        assert await anext(pieces) == b'data: {"choices": []}\n\n'
