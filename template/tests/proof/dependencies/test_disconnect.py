"""Work for a client ends with it, and with whoever else ends it."""

import asyncio
from contextlib import suppress

import pytest
from fastapi import Request
from starlette.types import Message

from app.dependencies import model
from app.dependencies.model import ClientGoneError, until_disconnect

pytestmark = pytest.mark.anyio


class Client:
    """One that stays until `go`."""

    def __init__(self) -> None:
        self._gone = asyncio.Event()
        self.request = Request({"type": "http", "headers": []}, self._receive)

    def go(self) -> None:
        self._gone.set()

    async def _receive(self) -> Message:
        await self._gone.wait()
        return {"type": "http.disconnect"}


async def for_ever() -> None:
    await asyncio.Event().wait()


def cancellations() -> int:
    task = asyncio.current_task()
    assert task
    return task.cancelling()


async def test_the_result_is_the_calls() -> None:
    async def call() -> int:
        await asyncio.sleep(0)
        return 42

    assert await until_disconnect(Client().request, call()) == 42


async def test_the_call_ends_with_its_client() -> None:
    client, ended = Client(), asyncio.Event()

    async def call() -> None:
        client.go()
        try:
            await for_ever()
        finally:
            ended.set()

    with pytest.raises(ClientGoneError):
        await until_disconnect(client.request, call())
    assert ended.is_set()
    assert cancellations() == 0


async def test_a_cancellation_by_another_is_not_taken_for_it() -> None:
    waiting = asyncio.create_task(until_disconnect(Client().request, for_ever()))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_call_that_was_cancelled_within_lost_no_client() -> None:
    within = asyncio.get_running_loop().create_future()
    within.cancel()
    with pytest.raises(asyncio.CancelledError):
        await until_disconnect(Client().request, within)


async def test_a_cancellation_beside_it_stays_one() -> None:
    client = Client()

    async def call() -> None:
        client.go()
        with suppress(asyncio.CancelledError):
            await for_ever()
        waiting.cancel()
        await for_ever()

    waiting = asyncio.create_task(until_disconnect(client.request, call()))
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_work_that_misses_its_cancellation_is_cancelled_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(model, "PATIENCE", 0.01)
    client = Client()

    async def call() -> None:
        client.go()
        with suppress(asyncio.CancelledError):
            await for_ever()
        await for_ever()

    with pytest.raises(ClientGoneError):
        async with asyncio.timeout(30):
            await until_disconnect(client.request, call())
    assert cancellations() == 0
