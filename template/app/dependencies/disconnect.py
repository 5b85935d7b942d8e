"""Stops work for a client that has gone."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from engine.process.tasks import end_tasks

T = TypeVar("T")

PATIENCE = 1.0
"""Seconds until work that goes on is cancelled again: `end_tasks` tells why."""


class ClientGoneError(Exception):
    """The client has hung up and reads no answer any more."""


async def until_disconnect(request: Request, call: Awaitable[T]) -> T:
    """Return the result of `call`, or cancel it and raise `ClientGoneError` when the client goes.

    A plain handler is never cancelled: it would pay for an answer that no client reads. To be used
    once the body has been read. It costs one task; another for `call` would double that.
    """
    waiting = asyncio.current_task()
    assert waiting  # noqa: S101 -- this is a coroutine
    earlier, cancelled = waiting.cancelling(), 0

    async def cancel_when_gone() -> None:
        nonlocal cancelled
        while (await request.receive())["type"] != "http.disconnect":
            pass
        while True:
            cancelled += 1
            waiting.cancel()
            await asyncio.sleep(PATIENCE)

    watching = asyncio.ensure_future(cancel_when_gone())
    try:
        return await call
    except asyncio.CancelledError:
        if cancelled and waiting.cancelling() - cancelled <= earlier:
            raise ClientGoneError from None  # cancelled by this function alone
        raise
    finally:
        await end_tasks(watching)
        for _ in range(cancelled):
            waiting.uncancel()
