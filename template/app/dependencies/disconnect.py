"""Stops work for a client that has gone."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import Request

from app.resources.tasks import end_tasks

T = TypeVar("T")


class ClientGoneError(Exception):
    """The client hung up; nobody reads an answer any more."""


async def until_disconnect(request: Request, call: Awaitable[T]) -> T:
    """Return the result of `call`, or cancel it and raise `ClientGoneError` when the client goes.

    A plain handler is never cancelled: it would pay for an answer that nobody reads. To be used
    once the body has been read.
    """
    waiting = asyncio.current_task()
    assert waiting  # noqa: S101 -- this is a coroutine
    watching = asyncio.ensure_future(_cancel_when_gone(request, waiting))
    try:
        return await call
    except asyncio.CancelledError:
        # As in `asyncio.timeout`: only where nobody else has cancelled this task, too.
        if watching.done() and waiting.uncancel() == 0:
            raise ClientGoneError from None
        raise
    finally:
        await end_tasks(watching)


async def _cancel_when_gone(request: Request, task: asyncio.Task[Any]) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    task.cancel()
